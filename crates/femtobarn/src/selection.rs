//! An experiment without methods: events are selected and drawn. The files are streamed; only histograms are kept.

use std::path::Path;

use fb_core::expression::Expression;
use fb_core::{Events, Value, closest};
use fb_physics::expression::{evaluate, flat, select};
use fb_statistics::Histogram;
use serde::{Deserialize, Serialize};

use crate::experiment::{Experiment, Read};
use crate::failure::{Failure, Result};
use crate::read::{Source, to_gev};
use crate::{pipeline, report};

/// A histogram of an experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plot {
    /// What is drawn, with one number per event or per particle.
    pub expression: String,
    /// Equal bins.
    #[serde(default = "bins")]
    pub bins: usize,
    /// Lower and upper end.
    pub range: [f64; 2],
    /// Text at the axis; the expression where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Whether the axis of contents is logarithmic.
    #[serde(default)]
    pub log: bool,
}

fn bins() -> usize {
    40
}

impl Plot {
    /// Refuses what cannot be drawn.
    pub fn check(&self) -> Result<()> {
        Expression::parse(&self.expression)?;
        let [low, high] = self.range;
        if !(low.is_finite() && high.is_finite() && low < high) {
            let text =
                format!("`plot.range` of `{}`: found [{low}, {high}], expected two rising numbers", self.expression);
            return Err(Failure::Usage(text));
        }
        if self.bins == 0 || self.bins > 10_000 {
            let text = format!("`plot.bins` of `{}`: found {}, expected 1 to 10000", self.expression, self.bins);
            return Err(Failure::Usage(text));
        }
        Ok(())
    }
}

/// A filled histogram.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Filled {
    /// What was drawn.
    #[serde(flatten)]
    pub plot: Plot,
    /// Bins + 1 edges.
    pub edges: Vec<f64>,
    /// Σw of each bin.
    pub contents: Vec<f64>,
    /// √Σw² of each bin.
    pub errors: Vec<f64>,
    /// Σw below and above the range.
    pub flows: [f64; 2],
}

/// What an experiment without methods gives.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Selected {
    /// Heading.
    pub title: String,
    /// Version of femtobarn.
    pub version: String,
    /// Events in the files.
    pub events: usize,
    /// Events that pass the selection.
    pub selected: usize,
    /// Sum of the weights of those, with its error √Σw².
    pub weights: Value,
    /// The share of the events (of their weights) that pass, with its error.
    pub efficiency: Value,
    /// The histograms.
    pub plots: Vec<Filled>,
    /// The files.
    pub sources: Vec<Source>,
}

/// Sums of weights and of their squares.
#[derive(Default)]
struct Sums {
    weights: f64,
    squares: f64,
}

impl Sums {
    fn add(&mut self, weights: &[f64]) {
        self.weights += weights.iter().sum::<f64>();
        self.squares += weights.iter().map(|w| w * w).sum::<f64>();
    }
}

/// Selects and draws, and writes `results.json` and `report.html` into the folder.
///
/// # Errors
/// Files that cannot be read, columns that are missing, weights that are not finite.
pub fn run(experiment: &Experiment, folder: &Path) -> Result<Selected> {
    let read = &experiment.read;
    let plots = &experiment.plot;
    let mut filled: Vec<Histogram> =
        plots.iter().map(|plot| Histogram::uniform(plot.bins, plot.range[0], plot.range[1])).collect();
    let (mut all, mut passed, mut sources) = (Sums::default(), Sums::default(), Vec::new());
    for pattern in &read.files {
        for path in fb_io::expand(pattern)? {
            let names = names(read, plots, &path)?;
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let (mut events, mut selected) = (0, 0);
            fb_io::for_each_block::<Failure>(&path, &names, &mut |mut block| {
                let in_file = |source| Failure::In { path: path.clone(), source };
                to_gev(read, &path, &mut block, events == 0)?;
                let weights = match &read.weight {
                    Some(weight) => flat(weight, &block).map_err(in_file)?,
                    None => vec![1.0; block.len()],
                };
                let kept = match &read.select {
                    Some(cut) => select(cut, &block).map_err(in_file)?,
                    None => (0..block.len()).collect(),
                };
                events += block.len();
                selected += kept.len();
                all.add(&weights);
                let weights: Vec<f64> = kept.iter().map(|&i| weights[i]).collect();
                passed.add(&weights);
                let block = block.take(&kept);
                for (plot, histogram) in plots.iter().zip(&mut filled) {
                    fill(plot, &block, &weights, histogram).map_err(in_file)?;
                }
                Ok(())
            })?;
            let (size, sha256) = fb_io::fingerprint(&path)?;
            sources.push(Source { path, role: "selected".to_owned(), size, sha256, events, selected });
        }
    }
    let selected = Selected {
        title: experiment.title.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        events: sources.iter().map(|source| source.events).sum(),
        selected: sources.iter().map(|source| source.selected).sum(),
        weights: Value::symmetric(passed.weights, passed.squares.sqrt()),
        efficiency: efficiency(&all, &passed),
        plots: plots.iter().zip(filled).map(|(plot, histogram)| finish(plot, histogram)).collect(),
        sources,
    };
    pipeline::write_json(&folder.join("results.json"), &selected)?;
    fb_io::write_whole(&folder.join("report.html"), report::selection::html(experiment, &selected)?.as_bytes())?;
    Ok(selected)
}

/// ε = Σw(passed)/Σw(all), with the variance of a weighted binomial:
/// [(1 − 2ε) Σw²(passed) + ε² Σw²(all)] / (Σw(all))².
fn efficiency(all: &Sums, passed: &Sums) -> Value {
    let share = passed.weights / all.weights;
    let variance = ((1.0 - 2.0 * share) * passed.squares + share * share * all.squares) / (all.weights * all.weights);
    Value::symmetric(share, variance.max(0.0).sqrt())
}

fn finish(plot: &Plot, histogram: Histogram) -> Filled {
    let errors = histogram.variances.iter().map(|v| v.sqrt()).collect();
    let Histogram { edges, contents, flows, .. } = histogram;
    Filled { plot: plot.clone(), edges, contents, errors, flows }
}

fn fill(plot: &Plot, events: &Events, weights: &[f64], histogram: &mut Histogram) -> fb_core::Result<()> {
    let drawn = evaluate(&Expression::parse(&plot.expression)?, events)?;
    for (event, &weight) in weights.iter().enumerate() {
        let entries = drawn.offsets.map_or(event..event + 1, |offsets| offsets[event]..offsets[event + 1]);
        drawn.values[entries].iter().for_each(|&x| histogram.fill(x, weight));
    }
    Ok(())
}

/// The columns that expressions name, all of which must be in the file.
fn names(read: &Read, plots: &[Plot], path: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let texts = read.select.iter().chain(&read.weight).chain(plots.iter().map(|plot| &plot.expression));
    for text in texts {
        names.extend(Expression::parse(text)?.names().into_iter().map(str::to_owned));
    }
    names.sort();
    names.dedup();
    let table = fb_io::open(path)?;
    let there = || table.branches().iter().map(|branch| branch.name.as_str());
    if let Some(name) = names.iter().find(|name| !there().any(|other| other == name.as_str())) {
        let source = fb_core::Error::MissingColumn { name: name.clone(), closest: closest(name, there()) };
        return Err(Failure::In { path: path.to_owned(), source });
    }
    Ok(names)
}
