//! `fb interval`.

use fb_statistics::feldman_cousins::counting;
use fb_statistics::histfactory::{Likelihood, feldman_cousins};
use serde_json::json;

use super::fit::Source;
use crate::failure::{Failure, Result};
use crate::workers::Threads;

/// An interval by Feldman and Cousins (physics/9711021), which passes from an upper limit to two sides by itself: of a signal
/// from counts over a known background, with --counts and --background; or of the parameter of interest of a workspace,
/// with pseudo-experiments.
///
/// In a workspace the other parameters are as the data want them at each value of interest. Ends of its interval have the
/// errors of the pseudo-experiments; an end at a bound of the parameter has none.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    source: Option<Source>,
    /// Events that were counted.
    #[arg(long, value_name = "N", requires = "background", conflicts_with = "workspace")]
    counts: Option<u32>,
    /// Expected events of background.
    #[arg(long, value_name = "B", requires = "counts")]
    background: Option<f64>,
    /// The level of confidence.
    #[arg(long, default_value_t = 0.9, value_name = "LEVEL")]
    level: f64,
    /// Pseudo-experiments at each of 25 values.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    toys: usize,
    /// Every pseudo-experiment follows from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads; 0 stands for all of the machine. The results do not depend on it.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Print the results as JSON.
    #[arg(long)]
    json: bool,
}

/// Beyond this many counts the square root says it all.
const MOST: f64 = 1e5;

pub(super) fn execute(arguments: &Arguments) -> Result<()> {
    let level = arguments.level;
    if !(0.01..=0.9999).contains(&level) {
        return Err(Failure::Usage(format!("--level: found {level}, expected a number from 0.01 to 0.9999")));
    }
    let percent = 100.0 * level;
    if let (Some(counts), Some(background)) = (arguments.counts, arguments.background) {
        if !(0.0..=MOST).contains(&background) || f64::from(counts) > MOST {
            let text = format!("found {counts} and {background}, expected numbers from 0 to {MOST}");
            return Err(Failure::Usage(format!("--counts and --background: {text}")));
        }
        let (low, high) = counting(counts, background, level);
        if arguments.json {
            return super::print_json(&json!({"low": low, "high": high, "level": level}));
        }
        super::print(&format!("signal {low:.4} to {high:.4} at {percent}%\n"));
        return Ok(());
    }
    let Some(source) = &arguments.source else {
        return Err(Failure::Usage("name a workspace, or --counts and --background".to_owned()));
    };
    if arguments.toys < 100 {
        return Err(Failure::Usage(format!("--toys: found {}, expected at least 100", arguments.toys)));
    }
    let (workspace, model) = source.read()?;
    let likelihood = Likelihood::new(&model, model.observed(&workspace));
    let (toys, workers) = ((arguments.toys, arguments.seed), Threads::new(arguments.threads)?);
    let found = feldman_cousins(&likelihood, level, toys, &workers).map_err(|error| source.here(error))?;
    let [low, high] = found.ends;
    if arguments.json {
        let point = |(mu, t, p): &(f64, f64, fb_core::Value)| json!({"value": mu, "twice_log_ratio": t, "p": p});
        return super::print_json(&json!({
            "low": low.central,
            "low_error": low.error(),
            "high": high.central,
            "high_error": high.error(),
            "level": level,
            "points": found.points.iter().map(point).collect::<Vec<_>>(),
            "failed": found.failed,
        }));
    }
    let name = model.poi().map_or("", |i| model.parameters()[i].name.as_str());
    super::print(&format!("{name} {low} to {high} at {percent}% ({} fits failed)\n", found.failed));
    Ok(())
}
