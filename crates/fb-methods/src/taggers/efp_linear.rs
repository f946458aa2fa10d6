//! Linear classifier on energy-flow polynomials (arXiv:1712.07124, Komiske, Metodiev, Thaler).
//!
//! Sees all polynomials of up to `degree` edges, EFP_G = Σ z_{i₁} … z_{i_N} Π_{(k, l) ∈ G} θ_{i_k i_l}^β, standardised; they
//! span every infrared- and collinear-safe observable, so a linear combination of them is a tagger. 1000 of them for degree 7.
//!
//! Fisher's linear discriminant in closed form and double precision: with the means μ_k of the classes, their shares π_k and the covariance S within
//! the classes, weighted with the signs of the weights, δ_k(x) = μ_kᵀ(S + λ)⁻¹x − ½ μ_kᵀ(S + λ)⁻¹μ_k + ln π_k. The polynomials
//! are nearly dependent: λ is `ridge` times the largest eigenvalue of S. Probabilities are softmax(a·δ_k + b_k) with the scale a and offsets b_k of the largest
//! likelihood on the validation part: for two classes a logistic fit in one dimension.

use fb_core::{
    Artifact, Card, Error, Events, Fitted, Input, Method, Paper, Promise, Result, Run, Sample, Scores, Status, Task,
    Tensor, Workers,
};
use fb_physics::features::{fit, numbers_of, observables};
use fb_statistics::matrix::{Matrix, dot};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::{Mutex, PoisonError};

use super::COLLECTION;
use crate::forest::{check, count};
use crate::neural::{BLOCK, check_sample, classes, shift};
use crate::weights::{self, NegativeWeights, Normalise};

/// Options of the linear classifier on energy-flow polynomials.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Most edges of a polynomial, 0 to 7.
    pub degree: usize,
    /// β, the power of the distance.
    pub beta: f64,
    /// What is added to the diagonal of the covariance, in units of its largest eigenvalue.
    pub ridge: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { degree: 7, beta: 0.5, ridge: 1e-6 }
    }
}

/// Linear classifier on energy-flow polynomials.
pub struct EfpLinear;

/// Standardised polynomials of events.
struct Columns {
    events: usize,
    columns: Vec<Vec<f64>>,
}

impl Columns {
    /// With the centres and scales of `input`, which are fitted.
    fn new(input: &Input, events: &Events) -> Result<Self> {
        let Input::Observables { collection, set, center, scale } = input else {
            return Err(Error::Artifact { reason: "it sees no observables".to_owned() });
        };
        let mut columns = observables(events, collection, set)?;
        if [center.len(), scale.len()] != [columns.len(); 2] {
            return Err(Error::Artifact { reason: "centres or scales are missing".to_owned() });
        }
        for (column, (c, s)) in columns.iter_mut().zip(center.iter().zip(scale)) {
            // A jet without particles has no polynomial but the first.
            for x in column.iter_mut() {
                *x = if x.is_finite() { ((*x - c) * s).clamp(-BOUND, BOUND) } else { 0.0 };
            }
        }
        Ok(Self { events: events.len(), columns })
    }

    /// Σ_j w_j x_j for each event.
    fn combine(&self, weights: &[f64]) -> Vec<f64> {
        let mut sums = vec![0.0; self.events];
        for (column, w) in self.columns.iter().zip(weights) {
            sums.iter_mut().zip(column).for_each(|(sum, x)| *sum += w * x);
        }
        sums
    }
}

/// Standard deviations beyond which a polynomial counts as this many.
const BOUND: f64 = 8.0;

/// The covariance within the classes.
fn covariance(seen: &Columns, labels: &[u32], weights: &[f64], means: &[Vec<f64>], workers: &dyn Workers) -> Matrix {
    let n = seen.columns.len();
    let centred = |j: usize| {
        let own = seen.columns[j].iter().zip(labels);
        own.map(|(x, &label)| x - means[label as usize][j]).collect::<Vec<f64>>()
    };
    let centred: Vec<Vec<f64>> = (0..n).map(centred).collect();
    let total: f64 = weights.iter().sum();
    let rows: Vec<Mutex<Vec<f64>>> = (0..n).map(|_| Mutex::default()).collect();
    workers.for_each(n, &|i| {
        let weighted: Vec<f64> = centred[i].iter().zip(weights).map(|(x, w)| x * w / total).collect();
        let row = centred[..=i].iter().map(|other| dot(&weighted, other)).collect();
        *rows[i].lock().unwrap_or_else(PoisonError::into_inner) = row;
    });
    let mut matrix = Matrix::zeros(n);
    for (i, row) in rows.into_iter().enumerate() {
        for (j, x) in row.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().enumerate() {
            matrix.row_mut(i)[j] = x;
            matrix.row_mut(j)[i] = x;
        }
    }
    matrix
}

/// The largest eigenvalue in size, by powers of the matrix.
fn largest_eigenvalue(matrix: &Matrix) -> f64 {
    let n = matrix.size();
    let (mut vector, mut value) = (vec![1.0 / (n as f64).sqrt(); n], 0.0);
    for _ in 0..100 {
        let next = matrix.times(&vector);
        let length = dot(&next, &next).sqrt();
        if length == 0.0 {
            break;
        }
        vector = next.into_iter().map(|x| x / length).collect();
        if (length - value).abs() <= 1e-6 * length {
            value = length;
            break;
        }
        value = length;
    }
    value
}

/// Weight of the prior about a = 1 and b = 0 against that of the events.
const PRIOR: f64 = 1e-5;

/// Scale a and offsets b_k, b_0 = 0, of the largest weighted likelihood of softmax(a·δ_k + b_k), by Newton's method.
fn calibrate(deltas: &[Vec<f64>], labels: &[u32], weights: &[f64]) -> Vec<f64> {
    let classes = deltas.len();
    let mut found = vec![0.0; classes];
    found[0] = 1.0;
    for _ in 0..50 {
        let (mut gradient, mut curvature) = (vec![0.0; classes], Matrix::zeros(classes));
        for (i, (&label, &w)) in labels.iter().zip(weights).enumerate() {
            let delta: Vec<f64> = deltas.iter().map(|d| d[i]).collect();
            let p = softmax(&delta, &found);
            let mean = dot(&p, &delta);
            gradient[0] += w * (delta[label as usize] - mean);
            let own = |k: usize| if k == 0 { 0.0 } else { p[k] };
            let square: f64 = p.iter().zip(&delta).map(|(p, d)| p * (d - mean) * (d - mean)).sum();
            curvature.row_mut(0)[0] += w * square;
            for k in 1..classes {
                gradient[k] += w * (f64::from(u8::from(label as usize == k)) - p[k]);
                let mixed = w * p[k] * (delta[k] - mean);
                curvature.row_mut(0)[k] += mixed;
                curvature.row_mut(k)[0] += mixed;
                for l in 1..classes {
                    let same = if k == l { p[k] } else { 0.0 };
                    curvature.row_mut(k)[l] += w * (same - own(k) * own(l));
                }
            }
        }
        // A prior about a = 1 and b = 0 keeps both finite where classes are told apart without error.
        let total: f64 = weights.iter().sum();
        for k in 0..classes {
            curvature.row_mut(k)[k] += PRIOR * total;
            gradient[k] -= PRIOR * total * (found[k] - f64::from(u8::from(k == 0)));
        }
        let Some(factor) = curvature.cholesky() else { break };
        let step = factor.solve(&gradient);
        let longest = step.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
        // Far from the maximum a whole step may lead away.
        let share = 1.0 / longest.max(1.0);
        found.iter_mut().zip(&step).for_each(|(x, s)| *x += share * s);
        if longest < 1e-10 {
            break;
        }
    }
    found
}

/// Probabilities of softmax(a·δ_k + b_k).
fn softmax(delta: &[f64], calibration: &[f64]) -> Vec<f64> {
    let offset = |k: usize| if k == 0 { 0.0 } else { calibration[k] };
    let logits: Vec<f64> = delta.iter().enumerate().map(|(k, d)| calibration[0] * d + offset(k)).collect();
    let most = logits.iter().fold(f64::NEG_INFINITY, |m, &x| m.max(x));
    let sum: f64 = logits.iter().map(|x| (x - most).exp()).sum();
    logits.into_iter().map(|x| (x - most).exp() / sum).collect()
}

impl Config {
    fn check(&self) -> Result<()> {
        count("degree", self.degree, 0..=7)?;
        check("beta", self.beta, self.beta > 0.0 && self.beta <= 10.0, "a power up to 10")?;
        check("ridge", self.ridge, self.ridge >= 0.0 && self.ridge <= 1e6, "zero or a positive number")
    }
}

impl Method for EfpLinear {
    const CARD: Card = Card {
        name: "efp_linear",
        title: "Linear classifier on energy-flow polynomials",
        tasks: &[Task::Classify],
        input: "observables of a jet",
        promises: &[Promise::PermutationInvariant],
        paper: Paper { authors: "Komiske, Metodiev, Thaler", arxiv: "1712.07124" },
        status: Status::Experimental,
        parameters: Some(1_001),
        known_failures: &[],
    };
    type Config = Config;
    type Fitted = FittedFisher;

    fn input(config: &Config) -> Result<Input> {
        config.check()?;
        let set = format!("efp(d<={}, beta={})", config.degree, config.beta);
        Ok(Input::Observables { collection: COLLECTION.to_owned(), set, center: Vec::new(), scale: Vec::new() })
    }

    fn fit(config: &Config, train: &Sample, validation: &Sample, run: &mut Run<'_>) -> Result<FittedFisher> {
        let input = Self::input(config)?;
        let classes = classes(train);
        check_sample(train, validation, classes)?;
        let weights = weights::treated(NegativeWeights::Keep, Normalise::None, train, Some(classes))?;
        let input = fit(&input, &train.events, &weights)?;
        let unseen = Columns::new(&input, &validation.events)?;
        let seen = Columns::new(&input, &train.events)?;
        let sums = |f: &dyn Fn(usize) -> f64, class: usize| {
            let own = (0..train.len()).filter(|&i| train.labels[i] as usize == class);
            own.map(|i| weights[i] * f(i)).sum::<f64>()
        };
        let totals: Vec<f64> = (0..classes).map(|k| sums(&|_| 1.0, k)).collect();
        let mean = |k: usize| -> Vec<f64> { seen.columns.iter().map(|x| sums(&|i| x[i], k) / totals[k]).collect() };
        let means: Vec<Vec<f64>> = (0..classes).map(mean).collect();
        let covariance = covariance(&seen, &train.labels, &weights, &means, run.workers);
        let largest = largest_eigenvalue(&covariance);
        let all: f64 = totals.iter().sum();
        // The polynomials have variance one: without any within the classes (an event of each), what is left is rounding.
        let mut ridge = if largest > 1e-20 { config.ridge * largest } else { 1.0 };
        let factor = loop {
            let mut matrix = covariance.clone();
            for i in 0..matrix.size() {
                matrix.row_mut(i)[i] += ridge;
            }
            if let Some(factor) = matrix.cholesky() {
                break factor;
            }
            // Not positive after rounding, or with signed weights.
            ridge = if ridge > 0.0 { 10.0 * ridge } else { 1e-12 * largest };
            if !ridge.is_finite() {
                let reason = "the covariance of the polynomials is not finite".to_owned();
                return Err(Error::Config { place: "method `efp_linear`".to_owned(), reason });
            }
        };
        let (mut directions, mut offsets) = (Vec::new(), Vec::new());
        for (mean, total) in means.iter().zip(&totals) {
            let direction = factor.solve(mean);
            offsets.push((total / all).ln() - 0.5 * dot(&direction, mean));
            directions.push(direction);
        }
        let mut fitted = FittedFisher { config: config.clone(), input, directions, offsets, calibration: Vec::new() };
        // The directions know the training part by heart, so the scale is taken from the other one, if it has all classes.
        let has = |k: u32| {
            validation.labels.iter().zip(&validation.weights).filter(|(l, _)| **l == k).map(|(_, w)| w).sum::<f64>()
                > 0.0
        };
        fitted.calibration = if (0..classes as u32).all(has) {
            calibrate(&fitted.deltas(&unseen), &validation.labels, &validation.weights)
        } else {
            calibrate(&fitted.deltas(&seen), &train.labels, &weights)
        };
        Ok(fitted)
    }

    fn load(artifact: &Artifact) -> Result<FittedFisher> {
        let broken = |reason: String| Error::Artifact { reason };
        let read = |key: &str| artifact.header[key].clone();
        let config: Config = serde_json::from_value(read("config")).map_err(|e| broken(format!("`config`: {e}")))?;
        let input: Input = serde_json::from_value(read("input")).map_err(|e| broken(format!("`input`: {e}")))?;
        let Input::Observables { set, .. } = &input else { return Err(broken("it sees no observables".to_owned())) };
        let width = numbers_of(set)?;
        let offsets = artifact.double("offsets")?.to_vec();
        let directions: Vec<Vec<f64>> =
            artifact.double("directions")?.chunks_exact(width.max(1)).map(<[f64]>::to_vec).collect();
        let calibration = artifact.double("calibration")?.to_vec();
        if offsets.len() < 2 || [directions.len(), calibration.len()] != [offsets.len(); 2] {
            return Err(broken("its numbers do not fit together".to_owned()));
        }
        Ok(FittedFisher { config, input, directions, offsets, calibration })
    }
}

/// A trained discriminant.
pub struct FittedFisher {
    config: Config,
    input: Input,
    /// (S + λ)⁻¹μ_k
    directions: Vec<Vec<f64>>,
    offsets: Vec<f64>,
    /// a, b₁, b₂, …
    calibration: Vec<f64>,
}

impl FittedFisher {
    /// δ_k of each event.
    fn deltas(&self, seen: &Columns) -> Vec<Vec<f64>> {
        let of_class =
            |(direction, offset): (&Vec<f64>, &f64)| seen.combine(direction).into_iter().map(|x| x + offset).collect();
        self.directions.iter().zip(&self.offsets).map(of_class).collect()
    }
}

impl Fitted for FittedFisher {
    fn scores(&self, events: &Events, _: &dyn Workers) -> Result<Scores> {
        let classes = self.offsets.len();
        let mut values = Vec::with_capacity(events.len() * classes);
        for start in (0..events.len()).step_by(BLOCK) {
            let block: Vec<usize> = (start..(start + BLOCK).min(events.len())).collect();
            let seen = Columns::new(&self.input, &events.take(&block)).map_err(|e| shift(e, start))?;
            let deltas = self.deltas(&seen);
            for i in 0..block.len() {
                let delta: Vec<f64> = deltas.iter().map(|d| d[i]).collect();
                values.extend(softmax(&delta, &self.calibration).into_iter().map(|p| p as f32));
            }
        }
        Ok(Scores { classes, values })
    }

    fn artifact(&self) -> Result<Artifact> {
        let header = json!({"method": EfpLinear::CARD.name, "config": self.config, "input": self.input});
        let block = |name: &str, shape: Vec<usize>, values: Vec<f64>| Tensor { name: name.to_owned(), shape, values };
        let (classes, width) = (self.offsets.len(), self.directions[0].len());
        let doubles = vec![
            block("directions", vec![classes, width], self.directions.concat()),
            block("offsets", vec![classes], self.offsets.clone()),
            block("calibration", vec![classes], self.calibration.clone()),
        ];
        Ok(Artifact { header, tensors: Vec::new(), doubles })
    }

    /// A weight for each polynomial and an offset, for each class but one.
    fn parameters(&self) -> usize {
        (self.offsets.len() - 1) * (self.directions[0].len() + 1)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use fb_core::Philox;
    use fb_core::run::Alone;

    use super::*;

    /// Two normal classes of one covariance, which the discriminant tells apart best: δ₁ − δ₀ is the logarithm of the ratio
    /// of their densities.
    #[test]
    fn the_discriminant_of_normal_classes_is_their_likelihood_ratio() {
        let n = 40_000;
        let (mut columns, mut labels) = (vec![Vec::new(); 2], Vec::new());
        for i in 0..n {
            let mut random = Philox::new(3, 0, i as u64);
            let label = i as u32 % 2;
            let (u, v) = (random.normal(), random.normal());
            columns[0].push(u + f64::from(label));
            columns[1].push(0.6 * u + 0.8 * v);
            labels.push(label);
        }
        let (seen, weights) = (Columns { events: n, columns }, vec![0.7; n]);
        let means = vec![vec![0.0, 0.0], vec![1.0, 0.0]];
        let matrix = covariance(&seen, &labels, &weights, &means, &Alone);
        for (i, expected) in [1.0, 0.6, 0.6, 1.0].into_iter().enumerate() {
            assert!((matrix.row(i / 2)[i % 2] - expected).abs() < 0.02, "{matrix:?}");
        }
        assert!((largest_eigenvalue(&matrix) - 1.6).abs() < 0.03);
        // S⁻¹ (1, 0) = (1, −0.6)/0.64
        let direction = matrix.cholesky().unwrap().solve(&means[1]);
        assert!((direction[0] - 1.5625).abs() < 0.04 && (direction[1] + 0.9375).abs() < 0.04, "{direction:?}");
        // Wrong in scale and offset on purpose: the calibration finds both again.
        let ratio: Vec<f64> = seen.combine(&direction).iter().map(|x| 0.5 * (x - 0.5 * direction[0]) + 3.0).collect();
        let found = calibrate(&[vec![0.0; n], ratio], &labels, &weights);
        assert!((found[0] - 2.0).abs() < 0.05 && (found[1] + 6.0).abs() < 0.15, "{found:?}");
    }
}
