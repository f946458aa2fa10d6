//! The commands of `fb`, one file each.

mod bubble;
mod cluster;
mod convert;
mod data;
mod diff;
mod export;
mod fit;
mod histogram;
mod import;
mod inspect;
mod interval;
mod limit;
mod list;
mod predict;
mod resume;
mod run;
mod show;
mod significance;
mod solve;
mod spectrum;
mod substructure;
mod verify;

#[cfg(test)]
#[path = "../../tests/common/mutate.rs"]
mod mutate;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{Parser, Subcommand};

use crate::console::Console;
use crate::experiment::Experiment;
use crate::failure::{Failure, Result};
use crate::pipeline::{self, Context};
use crate::selection;
use crate::workers::Threads;

/// Machine learning for particle physics: from event files to numbers with errors and models to deploy.
#[derive(Debug, Parser)]
#[command(name = "fb", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(run::Arguments),
    Resume(resume::Arguments),
    Diff(diff::Arguments),
    List(list::Arguments),
    Show(show::Arguments),
    Predict(predict::Arguments),
    Export(export::Arguments),
    Import(import::Arguments),
    Verify(verify::Arguments),
    Inspect(inspect::Arguments),
    Convert(convert::Arguments),
    Data(data::Arguments),
    Substructure(substructure::Arguments),
    Cluster(cluster::Arguments),
    Bubble(bubble::Arguments),
    Solve(solve::Arguments),
    Fit(fit::Arguments),
    Limit(limit::Arguments),
    Significance(significance::Arguments),
    Interval(interval::Arguments),
}

impl Cli {
    /// Carries out the command.
    pub fn execute(self) -> Result<()> {
        match self.verb {
            Verb::Run(arguments) => run::execute(&arguments),
            Verb::Resume(arguments) => resume::execute(&arguments),
            Verb::Diff(arguments) => diff::execute(&arguments),
            Verb::List(arguments) => list::execute(&arguments),
            Verb::Show(arguments) => show::execute(&arguments),
            Verb::Predict(arguments) => predict::execute(&arguments),
            Verb::Export(arguments) => export::execute(&arguments),
            Verb::Import(arguments) => import::execute(&arguments),
            Verb::Verify(arguments) => verify::execute(&arguments),
            Verb::Inspect(arguments) => inspect::execute(&arguments),
            Verb::Convert(arguments) => convert::execute(&arguments),
            Verb::Data(arguments) => data::execute(&arguments),
            Verb::Substructure(arguments) => substructure::execute(&arguments),
            Verb::Cluster(arguments) => cluster::execute(&arguments),
            Verb::Bubble(arguments) => bubble::execute(&arguments),
            Verb::Solve(arguments) => solve::execute(&arguments),
            Verb::Fit(arguments) => fit::execute(&arguments),
            Verb::Limit(arguments) => limit::execute(&arguments),
            Verb::Significance(arguments) => significance::execute(&arguments),
            Verb::Interval(arguments) => interval::execute(&arguments),
        }
    }
}

/// Set by SIGTERM and SIGINT.
fn stop_flag() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        // The second signal ends the program at once.
        signal_hook::flag::register_conditional_shutdown(signal, 85, Arc::clone(&flag))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&flag)))
            .map_err(|e| Failure::Usage(format!("cannot listen to signals: {e}")))?;
    }
    Ok(flag)
}

/// Carries out an experiment in its folder and tells where everything is.
fn carry_out(experiment: &Experiment, folder: &Path, threads: usize, json: bool) -> Result<()> {
    if experiment.method.is_empty() {
        return draw(experiment, folder, json);
    }
    let (workers, stop, mut console) = (Threads::new(threads)?, stop_flag()?, Console::default());
    let mut context = Context { folder, workers: &workers, stop: &stop, console: &mut console };
    let results = pipeline::run(experiment, &mut context).inspect_err(|failure| {
        if failure.exit_code() == 85 {
            Console::default().line(&format!("go on with `fb resume {}`", folder.display()));
        }
    })?;
    for warning in &results.warnings {
        console.warn(warning);
    }
    if json {
        print_json(&results)
    } else {
        let folder = folder.display();
        let worth = results.analysis.as_ref().map_or_else(String::new, |a| {
            let (z, base) = (a.sensitivity, a.baseline.sensitivity);
            format!("\nsignificance {z}, {} {base}: as {} times the luminosity\n", a.baseline.name, a.luminosity_factor)
        });
        let asymmetry = results.asymmetry.as_ref().map_or_else(String::new, |a| format!("\n{}", a.text()));
        print(&format!(
            "\n{}\n\n{}{worth}{asymmetry}\nreport   {folder}/report.html\nresults  {folder}/results.json\nmodels   {folder}/methods/\n",
            results.title,
            results.table(&experiment.evaluate.metrics)
        ));
        Ok(())
    }
}

/// Carries out an experiment without methods.
fn draw(experiment: &Experiment, folder: &Path, json: bool) -> Result<()> {
    let selected = selection::run(experiment, folder)?;
    if json {
        return print_json(&selected);
    }
    let folder = folder.display();
    print(&format!(
        "\n{}\n\n{} of {} events selected, weights {}, share {}\nreport   {folder}/report.html\nresults  {folder}/results.json\n",
        selected.title, selected.selected, selected.events, selected.weights, selected.efficiency
    ));
    Ok(())
}

/// The text of a file that asks for something.
fn read_text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|e| Failure::Usage(format!("{}: {e}", path.display())))
}

/// To standard output; a reader that is gone is no error.
fn print(text: &str) {
    use std::io::Write as _;
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn print_json(value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Failure::Data(e.to_string()))?;
    print(&format!("{text}\n"));
    Ok(())
}
