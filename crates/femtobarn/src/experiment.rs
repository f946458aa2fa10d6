//! The experiment file: one TOML that says what is read, which methods are trained and how they are judged.

use std::path::Path;

use fb_core::method::merge;
use fb_core::{Task, closest};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value as Json, json};

use crate::failure::{Failure, Result};
use crate::selection::Plot;
use crate::{analysis, asymmetry};

/// An experiment, with every default filled in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Experiment {
    /// Heading of the report.
    pub title: String,
    /// Every random number follows from it.
    pub seed: u64,
    /// Trainings of each method, with the seeds `seed`, `seed + 1`, …
    pub seeds: usize,
    /// Which events.
    pub read: Read,
    /// What is computed of them before a method sees them.
    pub prepare: Prepare,
    /// The methods, each with all its options.
    pub method: Vec<Entry>,
    /// What is drawn of the selected events, where there is no method.
    pub plot: Vec<Plot>,
    /// How they are judged.
    pub evaluate: Evaluate,
    /// What the scores are worth to a measurement.
    #[serde(default)]
    pub analysis: Option<analysis::Options>,
    /// The asymmetry that is measured, in place of a class or a number of each event.
    #[serde(default)]
    pub asymmetry: Option<asymmetry::Options>,
    /// What is written of them.
    pub deploy: Deploy,
}

/// Which events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Read {
    /// Files whose class is in the column `label`.
    pub files: Vec<String>,
    /// Columns that are read besides those that are named elsewhere, with `*` for any part of a name; all by default.
    pub columns: Vec<String>,
    /// The column of the class, or an expression of it: `if(process <= 2, 0, process - 2)`.
    pub label: Option<String>,
    /// The numbers that a regression is to predict, in place of a class: one expression or several.
    #[serde(deserialize_with = "one_or_several")]
    pub target: Vec<String>,
    /// The list column with the group of each particle, in place of a class: the vertex of each track. Beside it `label`
    /// only tells events apart, whose numbers are then told of each class.
    pub partition: Option<String>,
    /// Files of signal.
    pub signal: Vec<String>,
    /// Files of background.
    pub background: Vec<String>,
    /// Files that are tested on; without them a fold is.
    pub test: Vec<String>,
    /// Files that trainings are watched on; without them a fold is.
    pub validation: Vec<String>,
    /// Events are kept for which this holds.
    pub select: Option<String>,
    /// Signed weight of an event.
    pub weight: Option<String>,
    /// How the events are split.
    pub folds: Folds,
    /// No more training events than this, the first by the hash of their identity.
    pub max_train: Option<usize>,
    /// Values that stand for a missing one in any column, for the methods that know missing values.
    pub missing: Vec<f64>,
    /// Unit of energies in the files, `GeV` or `MeV`; where absent, they must look like GeV.
    pub unit: Option<String>,
}

/// How the events are split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Folds {
    /// The column of the event's number within its file; where absent, the row.
    pub by: Option<String>,
    /// How many folds.
    pub k: u64,
}

/// What methods on particles see, for all of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prepare {
    /// Constituents.
    pub particles: Particles,
}

/// What methods on particles see.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Particles {
    /// No more than this many are kept, where a method would keep more.
    pub max: Option<usize>,
}

/// A method of the experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Which one.
    pub name: String,
    /// How it is called in the table.
    pub label: String,
    /// A model file that its trainings go on from, or a run folder with a method of this label.
    #[serde(default)]
    pub start: Option<String>,
    /// All its options.
    pub config: Json,
}

/// How methods are judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluate {
    /// By name; those of the task by default. In a regression of several targets, `rmse` stands for `rmse:TARGET` of each.
    pub metrics: Vec<String>,
    /// Label in the figures.
    pub label: String,
    /// Bootstrap replicas.
    pub replicas: usize,
    /// Column whose bins the working points are given in.
    pub bins_in: String,
    /// Trainings with fewer events, as shares of all, for the learning curve.
    pub learning_curve: Vec<f64>,
    /// Whether it is asked which variables the methods look at, where they see a table.
    pub importance: bool,
}

/// What is written of a method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deploy {
    /// `model.onnx`.
    pub onnx: bool,
}

fn one_or_several<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Texts {
        One(String),
        Several(Vec<String>),
    }
    Ok(match Texts::deserialize(from)? {
        Texts::One(text) => vec![text],
        Texts::Several(texts) => texts,
    })
}

fn defaults() -> Json {
    json!({
        "title": "", "seed": 1, "seeds": 1,
        "read": {
            "files": [], "columns": ["*"], "label": null, "target": [], "partition": null, "signal": [], "background": [], "test": [], "validation": [],
            "select": null, "weight": null, "folds": {"by": null, "k": 5}, "max_train": null, "missing": [], "unit": null,
        },
        "prepare": {"particles": {"max": null}},
        "train": {}, "method": [], "plot": [],
        "evaluate": {
            "metrics": [], "label": "Simulation Preliminary",
            "replicas": 200, "bins_in": "jet_pt", "learning_curve": [],
            "importance": true,
        },
        "analysis": null,
        "asymmetry": null,
        "deploy": {"onnx": true},
    })
}

impl Experiment {
    /// Reads an experiment file and lays the `--set key=value` on it.
    ///
    /// # Errors
    /// [`Failure::Usage`] for text that is not TOML, unknown keys (with a hint) and values of the wrong type.
    pub fn read(path: &Path, sets: &[String]) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| Failure::Usage(format!("cannot read {}: {e}", path.display())))?;
        let title = path.file_stem().and_then(|s| s.to_str()).unwrap_or("experiment");
        Self::parse(&text, title, sets).map_err(|e| Failure::Usage(format!("{}: {e}", path.display())))
    }

    /// Reads the text of an experiment file; `title` is the default heading.
    pub fn parse(text: &str, title: &str, sets: &[String]) -> Result<Self> {
        let file: Json = toml::from_str(text).map_err(|e| Failure::Usage(e.to_string().trim_end().to_owned()))?;
        let mut whole = defaults();
        whole["title"] = json!(title);
        // Trainings and methods have keys of their own, which their method checks.
        let Json::Object(mut file) = file else { return Err(Failure::Usage("expected tables".to_owned())) };
        let train = file.remove("train").unwrap_or_else(|| json!({}));
        let methods = file.remove("method").unwrap_or_else(|| json!([]));
        merge(&mut whole, &Json::Object(file), "the experiment file")?;
        // With its defaults, so that `--set` knows all of its keys.
        if whole["analysis"].is_object() {
            let options: std::result::Result<analysis::Options, _> = serde_json::from_value(whole["analysis"].take());
            whole["analysis"] = json!(options.map_err(|e| Failure::Usage(format!("`analysis`: {e}")))?);
        }
        let mut train_sets = Map::new();
        for set in sets {
            apply_set(&mut whole, &mut train_sets, set)?;
        }
        let object = |value: Json, place: &str| match value {
            Json::Object(map) => Ok(map),
            _ => Err(Failure::Usage(format!("{place}: expected a table"))),
        };
        let train = object(train, "`train`")?;
        let Json::Array(methods) = methods else {
            return Err(Failure::Usage("`method`: expected `[[method]]`".to_owned()));
        };
        let draws = whole["plot"].as_array().is_some_and(|plots| !plots.is_empty());
        if methods.is_empty() && !draws {
            let text = "no `[[method]]` and no `[[plot]]`: name at least one; `fb list` shows the methods";
            return Err(Failure::Usage(text.to_owned()));
        }
        if !methods.is_empty() && draws {
            return Err(Failure::Usage("`[[plot]]` stands in experiments without a `[[method]]`".to_owned()));
        }
        let max = whole["prepare"]["particles"]["max"].clone();
        let missing = whole["read"]["missing"].clone();
        let mut entries: Vec<Entry> = Vec::new();
        for method in methods {
            let mut entry = resolve(object(method, "`method`")?, &train, &train_sets, &max)?;
            if entry.config["missing"].as_array().is_some_and(Vec::is_empty) {
                entry.config["missing"].clone_from(&missing);
            }
            if entries.iter().any(|e| e.label == entry.label) {
                let label = &entry.label;
                let text = format!("two methods are called `{label}`: give one of them another `label`");
                return Err(Failure::Usage(text));
            }
            entries.push(entry);
        }
        whole["method"] = json!(entries);
        if let Json::Object(map) = &mut whole {
            map.remove("train");
        }
        let mut experiment: Self = serde_json::from_value(whole).map_err(|e| Failure::Usage(e.to_string()))?;
        if let (Some(asymmetry), true) = (&experiment.asymmetry, experiment.read.target.is_empty()) {
            experiment.read.target.push(asymmetry.cosine.clone());
        }
        experiment.name_metrics();
        experiment.check()?;
        Ok(experiment)
    }

    /// What the methods are asked to do.
    pub fn task(&self) -> Task {
        match &self.read {
            Read { partition: Some(_), .. } => Task::Partition,
            Read { target, .. } if !target.is_empty() => Task::Regress,
            _ => Task::Classify,
        }
    }

    /// Whether numbers are to be predicted.
    pub fn is_regression(&self) -> bool {
        self.task() == Task::Regress
    }

    fn name_metrics(&mut self) {
        let names: &[&str] = match self.task() {
            Task::Classify => &["auc", "accuracy", "rejection@0.3", "rejection@0.5"],
            Task::Regress => &["rmse", "bias", "resolution", "r2"],
            Task::Partition => &["ari", "rand", "f1"],
        };
        let metrics = &mut self.evaluate.metrics;
        if metrics.is_empty() {
            *metrics = names.iter().map(|&name| name.to_owned()).collect();
        }
        if self.read.target.len() > 1 {
            let each = |name: &String| self.read.target.iter().map(|target| format!("{name}:{target}")).collect();
            let of = |name: &String| if name.contains(':') { vec![name.clone()] } else { each(name) };
            *metrics = metrics.iter().flat_map(of).collect();
        }
    }

    /// What the experiment asks, which its methods must know.
    fn check_task(&self) -> Result<()> {
        let (read, task) = (&self.read, self.task());
        let by_class = !read.signal.is_empty() || !read.background.is_empty();
        match task {
            Task::Classify => {
                for name in &self.evaluate.metrics {
                    fb_statistics::Metric::parse(name)?;
                }
            }
            Task::Partition if by_class || !read.target.is_empty() => {
                let text =
                    "`read`: found `partition` beside `signal`, `background` or `target`, expected it beside `files`";
                return Err(Failure::Usage(text.to_owned()));
            }
            Task::Partition => {
                for name in &self.evaluate.metrics {
                    fb_statistics::Clustering::parse(name)?;
                }
            }
            Task::Regress => self.check_targets()?,
        }
        for entry in &self.method {
            if fb_methods::method(&entry.name)?.card().tasks.contains(&task) {
                continue;
            }
            let name = &entry.name;
            let knows = fb_methods::METHODS.iter().map(|m| m.card()).filter(|c| c.tasks.contains(&task));
            let names: Vec<String> = knows.map(|c| format!("`{}`", c.name)).collect();
            let names = names.join(", ");
            return Err(Failure::Usage(match task {
                Task::Classify => format!(
                    "`{name}` puts particles into groups, the experiment asks for classes; name their list column in \
                     `read.partition`"
                ),
                Task::Regress => {
                    format!("`read.target` asks for numbers, `{name}` tells classes apart; {names} predict")
                }
                Task::Partition => {
                    format!("`read.partition` asks for groups of particles, `{name}` finds none; {names} do")
                }
            }));
        }
        Ok(())
    }

    fn check_targets(&self) -> Result<()> {
        let read = &self.read;
        if read.label.is_some() || !read.signal.is_empty() || !read.background.is_empty() {
            let text = "`read`: found `target` beside `label`, `signal` or `background`, expected one of the two";
            return Err(Failure::Usage(text.to_owned()));
        }
        for text in &read.target {
            fb_core::expression::Expression::parse(text)?;
        }
        for name in &self.evaluate.metrics {
            crate::evaluate::accuracy(name, &read.target)?;
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        let usage = |text: &str| Err(Failure::Usage(text.to_owned()));
        let read = &self.read;
        self.plot.iter().try_for_each(Plot::check)?;
        if self.method.is_empty() && read.files.is_empty() {
            return usage("`read.files`: name the files to select from");
        }
        if read.files.is_empty() && (read.signal.is_empty() || read.background.is_empty()) {
            return usage("`read`: name `files` and `label` or `target`, or `signal` and `background`");
        }
        let by_class = !read.signal.is_empty() || !read.background.is_empty();
        if by_class && !read.files.is_empty() {
            return usage("`read`: found both `files` and `signal` or `background`, expected one of the two");
        }
        self.check_task()?;
        if !self.method.is_empty() && !read.files.is_empty() && read.label.is_none() && self.task() == Task::Classify {
            return usage(
                "`read.files` needs `read.label`, the column of the class, `read.target`, a number, or `read.partition`",
            );
        }
        if let Some(analysis) = &self.analysis {
            if self.method.is_empty() || self.task() != Task::Classify {
                return usage("`analysis` needs a `[[method]]` that tells signal from background");
            }
            analysis.check(&self.method.iter().map(|m| m.label.as_str()).collect::<Vec<_>>())?;
        }
        if let Some(asymmetry) = &self.asymmetry {
            if read.target != [asymmetry.cosine.as_str()] || self.method.is_empty() {
                return usage("`asymmetry` is what every `[[method]]` is to predict, found a `read.target` beside it");
            }
            for text in asymmetry.expressions() {
                fb_core::expression::Expression::parse(text)?;
            }
        }
        if read.folds.k < 3 {
            return usage("`read.folds.k`: expected at least 3, for training, validation and test");
        }
        if self.seeds == 0 {
            return usage("`seeds`: found 0, expected at least 1");
        }
        if self.evaluate.replicas < 20 {
            return usage("`evaluate.replicas`: expected at least 20, for an interval");
        }
        if self.evaluate.learning_curve.iter().any(|&s| s.is_nan() || s <= 0.0 || s >= 1.0) {
            return usage("`evaluate.learning_curve`: expected shares between 0 and 1");
        }
        let label = read.label.iter().filter(|label| crate::read::is_formula(label));
        for text in read.select.iter().chain(&read.weight).chain(label) {
            fb_core::expression::Expression::parse(text)?;
        }
        if let Some(unit) = &read.unit
            && !["GeV", "MeV"].contains(&unit.as_str())
        {
            let hint = closest(unit, ["GeV", "MeV"]).map_or_else(String::new, |u| format!("; did you mean `{u}`?"));
            return Err(Failure::Usage(format!("`read.unit`: found `{unit}`, expected `GeV` or `MeV`{hint}")));
        }
        Ok(())
    }

    /// Keeps the methods with these labels.
    ///
    /// # Errors
    /// [`fb_core::Error::UnknownName`] with the nearest label.
    pub fn keep_methods(&mut self, labels: &[String]) -> Result<()> {
        for label in labels {
            self.find(label)?;
        }
        self.method.retain(|m| labels.contains(&m.label));
        Ok(())
    }

    /// The method with this label.
    ///
    /// # Errors
    /// [`fb_core::Error::UnknownName`] with the nearest label.
    pub fn find(&self, label: &str) -> Result<&Entry> {
        let labels = || self.method.iter().map(|m| m.label.as_str());
        self.method.iter().find(|m| m.label == label).ok_or_else(|| {
            let (what, closest) = ("method of this experiment", closest(label, labels()));
            fb_core::Error::UnknownName { what, name: label.to_owned(), closest }.into()
        })
    }

    /// As TOML.
    pub fn to_toml(&self) -> Result<String> {
        let fail = |e: &dyn std::fmt::Display| Failure::Usage(format!("the experiment cannot be written: {e}"));
        let mut whole = serde_json::to_value(self).map_err(|e| fail(&e))?;
        for method in whole["method"].as_array_mut().into_iter().flatten() {
            let Some(map) = method.as_object_mut() else { continue };
            if let Some(Json::Object(config)) = map.remove("config") {
                map.extend(config);
            }
        }
        without_nulls(&mut whole);
        toml::to_string(&whole).map_err(|e| fail(&e))
    }
}

/// TOML has no null: what is absent is left out.
pub(crate) fn without_nulls(value: &mut Json) {
    match value {
        Json::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(without_nulls);
        }
        Json::Array(list) => list.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

/// One `--set key=value`: the value is TOML, or else a text.
fn apply_set(whole: &mut Json, train: &mut Map<String, Json>, set: &str) -> Result<()> {
    let Some((key, value)) = set.split_once('=') else {
        return Err(Failure::Usage(format!("--set {set}: expected key=value")));
    };
    let parsed: std::result::Result<Json, _> = toml::from_str(&format!("value = {value}"));
    let value = parsed.map_or_else(|_| json!(value.trim()), |mut table| table["value"].take());
    let key = key.trim();
    if let Some(option) = key.strip_prefix("train.") {
        train.insert(option.to_owned(), value);
        return Ok(());
    }
    if key == "method" || key.starts_with("method.") {
        return Err(Failure::Usage(format!("--set {set}: options of a method are set in the experiment file")));
    }
    let over = key.rsplit('.').fold(value, |inner, part| json!({part: inner}));
    merge(whole, &over, &format!("--set {set}"))?;
    Ok(())
}

/// A `[[method]]` with all options: its defaults, `[train]`, its own, `--set train.…`, each over the one before.
fn resolve(
    mut own: Map<String, Json>,
    train: &Map<String, Json>,
    sets: &Map<String, Json>,
    max: &Json,
) -> Result<Entry> {
    let text = |value: Option<Json>, key: &str| match value {
        None => Ok(None),
        Some(Json::String(text)) => Ok(Some(text)),
        Some(other) => Err(Failure::Usage(format!("`method.{key}`: found {other}, expected a text"))),
    };
    let Some(name) = text(own.remove("name"), "name")? else {
        return Err(Failure::Usage("a `[[method]]` has no `name`; `fb list` shows them".to_owned()));
    };
    let label = text(own.remove("label"), "label")?.unwrap_or_else(|| name.clone());
    let start = text(own.remove("start"), "start")?;
    let safe = |c: char| c.is_ascii_alphanumeric() || "_-.+ ".contains(c);
    if label.is_empty() || label.starts_with('.') || !label.chars().all(safe) {
        return Err(Failure::Usage(format!("`label`: found `{label}`, expected letters, digits, `_`, `-`, `+`, `.`")));
    }
    let method = fb_methods::method(&name)?;
    let mut config = method.defaults();
    let place = format!("method `{name}`");
    if let (Some(most), Some(own)) = (max.as_u64(), config["max"].as_u64()) {
        config["max"] = json!(own.min(most));
    }
    // Only networks are trained in epochs.
    let trains = config.get("train").is_some();
    if trains {
        merge(&mut config, &json!({"train": train}), &place)?;
    }
    merge(&mut config, &Json::Object(own), &place)?;
    if trains {
        merge(&mut config, &json!({"train": sets}), &place)?;
    }
    let config = method.resolve(&config)?;
    Ok(Entry { name, label, start, config })
}
