//! A run: read, train every method, judge all of them on the same test events, export, report.
//!
//! Everything that is done is in the run folder, so the same call goes on where an earlier one was stopped.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fb_core::{Artifact, Column, Data, Events, Fitted, Progress, Run, Sample, Task, Workers, philox};
use fb_statistics::clustering::Agreement;
use serde::{Deserialize, Serialize};

use crate::analysis::{self, Analysis, Scored};
use crate::asymmetry::{self, Asymmetry, Regions};
use crate::classes::{self, Columns};
use crate::console::Console;
use crate::evaluate::{Judge, Judged, Scores, TRAIN_EVENTS};
use crate::experiment::{Entry, Experiment};
use crate::failure::{Failure, Result};
use crate::folder::{self, Checkpoints};
use crate::importance::{self, Looks};
use crate::read::{Rule, Source, Split};
use crate::report::{self, Report};
use crate::results::{CurvePoint, MethodResult, Part, Results};

/// Time between checkpoints within an epoch.
const CHECKPOINTS_EVERY: Duration = Duration::from_secs(20);
/// Test events that exports are verified on.
const REFERENCE_EVENTS: usize = 200;

/// What a run works with.
pub struct Context<'a> {
    /// The run folder.
    pub folder: &'a Path,
    /// Threads.
    pub workers: &'a dyn Workers,
    /// Set by a signal.
    pub stop: &'a AtomicBool,
    /// What the user sees.
    pub console: &'a mut Console,
}

/// Which events a run was made of; stored beside its models.
#[derive(Debug, Serialize, Deserialize)]
pub struct DataCard {
    /// How its events were split.
    pub rule: Rule,
    /// Its files.
    pub sources: Vec<Source>,
}

impl DataCard {
    /// The part of an event of the file `name`; `new` if the run has not seen the file.
    pub fn part(&self, name: &str, identity: u64) -> &'static str {
        if self.rule.files.iter().any(|f| f == name) {
            return self.rule.part(identity);
        }
        let is_it = |s: &&Source| s.path.file_name().is_some_and(|n| n.to_string_lossy() == name);
        match self.sources.iter().find(is_it).map(|s| s.role.as_str()) {
            Some("validation") => "validation",
            Some("test") => "test",
            _ => "new",
        }
    }
}

/// Where the first training of a method is kept, relative to the run folder.
pub fn model_path(experiment: &Experiment, label: &str) -> PathBuf {
    Path::new("methods").join(label).join(format!("seed-{}", experiment.seed)).join(MODEL)
}

/// One epoch, as a line of `metrics.jsonl`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Epoch {
    /// What the training told.
    #[serde(flatten)]
    pub progress: Progress,
    /// Seconds since the training began, interruptions left out.
    pub seconds: f64,
}

/// A training that is done: the last file that it writes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Training {
    /// Seconds.
    pub seconds: f64,
    /// Training events.
    pub events: usize,
    /// Its epochs.
    pub epochs: Vec<Epoch>,
    /// Largest resident memory of the process in MB.
    pub peak_rss_mb: Option<f64>,
}

/// Carries out an experiment in its folder, as far as that is not done yet.
///
/// # Errors
/// [`Failure`] of every kind; what was finished before stays in the folder.
pub fn run(experiment: &Experiment, context: &mut Context<'_>) -> Result<Results> {
    let inputs = experiment.method.iter().map(|m| fb_methods::method(&m.name)?.input(&m.config));
    let mut inputs: Vec<_> = inputs.collect::<fb_core::Result<_>>()?;
    inputs.extend(experiment.analysis.as_ref().map(analysis::Options::input));
    inputs.extend(experiment.asymmetry.as_ref().map(asymmetry::Options::input));
    let mut split = crate::read::read(&experiment.read, &inputs)?;
    if experiment.task() == Task::Classify {
        let classes = classes::count(&split.train.labels);
        classes::check_metrics(experiment, classes)?;
        if experiment.analysis.is_some() && classes > 2 {
            return Err(Failure::Usage(format!("`analysis`: found {classes} classes, expected signal and background")));
        }
    }
    if let Some(options) = &experiment.analysis {
        options.try_on(&split.test)?;
    }
    let regions = experiment.asymmetry.as_ref().map(|options| Regions::new(options, &mut split)).transpose()?;
    store_inputs(experiment, &split, context.folder)?;
    // Methods that ask for all columns are not shown what the answer is made of.
    let mut shown = experiment.read.clone();
    shown.target.extend(experiment.asymmetry.iter().flat_map(|options| options.expressions().cloned()));
    let (methods, told) = crate::variables::complete(&experiment.method, &shown, &split.train.events)?;
    split.warnings.extend(told);
    let mut models = Vec::new();
    for entry in &methods {
        models.push(train_all(experiment, entry, &split, context)?);
    }
    conclude(experiment, &split, regions, &models, context)
}

/// The trainings of one method.
struct Trained {
    /// One per seed.
    models: Vec<(Box<dyn Fitted>, Training)>,
    /// With shares of the training events.
    curve: Vec<(Box<dyn Fitted>, Training)>,
}

fn train_all(experiment: &Experiment, entry: &Entry, split: &Split, context: &mut Context<'_>) -> Result<Trained> {
    let home = context.folder.join("methods").join(&entry.label);
    let mut models = Vec::new();
    for seed in (experiment.seed..).take(experiment.seeds) {
        let place = Place { folder: home.join(format!("seed-{seed}")), seed, label: label(experiment, entry, seed) };
        models.push(train(entry, &place, &split.train, &split.validation, context)?);
    }
    let mut curve = Vec::new();
    for &share in &experiment.evaluate.learning_curve {
        let place = Place {
            folder: home.join(format!("share-{share}")),
            seed: experiment.seed,
            label: format!("{} with {share} of the events", entry.label),
        };
        curve.push(train(entry, &place, &part_of(&split.train, share), &split.validation, context)?);
    }
    Ok(Trained { models, curve })
}

fn label(experiment: &Experiment, entry: &Entry, seed: u64) -> String {
    if experiment.seeds > 1 { format!("{} (seed {seed})", entry.label) } else { entry.label.clone() }
}

/// The share of the events with the smallest hashes.
fn part_of(sample: &Sample, share: f64) -> Sample {
    let mut order: Vec<usize> = (0..sample.len()).collect();
    order.sort_by_key(|&i| (philox::hash(sample.identity[i], 1), i));
    order.truncate(((sample.len() as f64 * share).round() as usize).max(1));
    order.sort_unstable();
    sample.take(&order)
}

/// The training events that are scored.
fn head(sample: &Sample) -> Sample {
    if sample.len() <= TRAIN_EVENTS {
        sample.clone()
    } else {
        part_of(sample, TRAIN_EVENTS as f64 / sample.len() as f64)
    }
}

/// Where a training is kept.
struct Place {
    folder: PathBuf,
    seed: u64,
    label: String,
}

const MODEL: &str = "model.safetensors";
const DONE: &str = "training.json";
const START: &str = "start.safetensors";

fn train(
    entry: &Entry,
    place: &Place,
    train: &Sample,
    validation: &Sample,
    context: &mut Context<'_>,
) -> Result<(Box<dyn Fitted>, Training)> {
    let method = fb_methods::method(&entry.name)?;
    if let Some(training) = read_json::<Training>(&place.folder.join(DONE)) {
        return Ok((load(&place.folder.join(MODEL))?, training));
    }
    std::fs::create_dir_all(&place.folder).map_err(|source| fb_io::Error::System {
        what: "create",
        path: place.folder.clone(),
        source,
    })?;
    let metrics = place.folder.join("metrics.jsonl");
    let mut earlier = read_lines(&metrics);
    let mut epochs: Vec<Epoch> = Vec::new();
    let before = earlier.last().map_or(0.0, |e| e.seconds);
    let (start, label) = (Instant::now(), place.label.as_str());
    reset_peak_memory();
    let console = std::cell::RefCell::new(&mut *context.console);
    let mut written = Ok(());
    let mut report = |progress: &Progress| {
        let known = earlier.iter().position(|e| e.progress == *progress).map(|at| earlier.remove(at));
        let is_new = known.is_none();
        let epoch = known
            .unwrap_or_else(|| Epoch { progress: progress.clone(), seconds: before + start.elapsed().as_secs_f64() });
        if is_new {
            console.borrow_mut().epoch(label, progress, epoch.seconds);
        }
        epochs.push(epoch);
        if let Err(error) = write_lines(&metrics, &epochs) {
            written = Err(error);
        }
    };
    let mut tick = |epoch: usize, part: f64| {
        let epochs = entry.config["train"]["epochs"].as_u64().unwrap_or(0) as usize;
        console.borrow_mut().tick(label, epoch, epochs, part);
    };
    let from = started_from(entry, place)?;
    let mut warn = |text: String| console.borrow_mut().warn(&text);
    let mut store = Checkpoints::new(&place.folder, CHECKPOINTS_EVERY, &mut warn);
    let mut run = Run {
        seed: place.seed,
        workers: context.workers,
        tick: &mut tick,
        report: &mut report,
        stop: &|| context.stop.load(Ordering::Relaxed),
        store: &mut store,
        start: from.as_ref(),
    };
    let fitted = method.fit(&entry.config, train, validation, &mut run)?;
    written?;
    fb_io::write_whole(&place.folder.join(MODEL), &fitted.artifact()?.to_bytes()?)?;
    let training = Training {
        seconds: before + start.elapsed().as_secs_f64(),
        events: train.len(),
        epochs,
        peak_rss_mb: peak_memory_mb(),
    };
    write_json(&place.folder.join(DONE), &training)?;
    Checkpoints::new(&place.folder, CHECKPOINTS_EVERY, &mut |_| {}).clear();
    Ok((fitted, training))
}

/// The model that a training goes on from. A copy is kept with the training, for a resume.
fn started_from(entry: &Entry, place: &Place) -> Result<Option<Artifact>> {
    let Some(named) = &entry.start else { return Ok(None) };
    let copy = place.folder.join(START);
    let mut path = PathBuf::from(named);
    if copy.exists() {
        path.clone_from(&copy);
    } else if path.is_dir() {
        let run = Experiment::read(&path.join("experiment.toml"), &[])?;
        path = path.join(model_path(&run, &run.find(&entry.label)?.label));
    }
    let bytes = folder::read(&path)?;
    let artifact = Artifact::from_bytes(&bytes).map_err(|source| Failure::In { path: path.clone(), source })?;
    if path != copy {
        fb_io::write_whole(&copy, &bytes)?;
    }
    Ok(Some(artifact))
}

/// A stored model.
pub fn load(path: &Path) -> Result<Box<dyn Fitted>> {
    let artifact =
        Artifact::from_bytes(&folder::read(path)?).map_err(|source| Failure::In { path: path.to_owned(), source })?;
    Ok(fb_methods::method(artifact.method()?)?.load(&artifact)?)
}

/// Judges the models, exports them and writes results and report.
fn conclude(
    experiment: &Experiment,
    split: &Split,
    regions: Option<Regions>,
    trained: &[Trained],
    context: &mut Context<'_>,
) -> Result<Results> {
    let (folder, workers) = (context.folder, context.workers);
    let train = head(&split.train);
    let judge = Judge::new(experiment, &train, &split.test, workers)?;
    let (mut judged, mut methods, mut first_scores) = (Vec::new(), Vec::new(), Vec::new());
    let mut looks = Vec::new();
    let mut warnings = split.warnings.clone();
    warnings.extend(classes::not_paired(judge.classes()));
    for (entry, trained) in experiment.method.iter().zip(trained) {
        let score = |model: &dyn Fitted, sample: &Sample| judge.told(model, sample);
        let test = trained.models.iter().map(|(m, _)| score(m.as_ref(), &split.test)).collect::<Result<Vec<_>>>()?;
        let scores = Scores { test, train: score(trained.models[0].0.as_ref(), &train)? };
        let numbers = judge.judge(&scores)?;
        let mut result = method_result(experiment, entry, trained, &numbers, folder, &mut warnings)?;
        for (model, training) in &trained.curve {
            let metric = judge.leading(&score(model.as_ref(), &split.test)?)?;
            result.learning_curve.push(CurvePoint { events: training.events, metric });
        }
        if !trained.curve.is_empty() {
            let metric = judge.leading(&scores.test[0])?;
            result.learning_curve.push(CurvePoint { events: split.train.len(), metric });
        }
        let seen = if experiment.evaluate.importance {
            let replicas = experiment.evaluate.replicas;
            importance::look(trained.models[0].0.as_ref(), &split.test, experiment.seed, replicas, workers)?
        } else {
            Looks::default()
        };
        result.importance.clone_from(&seen.importance);
        warnings.extend(seen.warnings.iter().map(|text| format!("{}: {text}", entry.label)));
        looks.push(seen);
        first_scores.push((entry.label.clone(), scores.test.into_iter().next().unwrap_or_default()));
        judged.push((entry.label.clone(), numbers));
        methods.push(result);
    }
    let analysis = match &experiment.analysis {
        Some(options) => Some(analyse(experiment, options, split, trained, &first_scores, &judge, workers)?),
        None => None,
    };
    let sampled = (experiment.seed, experiment.evaluate.replicas);
    let measure = |regions: Regions| regions.measure(&split.test, &first_scores, sampled, workers);
    let asymmetry: Option<Asymmetry> = regions.map(measure).transpose()?;
    let results = Results {
        title: experiment.title.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        seed: experiment.seed,
        threads: workers.count(),
        differences: judge.differences(&judged),
        methods,
        analysis,
        asymmetry,
        parts: parts(split),
        sources: split.sources.clone(),
        warnings,
    };
    fb_io::write(&folder.join("scores.parquet"), &scores_table(&split.test, first_scores)?)?;
    write_json(&folder.join("results.json"), &results)?;
    let report = Report {
        experiment,
        results: &results,
        figures: judged.iter().filter_map(|(_, j): &(String, Judged)| j.figures.as_ref()).collect(),
        closure: judged.iter().map(|(_, j)| &j.closure[..]).collect(),
        looks,
        trainings: trained.iter().map(|t| &t.models[0].1).collect(),
        test: &split.test,
        train: &train,
    };
    fb_io::write_whole(&folder.join("report.html"), report::html(&report)?.as_bytes())?;
    Ok(results)
}

/// The `[analysis]` of an experiment, with the first training of each method.
fn analyse(
    experiment: &Experiment,
    options: &analysis::Options,
    split: &Split,
    trained: &[Trained],
    test: &[(String, Columns)],
    judge: &Judge<'_>,
    workers: &dyn Workers,
) -> Result<Analysis> {
    let of = |t: &Trained| judge.told(t.models[0].0.as_ref(), &split.validation);
    let validation = trained.iter().map(of).collect::<Result<Vec<_>>>()?;
    let labels = || test.iter().map(|(label, _)| label.as_str());
    let validation = Scored {
        sample: &split.validation,
        scores: labels().zip(&validation).map(|(label, scores)| (label, &scores[0][..])).collect(),
    };
    let test = Scored {
        sample: &split.test,
        scores: labels().zip(test).map(|(label, (_, scores))| (label, &scores[0][..])).collect(),
    };
    // A fold has its share of the weights of all events; files of their own have their own.
    let folds = if experiment.read.test.is_empty() { experiment.read.folds.k as f64 } else { 1.0 };
    let (seed, replicas) = (experiment.seed, experiment.evaluate.replicas);
    analysis::analyse(options, &validation, &test, folds, seed, replicas, workers)
}

fn method_result(
    experiment: &Experiment,
    entry: &Entry,
    trained: &Trained,
    numbers: &Judged,
    folder: &Path,
    warnings: &mut Vec<String>,
) -> Result<MethodResult> {
    let model = model_path(experiment, &entry.label);
    let artifact = trained.models[0].0.artifact()?;
    let mut onnx = None;
    if experiment.deploy.onnx {
        let path = model.with_file_name("model.onnx");
        match fb_deploy::onnx(&artifact) {
            Ok(bytes) => {
                fb_io::write_whole(&folder.join(&path), &bytes)?;
                onnx = Some(path.display().to_string());
            }
            // The run is worth keeping without this export; the report says what is missing and why.
            Err(error @ fb_deploy::Error::Unsupported { .. }) => warnings.push(format!("{}: {error}", entry.label)),
            Err(error) => return Err(error.into()),
        }
    }
    let n = trained.models.len() as f64;
    let seconds = trained.models.iter().map(|(_, t)| t.seconds).sum::<f64>() / n;
    let seen = |t: &Training| t.epochs.last().map_or(0, |e| e.progress.events) as f64;
    let all = trained.models.iter().map(|(_, t)| seen(t)).sum::<f64>() / n;
    Ok(MethodResult {
        name: entry.name.clone(),
        label: entry.label.clone(),
        parameters: trained.models[0].0.parameters(),
        train_seconds: seconds,
        train_events_per_second: all / seconds,
        peak_rss_mb: trained.models.iter().filter_map(|(_, t)| t.peak_rss_mb).reduce(f64::max),
        classes: numbers.by_class.classes.clone(),
        pairs: numbers.by_class.pairs.clone(),
        confusion: numbers.by_class.confusion.clone(),
        groups: numbers.by_class.groups.clone(),
        metrics: numbers.metrics.clone(),
        spread: numbers.spread.clone(),
        ensemble_mean: numbers.mean.clone(),
        ensemble_median: numbers.median.clone(),
        learning_curve: Vec::new(),
        importance: Vec::new(),
        artifact: model.display().to_string(),
        digest: artifact.digest(),
        onnx,
    })
}

fn parts(split: &Split) -> Vec<Part> {
    let all = [("training", &split.train), ("validation", &split.validation), ("test", &split.test)];
    let largest = split.train.labels.iter().copied().max().unwrap_or(0);
    let classify = split.train.width() == 0 && split.train.partition.is_none();
    let classes = if classify { classes::count(&split.train.labels) as u32 } else { largest + 1 };
    let part = |(name, sample): (&str, &Sample)| {
        let of = |class: u32| sample.labels.iter().zip(&sample.weights).filter(move |(l, _)| **l == class);
        let sum = |f: &dyn Fn(f64) -> f64| sample.weights.iter().map(|&w| f(w)).sum::<f64>();
        Part {
            name: name.to_owned(),
            events: (0..classes).map(|c| of(c).count()).collect(),
            weights: (0..classes).map(|c| of(c).map(|(_, w)| w).sum()).collect(),
            negative_share: sum(&|w| (-w).max(0.0)) / sum(&f64::abs),
            effective_events: sum(&|w| w).powi(2) / sum(&|w| w * w),
        }
    };
    all.into_iter().map(part).collect()
}

/// Label (or targets), weight and the score of every method's first training, event by event; a score for each class
/// where there are more than two, and for each target; for groups of particles, how they agree with the true ones.
fn scores_table(test: &Sample, scores: Vec<(String, Columns)>) -> Result<Events> {
    let several = test.width() > 1;
    let target = |k: usize| {
        Column::flat(if several { format!("target_{k}") } else { "target".into() }, Data::F64(test.target(k)))
    };
    let mut columns: Vec<Column> = (0..test.width()).map(target).collect();
    if columns.is_empty() {
        columns.push(Column::flat("label", Data::I64(test.labels.iter().map(|&l| i64::from(l)).collect())));
    }
    columns.push(Column::flat("weight", Data::F64(test.weights.clone())));
    for (label, scores) in scores {
        let several = scores.len() > 1;
        for (k, scores) in scores.into_iter().enumerate() {
            let name = match (&test.partition, several) {
                (Some(_), _) => format!("{label}_{}", Agreement::ALL[k].0),
                (None, true) => format!("{label}_{k}"),
                (None, false) => label.clone(),
            };
            columns.push(Column::flat(name, Data::F64(scores)));
        }
    }
    Ok(Events::new(columns)?)
}

/// Stores what the run is made of; a folder that was made of something else is refused.
fn store_inputs(experiment: &Experiment, split: &Split, folder: &Path) -> Result<()> {
    let card = DataCard { rule: Rule::new(&experiment.read)?, sources: split.sources.clone() };
    let path = folder.join("data.json");
    if let Some(earlier) = read_json::<DataCard>(&path) {
        for (old, new) in earlier.sources.iter().zip(&card.sources) {
            if old.sha256 != new.sha256 {
                let (name, run) = (new.path.display(), folder.display());
                return Err(Failure::Data(format!(
                    "{name} is not the file that {run} was started with; start a new run"
                )));
            }
        }
        return Ok(());
    }
    let reference: Vec<usize> = (0..split.test.len().min(REFERENCE_EVENTS)).collect();
    fb_io::write(&folder.join("reference.parquet"), &split.test.events.take(&reference))?;
    write_json(&path, &card)
}

/// A JSON file, if it is there and whole.
pub fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Failure::Data(format!("{}: {e}", path.display())))?;
    Ok(fb_io::write_whole(path, format!("{text}\n").as_bytes())?)
}

fn read_lines(path: &Path) -> Vec<Epoch> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn write_lines(path: &Path, epochs: &[Epoch]) -> Result<()> {
    let mut text = String::new();
    for epoch in epochs {
        text += &serde_json::to_string(epoch).map_err(|e| Failure::Data(format!("{}: {e}", path.display())))?;
        text.push('\n');
    }
    Ok(fb_io::write_whole(path, text.as_bytes())?)
}

/// Sets the high-water mark of resident memory to what is in use now, where the system can.
fn reset_peak_memory() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// The high-water mark of resident memory in MB, where the system tells.
pub fn peak_memory_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok().map(|kb| kb / 1024.0)
}
