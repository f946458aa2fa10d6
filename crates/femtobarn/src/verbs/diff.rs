//! `fb diff`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use fb_core::{Events, Value};
use fb_statistics::Bootstrap;
use fb_statistics::bootstrap::{Evaluated, difference, evaluate};
use fb_statistics::metric::{Evaluation, Metric};
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Result};
use crate::folder;
use crate::workers::Threads;

/// What changed from one run to another: metrics of methods with the same label, and what their scores are worth.
///
/// On the same test events, differences of two classes are those of the first trainings, taken on the same bootstrap
/// replicas; else the errors are added in squares.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A run folder.
    a: PathBuf,
    /// Another.
    b: PathBuf,
    /// Bootstrap replicas.
    #[arg(long, default_value_t = 200)]
    replicas: usize,
    /// Threads; 0 stands for all of the machine. The results do not depend on it.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Print the results as JSON.
    #[arg(long)]
    json: bool,
}

/// What is read of a `results.json`.
#[derive(Deserialize)]
struct Run {
    seed: u64,
    methods: Vec<Judged>,
    analysis: Option<Worth>,
}

#[derive(Deserialize)]
struct Judged {
    label: String,
    metrics: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct Worth {
    sensitivity: Value,
}

/// A metric of a method in both runs.
#[derive(Serialize)]
struct Row {
    method: String,
    metric: String,
    a: Value,
    b: Value,
    /// b − a.
    difference: Value,
    /// Its size in standard deviations.
    sigmas: f64,
    /// Whether both runs were tested on the same events.
    paired: bool,
}

pub(super) fn execute(arguments: &Arguments) -> Result<()> {
    if arguments.replicas < 20 {
        return Err(Failure::Usage("--replicas: expected at least 20, for an interval".to_owned()));
    }
    let [a, b] = [read(&arguments.a)?, read(&arguments.b)?];
    let scores = [&arguments.a, &arguments.b].map(|folder| fb_io::read(folder.join("scores.parquet")));
    let [scores_a, scores_b] = scores;
    let (scores_a, scores_b) = (scores_a?, scores_b?);
    let same = same_events(&scores_a, &scores_b);
    let workers = Threads::new(arguments.threads)?;
    let mut rows = Vec::new();
    for before in &a.methods {
        let Some(after) = b.methods.iter().find(|m| m.label == before.label) else { continue };
        let mut paired = BTreeMap::new();
        if same {
            let names: Vec<&String> = before.metrics.keys().filter(|k| after.metrics.contains_key(*k)).collect();
            let metrics: Vec<Metric> = names.iter().filter_map(|n| Metric::parse(n).ok()).collect();
            if metrics.len() == names.len() {
                let judged = |scores: &Events| judge(scores, &before.label, &metrics, &a, arguments.replicas, &workers);
                if let (Some(one), Some(two)) = (judged(&scores_a)?, judged(&scores_b)?) {
                    for (m, name) in names.into_iter().enumerate() {
                        paired.insert(name.clone(), difference(&two, &one, m));
                    }
                }
            }
        }
        for (metric, &value) in &before.metrics {
            let Some(&other) = after.metrics.get(metric) else { continue };
            let (change, sigmas) = paired.get(metric).copied().unwrap_or_else(|| apart(value, other));
            rows.push(Row {
                method: before.label.clone(),
                metric: metric.clone(),
                a: value,
                b: other,
                difference: change,
                sigmas,
                paired: paired.contains_key(metric),
            });
        }
    }
    let luminosity = match (&a.analysis, &b.analysis) {
        (Some(a), Some(b)) => Some(gained(a.sensitivity, b.sensitivity)),
        _ => None,
    };
    if rows.is_empty() && luminosity.is_none() {
        let text = "the runs have no method of the same label in common, so there is nothing to compare";
        return Err(Failure::Data(text.to_owned()));
    }
    if arguments.json {
        return super::print_json(&serde_json::json!({"metrics": rows, "luminosity_factor": luminosity}));
    }
    let mut text = String::new();
    for r in &rows {
        let how = if r.paired { "same events" } else { "other events" };
        let _ = writeln!(
            text,
            "{}  {}: {} → {}, change {} ({:.1} σ, {how})",
            r.method, r.metric, r.a, r.b, r.difference, r.sigmas
        );
    }
    if let Some(factor) = luminosity {
        let _ = writeln!(text, "the second run is worth {factor} times the luminosity of the first");
    }
    super::print(&text);
    Ok(())
}

fn read(folder: &Path) -> Result<Run> {
    let path = folder.join("results.json");
    let error = |e: serde_json::Error| Failure::Data(format!("{}: is no result of a run: {e}", path.display()));
    serde_json::from_slice(&folder::read(&path)?).map_err(error)
}

fn column(events: &Events, name: &str) -> Option<Vec<f64>> {
    let data = &events.column(name).ok()?.data;
    Some((0..data.len()).map(|i| data.number(i)).collect())
}

/// Whether the test events have the same classes and weights in the same order.
fn same_events(a: &Events, b: &Events) -> bool {
    ["label", "weight"].iter().all(|name| column(a, name).is_some_and(|x| Some(x) == column(b, name)))
}

/// The metrics of a method of two classes on replicas that follow from the row.
fn judge(
    scores: &Events,
    label: &str,
    metrics: &[Metric],
    run: &Run,
    replicas: usize,
    workers: &Threads,
) -> Result<Option<Evaluated>> {
    let columns = (column(scores, label), column(scores, "label"), column(scores, "weight"));
    let (Some(score), Some(class), Some(weights)) = columns else { return Ok(None) };
    if class.iter().any(|c| *c > 1.0) {
        return Ok(None);
    }
    let signal: Vec<bool> = class.iter().map(|c| *c == 1.0).collect();
    let identity: Vec<u64> = (0..weights.len() as u64).map(|row| fb_core::philox::hash(row, 0)).collect();
    let bootstrap = Bootstrap::new(run.seed, replicas, &identity);
    Ok(Some(evaluate(metrics, &Evaluation::new(&score, &signal)?, &weights, &bootstrap, workers)?))
}

/// b − a of independent numbers.
fn apart(a: Value, b: Value) -> (Value, f64) {
    let (central, error) = (b.central - a.central, a.error().hypot(b.error()));
    (Value::symmetric(central, error), central.abs() / error)
}

/// (Z_b/Z_a)² of independent sensitivities.
fn gained(a: Value, b: Value) -> Value {
    let factor = (b.central / a.central).powi(2);
    let relative = (a.error() / a.central).hypot(b.error() / b.central);
    Value::symmetric(factor, 2.0 * factor * relative)
}
