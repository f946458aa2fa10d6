//! `fb limit`.

use std::path::PathBuf;

use fb_statistics::histfactory::{Likelihood, Scan, test_with_toys};
use serde_json::json;

use super::fit::Source;
use crate::console::Console;
use crate::failure::{Failure, Result};
use crate::report;
use crate::workers::Threads;

/// Test a value of the parameter of interest of a workspace of pyhf, and set 95 % upper limits, by CLs.
///
/// The test statistic is q̃_μ in the asymptotic limit (arXiv:1007.1727). Expected values are for data without signal at
/// −2, −1, 0, 1 and 2 standard deviations.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    source: Source,
    /// The value that is tested.
    #[arg(long, default_value_t = 1.0, value_name = "MU", allow_negative_numbers = true)]
    poi_test: f64,
    /// Test --poi-test with so many pseudo-experiments, with and without signal, too; the limits are asymptotic ones.
    #[arg(long, value_name = "N")]
    toys: Option<usize>,
    /// Every pseudo-experiment follows from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads; 0 stands for all of the machine. The results do not depend on it.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Write a report with figures here: CLs against the strength, the limits and their bands.
    #[arg(long, value_name = "OUT.html")]
    report: Option<PathBuf>,
    /// Print the results as JSON.
    #[arg(long)]
    json: bool,
}

/// Steps of the scan that a report shows.
const SCANNED: usize = 40;

pub(super) fn execute(arguments: &Arguments) -> Result<()> {
    let mu = arguments.poi_test;
    if !(mu >= 0.0 && mu.is_finite()) {
        return Err(Failure::Usage(format!("--poi-test: found {mu}, expected a number that is not negative")));
    }
    let (workspace, model) = arguments.source.read()?;
    if let Some(parameter) = model.poi().map(|at| &model.parameters()[at])
        && parameter.bounds.0 != 0.0
    {
        let (name, low) = (&parameter.name, parameter.bounds.0);
        Console::default().warn(&format!("`{name}` may go down to {low}; the law of q̃ is that for a bound at 0"));
    }
    let here = |source| arguments.source.here(source);
    let likelihood = Likelihood::new(&model, model.observed(&workspace));
    let toys = match arguments.toys {
        Some(n) if n < 100 => {
            return Err(Failure::Usage(format!("--toys: found {n}, expected at least 100")));
        }
        Some(n) => {
            let workers = Threads::new(arguments.threads)?;
            Some(test_with_toys(&likelihood, mu, n, arguments.seed, &workers).map_err(here)?)
        }
        None => None,
    };
    let mut scan = Scan::new(likelihood).map_err(here)?;
    let test = scan.test(mu).map_err(here)?;
    let limits = scan.limits(0.05).map_err(here)?;
    if let Some(path) = &arguments.report {
        // Up to where all bands are excluded.
        let most = limits.expected[4].max(limits.observed) * 1.2;
        let at = |k: usize| most * k as f64 / SCANNED as f64;
        let tests = (0..=SCANNED).map(|k| Ok((at(k), scan.test(at(k)).map_err(here)?)));
        let (name, poi) = (arguments.source.name(), model.poi().map(|at| model.parameters()[at].name.as_str()));
        let lead = format!("Upper limits by CLs of {name}, asymptotic. femtobarn {}.", env!("CARGO_PKG_VERSION"));
        let tests: Vec<_> = tests.collect::<Result<_>>()?;
        let page = report::limit::html(&name, &lead, poi.unwrap_or_default(), &limits, &tests);
        fb_io::write_whole(path, page.as_bytes())?;
    }
    if arguments.json {
        let mut found = json!({
            "cls_observed": test.observed,
            "cls_expected": test.expected,
            "upper_limit_observed": limits.observed,
            "upper_limits_expected": limits.expected,
        });
        if let Some(toys) = toys {
            found["toys"] =
                json!({"cls_observed": toys.observed, "cls_expected": toys.expected, "failed": toys.failed});
        }
        return super::print_json(&found);
    }
    let line = |head: &str, observed: f64, expected: [f64; 5]| {
        let expected: Vec<String> = expected.iter().map(|x| format!("{x:>10.5}")).collect();
        format!("{head:<14}{observed:>10.5}  {}\n", expected.join(""))
    };
    let with_toys = toys.map_or_else(String::new, |t| {
        let text = line("  with toys", t.observed.central, t.expected);
        format!("{text}  (observed ± {:.5}, {} fits failed)\n", t.observed.error(), t.failed)
    });
    super::print(&format!(
        "{:<14}{:>10}  {:>10}{:>10}{:>10}{:>10}{:>10}\n{}{}",
        "",
        "observed",
        "-2σ",
        "-1σ",
        "expected",
        "+1σ",
        "+2σ",
        line(&format!("CLs({mu})"), test.observed, test.expected) + &with_toys,
        line("95 % limit", limits.observed, limits.expected),
    ));
    Ok(())
}
