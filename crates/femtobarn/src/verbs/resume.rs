//! `fb resume`.

use std::path::PathBuf;

use crate::experiment::Experiment;
use crate::failure::Result;

/// Go on with a run that was stopped, or write the report of a finished one again.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The run folder.
    run: PathBuf,
    /// Threads; 0 stands for all of the machine. The results do not depend on it.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Print the results as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn execute(arguments: &Arguments) -> Result<()> {
    let experiment = Experiment::read(&arguments.run.join("experiment.toml"), &[])?;
    super::carry_out(&experiment, &arguments.run, arguments.threads, arguments.json)
}
