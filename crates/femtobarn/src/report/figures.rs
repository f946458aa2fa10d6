//! The figures of the report, one function each.

use fb_core::{Frame, Input, Progress, Sample, Value};
use fb_statistics::Histogram;
use fb_statistics::bootstrap::quantile_edges;

use super::Report;
use super::plot::{Axis, Corner, Plot, Scale, colour};
use crate::evaluate::Figures;
use crate::pipeline::{Epoch, Training};
use crate::results::{CurvePoint, MethodResult};

pub(super) const WIDE: [f64; 2] = [520.0, 400.0];
pub(super) const SMALL: [f64; 2] = [340.0, 250.0];
/// Three stand side by side.
pub(super) const MAP: [f64; 2] = [345.0, 330.0];
/// Background and signal.
pub(super) const CLASSES: [(&str, &str); 2] = [("background", "#3f90da"), ("signal", "#bd1f01")];

/// How each class is called and drawn.
pub(super) fn class_names(classes: usize) -> impl Iterator<Item = (String, &'static str)> {
    let name = move |k: usize| match CLASSES.get(k).filter(|_| classes == 2) {
        Some((name, colour)) => ((*name).to_owned(), *colour),
        None if classes == 1 => ("all".to_owned(), colour(0)),
        None => (format!("class {k}"), colour(k)),
    };
    (0..classes).map(name)
}

/// Smallest and largest finite number.
pub(super) fn range(values: impl IntoIterator<Item = f64>) -> [f64; 2] {
    let finite = values.into_iter().filter(|x| x.is_finite());
    finite.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], x| [low.min(x), high.max(x)])
}

/// Background rejection against signal efficiency with 68% bands.
pub fn roc(report: &Report<'_>) -> String {
    let start = |f: &Figures| f.roc.signal.iter().position(|s| *s >= 0.1).unwrap_or(0);
    let highest = range(report.figures.iter().flat_map(|f| f.roc.background[start(f)..].iter().map(|b| 1.0 / b)))[1];
    let x = Axis::new("signal efficiency ε_S", 0.0, 1.0, Scale::Linear);
    let y = Axis::new("background rejection 1/ε_B", 1.0, (highest * 4.0).clamp(20.0, 1e7), Scale::Log);
    let mut plot = Plot::new(WIDE, x, y, report.label(), "68% bands");
    for (i, (method, f)) in report.results.methods.iter().zip(&report.figures).enumerate() {
        let inverse = |x: &[f64]| x.iter().map(|b| 1.0 / b.max(1e-9)).collect::<Vec<f64>>();
        plot.band(&f.roc.signal, &inverse(&f.roc.high), &inverse(&f.roc.low), colour(i));
        let line: Vec<(f64, f64)> = f.roc.signal.iter().copied().zip(inverse(&f.roc.background)).collect();
        plot.line(&line, colour(i), dash(i));
        plot.legend(&method.label, colour(i), dash(i));
    }
    plot.finish(Corner::UpperRight)
}

/// Approximate median significance against the signal efficiency of the threshold; none unless asked for.
pub fn ams(report: &Report<'_>) -> Option<String> {
    let all = || report.figures.iter().flat_map(|f| &f.ams);
    let highest = range(all().map(|p| p.1.high))[1];
    if !highest.is_finite() {
        return None;
    }
    let x = Axis::new("signal efficiency ε_S", 0.0, 1.0, Scale::Linear);
    let y = Axis::new("AMS", 0.0, highest * 1.3, Scale::Linear);
    let mut plot = Plot::new(WIDE, x, y, report.label(), "68% bands");
    for (i, (method, f)) in report.results.methods.iter().zip(&report.figures).enumerate() {
        let column = |pick: fn(&(f64, Value)) -> f64| f.ams.iter().map(pick).collect::<Vec<f64>>();
        plot.band(&column(|p| p.0), &column(|p| p.1.low), &column(|p| p.1.high), colour(i));
        plot.line(&f.ams.iter().map(|(x, v)| (*x, v.central)).collect::<Vec<_>>(), colour(i), dash(i));
        plot.legend(&method.label, colour(i), dash(i));
    }
    Some(plot.finish(Corner::UpperRight))
}

/// From the eleventh curve on, colours come again.
fn dash(i: usize) -> &'static str {
    if i < 10 { "" } else { "6 3" }
}

/// Score densities on test events (filled) and training events (points with errors).
pub fn scores(method: &MethodResult, figures: &Figures) -> String {
    let highest = range(figures.scores.iter().flatten().flat_map(|h| h.contents.iter().copied()))[1];
    let x = Axis::new("score", 0.0, 1.0, Scale::Linear);
    let y = Axis::new("density", highest / 3e4, highest * 20.0, Scale::Log);
    let mut plot = Plot::new(SMALL, x, y, "", &method.label);
    for (class, (name, colour)) in CLASSES.into_iter().enumerate() {
        let [test, train] = [&figures.scores[0][class], &figures.scores[1][class]];
        plot.steps(&test.edges, &test.contents, colour, 0.2);
        plot.points(&points(train), colour);
        plot.legend(&format!("{name}: test, ● training"), colour, "");
    }
    plot.finish(Corner::UpperLeft)
}

fn points(h: &Histogram) -> Vec<(f64, f64, f64, f64)> {
    let filled = (0..h.contents.len()).filter(|&i| h.contents[i] != 0.0);
    filled
        .map(|i| {
            let (x, error) = (f64::midpoint(h.edges[i], h.edges[i + 1]), h.variances[i].sqrt());
            (x, h.contents[i] - error, h.contents[i], h.contents[i] + error)
        })
        .collect()
}

/// Training loss (dashed) and validation loss against the epoch.
pub fn losses(report: &Report<'_>) -> String {
    let all = report.trainings.iter().flat_map(|t| &t.epochs);
    let [low, high] = range(all.flat_map(|e| e.progress.validation_loss.into_iter().chain([e.progress.loss])));
    // Trees tell of every few rounds only: the number of the last one counts, not how many are told.
    let longest = report.trainings.iter().filter_map(|t| t.epochs.last()).map(|e| e.progress.epoch).max().unwrap_or(1);
    let x = Axis::new("epoch", 0.0, longest as f64 + 0.5, Scale::Linear);
    let y = Axis::new("loss", low * 0.9, high * 1.1, Scale::Log);
    let mut plot = Plot::new(WIDE, x, y, report.label(), "— validation   - - training");
    for (i, (method, training)) in report.results.methods.iter().zip(&report.trainings).enumerate() {
        let curve = |pick: fn(&Progress) -> Option<f64>| -> Vec<(f64, f64)> {
            let point = |e: &Epoch| Some((e.progress.epoch as f64, pick(&e.progress)?));
            training.epochs.iter().filter_map(point).collect()
        };
        plot.line(&curve(|p| p.validation_loss), colour(i), "");
        plot.line(&curve(|p| Some(p.loss)), colour(i), "4 3");
        plot.legend(&method.label, colour(i), "");
    }
    plot.finish(Corner::UpperRight)
}

/// Residuals of target `k`, their mean and their spread in bins of the target.
pub fn closure(report: &Report<'_>, k: usize, target: &str) -> [String; 3] {
    let each = || report.results.methods.iter().zip(report.closure.iter().filter_map(|c| c.get(k))).enumerate();
    let [left, right] = range(each().flat_map(|(_, (_, c))| c.residuals.edges.clone()));
    let highest = range(each().flat_map(|(_, (_, c))| c.residuals.contents.clone()))[1];
    let x = Axis::new("prediction − target", left, right, Scale::Linear);
    let mut density = Plot::new(SMALL, x, Axis::new("density", 0.0, highest * 1.35, Scale::Linear), "", "test part");
    for (i, (method, c)) in each() {
        density.steps(&c.residuals.edges, &c.residuals.contents, colour(i), 0.1);
        density.legend(&method.label, colour(i), "");
    }
    let bins = |label: &str, pick: fn(&(f64, Value, Value)) -> Value| {
        let all = || each().flat_map(|(_, (_, c))| &c.bins);
        let [left, right] = range(all().map(|b| b.0));
        let [low, high] = range(all().flat_map(|b| [pick(b).low, pick(b).high]).chain([0.0]));
        let (margin, side) = (0.1 * (high - low), 0.05 * (right - left));
        let y = Axis::new(label, low - margin, high + 3.0 * margin, Scale::Linear);
        let mut plot =
            Plot::new(SMALL, Axis::new(target, left - side, right + side, Scale::Linear), y, "", "68% intervals");
        plot.line(&[(left - side, 0.0), (right + side, 0.0)], "#999", "2 3");
        for (i, (method, c)) in each() {
            let point = |b: &(f64, Value, Value)| (b.0, pick(b).low, pick(b).central, pick(b).high);
            plot.points(&c.bins.iter().map(point).collect::<Vec<_>>(), colour(i));
            plot.legend(&method.label, colour(i), "");
        }
        plot.finish(Corner::UpperRight)
    };
    [density.finish(Corner::UpperRight), bins("mean residual", |b| b.1), bins("r.m.s. about the mean", |b| b.2)]
}

/// Calibration: share of signal against mean score.
pub fn calibration(report: &Report<'_>) -> String {
    let axis = |label| Axis::new(label, 0.0, 1.0, Scale::Linear);
    let mut plot = Plot::new(WIDE, axis("mean score"), axis("share of signal"), report.label(), "68% intervals");
    plot.line(&[(0.0, 0.0), (1.0, 1.0)], "#999", "2 3");
    for (i, (method, f)) in report.results.methods.iter().zip(&report.figures).enumerate() {
        let line: Vec<(f64, f64)> = f.reliability.iter().map(|(x, v)| (*x, v.central)).collect();
        plot.line(&line, colour(i), dash(i));
        plot.points(&f.reliability.iter().map(|(x, v)| (*x, v.low, v.central, v.high)).collect::<Vec<_>>(), colour(i));
        plot.legend(&method.label, colour(i), dash(i));
    }
    plot.finish(Corner::UpperLeft)
}

/// Background rejection of the working point with 50% signal efficiency, in bins of a column; none without it.
pub fn bins(report: &Report<'_>) -> Option<String> {
    let all = || report.figures.iter().flat_map(|f| &f.bins);
    let [left, right] = range(all().flat_map(|b| b.edges));
    let [low, high] = range(all().flat_map(|b| [b.rejection.low, b.rejection.central, b.rejection.high]));
    if left >= right {
        return None;
    }
    let label = with_unit(&report.experiment.evaluate.bins_in);
    let x = Axis::new(&label, left, right, Scale::Linear);
    let y = Axis::new("1/ε_B at ε_S = 0.5 overall", low * 0.6, high * 4.0, Scale::Log);
    let mut plot = Plot::new(WIDE, x, y, report.label(), "one threshold for all bins");
    let count = report.figures.len() as f64;
    for (i, (method, f)) in report.results.methods.iter().zip(&report.figures).enumerate() {
        // Side by side within a bin, so that the error bars can be told apart.
        let place = |edges: [f64; 2]| edges[0] + (edges[1] - edges[0]) * (i as f64 + 1.0) / (count + 1.0);
        let finite = f.bins.iter().filter(|b| b.rejection.central.is_finite());
        let points = finite.map(|b| (place(b.edges), b.rejection.low, b.rejection.central, b.rejection.high));
        plot.points(&points.collect::<Vec<_>>(), colour(i));
        plot.legend(&method.label, colour(i), "");
    }
    Some(plot.finish(Corner::UpperRight))
}

/// Area under the curve against the number of training events; none unless asked for.
pub fn learning_curve(report: &Report<'_>) -> Option<String> {
    let all = || report.results.methods.iter().flat_map(|m| &m.learning_curve);
    let [left, right] = range(all().map(|p| p.events as f64));
    let [low, high] = range(all().flat_map(|p| [p.metric.value.low, p.metric.value.high]));
    if left >= right {
        return None;
    }
    let x = Axis::new("training events", left * 0.8, right * 1.25, Scale::Log);
    let name = all().next().map_or_else(String::new, |p| crate::results::heading(p.metric.name));
    let y = Axis::new(&name, low - 0.1 * (high - low), high + 0.1 * (high - low), Scale::Linear);
    let mut plot = Plot::new(WIDE, x, y, report.label(), "68% intervals");
    for (i, method) in report.results.methods.iter().enumerate() {
        let mut curve: Vec<_> = method.learning_curve.iter().collect();
        curve.sort_by_key(|p| p.events);
        plot.line(
            &curve.iter().map(|p| (p.events as f64, p.metric.value.central)).collect::<Vec<_>>(),
            colour(i),
            dash(i),
        );
        let bar = |p: &&CurvePoint| (p.events as f64, p.metric.value.low, p.metric.value.central, p.metric.value.high);
        plot.points(&curve.iter().map(bar).collect::<Vec<_>>(), colour(i));
        plot.legend(&method.label, colour(i), dash(i));
    }
    Some(plot.finish(Corner::LowerRight))
}

/// The name of a column with its unit, as on an axis.
pub(super) fn with_unit(name: &str) -> String {
    if fb_core::unit::is_energy(name) { format!("{name} [GeV]") } else { name.to_owned() }
}

/// Densities of flat columns per class, on training events.
pub fn inputs(report: &Report<'_>) -> Vec<String> {
    let read = &report.experiment.read;
    let hidden = |name: &str| [read.label.as_deref(), read.folds.by.as_deref()].contains(&Some(name));
    let columns = report.train.events.columns().iter().filter(|c| c.offsets.is_none() && !hidden(&c.name));
    let numeric = columns.filter(|c| !matches!(c.data, fb_core::Data::Text(_)));
    numeric
        .take(12)
        .map(|column| {
            let x: Vec<f64> = (0..report.train.len()).map(|i| column.data.number(i)).collect();
            let edges = quantile_edges(&x, 200);
            let [low, high] = [edges[1], edges[199]];
            let x_axis = Axis::new(&with_unit(&column.name), low, high, Scale::Linear);
            let whole = matches!(column.data, fb_core::Data::I64(_)) && high - low < 200.0;
            let bins = if whole { (high - low).max(1.0) as usize } else { 40 };
            let densities = by_class(report.train, report.classes(), bins, [low, high.max(low + 1e-9)], &x);
            histogram_figure(x_axis, &densities, "training part")
        })
        .collect()
}

fn by_class(sample: &Sample, classes: usize, bins: usize, [low, high]: [f64; 2], x: &[f64]) -> Vec<Histogram> {
    let mut each: Vec<Histogram> = (0..classes).map(|_| Histogram::uniform(bins, low, high)).collect();
    for (i, &x) in x.iter().enumerate() {
        each[sample.labels[i] as usize].fill(x, sample.weights[i]);
    }
    each.into_iter().map(Histogram::density).collect()
}

fn histogram_figure(x: Axis, densities: &[Histogram], note: &str) -> String {
    let highest = range(densities.iter().flat_map(|h| h.contents.iter().copied()))[1];
    let mut plot = Plot::new(SMALL, x, Axis::new("density", 0.0, highest * 1.35, Scale::Linear), "", note);
    for (h, (name, colour)) in densities.iter().zip(class_names(densities.len())) {
        plot.steps(&h.edges, &h.contents, colour, 0.15);
        plot.legend(&name, colour, "");
    }
    plot.finish(Corner::UpperRight)
}

const PIXELS: usize = 32;
const HALF_WIDTH: f64 = 0.8;
/// Events whose images are averaged.
const IMAGES: usize = 5000;

/// Average jet image of each class: centred, turned, flipped, normalised. None if no method sees constituents.
pub fn images(report: &Report<'_>, inputs: &[Input]) -> fb_core::Result<Vec<String>> {
    let collection = inputs.iter().find_map(|input| match input {
        Input::Particles { collection, .. }
        | Input::Lund { collection, .. }
        | Input::History { collection, .. }
        | Input::Image { collection, .. } => Some(collection.clone()),
        Input::Table { .. } | Input::Columns { .. } | Input::Observables { .. } | Input::Lists { .. } => None,
    });
    let Some(collection) = collection else { return Ok(Vec::new()) };
    let image = Input::Image { collection, max: 200, frame: Frame::Principal, pixels: PIXELS, half_width: HALF_WIDTH };
    let some: Vec<usize> = (0..report.test.len().min(IMAGES)).collect();
    let features = fb_physics::features::prepare(&image, &report.test.events.take(&some))?;
    let mut sums = [vec![0.0; PIXELS * PIXELS], vec![0.0; PIXELS * PIXELS]];
    let mut weights = [0.0; 2];
    for (i, pixels) in features.values.chunks_exact(PIXELS * PIXELS).enumerate() {
        let class = usize::from(report.test.labels[i] == 1);
        weights[class] += report.test.weights[i];
        sums[class].iter_mut().zip(pixels).for_each(|(s, &p)| *s += report.test.weights[i] * f64::from(p));
    }
    let figures = sums.iter().zip(weights).zip(CLASSES).map(|((sum, weight), (name, _))| {
        let axis = |label| Axis::new(label, -HALF_WIDTH, HALF_WIDTH, Scale::Linear);
        let mut plot = Plot::new([340.0, 330.0], axis("u"), axis("v"), "", &format!("average {name} jet"));
        let edge = |i: usize| (2.0 * i as f64 / PIXELS as f64 - 1.0) * HALF_WIDTH;
        for (i, s) in sum.iter().enumerate() {
            let (row, column) = (i / PIXELS, i % PIXELS);
            // Five decades of pT, from white to dark.
            let depth = ((s / weight).max(1e-12).log10() / 5.0 + 1.0).clamp(0.0, 1.0);
            if depth > 0.0 {
                plot.cell([edge(column), edge(column + 1)], [edge(row), edge(row + 1)], &shade(depth));
            }
        }
        plot.finish(Corner::UpperRight)
    });
    Ok(figures.collect())
}

/// Values on a plane, as colours.
pub(super) struct Map<'a> {
    values: Vec<f64>,
    title: &'a str,
    /// The values of the lightest and the darkest colour.
    low: f64,
    high: f64,
    logarithmic: bool,
}

impl<'a> Map<'a> {
    /// From the lowest to the highest value.
    pub fn plain(values: &[f64], title: &'a str) -> Self {
        let [low, high] = range(values.iter().copied());
        Self { values: values.to_vec(), title, low, high, logarithmic: false }
    }

    /// Between two values; what lies beyond them has their colours.
    pub fn between(values: &[f64], title: &'a str, low: f64, high: f64) -> Self {
        Self { values: values.to_vec(), title, low, high, logarithmic: false }
    }

    /// The uppermost six decades of positive values.
    pub fn decades(values: &[f64], title: &'a str) -> Self {
        let values: Vec<f64> = values.iter().map(|v| v.max(1e-300).log10()).collect();
        let high = range(values.iter().copied())[1];
        let low = range(values.iter().copied())[0].max(high - 6.0);
        Self { values, title, low, high, logarithmic: true }
    }

    /// A square of `side` values a side, in rows from below.
    pub fn draw(&self, x: Axis, y: Axis, side: usize) -> String {
        self.draw_with(x, y, side, |_| ())
    }

    /// With something drawn over it.
    pub fn draw_with(&self, x: Axis, y: Axis, side: usize, over: impl FnOnce(&mut Plot)) -> String {
        let ([x0, x1], [y0, y1]) = (x.ends(), y.ends());
        let mut plot = Plot::new(MAP, x, y, "", "");
        let edge = |low: f64, high: f64, k: usize| {
            // Values at the faces have half a cell.
            (low + (high - low) * (k as f64 - 0.5) / (side - 1) as f64).clamp(low, high)
        };
        for (i, value) in self.values.iter().enumerate() {
            let (row, column) = (i / side, i % side);
            let depth = (value - self.low) / (self.high - self.low).max(1e-300);
            let depth = if depth.is_finite() { depth.clamp(0.0, 1.0) } else { 0.0 };
            let across = [edge(x0, x1, column), edge(x0, x1, column + 1)];
            plot.cell(across, [edge(y0, y1, row), edge(y0, y1, row + 1)], &shade(depth));
        }
        let number = |v: f64| match (self.logarithmic, v.abs()) {
            (true, _) => format!("{:.0e}", 10f64.powf(v)),
            (false, size) if size < 5e-4 => "0".to_owned(),
            (false, size) if size < 1e4 => format!("{v:.3}"),
            (false, _) => format!("{v:.1e}"),
        };
        plot.key(&number(self.low), &number(self.high), &shade);
        plot.heading(self.title);
        over(&mut plot);
        plot.finish(Corner::UpperRight)
    }
}

/// From white over yellow and red to near black, its lightness falling evenly.
fn shade(depth: f64) -> String {
    const STOPS: [[f64; 3]; 5] =
        [[255.0, 255.0, 255.0], [253.0, 212.0, 130.0], [238.0, 121.0, 66.0], [165.0, 30.0, 80.0], [35.0, 8.0, 60.0]];
    let at = depth * (STOPS.len() - 1) as f64;
    let below = (at as usize).min(STOPS.len() - 2);
    let mix = |c: usize| STOPS[below][c] + (at - below as f64) * (STOPS[below + 1][c] - STOPS[below][c]);
    format!("#{:02x}{:02x}{:02x}", mix(0) as u8, mix(1) as u8, mix(2) as u8)
}

/// Seconds of the whole training and its largest memory, as (label, seconds, events per second, MB).
pub fn speed(method: &MethodResult, training: &Training) -> [String; 4] {
    [
        training.epochs.len().to_string(),
        crate::results::seconds(method.train_seconds),
        crate::results::thousands(method.train_events_per_second.round() as usize),
        method.peak_rss_mb.map_or_else(|| "unknown".to_owned(), |mb| format!("{mb:.0} MB")),
    ]
}
