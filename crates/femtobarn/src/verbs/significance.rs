//! `fb significance`.

use fb_statistics::histfactory::{Likelihood, discovery};
use fb_statistics::significance::asimov_with_error;
use fb_statistics::special::normal_cdf;
use serde_json::json;

use super::fit::Source;
use crate::failure::{Failure, Result};

/// The significance of a signal: of a HistFactory model, observed and expected, from q₀ in the asymptotic limit; or, with
/// --signal and --background, the median one of a counting experiment.
///
/// Ends with exit code 3 for a workspace that cannot be used, 4 for a fit that does not converge.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    source: Option<Source>,
    /// Expected events of signal.
    #[arg(long, value_name = "S", requires = "background", conflicts_with = "workspace")]
    signal: Option<f64>,
    /// Expected events of background.
    #[arg(long, value_name = "B", requires = "signal")]
    background: Option<f64>,
    /// The standard deviation of the expected background.
    #[arg(long, value_name = "SIGMA", default_value_t = 0.0, requires = "background")]
    error: f64,
    /// Print the results as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn execute(arguments: &Arguments) -> Result<()> {
    let p = |z: f64| normal_cdf(-z);
    if let (Some(signal), Some(background)) = (arguments.signal, arguments.background) {
        let fine = |x: f64| x >= 0.0 && x.is_finite();
        if !(fine(signal) && fine(background) && background > 0.0 && fine(arguments.error)) {
            let found = format!("{signal}, {background} and {}", arguments.error);
            let text = "expected numbers that are not negative, and some background";
            return Err(Failure::Usage(format!("--signal, --background and --error: found {found}, {text}")));
        }
        let z = asimov_with_error(signal, background, arguments.error);
        if arguments.json {
            return super::print_json(&json!({"significance_expected": z, "p0_expected": p(z)}));
        }
        super::print(&format!("expected {z:.5} σ, p₀ = {:.4e}\n", p(z)));
        return Ok(());
    }
    let Some(source) = &arguments.source else {
        return Err(Failure::Usage("name a workspace, or --signal and --background".to_owned()));
    };
    let (workspace, model) = source.read()?;
    let likelihood = Likelihood::new(&model, model.observed(&workspace));
    let found = discovery(&likelihood).map_err(|error| source.here(error))?;
    if arguments.json {
        return super::print_json(&json!({
            "significance_observed": found.observed,
            "significance_expected": found.expected,
            "p0_observed": p(found.observed),
            "p0_expected": p(found.expected),
        }));
    }
    super::print(&format!(
        "observed {:>9.5} σ, p₀ = {:.4e}\nexpected {:>9.5} σ, p₀ = {:.4e}\n",
        found.observed,
        p(found.observed),
        found.expected,
        p(found.expected)
    ));
    Ok(())
}
