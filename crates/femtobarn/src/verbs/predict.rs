//! `fb predict`.

use std::path::PathBuf;
use std::sync::Arc;

use fb_core::{Column, Data, Events, Fitted, Partition, Scores, Task};

use crate::experiment::Experiment;
use crate::failure::{Failure, Result};
use crate::pipeline::{self, DataCard};
use crate::read;
use crate::workers::Threads;

/// Score the events of files with the models of a run.
///
/// The column `split` tells of each event whether the models were trained on it: `training`, `validation`, `test`, or
/// `new` for files that the run has not seen. Only scores of `test` and `new` may be used for a result.
///
/// The scores stand in the column `score`, or one for each class, `score_0`, `score_1`, ..., where there are more than
/// two; those of a run with several methods in LABEL, or LABEL_0, LABEL_1, ... Methods that put particles into groups give a
/// list, `group` or LABEL, with the number of the group of each particle in the order of the file, counted from zero as the
/// first particles of groups come.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The run folder.
    run: PathBuf,
    /// The event files.
    #[arg(required = true)]
    files: Vec<String>,
    /// Where the scores go: .parquet, .csv, .h5, .npz, or `scores.root:tree`.
    #[arg(short, long)]
    out: PathBuf,
    /// Labels of the methods [default: all].
    #[arg(long)]
    method: Vec<String>,
    /// Threads; 0 stands for all of the machine.
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

pub(super) fn execute(arguments: &Arguments) -> Result<()> {
    let experiment = Experiment::read(&arguments.run.join("experiment.toml"), &[])?;
    let card: DataCard = pipeline::read_json(&arguments.run.join("data.json"))
        .ok_or_else(|| Failure::Data(format!("{} is not a run that was begun", arguments.run.display())))?;
    let workers = Threads::new(arguments.threads)?;
    let models = models(arguments, &experiment)?;
    let mut all = Events::default();
    for pattern in &arguments.files {
        for path in fb_io::expand(pattern)? {
            let mut rows = 0;
            fb_io::for_each_block::<Failure>(&path, &["*"], &mut |mut events| {
                let in_file = |source| Failure::In { path: path.clone(), source };
                read::to_gev(&experiment.read, &path, &mut events, rows == 0)?;
                let identity =
                    read::identities(&path, &events, rows, card.rule.by.as_deref()).map_err(|e| match e {
                        Failure::Core(source) => in_file(source),
                        other => other,
                    })?;
                let name = fb_io::name(&path);
                let split = identity.iter().map(|&id| card.part(&name, id).to_owned()).collect();
                let mut columns = vec![
                    Column::flat("file", Data::Text(vec![name; events.len()])),
                    Column::flat("row", Data::I64((rows..rows + events.len()).map(|r| r as i64).collect())),
                ];
                // What the experiment names identifies an event for its user, too.
                let kept = [experiment.read.folds.by.as_deref(), experiment.read.label.as_deref()];
                columns.extend(kept.into_iter().flatten().filter_map(|name| events.column(name).ok().cloned()));
                columns.push(Column::flat("split", Data::Text(split)));
                for model in &models {
                    if let Some(found) = model.fitted.partition(&events, &workers).map_err(in_file)? {
                        columns.push(model.groups(&found));
                        continue;
                    }
                    let scores = model.fitted.scores(&events, &workers).map_err(in_file)?;
                    columns.extend(model.columns(&scores, ""));
                    if let Some(errors) = model.fitted.errors(&events, &workers).map_err(in_file)? {
                        columns.extend(model.columns(&errors, "_error"));
                    }
                }
                rows += events.len();
                Ok(all.append(Events::new(columns)?)?)
            })?;
        }
    }
    fb_io::write(&arguments.out, &all)?;
    super::print(&format!("{} events  {}\n", all.len(), arguments.out.display()));
    Ok(())
}

/// A model, and where its scores go.
struct Model {
    column: String,
    /// Whether the first of two scores follows from the second.
    complements: bool,
    fitted: Box<dyn Fitted>,
}

impl Model {
    /// A list column: the group of each particle.
    fn groups(&self, found: &Partition) -> Column {
        let groups = found.groups().iter().map(|&group| i64::from(group)).collect();
        Column::jagged(self.column.clone(), Data::I64(groups), Arc::new(found.offsets().to_vec()))
    }

    /// One column, or one per class.
    fn columns(&self, scores: &Scores, what: &str) -> Vec<Column> {
        if scores.classes == 1 || (scores.classes == 2 && self.complements) {
            return vec![Column::flat(format!("{}{what}", self.column), Data::F64(scores.signal()))];
        }
        let column = |k: usize| {
            let values = scores.values.iter().skip(k).step_by(scores.classes).map(|&s| f64::from(s)).collect();
            Column::flat(format!("{}{what}_{k}", self.column), Data::F64(values))
        };
        (0..scores.classes).map(column).collect()
    }
}

/// The first training of each method.
fn models(arguments: &Arguments, experiment: &Experiment) -> Result<Vec<Model>> {
    for label in &arguments.method {
        experiment.find(label)?;
    }
    let asked = |label: &&str| arguments.method.is_empty() || arguments.method.iter().any(|m| m == label);
    let labels = experiment.method.iter().map(|m| m.label.as_str());
    let model = |label: &str| {
        let fitted = pipeline::load(&arguments.run.join(pipeline::model_path(experiment, label)))?;
        let alone = if experiment.task() == Task::Partition { "group" } else { "score" };
        let column = if experiment.method.len() == 1 { alone } else { label }.to_owned();
        // A forest or a network may have two outputs that are no classes.
        let header = fitted.artifact()?.header;
        let link = header["forest"]["link"].as_str();
        let complements = !matches!(link, Some("identity" | "exp" | "sigmoids" | "symmetric"))
            && header["graph"]["numbers"].is_null();
        Ok(Model { column, complements, fitted })
    };
    labels.filter(asked).map(model).collect()
}
