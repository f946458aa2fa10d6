//! `fb significance`.

use std::path::PathBuf;

use fb_statistics::histfactory::{Likelihood, discovery};
use fb_statistics::significance::asimov_with_error;
use fb_statistics::special::normal_cdf;
use fb_statistics::spectrum::search::{LEVEL, Search};
use serde_json::json;

use super::fit::{Source, within};
use super::spectrum;
use crate::failure::{Failure, Result};
use crate::report;
use crate::workers::Threads;

/// The significance of a signal: of a HistFactory model, observed and expected, from q₀ in the asymptotic limit; or, with
/// --signal and --background, the median one of a counting experiment; or, with --scan, that of a peak at an unknown
/// place of the spectrum that a TOML file describes.
///
/// The scan gives the local p-value of each place, and the global one: from how often q₀ crosses 0.5 upwards
/// (arXiv:1005.1891), in the data or, better, in pseudo-experiments without a peak, and their share with a larger q₀.
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
    /// The mean of the peak of a spectrum, and from where to where it is sought.
    #[arg(long, value_name = "NAME=LOW..HIGH", requires = "workspace")]
    scan: Option<String>,
    /// Places of the scan: a few for each width of the peak.
    #[arg(long, value_name = "N", default_value_t = 81, requires = "scan")]
    points: usize,
    /// Pseudo-experiments without a peak.
    #[arg(long, value_name = "N", requires = "scan")]
    toys: Option<usize>,
    /// Every pseudo-experiment follows from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads; 0 stands for all of the machine. The results do not depend on it.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Write a report of the scan here.
    #[arg(long, value_name = "OUT.html", requires = "scan")]
    report: Option<PathBuf>,
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
    if let Some(scan) = &arguments.scan {
        return search(arguments, source, scan);
    }
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

/// The search for a peak.
fn search(arguments: &Arguments, source: &Source, scan: &str) -> Result<()> {
    let wrong = || Failure::Usage(format!("--scan: found `{scan}`, expected NAME=LOW..HIGH as in peak.mean=110..150"));
    let (name, range) = scan.split_once('=').ok_or_else(wrong)?;
    let (low, high) = range.split_once("..").ok_or_else(wrong)?;
    let (low, high): (f64, f64) = low.trim().parse().ok().zip(high.trim().parse().ok()).ok_or_else(wrong)?;
    if !(low < high && low.is_finite() && high.is_finite()) {
        return Err(wrong());
    }
    if !(2..=10_000).contains(&arguments.points) {
        return Err(Failure::Usage(format!("--points: found {}, expected 2 to 10000", arguments.points)));
    }
    if let Some(n) = arguments.toys.filter(|n| *n < 10) {
        return Err(Failure::Usage(format!("--toys: found {n}, expected at least 10")));
    }
    let place = |k: usize| low + (high - low) * k as f64 / (arguments.points - 1) as f64;
    let means: Vec<f64> = (0..arguments.points).map(place).collect();
    let (workers, path) = (Threads::new(arguments.threads)?, source.path());
    let toys = arguments.toys.map(|toys| (toys, arguments.seed));
    let spectra = spectrum::read(path)?.spectra;
    let found = spectra.search(name.trim(), &means, toys, &workers).map_err(|error| within(path, error))?;
    let words = told(&found, name.trim());
    if let Some(out) = &arguments.report {
        let lead = format!("Search for a peak in {}. femtobarn {}.", path.display(), env!("CARGO_PKG_VERSION"));
        let page = report::search::html(&source.name(), &lead, name.trim(), &found, &words);
        fb_io::write_whole(out, page.as_bytes())?;
    }
    if !arguments.json {
        super::print(&format!("{words}\n"));
        return Ok(());
    }
    let best = found.points[found.best];
    let points: Vec<_> = found
        .points
        .iter()
        .map(|p| json!({"mean": p.mean, "yield": p.size, "significance": p.significance(), "p0": p.p()}))
        .collect();
    let mut printed = json!({
        "mean": best.mean,
        "yield": best.size,
        "significance_local": best.significance(),
        "p0_local": best.p(),
        "p0_global": found.global,
        "upcrossings": found.upcrossings,
        "upcrossings_level": LEVEL,
        "points": points,
    });
    if let Some((p, failed)) = found.toys {
        printed["toys"] = json!({"p0_global": p, "failed": failed});
    }
    super::print_json(&printed)
}

/// What was found, in words.
fn told(found: &Search, name: &str) -> String {
    let best = found.points[found.best];
    let number = report::search::number;
    let toys = found.toys.as_ref().map_or_else(String::new, |(p, failed)| {
        format!("; {} in pseudo-experiments ({failed} of them failed)", number(p))
    });
    format!(
        "largest at {name} = {:.4}: yield {:.2}, local {:.3} σ (p₀ = {:.3e}); {} upward crossings of q₀ = {LEVEL}, global p₀ {}{toys}",
        best.mean,
        best.size,
        best.significance(),
        best.p(),
        found.upcrossings,
        number(&found.global),
    )
}
