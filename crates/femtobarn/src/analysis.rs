//! What scores are worth to a measurement: a peak in a mass over a smooth background, in categories of the score, against
//! a baseline. The gain in sensitivity is also given as the luminosity that would gain as much.

use fb_core::{Column, Data, Events, Sample, Value, Workers};
use fb_physics::expression::{finite_names, select, sparse};
use fb_statistics::bootstrap::evaluate_with;
use fb_statistics::categories::{self, categorise};
use fb_statistics::resonance::{Expected, Resonance, Simulated};
use fb_statistics::spectrum::Shape;
use fb_statistics::{Bootstrap, Histogram};
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Result};

/// The `[analysis]` of an experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Label of the method whose score tells events apart; by default the first.
    #[serde(default)]
    pub method: Option<String>,
    /// The mass: a column or an expression.
    pub mass: String,
    /// Its range.
    pub window: [f64; 2],
    /// Bins of the fit.
    #[serde(default = "eighty")]
    pub bins: usize,
    /// Shape of the peak.
    #[serde(default = "peak")]
    pub signal: String,
    /// Shape of the background.
    #[serde(default = "falling")]
    pub background: String,
    /// What it is compared with: `inclusive`, all events in one category, or the label of another method.
    #[serde(default = "inclusive")]
    pub baseline: String,
    /// Pseudo-experiments that test the fit.
    #[serde(default = "toys")]
    pub toys: usize,
    /// How events are parted; each takes what those before it have left. One for all events by default.
    #[serde(default = "whole")]
    pub region: Vec<Region>,
}

/// Events that are parted into categories among themselves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// What it is called.
    #[serde(default)]
    pub name: String,
    /// Which events: a condition on columns and `score`.
    #[serde(default)]
    pub select: Option<String>,
    /// What categories are cut in: expressions over columns and `score`.
    #[serde(default = "score")]
    pub variables: Vec<String>,
    /// At most so many categories.
    #[serde(default = "ten")]
    pub count: usize,
    /// Each has at least so many simulated background events of the validation part.
    #[serde(default = "twenty")]
    pub min_background: usize,
    /// A further category must raise Z² by this share.
    #[serde(default = "percent")]
    pub min_gain: f64,
}

fn eighty() -> usize {
    80
}
fn peak() -> String {
    "double_crystal_ball".to_owned()
}
fn falling() -> String {
    "exponential".to_owned()
}
fn inclusive() -> String {
    INCLUSIVE.to_owned()
}
fn toys() -> usize {
    500
}
fn whole() -> Vec<Region> {
    vec![Region {
        name: String::new(),
        select: None,
        variables: score(),
        count: ten(),
        min_background: twenty(),
        min_gain: percent(),
    }]
}
fn score() -> Vec<String> {
    vec![SCORE.to_owned()]
}
fn ten() -> usize {
    10
}
fn twenty() -> usize {
    20
}
fn percent() -> f64 {
    0.01
}

/// The baseline of one category.
pub const INCLUSIVE: &str = "inclusive";
/// What the score of the method is called in expressions.
const SCORE: &str = "score";
/// Bins of the mass in which categories are judged while they are made.
const COARSE: usize = 20;

impl Options {
    /// Whether it can be carried out.
    ///
    /// # Errors
    /// [`Failure::Usage`] and [`Failure::Core`] with the place.
    pub fn check(&self, labels: &[&str]) -> Result<()> {
        let usage = |text: String| Err(Failure::Usage(text));
        for label in self.method.iter().chain((self.baseline != INCLUSIVE).then_some(&self.baseline)) {
            if !labels.contains(&label.as_str()) {
                let closest = fb_core::closest(label, labels.iter().copied());
                let what = "method of this experiment, which `analysis` names,";
                return Err(fb_core::Error::UnknownName { what, name: label.clone(), closest }.into());
            }
        }
        let [low, high] = self.window;
        if !(low < high && low.is_finite() && high.is_finite()) {
            return usage(format!("`analysis.window`: found [{low}, {high}], expected two rising numbers"));
        }
        if self.bins < 10
            || self.region.is_empty()
            || self.region.iter().any(|r| r.count == 0 || r.variables.is_empty())
        {
            let text = "`analysis`: expected at least 10 `bins`, a region, and in each a `count` of 1 and a variable";
            return usage(text.to_owned());
        }
        self.resonance()?;
        for text in self.expressions() {
            fb_core::expression::Expression::parse(text)?;
        }
        Ok(())
    }

    /// Everything that is evaluated of an event.
    fn expressions(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.mass).chain(self.region.iter().flat_map(move |r| r.select.iter().chain(&r.variables)))
    }

    /// The columns that it sees, as an input.
    pub fn input(&self) -> fb_core::Input {
        let variables = self.expressions().filter(|text| *text != SCORE).cloned().collect();
        fb_core::Input::Columns { variables, missing: Vec::new() }
    }

    /// Evaluates it on events, so that what cannot be is known before anything is trained.
    ///
    /// # Errors
    /// Of expressions and columns.
    pub fn try_on(&self, sample: &Sample) -> Result<()> {
        let scores = vec![0.0; sample.len()];
        let events = Scored { sample, scores: vec![(SCORE, &scores)] }.events(SCORE)?;
        mass(self, &events)?;
        regions(self, &events)?;
        for text in self.region.iter().flat_map(|r| &r.variables) {
            sparse(text, &events, &[])?;
        }
        Ok(())
    }

    fn resonance(&self) -> Result<Resonance> {
        Ok(Resonance { signal: Shape::parse(&self.signal)?, background: Shape::parse(&self.background)? })
    }
}

/// What an analysis found; in `results.json`.
#[derive(Debug, Clone, Serialize)]
pub struct Analysis {
    /// Label of the method.
    pub method: String,
    /// Expected significance of the signal, with the bootstrap interval of the simulation.
    pub sensitivity: Value,
    /// The same of the baseline.
    pub baseline: Baseline,
    /// Sensitivity over that of the baseline, on the same replicas.
    pub gain: Value,
    /// Its square: so many times the data would gain as much.
    pub luminosity_factor: Value,
    /// Expected error of the signal strength, from Fisher's information.
    pub strength_error: Value,
    /// The categories, in the order of their regions and cuts.
    pub categories: Vec<Category>,
    /// Fits of pseudo-experiments.
    pub toys: Option<Toys>,
    /// Edges of the bins of the mass.
    pub edges: Vec<f64>,
}

/// What it is compared with.
#[derive(Debug, Clone, Serialize)]
pub struct Baseline {
    /// `inclusive`, or the label of a method.
    pub name: String,
    /// Its sensitivity.
    #[serde(flatten)]
    pub sensitivity: Value,
}

/// A category.
#[derive(Debug, Clone, Serialize)]
pub struct Category {
    /// Which events, in words.
    pub cut: String,
    /// Expected signal in the window.
    pub signal: Value,
    /// Expected background in the window.
    pub background: Value,
    /// Simulated test events of signal and background.
    pub simulated: [usize; 2],
    /// Half the width that holds the central 68% of signal.
    pub resolution: f64,
    /// Expected significance of this category alone.
    pub sensitivity: Value,
    /// Parameters of the signal's shape.
    pub signal_shape: Vec<(&'static str, f64)>,
    /// Parameters of the background's shape.
    pub background_shape: Vec<(&'static str, f64)>,
    /// Simulated spectra and what was fitted to them, for the report.
    #[serde(skip)]
    pub spectra: Spectra,
}

/// Spectra of a category.
#[derive(Debug, Clone)]
pub struct Spectra {
    /// Of the simulation.
    pub simulated: Simulated,
    /// Signal and background of the model, bin by bin.
    pub model: [Vec<f64>; 2],
}

/// Fits of pseudo-experiments with a signal strength of one.
#[derive(Debug, Clone, Serialize)]
pub struct Toys {
    /// How many converged.
    pub converged: usize,
    /// How many did not.
    pub failed: usize,
    /// Mean of (μ̂ − 1)/σ.
    pub pull_mean: Value,
    /// Its standard deviation.
    pub pull_width: Value,
    /// How often the 68.3% interval of the profile likelihood holds the truth.
    pub coverage_68: Value,
    /// The same of the 95% interval.
    pub coverage_95: Value,
    /// The pulls, for the report.
    #[serde(skip)]
    pub pulls: Vec<f64>,
}

/// Events of a part, with the scores of each method.
pub struct Scored<'a> {
    /// The events.
    pub sample: &'a Sample,
    /// (label, score of each event).
    pub scores: Vec<(&'a str, &'a [f64])>,
}

impl Scored<'_> {
    /// The events with the score of a method as a column.
    fn events(&self, label: &str) -> Result<Events> {
        let mut events = self.sample.events.clone();
        let scores = self.scores.iter().find(|(l, _)| *l == label).map_or(&[][..], |(_, s)| *s);
        events.push(Column::flat(SCORE, Data::F64(scores.to_vec())))?;
        Ok(events)
    }
}

/// Categories of all regions: which region, and the box in its variables.
type Cuts = Vec<(usize, categories::Region)>;

/// Makes categories on the validation events and measures them on the test events, whose weights are multiplied by
/// `scale` to be those of all events.
///
/// # Errors
/// Expressions that cannot be evaluated; a category without signal or background; fits that do not converge.
pub fn analyse(
    options: &Options,
    validation: &Scored<'_>,
    test: &Scored<'_>,
    scale: f64,
    seed: u64,
    replicas: usize,
    workers: &dyn Workers,
) -> Result<Analysis> {
    let label = options.method.as_deref().or_else(|| test.scores.first().map(|s| s.0)).unwrap_or_default();
    let resonance = options.resonance()?;
    let weights: Vec<f64> = test.sample.weights.iter().map(|w| w * scale).collect();
    let whole = vec![Some(0); weights.len()];
    let cuts = cuts(options, validation, label)?;
    let places = places(options, &cuts, &test.events(label)?)?;
    let (base_places, base_count) = if options.baseline == INCLUSIVE {
        (whole.clone(), 1)
    } else {
        let cuts = self::cuts(options, validation, &options.baseline)?;
        (self::places(options, &cuts, &test.events(&options.baseline)?)?, cuts.len())
    };
    let search = Search { options, mass: mass(options, &test.sample.events)?, sample: test.sample };
    let start = resonance.expect(&search.simulated(&whole, 1, &weights)[0], None)?;
    let measure = |weights: &[f64]| -> fb_core::Result<Measured> {
        let spectra = search.simulated(&places, cuts.len(), weights);
        let edges = &spectra[0].signal.edges;
        let expected =
            spectra.iter().map(|s| resonance.expect(s, Some(&start))).collect::<fb_core::Result<Vec<_>>>()?;
        let base = search.simulated(&base_places, base_count, weights);
        let base = base.iter().map(|s| resonance.expect(s, Some(&start))).collect::<fb_core::Result<Vec<_>>>()?;
        Ok(Measured {
            each: resonance.significances(edges, &expected)?,
            baseline: norm(&resonance.significances(edges, &base)?),
            error: resonance.error(edges, &expected)?,
            expected,
            spectra,
        })
    };
    let central = measure(&weights)?;
    let bootstrap = Bootstrap::new(seed, replicas, &test.sample.identity);
    let found = evaluate_with(&weights, &bootstrap, workers, &|weights| Ok(measure(weights)?.numbers()))?;
    let [sensitivity, baseline, gain, luminosity_factor, strength_error] = std::array::from_fn(|i| found.values[i]);
    let edges = central.spectra[0].signal.edges.clone();
    let each = central.spectra.iter().zip(&central.expected).zip(found.values[5..].chunks_exact(3)).zip(&cuts);
    let categories = each.enumerate().map(|(k, (((spectra, expected), values), (region, cut)))| {
        let labels = places.iter().zip(&test.sample.labels).filter(|(place, _)| **place == Some(k)).map(|(_, l)| *l);
        let (signal, background): (Vec<u32>, Vec<u32>) = labels.partition(|l| *l == 1);
        let named = |shape: Shape, p: &[f64]| shape.parameters().iter().copied().zip(p.iter().copied()).collect();
        Category {
            cut: words(&options.region[*region], cut),
            signal: values[1],
            background: values[2],
            simulated: [signal.len(), background.len()],
            resolution: spectra.signal.peak().1,
            sensitivity: values[0],
            signal_shape: named(resonance.signal, &expected.signal),
            background_shape: named(resonance.background, &expected.background),
            spectra: Spectra { simulated: spectra.clone(), model: resonance.spectra(&edges, expected) },
        }
    });
    let categories = categories.collect();
    let toys = (options.toys > 0).then(|| toys_of(&resonance, &edges, &central.expected, options.toys, seed, workers));
    Ok(Analysis {
        method: label.to_owned(),
        sensitivity,
        baseline: Baseline { name: options.baseline.clone(), sensitivity: baseline },
        gain,
        luminosity_factor,
        strength_error,
        categories,
        toys,
        edges,
    })
}

/// What follows from a set of weights.
struct Measured {
    each: Vec<f64>,
    baseline: f64,
    error: f64,
    expected: Vec<Expected>,
    spectra: Vec<Simulated>,
}

impl Measured {
    /// Sensitivity, that of the baseline, gain, its square, error of μ; then sensitivity, signal and background of each
    /// category.
    fn numbers(&self) -> Vec<f64> {
        let all = norm(&self.each);
        let gain = all / self.baseline;
        let mut numbers = vec![all, self.baseline, gain, gain * gain, self.error];
        let sum = |h: &Histogram| h.contents.iter().sum::<f64>();
        for (z, spectra) in self.each.iter().zip(&self.spectra) {
            numbers.extend([*z, sum(&spectra.signal), sum(&spectra.background)]);
        }
        numbers
    }
}

fn norm(z: &[f64]) -> f64 {
    z.iter().map(|z| z * z).sum::<f64>().sqrt()
}

/// The test events as the fit sees them.
struct Search<'a> {
    options: &'a Options,
    mass: Vec<f64>,
    sample: &'a Sample,
}

impl Search<'_> {
    /// The spectra of each category.
    fn simulated(&self, places: &[Option<usize>], count: usize, weights: &[f64]) -> Vec<Simulated> {
        let [low, high] = self.options.window;
        let empty = || Histogram::uniform(self.options.bins, low, high);
        let mut spectra: Vec<Simulated> =
            (0..count).map(|_| Simulated { signal: empty(), background: empty() }).collect();
        for (i, place) in places.iter().enumerate() {
            if let Some(k) = place {
                let spectrum = &mut spectra[*k];
                let class = if self.sample.labels[i] == 1 { &mut spectrum.signal } else { &mut spectrum.background };
                class.fill(self.mass[i], weights[i]);
            }
        }
        spectra
    }
}

fn mass(options: &Options, events: &Events) -> Result<Vec<f64>> {
    finite_names(&options.mass, events)?;
    Ok(sparse(&options.mass, events, &[])?)
}

/// The region of each event.
fn regions(options: &Options, events: &Events) -> Result<Vec<Option<usize>>> {
    let mut region = vec![None; events.len()];
    for (k, r) in options.region.iter().enumerate() {
        let chosen = match &r.select {
            Some(cut) => select(cut, events)?,
            None => (0..events.len()).collect(),
        };
        for i in chosen {
            region[i].get_or_insert(k);
        }
    }
    Ok(region)
}

/// The categories that are best on these events.
fn cuts(options: &Options, scored: &Scored<'_>, label: &str) -> Result<Cuts> {
    let events = scored.events(label)?;
    let mass = mass(options, &events)?;
    let region = regions(options, &events)?;
    let [low, high] = options.window;
    let bin = |x: f64| ((x - low) / (high - low) * COARSE as f64) as usize;
    let mut found = Vec::new();
    for (k, r) in options.region.iter().enumerate() {
        let of: Vec<usize> =
            (0..events.len()).filter(|&i| region[i] == Some(k) && mass[i] >= low && mass[i] < high).collect();
        let weights: Vec<f64> = of.iter().map(|&i| scored.sample.weights[i]).collect();
        let mut variables = Vec::new();
        for text in &r.variables {
            let x = sparse(text, &events, &[])?;
            variables.push(of.iter().map(|&i| x[i]).collect());
        }
        let events = categories::Events {
            variables,
            signal: of.iter().map(|&i| scored.sample.labels[i] == 1).collect(),
            weights: &weights,
            bin: of.iter().map(|&i| bin(mass[i]).min(COARSE - 1)).collect(),
            bins: COARSE,
        };
        let wanted = categories::Options { count: r.count, min_background: r.min_background, min_gain: r.min_gain };
        found.extend(categorise(&events, wanted).into_iter().map(|cut| (k, cut)));
    }
    Ok(found)
}

/// The category of each event.
fn places(options: &Options, cuts: &Cuts, events: &Events) -> Result<Vec<Option<usize>>> {
    let region = regions(options, events)?;
    let mut variables = Vec::new();
    for r in &options.region {
        let of = r.variables.iter().map(|text| Ok(sparse(text, events, &[])?));
        variables.push(of.collect::<Result<Vec<_>>>()?);
    }
    let place = |i: usize| cuts.iter().position(|(k, cut)| region[i] == Some(*k) && cut.holds(&variables[*k], i));
    Ok((0..events.len()).map(place).collect())
}

fn words(region: &Region, cut: &categories::Region) -> String {
    let mut words: Vec<String> = region
        .variables
        .iter()
        .zip(&cut.0)
        .filter_map(|(name, (low, high))| match (low.is_finite(), high.is_finite()) {
            (false, false) => None,
            (true, false) => Some(format!("{name} ≥ {low:.4}")),
            (false, true) => Some(format!("{name} < {high:.4}")),
            (true, true) => Some(format!("{low:.4} ≤ {name} < {high:.4}")),
        })
        .collect();
    if words.is_empty() {
        words.push("all".to_owned());
    }
    let cut = words.join(", ");
    if region.name.is_empty() { cut } else { format!("{}: {cut}", region.name) }
}

fn toys_of(
    resonance: &Resonance,
    edges: &[f64],
    expected: &[Expected],
    toys: usize,
    seed: u64,
    workers: &dyn Workers,
) -> Toys {
    let found = resonance.toys(edges, expected, toys, seed, workers);
    let n = found.pulls.len() as f64;
    let mean = found.pulls.iter().sum::<f64>() / n;
    let width = (found.pulls.iter().map(|p| (p - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
    let share = |k: usize| {
        let p = found.covered.iter().filter(|c| c[k]).count() as f64 / n;
        Value::symmetric(p, (p * (1.0 - p) / n).sqrt())
    };
    Toys {
        converged: found.pulls.len(),
        failed: found.failed,
        pull_mean: Value::symmetric(mean, width / n.sqrt()),
        pull_width: Value::symmetric(width, width / (2.0 * n).sqrt()),
        coverage_68: share(0),
        coverage_95: share(1),
        pulls: found.pulls,
    }
}
