//! `fb verify`.

use std::path::PathBuf;

use fb_core::run::Alone;
use fb_core::{Artifact, Input};
use fb_deploy::{Inputs, Runtime};
use serde::Serialize;

use crate::experiment::Experiment;
use crate::failure::{Failure, Result};
use crate::{folder, pipeline};

/// Compare the models of a run with their ONNX files, under onnxruntime, on stored events.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The run folder.
    run: PathBuf,
    /// The library of onnxruntime, for example libonnxruntime.so.
    #[arg(long, env = "ORT_DYLIB_PATH", value_name = "LIBRARY")]
    onnxruntime: Option<PathBuf>,
    /// Largest difference of a score that passes.
    #[arg(long, default_value_t = 1e-5)]
    tolerance: f32,
    /// Print the differences as JSON.
    #[arg(long)]
    json: bool,
}

/// How far a model and its export are apart.
#[derive(Debug, Serialize)]
struct Comparison {
    label: String,
    events: usize,
    largest_difference: f32,
    passes: bool,
}

pub(super) fn execute(arguments: &Arguments) -> Result<()> {
    let run = &arguments.run;
    let experiment = Experiment::read(&run.join("experiment.toml"), &[])?;
    let events = fb_io::read(run.join("reference.parquet"))?;
    let mut compared = Vec::new();
    for entry in &experiment.method {
        let path = run.join(pipeline::model_path(&experiment, &entry.label));
        let export = path.with_file_name("model.onnx");
        if !export.exists() {
            continue;
        }
        let bytes = folder::read(&path)?;
        let artifact = Artifact::from_bytes(&bytes).map_err(|source| Failure::In { path: path.clone(), source })?;
        let ours = pipeline::load(&path)?.scores(&events, &Alone)?;
        let seen: Input = serde_json::from_value(artifact.header["input"].clone())
            .map_err(|e| Failure::Data(format!("{}: {e}", path.display())))?;
        let inputs = Inputs::new(&seen, &events)?;
        let mut runtime = Runtime::open(arguments.onnxruntime.as_deref(), &folder::read(&export)?)?;
        let theirs = runtime.probabilities(&inputs)?;
        if ours.values.len() != theirs.len() {
            let (found, expected) = (theirs.len(), ours.values.len());
            return Err(Failure::Data(format!("{}: {found} scores, expected {expected}", export.display())));
        }
        // A score that is not a number is as far away as can be.
        let difference = |(a, b): (&f32, &f32)| if (a - b).is_nan() { f32::INFINITY } else { (a - b).abs() };
        let largest_difference = ours.values.iter().zip(&theirs).map(difference).fold(0.0, f32::max);
        let passes = largest_difference <= arguments.tolerance;
        compared.push(Comparison { label: entry.label.clone(), events: events.len(), largest_difference, passes });
    }
    if compared.is_empty() {
        return Err(Failure::Data(format!("{} holds no model.onnx; was it finished?", run.display())));
    }
    if arguments.json {
        super::print_json(&compared)?;
    } else {
        for c in &compared {
            let word = if c.passes { "equal" } else { "DIFFERENT" };
            super::print(&format!(
                "{}  {word}  largest difference {:.1e} on {} events\n",
                c.label, c.largest_difference, c.events
            ));
        }
    }
    match compared.iter().filter(|c| !c.passes).map(|c| c.label.as_str()).collect::<Vec<_>>() {
        failed if failed.is_empty() => Ok(()),
        failed => Err(Failure::Data(format!("the exports of {} give other scores than the models", failed.join(", ")))),
    }
}
