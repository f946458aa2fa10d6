//! From scores to metrics with errors, paired differences and what the figures show.

use std::collections::BTreeMap;

use fb_core::{Sample, Value, Workers};
use fb_statistics::bootstrap::{
    Band, Evaluated, difference, evaluate, evaluate_with, interval, quantile_edges, roc_band,
};
use fb_statistics::metric::{Evaluation, Metric};
use fb_statistics::{Bootstrap, Classes, Histogram};
use serde::Serialize;

use crate::classes::{ByClass, Columns};
use crate::experiment::Experiment;
use crate::failure::Result;
use crate::results::Difference;

/// The scores of a method.
pub struct Scores {
    /// Of the test events, for each training.
    pub test: Vec<Columns>,
    /// Of the training events (at most [`TRAIN_EVENTS`]), by the first training.
    pub train: Columns,
}

/// Training events that are scored, for comparison with the test events.
pub const TRAIN_EVENTS: usize = 20_000;

/// What the figures show of a method, for its first training.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// ROC curve with its band.
    pub roc: Band,
    /// Score densities [test, train] of [background, signal].
    pub scores: [[Histogram; 2]; 2],
    /// (mean score, share of signal with its interval) in bins of equal population.
    pub reliability: Vec<(f64, Value)>,
    /// Background rejection at 50% signal efficiency over all events, in bins of a column.
    pub bins: Vec<Bin>,
}

/// A working point in a bin.
#[derive(Debug, Clone, Serialize)]
pub struct Bin {
    /// Edges of the bin.
    pub edges: [f64; 2],
    /// Signal efficiency of the threshold that keeps 50% of all signal.
    pub signal: Value,
    /// One over the background efficiency of that threshold.
    pub rejection: Value,
}

/// All numbers of one method.
pub struct Judged {
    /// Mean over the trainings.
    pub metrics: BTreeMap<String, Value>,
    /// Standard deviation over the trainings.
    pub spread: BTreeMap<String, f64>,
    /// Of the mean score.
    pub mean: BTreeMap<String, Value>,
    /// Of the median score.
    pub median: BTreeMap<String, Value>,
    /// Area under the curve with its replicas, for differences; the mean over the trainings.
    auc: Evaluated,
    auc_spread: f64,
    trainings: usize,
    /// What there is to say of each class, where there are more than two.
    pub by_class: ByClass,
    /// For the report, where there are two classes.
    pub figures: Option<Figures>,
}

/// The test part and what all methods share in its evaluation.
pub struct Judge<'a> {
    metrics: Vec<Metric>,
    names: Vec<String>,
    test: &'a Sample,
    /// How many classes there are.
    classes: usize,
    /// Whether each test event is signal; for more than two classes, whether it is of each of them.
    is: Vec<Vec<bool>>,
    train: (Vec<bool>, &'a [f64]),
    bootstrap: Bootstrap,
    /// Bin of each test event in the column `bins_in`, and the edges.
    bins: Option<(Vec<usize>, Vec<f64>)>,
    workers: &'a dyn Workers,
}

/// Signal efficiencies at which the ROC curve is drawn.
fn grid() -> Vec<f64> {
    (1..=100).map(|i| f64::from(i) / 100.0).collect()
}

impl<'a> Judge<'a> {
    /// Prepares the replicas of the test part.
    pub fn new(experiment: &Experiment, train: &'a Sample, test: &'a Sample, workers: &'a dyn Workers) -> Result<Self> {
        let names = experiment.evaluate.metrics.clone();
        let mut metrics: Vec<Metric> = names.iter().map(|n| Metric::parse(n)).collect::<fb_core::Result<_>>()?;
        // The area comes last once more: differences are taken of it whatever the table shows.
        metrics.push(Metric::Auc);
        let is_signal = |sample: &Sample| sample.labels.iter().map(|&l| l == 1).collect::<Vec<_>>();
        let classes = crate::classes::count(train.labels.iter().chain(&test.labels));
        let is = if classes > 2 {
            fb_statistics::classes::each_against_rest(&test.labels, classes)
        } else {
            vec![is_signal(test)]
        };
        let column = test.events.column(&experiment.evaluate.bins_in).ok().filter(|c| c.offsets.is_none());
        let bins = column.map(|column| {
            let x: Vec<f64> = (0..test.len()).map(|i| column.data.number(i)).collect();
            let edges = quantile_edges(&x, 5);
            let bin = |x: &f64| edges[1..5].partition_point(|e| e <= x);
            (x.iter().map(bin).collect(), edges)
        });
        Ok(Self {
            metrics,
            names,
            test,
            classes,
            is,
            train: (is_signal(train), &train.weights),
            bootstrap: Bootstrap::new(experiment.seed, experiment.evaluate.replicas, &test.identity),
            bins,
            workers,
        })
    }

    /// How many classes there are.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The metrics; for more than two classes, the areas of [`ByClass`] after them.
    fn evaluated(&self, scores: &Columns, metrics: &[Metric]) -> Result<Evaluated> {
        if self.classes > 2 {
            let classes = Classes::new(scores, &self.is, &self.test.labels)?;
            let numbers = |w: &[f64]| classes.numbers(metrics, w);
            return Ok(evaluate_with(&self.test.weights, &self.bootstrap, self.workers, &numbers)?);
        }
        let evaluation = Evaluation::new(&scores[0], &self.is[0])?;
        Ok(evaluate(metrics, &evaluation, &self.test.weights, &self.bootstrap, self.workers)?)
    }

    /// What follows from the scores of each class, where there are more than two.
    fn by_class(&self, trainings: &[Columns], evaluated: &Evaluated) -> Result<ByClass> {
        if self.classes == 2 {
            return Ok(ByClass::default());
        }
        let confusion =
            |scores: &Columns| Ok(Classes::new(scores, &self.is, &self.test.labels)?.confusion(&self.test.weights));
        let each = trainings.iter().map(confusion).collect::<Result<Vec<_>>>()?;
        Ok(ByClass::new(self.classes, &evaluated.values[self.metrics.len()..], &each))
    }

    fn named(&self, values: &[Value]) -> BTreeMap<String, Value> {
        self.names.iter().cloned().zip(values.iter().copied()).collect()
    }

    /// The area under the curve alone.
    pub fn auc(&self, scores: &Columns) -> Result<Value> {
        Ok(self.evaluated(scores, &[Metric::Auc])?.values[0])
    }

    /// All numbers of a method.
    pub fn judge(&self, scores: &Scores) -> Result<Judged> {
        let each: Vec<Evaluated> =
            scores.test.iter().map(|s| self.evaluated(s, &self.metrics)).collect::<Result<_>>()?;
        let single = mean_of(&each);
        let deviation = |m: usize| {
            let values: Vec<f64> = each.iter().map(|e| e.values[m].central).collect();
            let n = values.len() as f64;
            let mean = values.iter().sum::<f64>() / n;
            (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0)).sqrt()
        };
        let several = each.len() > 1;
        let mut judged = Judged {
            metrics: self.named(&single.values),
            spread: BTreeMap::new(),
            mean: BTreeMap::new(),
            median: BTreeMap::new(),
            auc_spread: deviation(self.metrics.len() - 1),
            by_class: self.by_class(&scores.test, &single)?,
            auc: single,
            trainings: each.len(),
            figures: if self.classes == 2 { Some(self.figures(scores)?) } else { None },
        };
        if several {
            judged.spread = self.names.iter().cloned().zip((0..self.names.len()).map(deviation)).collect();
            judged.mean = self.named(&self.evaluated(&combined(&scores.test, mean), &self.metrics)?.values);
            let mut medians = combined(&scores.test, median);
            if self.classes > 2 {
                crate::classes::normalise(&mut medians);
            }
            judged.median = self.named(&self.evaluated(&medians, &self.metrics)?.values);
        }
        Ok(judged)
    }

    /// Differences between all pairs, in their order.
    pub fn differences(&self, judged: &[(String, Judged)]) -> Vec<Difference> {
        let at = self.metrics.len() - 1;
        let mut all = Vec::new();
        for (i, (a_label, a)) in judged.iter().enumerate() {
            for (b_label, b) in &judged[i + 1..] {
                let (auc, sigmas) = difference(&a.auc, &b.auc, at);
                let sampling = auc.central.abs() / sigmas;
                let variance = |j: &Judged| j.auc_spread.powi(2) / j.trainings as f64;
                let error = (sampling * sampling + variance(a) + variance(b)).sqrt();
                // Two equal classifiers have no difference and no error.
                let sigmas = if auc.central == 0.0 { 0.0 } else { auc.central.abs() / error };
                all.push(Difference { a: a_label.clone(), b: b_label.clone(), auc, sigmas });
            }
        }
        all
    }

    fn figures(&self, scores: &Scores) -> Result<Figures> {
        let (first, signal) = (&scores.test[0][0], &self.is[0]);
        let evaluation = Evaluation::new(first, signal)?;
        let weights = &self.test.weights;
        let roc = roc_band(&evaluation, weights, &grid(), &self.bootstrap, self.workers)?;
        let sums = evaluation.reliability(weights);
        let replicas = self.bootstrap.replicate(weights, self.workers, &|w| {
            Ok(evaluation.reliability(w).iter().map(|[all, _, signal]| signal / all).collect())
        });
        let reliability = sums
            .iter()
            .enumerate()
            .filter(|(_, [all, ..])| *all > 0.0)
            .map(|(b, [all, score, signal])| (score / all, interval(signal / all, replicas.iter().map(|r| r[b]))));
        Ok(Figures {
            roc,
            scores: [densities(first, signal, weights), densities(&scores.train[0], &self.train.0, self.train.1)],
            reliability: reliability.collect(),
            bins: self.working_points(&evaluation, first)?,
        })
    }

    fn working_points(&self, evaluation: &Evaluation<'_>, scores: &[f64]) -> Result<Vec<Bin>> {
        let Some((bin, edges)) = &self.bins else { return Ok(Vec::new()) };
        let threshold = evaluation.ranking().roc(&self.test.weights)?.threshold_at(0.5);
        let count = edges.len() - 1;
        // Per bin: signal efficiency, background rejection.
        let efficiencies = |weights: &[f64]| {
            let mut sums = vec![[[0.0; 2]; 2]; count];
            for (i, &w) in weights.iter().enumerate() {
                let sum = &mut sums[bin[i]][usize::from(self.is[0][i])];
                sum[0] += w;
                sum[1] += if scores[i] >= threshold { w } else { 0.0 };
            }
            Ok(sums.iter().flat_map(|[b, s]| [s[1] / s[0], b[0] / b[1].max(0.0)]).collect::<Vec<f64>>())
        };
        let central = efficiencies(&self.test.weights)?;
        let replicas = self.bootstrap.replicate(&self.test.weights, self.workers, &efficiencies);
        let value = |i: usize| interval(central[i], replicas.iter().map(|r| r[i]));
        let point =
            |b: usize| Bin { edges: [edges[b], edges[b + 1]], signal: value(2 * b), rejection: value(2 * b + 1) };
        Ok((0..count).map(point).collect())
    }
}

fn densities(scores: &[f64], signal: &[bool], weights: &[f64]) -> [Histogram; 2] {
    let mut both = [false, true].map(|_| Histogram::uniform(40, 0.0, 1.0));
    for ((&score, &signal), &weight) in scores.iter().zip(signal).zip(weights) {
        // The last bin holds the score one.
        both[usize::from(signal)].fill(score.min(1.0 - 1e-9), weight);
    }
    both.map(Histogram::density)
}

/// The mean over trainings, replica by replica.
fn mean_of(each: &[Evaluated]) -> Evaluated {
    let n = each.len() as f64;
    let average = |pick: &dyn Fn(&Evaluated) -> f64| each.iter().map(pick).sum::<f64>() / n;
    let replicas: Vec<Vec<f64>> = (0..each[0].replicas.len())
        .map(|r| (0..each[0].values.len()).map(|m| average(&|e| e.replicas[r][m])).collect())
        .collect();
    let central = (0..each[0].values.len()).map(|m| average(&|e| e.values[m].central));
    let values = central.enumerate().map(|(m, c)| interval(c, replicas.iter().map(|r| r[m]))).collect();
    Evaluated { values, replicas }
}

/// One score per event (and class) of those of several trainings.
fn combined(trainings: &[Columns], combine: fn(&mut [f64]) -> f64) -> Columns {
    let event = |k: usize, i: usize| combine(&mut trainings.iter().map(|scores| scores[k][i]).collect::<Vec<f64>>());
    (0..trainings[0].len()).map(|k| (0..trainings[0][k].len()).map(|i| event(k, i)).collect()).collect()
}

fn mean(scores: &mut [f64]) -> f64 {
    scores.iter().sum::<f64>() / scores.len() as f64
}

fn median(scores: &mut [f64]) -> f64 {
    scores.sort_by(f64::total_cmp);
    fb_statistics::quantile(scores, 0.5)
}
