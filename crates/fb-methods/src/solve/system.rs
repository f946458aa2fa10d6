//! Equations and conditions at points, as residuals of the numbers that a trial function depends on.
//!
//! Every argument of an equation is a linear functional of the unknowns, Σ c D^α φ(p) + constant, or an integral, which is a sum
//! of integrands at the nodes of Gauss and Legendre. A [`Trial`] gives the derivatives of all unknowns at a point and their
//! gradient; with these the residuals and their Jacobian are exact.

use std::collections::HashMap;
use std::sync::Mutex;

use fb_core::{Error, Result, Workers};
use fb_nn::least_squares::Residuals;
use fb_nn::taylor::{MOST_VARIABLES, Order};
use fb_physics::calculus::Evaluator;

use super::ansatz::Ansatz;
use super::language::{Argument, Form, Place};
use super::points::Gauss;

/// Functions that depend on numbers.
pub(super) trait Trial: Sync {
    /// What is kept of a point.
    type State: Default + Send + Sync;
    /// How many numbers.
    fn parameters(&self) -> usize;
    /// The derivatives it gives.
    fn orders(&self) -> &[Order];
    /// The derivatives of each unknown at a point.
    fn jets(&self, parameters: &[f64], point: &[f64], state: &mut Self::State, jets: &mut [f64]);
    /// Adds the gradient of Σ seed·derivative in the numbers from `first` on.
    fn gradient(&self, parameters: &[f64], state: &Self::State, seeds: &[f64], first: usize, gradient: &mut [f64]);
}

/// Most points at which trial functions are taken.
const MOST_POINTS: usize = 120_000;
/// Most functionals of all rows together.
const MOST_PARTS: usize = 6_000_000;

/// An equation or condition at a point.
#[derive(Debug)]
pub(super) struct Row {
    sample: Sample,
    pub weight: f64,
    /// Which equation, or behind them which condition.
    pub group: usize,
}

/// A form at a point.
#[derive(Debug)]
struct Sample {
    form: usize,
    at: Vec<f64>,
    bound: Vec<Bound>,
}

#[derive(Debug)]
enum Bound {
    Linear { constant: f64, parts: Vec<Piece> },
    Integral(Vec<(f64, Sample)>),
    Eigenvalue,
}

/// factor · `jets[jet]` of a point.
#[derive(Debug, Clone, Copy)]
struct Piece {
    point: u32,
    jet: u32,
    factor: f64,
}

/// A residual, and what it is made of.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    /// F
    pub value: f64,
    /// Σ |∂F/∂a · a| over arguments a.
    pub terms: f64,
    /// Σ |∂F/∂a|
    pub slopes: f64,
}

/// Stands for the eigenvalue among the seeds.
const EIGENVALUE: u32 = u32::MAX;

/// Rows, and the points they need.
#[allow(clippy::struct_field_names, reason = "the rows of all rows")]
pub(super) struct Rows<'a> {
    forms: &'a [Form],
    ansatz: &'a Ansatz,
    orders: Vec<Order>,
    variables: usize,
    gauss: Gauss,
    known: HashMap<[u64; MOST_VARIABLES], u32>,
    points: Vec<[f64; MOST_VARIABLES]>,
    parts: usize,
    pub rows: Vec<Row>,
}

impl<'a> Rows<'a> {
    pub fn new(forms: &'a [Form], ansatz: &'a Ansatz, orders: &[Order], variables: usize, nodes: usize) -> Self {
        Self {
            forms,
            ansatz,
            orders: orders.to_vec(),
            variables,
            gauss: Gauss::new(nodes),
            known: HashMap::new(),
            points: Vec::new(),
            parts: 0,
            rows: Vec::new(),
        }
    }

    /// Adds a form at a point.
    pub fn push(&mut self, form: usize, at: &[f64], weight: f64, group: usize) -> Result<()> {
        let sample = self.sample(form, at)?;
        self.rows.push(Row { sample, weight, group });
        Ok(())
    }

    fn point(&mut self, at: &[f64; MOST_VARIABLES]) -> Result<u32> {
        let key = at.map(|x| (x + 0.0).to_bits());
        if let Some(&known) = self.known.get(&key) {
            return Ok(known);
        }
        let place = self.points.len() as u32;
        if self.points.len() >= MOST_POINTS {
            return Err(Error::Config {
                place: "network.points".to_owned(),
                reason: format!("equations and integrals need more than {MOST_POINTS} points; take fewer"),
            });
        }
        self.known.insert(key, place);
        self.points.push(*at);
        Ok(place)
    }

    fn sample(&mut self, form: usize, at: &[f64]) -> Result<Sample> {
        let mut bound = Vec::new();
        let forms = self.forms;
        for argument in &forms[form].arguments {
            bound.push(match argument {
                Argument::Eigenvalue => Bound::Eigenvalue,
                Argument::Value { unknown, order, place } => {
                    let mut p = [0.0; MOST_VARIABLES];
                    for (p, place) in p.iter_mut().zip(place) {
                        *p = match place {
                            Place::Coordinate(slot) => at[*slot],
                            Place::Constant(x) => *x,
                            Place::Formula(formula) => formula.evaluator().value(at),
                        };
                    }
                    if p.iter().any(|x| !x.is_finite()) {
                        return Err(Error::Model {
                            place: "solve.equations".to_owned(),
                            reason: format!(
                                "an unknown is taken at {:?}, expected finite numbers",
                                &p[..self.variables]
                            ),
                        });
                    }
                    let mut parts = Vec::new();
                    let (constant, terms) = self.ansatz.expand(*unknown, *order, &p);
                    for (factor, point, order) in terms {
                        let Some(jet) = self.orders.iter().position(|o| *o == order) else { continue };
                        let jet = (unknown * self.orders.len() + jet) as u32;
                        parts.push(Piece { point: self.point(&point)?, jet, factor });
                    }
                    self.parts += parts.len();
                    Bound::Linear { constant, parts }
                }
                Argument::Integral { low, high, inner } => {
                    let (low, high) = (low.evaluator().value(at), high.evaluator().value(at));
                    if !(low.is_finite() && high.is_finite()) {
                        return Err(Error::Model {
                            place: "solve.equations".to_owned(),
                            reason: format!("an integral goes from {low} to {high}, expected finite limits"),
                        });
                    }
                    let mut samples = Vec::new();
                    let mut deeper = at.to_vec();
                    deeper.push(0.0);
                    for (weight, t) in self.gauss.on(low, high) {
                        deeper[at.len()] = t;
                        samples.push((weight, self.sample(*inner, &deeper)?));
                    }
                    Bound::Integral(samples)
                }
            });
            if self.parts > MOST_PARTS {
                return Err(Error::Config {
                    place: "network.points".to_owned(),
                    reason: "too many points with integrals in integrals; take fewer".to_owned(),
                });
            }
        }
        Ok(Sample { form, at: at.to_vec(), bound })
    }
}

/// Rows of a trial function: residuals of its numbers from `first` on (behind them the eigenvalue, if there is one).
pub(super) struct System<'a, T: Trial> {
    pub rows: &'a Rows<'a>,
    pub trial: &'a T,
    pub workers: &'a dyn Workers,
    /// All numbers of the trial function, then the eigenvalue if there is one.
    pub base: Vec<f64>,
    pub first: usize,
    /// Whether the eigenvalue is among what is varied.
    pub free_eigenvalue: bool,
    /// The numbers themselves are residuals with this weight, so that they stay small where the equations leave them free.
    pub ridge: f64,
}

/// The jets at all points.
struct Evaluated<S> {
    jets: Vec<f64>,
    states: Vec<Vec<S>>,
    eigenvalue: f64,
}

/// A stretch of the jets, and what is kept of its points.
type Points<'a, S> = Mutex<(&'a mut [f64], Vec<S>)>;
/// A stretch of the residuals, and of their derivatives if they are asked for.
type Stretch<'a> = Mutex<(&'a mut [f64], Option<&'a mut [f64]>)>;

const CHUNK: usize = 32;

impl<T: Trial> System<'_, T> {
    /// How many numbers are varied.
    pub fn columns(&self) -> usize {
        self.trial.parameters() - self.first + usize::from(self.free_eigenvalue)
    }

    /// What is varied, at first.
    pub fn start(&self) -> Vec<f64> {
        self.base[self.first..][..self.columns()].to_vec()
    }

    /// All numbers, with these.
    pub fn full(&self, x: &[f64]) -> Vec<f64> {
        let mut full = self.base.clone();
        full[self.first..][..x.len()].copy_from_slice(x);
        full
    }

    fn size(&self) -> usize {
        let orders = self.trial.orders().len();
        orders * self.rows.ansatz.unknowns()
    }

    fn evaluate(&self, full: &[f64]) -> Evaluated<T::State> {
        let (points, size) = (&self.rows.points, self.size());
        let mut jets = vec![0.0; points.len() * size];
        let chunks: Vec<Points<T::State>> =
            jets.chunks_mut(CHUNK * size).map(|slab| Mutex::new((slab, Vec::new()))).collect();
        self.workers.for_each(chunks.len(), &|c| {
            let Ok(mut chunk) = chunks[c].lock() else { return };
            let (slab, states) = &mut *chunk;
            for (point, jets) in points[c * CHUNK..].iter().zip(slab.chunks_mut(size)) {
                let mut state = T::State::default();
                self.trial.jets(full, &point[..self.rows.variables], &mut state, jets);
                states.push(state);
            }
        });
        let states = chunks.into_iter().map(|chunk| chunk.into_inner().map(|c| c.1).unwrap_or_default()).collect();
        let eigenvalue = full.get(self.trial.parameters()).copied().unwrap_or(0.0);
        Evaluated { jets, states, eigenvalue }
    }

    /// The unweighted residuals and their sizes.
    pub fn report(&self, x: &[f64]) -> Vec<Seen> {
        let found = self.evaluate(&self.full(x));
        let mut evaluators: Vec<Evaluator> = self.rows.forms.iter().map(|f| f.formula.evaluator()).collect();
        let mut seen = Vec::with_capacity(self.rows.rows.len());
        for row in &self.rows.rows {
            let mut size = Seen::default();
            size.value = linearise(&row.sample, &found, self.size(), &mut evaluators, &mut Vec::new(), &mut size);
            seen.push(size);
        }
        seen
    }

    /// The weighted residuals and, if asked for, their derivatives, in chunks on all threads.
    fn sweep(&self, full: &[f64], values: &mut [f64], mut jacobian: Option<&mut [f64]>) {
        let found = self.evaluate(full);
        let (rows, size, width) = (&self.rows.rows, self.size(), self.columns());
        let slabs: Vec<Option<&mut [f64]>> = match &mut jacobian {
            Some(jacobian) => jacobian.chunks_mut(CHUNK * width).map(Some).collect(),
            None => values.chunks(CHUNK).map(|_| None).collect(),
        };
        let tasks: Vec<Stretch> = values.chunks_mut(CHUNK).zip(slabs).map(Mutex::new).collect();
        self.workers.for_each(tasks.len(), &|c| {
            let Ok(mut task) = tasks[c].lock() else { return };
            let (values, slab) = &mut *task;
            let mut evaluators: Vec<Evaluator> = self.rows.forms.iter().map(|f| f.formula.evaluator()).collect();
            let (mut seeds, mut dense) = (Vec::new(), vec![0.0; size]);
            for (i, row) in rows[c * CHUNK..].iter().take(values.len()).enumerate() {
                seeds.clear();
                let mut seen = Seen::default();
                let value = linearise(&row.sample, &found, size, &mut evaluators, &mut seeds, &mut seen);
                values[i] = row.weight * value;
                let Some(slab) = slab else { continue };
                let gradient = &mut slab[i * width..][..width];
                gradient.fill(0.0);
                seeds.sort_unstable_by_key(|(point, jet, _)| (*point, *jet));
                for group in seeds.chunk_by(|a, b| a.0 == b.0) {
                    let point = group[0].0;
                    if point == EIGENVALUE {
                        if self.free_eigenvalue {
                            gradient[width - 1] += row.weight * group.iter().map(|(.., seed)| seed).sum::<f64>();
                        }
                        continue;
                    }
                    dense.fill(0.0);
                    for (_, jet, seed) in group {
                        dense[*jet as usize] += row.weight * seed;
                    }
                    let state = &found.states[point as usize / CHUNK][point as usize % CHUNK];
                    self.trial.gradient(full, state, &dense, self.first, gradient);
                }
            }
        });
    }
}

/// The value of a form at a point; the seeds are its derivatives by jets (point, jet, derivative).
fn linearise<S>(
    sample: &Sample,
    found: &Evaluated<S>,
    size: usize,
    evaluators: &mut [Evaluator],
    seeds: &mut Vec<(u32, u32, f64)>,
    seen: &mut Seen,
) -> f64 {
    let mut inputs = sample.at.clone();
    let begin = seeds.len();
    let mut ends = Vec::with_capacity(sample.bound.len());
    for bound in &sample.bound {
        inputs.push(match bound {
            Bound::Eigenvalue => {
                seeds.push((EIGENVALUE, 0, 1.0));
                found.eigenvalue
            }
            Bound::Linear { constant, parts } => {
                seeds.extend(parts.iter().map(|part| (part.point, part.jet, part.factor)));
                let value = |part: &Piece| part.factor * found.jets[part.point as usize * size + part.jet as usize];
                constant + parts.iter().map(value).sum::<f64>()
            }
            Bound::Integral(samples) => {
                let mut sum = 0.0;
                for (weight, inner) in samples {
                    let from = seeds.len();
                    sum += weight * linearise(inner, found, size, evaluators, seeds, &mut Seen::default());
                    for seed in &mut seeds[from..] {
                        seed.2 *= weight;
                    }
                }
                sum
            }
        });
        ends.push(seeds.len());
    }
    let evaluator = &mut evaluators[sample.form];
    let value = evaluator.first(&inputs);
    let slopes = &evaluator.gradient()[sample.at.len()..];
    let mut from = begin;
    for ((end, slope), argument) in ends.into_iter().zip(slopes).zip(&inputs[sample.at.len()..]) {
        for seed in &mut seeds[from..end] {
            seed.2 *= slope;
        }
        seen.terms += (slope * argument).abs();
        seen.slopes += slope.abs();
        from = end;
    }
    value
}

impl<T: Trial> Residuals for System<'_, T> {
    fn rows(&self) -> usize {
        self.rows.rows.len() + if self.ridge > 0.0 { self.columns() } else { 0 }
    }

    fn values(&self, x: &[f64], values: &mut [f64]) {
        let (own, rest) = values.split_at_mut(self.rows.rows.len());
        rest.iter_mut().zip(x).for_each(|(value, x)| *value = self.ridge * x);
        self.sweep(&self.full(x), own, None);
    }

    fn jacobian(&self, x: &[f64], values: &mut [f64], jacobian: &mut [f64]) {
        let (own, rest) = values.split_at_mut(self.rows.rows.len());
        rest.iter_mut().zip(x).for_each(|(value, x)| *value = self.ridge * x);
        let (rows, diagonal) = jacobian.split_at_mut(own.len() * x.len());
        diagonal.fill(0.0);
        diagonal.chunks_exact_mut(x.len()).enumerate().for_each(|(i, row)| row[i] = self.ridge);
        self.sweep(&self.full(x), own, Some(rows));
    }
}
