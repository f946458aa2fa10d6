//! From scores to metrics with errors, paired differences and what the figures show.

use std::collections::BTreeMap;

use fb_core::{Fitted, Sample, Task, Value, Workers};
use fb_statistics::bootstrap::{Band, Evaluated, difference, evaluate_with, interval, quantile_edges, roc_band};
use fb_statistics::clustering::{Agreement, Clustering, agreements};
use fb_statistics::metric::{Evaluation, Metric};
use fb_statistics::{Accuracy, Bootstrap, Classes, Histogram, Residuals};
use serde::Serialize;

use crate::classes::{ByClass, Columns};
use crate::experiment::Experiment;
use crate::failure::Result;
use crate::results::{ClassGroups, Difference, Named, Paired};

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
    /// Area under the curve with the error by DeLong's method.
    pub delong: Value,
    /// Score densities [test, train] of [background, signal].
    pub scores: [[Histogram; 2]; 2],
    /// (mean score, share of signal with its interval) in bins of equal population.
    pub reliability: Vec<(f64, Value)>,
    /// (signal efficiency, AMS above that threshold), where the experiment asks for it.
    pub ams: Vec<(f64, Value)>,
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

/// Residuals of a target, for the figures.
#[derive(Debug, Clone)]
pub struct Closure {
    /// Density of prediction − target on test events.
    pub residuals: Histogram,
    /// (mean target of a bin, mean residual, r.m.s. about it), each with its interval.
    pub bins: Vec<(f64, Value, Value)>,
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
    /// The leading metric with its replicas, for differences; the mean over the trainings.
    leading: Evaluated,
    leading_spread: f64,
    trainings: usize,
    /// What there is to say of each class, where there are more than two.
    pub by_class: ByClass,
    /// For the report, where there are two classes.
    pub figures: Option<Figures>,
    /// For the report, of each target.
    pub closure: Vec<Closure>,
}

/// What test events are compared with, and by which metrics.
enum Truth {
    /// Metrics, and for each class (of two, for signal alone) whether a test event is of it.
    Classes(Vec<Metric>, Vec<Vec<bool>>),
    /// (target, metric), and the targets of all test events.
    Targets(Vec<(usize, Accuracy)>, Vec<Vec<f64>>),
    /// Metrics, and then those of [`Agreement::ALL`] for each of so many classes.
    Groups(Vec<Clustering>, usize),
}

/// The target and the metric of a name: `rmse`, or `rmse:TARGET` where there are several.
///
/// # Errors
/// As [`Accuracy::parse`]; [`fb_core::Error::UnknownName`] for another target.
pub fn accuracy(name: &str, targets: &[String]) -> Result<(usize, Accuracy)> {
    let (metric, target) = name.split_once(':').unwrap_or((name, targets.first().map_or("", String::as_str)));
    let place = targets.iter().position(|t| t == target).ok_or_else(|| fb_core::Error::UnknownName {
        what: "target",
        name: target.to_owned(),
        closest: fb_core::closest(target, targets.iter().map(String::as_str)),
    })?;
    Ok((place, Accuracy::parse(metric)?))
}

/// The test part and what all methods share in its evaluation.
pub struct Judge<'a> {
    names: Vec<String>,
    test: &'a Sample,
    truth: Truth,
    /// How many classes are told apart; none in a regression and where particles are grouped.
    classes: usize,
    train: (Vec<bool>, &'a [f64]),
    bootstrap: Bootstrap,
    /// Bin of each test event among [`GROUPS`] of equal population of background in the column `bins_in`.
    groups: Vec<u8>,
    /// Bin of each test event in the column `bins_in`, and the edges.
    bins: Option<(Vec<usize>, Vec<f64>)>,
    workers: &'a dyn Workers,
}

/// Numbers that follow from the weights.
type Statistic<'a> = dyn Fn(&[f64]) -> fb_core::Result<Vec<f64>> + Sync + 'a;

/// Signal efficiencies at which the ROC curve is drawn.
fn grid() -> Vec<f64> {
    (1..=100).map(|i| f64::from(i) / 100.0).collect()
}

/// Bins in which the sculpting of a variable is measured.
const GROUPS: usize = 20;

/// Bins of a target, and of its residuals.
const BINS: [usize; 2] = [10, 60];

impl<'a> Judge<'a> {
    /// Prepares the replicas of the test part.
    pub fn new(experiment: &Experiment, train: &'a Sample, test: &'a Sample, workers: &'a dyn Workers) -> Result<Self> {
        let names = experiment.evaluate.metrics.clone();
        let is_signal = |sample: &Sample| sample.labels.iter().map(|&l| l == 1).collect::<Vec<_>>();
        let mut classes = 0;
        let truth = if experiment.task() == Task::Partition {
            let mut metrics = names.iter().map(|n| Clustering::parse(n)).collect::<fb_core::Result<Vec<_>>>()?;
            metrics.push(Clustering { agreement: Agreement::ALL[0].1, classes: Vec::new() });
            let count = test.labels.iter().copied().max().unwrap_or(0) + 1;
            let each = (0..count).flat_map(|k| Agreement::ALL.map(|(_, agreement)| (k, agreement)));
            metrics.extend(each.map(|(k, agreement)| Clustering { agreement, classes: vec![k] }));
            Truth::Groups(metrics, count as usize)
        } else if experiment.is_regression() {
            let targets = &experiment.read.target;
            let mut metrics = names.iter().map(|n| accuracy(n, targets)).collect::<Result<Vec<_>>>()?;
            metrics.push((0, Accuracy::Rmse));
            Truth::Targets(metrics, (0..targets.len()).map(|k| test.target(k)).collect())
        } else {
            classes = crate::classes::count(train.labels.iter().chain(&test.labels));
            let mut metrics: Vec<Metric> = names.iter().map(|n| Metric::parse(n)).collect::<fb_core::Result<_>>()?;
            // The area comes last once more: differences are taken of it whatever the table shows.
            metrics.push(Metric::Auc);
            let each = || fb_statistics::classes::each_against_rest(&test.labels, classes);
            Truth::Classes(metrics, if classes > 2 { each() } else { vec![is_signal(test)] })
        };
        let column = test.events.column(&experiment.evaluate.bins_in).ok().filter(|c| c.offsets.is_none());
        let x = column.map(|column| (0..test.len()).map(|i| column.data.number(i)).collect::<Vec<f64>>());
        let asks = names.iter().any(|n| n.starts_with("sculpting@"));
        if asks && x.is_none() {
            let closest = None;
            return Err(fb_core::Error::MissingColumn { name: experiment.evaluate.bins_in.clone(), closest }.into());
        }
        let groups = x.as_ref().filter(|_| asks).map_or_else(Vec::new, |x| {
            let of_background: Vec<f64> =
                x.iter().zip(&test.labels).filter(|(_, label)| **label == 0).map(|(x, _)| *x).collect();
            let edges = quantile_edges(&of_background, GROUPS);
            x.iter().map(|x| edges[1..GROUPS].partition_point(|e| e <= x) as u8).collect()
        });
        let bins = x.map(|x| {
            let edges = quantile_edges(&x, 5);
            let bin = |x: &f64| edges[1..5].partition_point(|e| e <= x);
            (x.iter().map(bin).collect(), edges)
        });
        Ok(Self {
            names,
            test,
            truth,
            classes,
            train: (is_signal(train), &train.weights),
            bootstrap: Bootstrap::new(experiment.seed, experiment.evaluate.replicas, &test.identity),
            groups,
            bins,
            workers,
        })
    }

    /// How many classes are told apart; none in a regression and where particles are grouped.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// What a model says of the events of a sample, in lists: scores of signal alone for two classes, else of each class or
    /// target; of groups of particles, how they agree with the true ones, in the order of [`Agreement::ALL`].
    ///
    /// # Errors
    /// As [`Fitted::scores`]; [`fb_core::Error::Length`] for a model of another number of classes or targets.
    pub fn told(&self, model: &dyn Fitted, sample: &Sample) -> Result<Columns> {
        if let Some(truth) = &sample.partition {
            let found = model.partition(&sample.events, self.workers)?;
            return Ok(agreements(&found.unwrap_or_default(), truth)?);
        }
        self.columns(&model.scores(&sample.events, self.workers)?)
    }

    fn columns(&self, scores: &fb_core::Scores) -> Result<Columns> {
        let expected = if let Truth::Targets(_, targets) = &self.truth { targets.len() } else { self.classes };
        if expected == 2 && self.classes == 2 {
            return Ok(vec![scores.signal()]);
        }
        crate::classes::columns(scores, expected)
    }

    fn width(&self) -> usize {
        match &self.truth {
            Truth::Classes(metrics, _) => metrics.len(),
            Truth::Targets(metrics, _) => metrics.len(),
            Truth::Groups(metrics, classes) => metrics.len() - classes * Agreement::ALL.len(),
        }
    }

    /// The metrics, the leading one last; after them those of [`ByClass`], for more than two classes and for groups. Or the
    /// leading one first, without those before it.
    fn evaluated(&self, scores: &Columns, only_leading: bool) -> Result<Evaluated> {
        let from = if only_leading { self.width() - 1 } else { 0 };
        let weights = &self.test.weights;
        let numbers: Box<Statistic<'_>> = match &self.truth {
            Truth::Classes(metrics, is) if self.classes > 2 => {
                let classes = Classes::new(scores, is, &self.test.labels, &metrics[from..])?;
                Box::new(move |w| classes.numbers(&metrics[from..], w))
            }
            Truth::Classes(metrics, is) => {
                let evaluation = Evaluation::new(&scores[0], &is[0])?.with_groups(&self.groups);
                Box::new(move |w| evaluation.metrics(&metrics[from..], w))
            }
            Truth::Targets(metrics, targets) => {
                let residuals = scores.iter().zip(targets).map(|(s, t)| Residuals::new(s, t));
                let residuals = residuals.collect::<fb_core::Result<Vec<_>>>()?;
                let one = move |w: &[f64], &(k, metric): &(usize, Accuracy)| residuals[k].metrics(&[metric], w);
                Box::new(move |w| Ok(metrics[from..].iter().flat_map(|m| one(w, m)).collect()))
            }
            Truth::Groups(metrics, _) => {
                let labels = &self.test.labels;
                Box::new(move |w| Ok(metrics[from..].iter().map(|m| m.mean(scores, labels, w)).collect()))
            }
        };
        Ok(evaluate_with(weights, &self.bootstrap, self.workers, &numbers)?)
    }

    /// What follows from the scores of each class, where there are more than two.
    fn by_class(&self, trainings: &[Columns], evaluated: &Evaluated) -> Result<ByClass> {
        let (metrics, is) = match &self.truth {
            Truth::Classes(metrics, is) if self.classes > 2 => (metrics, is),
            Truth::Groups(..) => {
                let each = evaluated.values[self.width()..].chunks_exact(Agreement::ALL.len());
                let named =
                    |values: &[Value]| Agreement::ALL.iter().map(|(n, _)| *n).zip(values.iter().copied()).collect();
                let groups = each.enumerate().map(|(class, values)| ClassGroups { class, metrics: named(values) });
                return Ok(ByClass { groups: groups.collect(), ..ByClass::default() });
            }
            _ => return Ok(ByClass::default()),
        };
        let confusion =
            |scores: &Columns| Ok(Classes::new(scores, is, &self.test.labels, &[])?.confusion(&self.test.weights));
        let each = trainings.iter().map(confusion).collect::<Result<Vec<_>>>()?;
        Ok(ByClass::new(self.classes, &evaluated.values[metrics.len()..], &each))
    }

    fn named(&self, values: &[Value]) -> BTreeMap<String, Value> {
        self.names.iter().cloned().zip(values.iter().copied()).collect()
    }

    fn leading_name(&self) -> &'static str {
        match &self.truth {
            Truth::Classes(..) => "auc",
            Truth::Targets(..) => "rmse",
            Truth::Groups(..) => Agreement::ALL[0].0,
        }
    }

    /// The leading metric alone: the area under the curve, the r.m.s. of the residuals of the first target, or the adjusted
    /// Rand index.
    pub fn leading(&self, scores: &Columns) -> Result<Named> {
        Ok(Named { name: self.leading_name(), value: self.evaluated(scores, true)?.values[0] })
    }

    /// All numbers of a method.
    pub fn judge(&self, scores: &Scores) -> Result<Judged> {
        let each: Vec<Evaluated> = scores.test.iter().map(|s| self.evaluated(s, false)).collect::<Result<_>>()?;
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
            leading_spread: deviation(self.width() - 1),
            by_class: self.by_class(&scores.test, &single)?,
            leading: single,
            trainings: each.len(),
            figures: None,
            closure: Vec::new(),
        };
        match &self.truth {
            Truth::Classes(_, is) if self.classes == 2 => judged.figures = Some(self.figures(scores, &is[0])?),
            Truth::Classes(..) | Truth::Groups(..) => {}
            Truth::Targets(_, targets) => {
                let each = scores.test[0].iter().zip(targets).map(|(scores, targets)| self.closure(scores, targets));
                judged.closure = each.collect::<Result<_>>()?;
            }
        }
        if several {
            judged.spread = self.names.iter().cloned().zip((0..self.names.len()).map(deviation)).collect();
        }
        // Groups of several trainings have no mean.
        if several && !matches!(self.truth, Truth::Groups(..)) {
            judged.mean = self.named(&self.evaluated(&combined(&scores.test, mean), false)?.values);
            let mut medians = combined(&scores.test, median);
            if self.classes > 2 {
                crate::classes::normalise(&mut medians);
            }
            judged.median = self.named(&self.evaluated(&medians, false)?.values);
        }
        Ok(judged)
    }

    /// Differences between all pairs, in their order.
    pub fn differences(&self, judged: &[(String, Judged)]) -> Vec<Difference> {
        let at = self.width() - 1;
        let mut all = Vec::new();
        for (i, (a_label, a)) in judged.iter().enumerate() {
            for (b_label, b) in &judged[i + 1..] {
                let paired = |at: usize, spread: &dyn Fn(&Judged) -> f64| {
                    let (value, sigmas) = difference(&a.leading, &b.leading, at);
                    let sampling = value.central.abs() / sigmas;
                    let variance = |j: &Judged| spread(j).powi(2) / j.trainings as f64;
                    let error = (sampling * sampling + variance(a) + variance(b)).sqrt();
                    // Two equal methods have no difference and no error.
                    Paired { value, sigmas: if value.central == 0.0 { 0.0 } else { value.central.abs() / error } }
                };
                let leading = paired(at, &|j| j.leading_spread);
                let of_name = |(at, name): (usize, &String)| {
                    (name.clone(), paired(at, &|j| j.spread.get(name).copied().unwrap_or(0.0)))
                };
                let metrics = self.names.iter().enumerate().map(of_name).collect();
                let metric = Named { name: self.leading_name(), value: leading.value };
                let (a, b) = (a_label.clone(), b_label.clone());
                all.push(Difference { a, b, metric, sigmas: leading.sigmas, metrics });
            }
        }
        all
    }

    fn closure(&self, scores: &[f64], targets: &[f64]) -> Result<Closure> {
        let (compared, weights) = (Residuals::new(scores, targets)?, &self.test.weights);
        let residuals = compared.residuals();
        let edges = quantile_edges(residuals, 200);
        let [low, high] = [edges[1], edges[199]];
        let mut density = Histogram::uniform(BINS[1], low, high.max(low + 1e-9));
        residuals.iter().zip(weights).for_each(|(&r, &w)| density.fill(r, w));
        let closure = fb_statistics::Closure::new(targets, BINS[0]);
        let numbers = |w: &[f64]| Ok(closure.sums(residuals, w).concat());
        let found = evaluate_with(weights, &self.bootstrap, self.workers, &numbers)?;
        let bins = closure.centres().iter().copied().zip(found.values.chunks_exact(2)).map(|(x, v)| (x, v[0], v[1]));
        Ok(Closure { residuals: density.density(), bins: bins.collect() })
    }

    fn figures(&self, scores: &Scores, signal: &[bool]) -> Result<Figures> {
        let first = &scores.test[0][0];
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
            delong: evaluation.ranking().auc(weights)?,
            scores: [densities(first, signal, weights), densities(&scores.train[0], &self.train.0, self.train.1)],
            reliability: reliability.collect(),
            ams: self.ams(&evaluation)?,
            bins: self.working_points(&evaluation, first, signal)?,
        })
    }

    /// The approximate median significance against the threshold, for the first such metric.
    fn ams(&self, evaluation: &Evaluation<'_>) -> Result<Vec<(f64, Value)>> {
        let Truth::Classes(metrics, _) = &self.truth else { return Ok(Vec::new()) };
        let expected = metrics.iter().find_map(|m| if let Metric::Ams(expected) = m { Some(*expected) } else { None });
        let Some(expected) = expected else { return Ok(Vec::new()) };
        let grid: Vec<f64> = grid().into_iter().step_by(2).collect();
        let scan = |w: &[f64]| Ok(evaluation.ranking().roc(w)?.ams_at(&grid, expected));
        let found = evaluate_with(&self.test.weights, &self.bootstrap, self.workers, &scan)?;
        // Where too many replicas have no value, those that have one are no fair sample.
        let known = |i: usize| found.replicas.iter().filter(|r| r[i].is_finite()).count();
        let enough = |i: &usize| found.values[*i].central.is_finite() && 10 * known(*i) >= 9 * found.replicas.len();
        Ok((0..grid.len()).filter(enough).map(|i| (grid[i], found.values[i])).collect())
    }

    fn working_points(&self, evaluation: &Evaluation<'_>, scores: &[f64], signal: &[bool]) -> Result<Vec<Bin>> {
        let Some((bin, edges)) = &self.bins else { return Ok(Vec::new()) };
        let threshold = evaluation.ranking().roc(&self.test.weights)?.threshold_at(0.5);
        let count = edges.len() - 1;
        // Per bin: signal efficiency, background rejection.
        let efficiencies = |weights: &[f64]| {
            let mut sums = vec![[[0.0; 2]; 2]; count];
            for (i, &w) in weights.iter().enumerate() {
                let sum = &mut sums[bin[i]][usize::from(signal[i])];
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
