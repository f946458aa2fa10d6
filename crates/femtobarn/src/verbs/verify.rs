//! `fb verify`.

use std::path::{Path, PathBuf};

use fb_core::run::Alone;
use fb_core::{Artifact, Events, Input, Scores};
use fb_deploy::{Inputs, Runtime, trees};
use fb_trees::Link;
use serde::Serialize;

use super::export::{Door, input};
use crate::experiment::Experiment;
use crate::failure::{Failure, Result};
use crate::{folder, pipeline};

/// Compare the models of a run with their exported files on stored events.
///
/// ONNX is computed by onnxruntime. The files for XGBoost, LightGBM and TMVA are read back as `fb import` does it.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The run folder.
    run: PathBuf,
    /// The library of onnxruntime, for example libonnxruntime.so.
    #[arg(long, env = "ORT_DYLIB_PATH", value_name = "LIBRARY")]
    onnxruntime: Option<PathBuf>,
    /// Largest difference of a score that passes, relative where scores are above one.
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
    format: &'static str,
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
        let doors = Door::ALL.into_iter().filter(|d| *d != Door::Cpp && path.with_file_name(d.file()).exists());
        let doors: Vec<Door> = doors.collect();
        if doors.is_empty() {
            continue;
        }
        let bytes = folder::read(&path)?;
        let artifact = Artifact::from_bytes(&bytes).map_err(|source| Failure::In { path: path.clone(), source })?;
        let ours = match pairs(&artifact, &events)? {
            Some(pairs) => pairs,
            None => pipeline::load(&path)?.scores(&events, &Alone)?,
        };
        for door in doors {
            let export = path.with_file_name(door.file());
            let theirs = match door {
                Door::Onnx => {
                    let inputs = inputs(&input(&artifact)?, &events)?;
                    let mut runtime = Runtime::open(arguments.onnxruntime.as_deref(), &folder::read(&export)?)?;
                    runtime.probabilities(&inputs)?
                }
                _ => read_back(&artifact, &export, &events)?,
            };
            if ours.values.len() != theirs.len() {
                let (found, expected) = (theirs.len(), ours.values.len());
                return Err(Failure::Data(format!("{}: {found} scores, expected {expected}", export.display())));
            }
            let whole = whole_events(door, &artifact, &events)?;
            let each = ours.values.iter().zip(&theirs).enumerate();
            let each = each.filter(|(i, _)| whole.as_ref().is_none_or(|whole| whole[i / ours.classes.max(1)]));
            let largest_difference = each.map(|(_, pair)| difference(pair)).fold(0.0, f32::max);
            compared.push(Comparison {
                label: entry.label.clone(),
                format: door.name(),
                events: whole.map_or(events.len(), |whole| whole.iter().filter(|w| **w).count()),
                largest_difference,
                passes: largest_difference <= arguments.tolerance,
            });
        }
    }
    if compared.is_empty() {
        let run = run.display();
        return Err(Failure::Data(format!("{run} holds no exported model; was it finished? `fb export` writes them")));
    }
    if arguments.json {
        super::print_json(&compared)?;
    } else {
        for c in &compared {
            let word = if c.passes { "equal" } else { "DIFFERENT" };
            super::print(&format!(
                "{}  {}  {word}  largest difference {:.1e} on {} events\n",
                c.label, c.format, c.largest_difference, c.events
            ));
        }
    }
    let failed = compared.iter().filter(|c| !c.passes).map(|c| format!("{} ({})", c.label, c.format));
    match failed.collect::<Vec<_>>() {
        failed if failed.is_empty() => Ok(()),
        failed => Err(Failure::Data(format!("the exports of {} give other scores than the models", failed.join(", ")))),
    }
}

/// What an export says of pairs, for a network that puts particles into groups.
fn pairs(artifact: &Artifact, events: &Events) -> Result<Option<Scores>> {
    if !artifact.header["graph"].is_object() {
        return Ok(None);
    }
    let features = fb_physics::features::prepare(&input(artifact)?, events)?;
    let scores = |values: Vec<f32>| Scores { classes: values.len() / events.len().max(1), values };
    Ok(fb_deploy::pairs(artifact, &features)?.map(scores))
}

/// What an exported network takes of these events.
fn inputs(input: &Input, events: &Events) -> Result<Inputs> {
    Ok(match input {
        Input::Lund { .. } | Input::History { .. } => {
            Inputs::prepared(input, &fb_physics::features::prepare(input, events)?)?
        }
        _ => Inputs::new(input, events)?,
    })
}

/// A score that is not a number is as far away as can be.
fn difference((a, b): (&f32, &f32)) -> f32 {
    let difference = (a - b).abs() / a.abs().max(1.0);
    if difference.is_nan() { f32::INFINITY } else { difference }
}

/// Events that a format can score, if not all: TMVA refuses those with a missing value.
fn whole_events(door: Door, artifact: &Artifact, events: &Events) -> Result<Option<Vec<bool>>> {
    if door != Door::Tmva {
        return Ok(None);
    }
    let inputs = Inputs::new(&input(artifact)?, events)?;
    let is_whole = |i: usize| inputs.tensors().iter().all(|t| t.values.get(i).is_some_and(|x| !x.is_nan()));
    Ok(Some((0..events.len()).map(is_whole).collect()))
}

/// The scores of a file that is read as an import.
fn read_back(artifact: &Artifact, export: &Path, events: &Events) -> Result<Vec<f32>> {
    let mut forest = trees::read(&folder::read(export)?)?.1.forest;
    let link = artifact.header["forest"]["link"].clone();
    let link: Link = serde_json::from_value(link)
        .map_err(|e| fb_core::Error::Artifact { reason: format!("`forest.link` in the header: {e}") })?;
    match (forest.link, link) {
        // TMVA's score of two classes is 2p − 1: that is a probability of twice the sum, or a vote.
        (Link::Symmetric, Link::Logistic) => {
            forest.link = Link::Logistic;
            forest.base.iter_mut().for_each(|b| *b *= 2.0);
            forest.trees.iter_mut().flat_map(|t| &mut t.nodes).for_each(|n| n.value *= 2.0);
        }
        (Link::Identity, Link::Votes) => forest.link = Link::Votes,
        _ => {}
    }
    let mut header = artifact.header.clone();
    if let Some(header) = header.as_object_mut() {
        header.remove("forest");
    }
    let model = fb_methods::method(artifact.method()?)?.load(&forest.artifact(header))?;
    Ok(model.scores(events, &Alone)?.values)
}
