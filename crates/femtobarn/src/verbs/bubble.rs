//! `fb bubble`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use fb_methods::bubble::{self, Potential, Vacua};
use serde::Deserialize;
use serde_json::json;

use crate::failure::{Failure, Result};

/// Compute the bounce out of a false vacuum and its action, from the potential in a TOML file.
///
/// Ends with exit code 2 for a file that cannot be read, 3 for a potential without a barrier or vacua that are none, 4 if no
/// solution is found.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The potential and its vacua, in a table `[bubble]`.
    #[arg(value_name = "FILE.toml")]
    file: PathBuf,
    /// Print the results as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    bubble: Bubble,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bubble {
    fields: Vec<String>,
    potential: String,
    #[serde(default)]
    parameters: BTreeMap<String, f64>,
    false_vacuum: Vec<f64>,
    true_vacuum: Vec<f64>,
    dimension: Option<usize>,
}

fn read(path: &Path) -> Result<Bubble> {
    let error = |reason: String| Failure::Usage(format!("{}: {reason}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|e| error(e.to_string()))?;
    let file: File = toml::from_str(&text).map_err(|e| error(e.to_string().trim_end().to_owned()))?;
    Ok(file.bubble)
}

pub(super) fn execute(arguments: &Arguments) -> Result<()> {
    let begun = Instant::now();
    let asked = read(&arguments.file)?;
    let here = |source| Failure::In { path: arguments.file.clone(), source };
    let dimension = asked.dimension.unwrap_or(4);
    if !(3..=4).contains(&dimension) {
        return Err(Failure::Usage(format!("bubble.dimension: found {dimension}, expected 3 or 4")));
    }
    let potential = Potential::new(&asked.potential, &asked.fields, &asked.parameters, false).map_err(here)?;
    let vacua = Vacua { false_vacuum: asked.false_vacuum, true_vacuum: asked.true_vacuum };
    let found = bubble::bounce(&mut potential.at(0.0), &vacua, dimension).map_err(here)?;
    let seconds = begun.elapsed().as_secs_f64();
    if arguments.json {
        return super::print_json(&json!({
            "dimension": dimension,
            "action": found.action,
            "action_reference": found.reference,
            "derrick": found.derrick,
            "false_vacuum": found.false_vacuum,
            "true_vacuum": found.true_vacuum,
            "profile": {"r": found.r, "phi": found.phi},
            "seconds": seconds,
        }));
    }
    super::print(&format!(
        "S{dimension} = {:.9} (Derrick {:.1e}), {seconds:.3} s\n",
        found.action.central, found.derrick
    ));
    Ok(())
}
