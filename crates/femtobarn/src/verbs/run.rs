//! `fb run`.

use std::path::PathBuf;

use crate::experiment::Experiment;
use crate::failure::Result;
use crate::folder;

/// Train, judge, report and export the methods of an experiment file.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The experiment file.
    file: PathBuf,
    /// The run folder [default: runs/NAME, or the next that is free].
    #[arg(long)]
    out: Option<PathBuf>,
    /// Replace an option of the experiment file: read.max_train=1000, train.epochs=2 (for every method).
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Only these methods of the file, by label [default: all].
    #[arg(long, value_name = "LABEL")]
    method: Vec<String>,
    /// Threads; 0 stands for all of the machine. The results do not depend on it.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Print the results as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn execute(arguments: &Arguments) -> Result<()> {
    let mut experiment = Experiment::read(&arguments.file, &arguments.set)?;
    if !arguments.method.is_empty() {
        experiment.keep_methods(&arguments.method)?;
    }
    let name = arguments.file.file_stem().and_then(|s| s.to_str()).unwrap_or("experiment");
    let folder = folder::create(arguments.out.as_deref(), name)?;
    fb_io::write_whole(&folder.join("experiment.toml"), experiment.to_toml()?.as_bytes())?;
    super::carry_out(&experiment, &folder, arguments.threads, arguments.json)
}
