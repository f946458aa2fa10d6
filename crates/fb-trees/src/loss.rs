//! What a forest minimises: gradients and hessians with respect to its outputs.
//!
//! A signed weight multiplies loss, gradient and hessian of its event. Where negative weights take the sum of hessians in
//! a node to zero or below, the node is not parted further and its leaf is zero (see `docs/trees.md`).

use std::ops::Range;

use crate::forest::{Link, sigmoid};
use crate::grow::leaf_sums;
use crate::histogram::Pair;
use fb_core::run::Alone;

/// The events of a sample, as an objective sees them.
#[derive(Debug, Clone, Copy)]
pub struct Targets<'a> {
    /// Class of each event, or what is to be predicted of it: one target of all events after the other.
    pub targets: &'a [f32],
    /// Signed weight.
    pub weights: &'a [f32],
}

impl<'a> Targets<'a> {
    /// Number of events.
    pub fn len(self) -> usize {
        self.weights.len()
    }

    /// Whether there are no events.
    pub fn is_empty(self) -> bool {
        self.weights.is_empty()
    }

    /// Targets of an event.
    pub fn width(self) -> usize {
        self.targets.len() / self.len().max(1)
    }

    /// Target `k` of all events, or the only one there is.
    pub fn column(self, k: usize) -> &'a [f32] {
        let from = if self.width() > 1 { k * self.len() } else { 0 };
        &self.targets[from..][..self.len()]
    }

    /// What output `k` learns from the rows of a range.
    pub(crate) fn of(self, k: usize, rows: Range<usize>) -> Self {
        Self { targets: &self.column(k)[rows.clone()], weights: &self.weights[rows] }
    }
}

/// An objective. Anything that gives gradients is one; the usual ones are [`Loss`].
pub trait Objective: Sync {
    /// Number of outputs of an event.
    fn outputs(&self) -> usize;
    /// How outputs become scores.
    fn link(&self) -> Link;
    /// Where the outputs begin.
    fn base(&self, sample: Targets<'_>) -> Vec<f64>;
    /// Looks at all outputs before a round, for objectives that compare events with each other.
    fn prepare(&mut self, _outputs: &[Vec<f32>]) {}
    /// Gradient and hessian with respect to output `k`, for the rows from `first` on; `outputs[k][i]` is of row first + i.
    /// Where events have several targets, `sample` has those of output `k`.
    fn gradients(&self, k: usize, first: usize, outputs: &[&[f32]], sample: Targets<'_>, out: &mut [Pair]);
    /// Loss of one event of weight one.
    fn loss(&self, outputs: &[f32], targets: &[f32]) -> f64;
    /// The quantile of the residuals that leaves take, where they do not take −G/(H + λ).
    fn leaf_quantile(&self) -> Option<f64> {
        None
    }
}

/// The usual objectives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loss {
    /// ln(1 + e^−yF), y = ±1: two classes.
    Logistic,
    /// −ln softmax(F)_y: several classes, a tree for each in every round.
    Softmax(usize),
    /// The logistic loss of each class against the rest.
    OneVsRest(usize),
    /// e^−yF, y = ±1.
    Exponential,
    /// The sum over so many targets y of a function of r = F − y.
    Regression(Residual, usize),
}

/// What a regression minimises, for one target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Residual {
    /// ½ (F − y)².
    Squared,
    /// ½ r² for |r| < δ, else δ (|r| − ½ δ).
    Huber(f64),
    /// max(α r, (α − 1) r) with r = y − F; leaves are quantiles of residuals.
    Quantile(f64),
    /// e^F − y F: rates.
    Poisson,
    /// Between Poisson (1) and gamma (2), with logarithmic link.
    Tweedie(f64),
}

impl Residual {
    fn base(self, sample: Targets<'_>) -> f64 {
        let median = |alpha| {
            let pairs = sample.targets.iter().copied().zip(sample.weights.iter().copied());
            quantile(&mut pairs.collect::<Vec<_>>(), alpha)
        };
        match self {
            Self::Huber(_) => median(0.5),
            Self::Quantile(alpha) => median(alpha),
            Self::Squared | Self::Poisson | Self::Tweedie(_) => {
                let [y, w] = weighted_sums(sample, |y| y);
                if self == Self::Squared { y / w } else { (y / w).max(1e-12).ln() }
            }
        }
    }

    /// Gradient and hessian of an event of weight one.
    #[inline]
    fn gradient(self, f: f32, y: f32) -> Pair {
        match self {
            Self::Squared => [f - y, 1.0],
            Self::Huber(delta) => [(f - y).clamp(-delta as f32, delta as f32), 1.0],
            Self::Quantile(alpha) => [if y > f { -alpha as f32 } else { 1.0 - alpha as f32 }, 1.0],
            Self::Poisson => [exp(f) - y, exp(f)],
            Self::Tweedie(p) => {
                let (a, b) = ((1.0 - p) as f32, (2.0 - p) as f32);
                let (ea, eb) = (exp(a * f), exp(b * f));
                [eb - y * ea, b * eb - a * y * ea]
            }
        }
    }

    fn loss(self, f: f64, y: f64) -> f64 {
        match self {
            Self::Squared => 0.5 * (f - y).powi(2),
            Self::Huber(delta) => {
                let r = (f - y).abs();
                if r < delta { 0.5 * r * r } else { delta * (r - 0.5 * delta) }
            }
            Self::Quantile(alpha) => (alpha * (y - f)).max((alpha - 1.0) * (y - f)),
            Self::Poisson => f.exp() - y * f,
            Self::Tweedie(p) => ((2.0 - p) * f).exp() / (2.0 - p) - y * ((1.0 - p) * f).exp() / (1.0 - p),
        }
    }
}

/// e^x to 2·10⁻⁷, in operations that compilers turn into vector code; bounded so that it is finite.
fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.0, 87.0);
    // Adding and taking away 1.5·2²³ rounds to a whole number.
    let shifted = x * std::f32::consts::LOG2_E + 12_582_912.0;
    let n = shifted - 12_582_912.0;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let series = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0];
    let p = series.iter().fold(1.0 / 5040.0, |sum: f32, c| sum * r + c) * r + 1.0;
    let power = shifted.to_bits().wrapping_sub(0x4b40_0000).wrapping_add(127) << 23;
    p * f32::from_bits(power)
}

/// 1 / (1 + e^−x).
fn logistic(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Hessians below this would let leaves grow without bounds.
const LEAST_HESSIAN: f32 = 1e-16;
/// Margins of the exponential loss are bounded here.
const LARGEST_EXPONENT: f32 = 20.0;

/// Sums of w·f(y) and w, in an order that does not matter.
fn weighted_sums(sample: Targets<'_>, f: impl Fn(f32) -> f32) -> [f64; 2] {
    let pairs: Vec<Pair> = sample.targets.iter().zip(sample.weights).map(|(&y, &w)| [w * f(y), w]).collect();
    let order: Vec<u32> = (0..pairs.len() as u32).collect();
    leaf_sums(&order, &[(0, 0..order.len())], &pairs, &Alone)[0]
}

/// A share that has a logarithm.
fn share([part, all]: [f64; 2]) -> f64 {
    (part / all).clamp(1e-6, 1.0 - 1e-6)
}

/// The weighted quantile of values: the smallest one below which, with itself, there is at least `alpha` of the weight.
pub(crate) fn quantile(values: &mut [(f32, f32)], alpha: f64) -> f64 {
    values.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let total: f64 = values.iter().map(|v| f64::from(v.1.max(0.0))).sum();
    let mut sum = 0.0;
    for (x, w) in values.iter() {
        sum += f64::from(w.max(0.0));
        if sum >= alpha * total {
            return f64::from(*x);
        }
    }
    values.last().map_or(0.0, |v| f64::from(v.0))
}

impl Objective for Loss {
    fn outputs(&self) -> usize {
        match self {
            Self::Softmax(classes) | Self::OneVsRest(classes) => *classes,
            Self::Regression(_, targets) => *targets,
            _ => 1,
        }
    }

    fn link(&self) -> Link {
        match self {
            // The minimum of the exponential loss is half the logarithm of the odds; its trees count twice at the end.
            Self::Logistic | Self::Exponential => Link::Logistic,
            Self::Softmax(_) => Link::Softmax,
            Self::OneVsRest(_) => Link::OneVsRest,
            Self::Regression(Residual::Poisson | Residual::Tweedie(_), _) => Link::Exp,
            Self::Regression(..) => Link::Identity,
        }
    }

    fn base(&self, sample: Targets<'_>) -> Vec<f64> {
        let odds = |class: f32| {
            let p = share(weighted_sums(sample, |y| f32::from(y == class)));
            (p / (1.0 - p)).ln()
        };
        match *self {
            Self::Logistic => vec![odds(1.0)],
            Self::Exponential => vec![0.5 * odds(1.0)],
            Self::OneVsRest(classes) => (0..classes).map(|k| odds(k as f32)).collect(),
            Self::Regression(residual, targets) => {
                (0..targets).map(|k| residual.base(sample.of(k, 0..sample.len()))).collect()
            }
            Self::Softmax(classes) => {
                (0..classes).map(|k| share(weighted_sums(sample, |y| f32::from(y == k as f32))).ln()).collect()
            }
        }
    }

    fn gradients(&self, k: usize, _: usize, outputs: &[&[f32]], sample: Targets<'_>, out: &mut [Pair]) {
        let rows = out.iter_mut().zip(outputs[k]).zip(sample.targets.iter().zip(sample.weights));
        let binary = |f: f32, is: bool, w: f32| {
            let p = logistic(f);
            [w * (p - f32::from(is)), w * (p * (1.0 - p)).max(LEAST_HESSIAN)]
        };
        match *self {
            Self::Logistic => rows.for_each(|((out, &f), (&y, &w))| *out = binary(f, y == 1.0, w)),
            Self::OneVsRest(_) => rows.for_each(|((out, &f), (&y, &w))| *out = binary(f, y == k as f32, w)),
            Self::Softmax(classes) => {
                for (i, ((out, &f), (&y, &w))) in rows.enumerate() {
                    let largest = outputs.iter().fold(f, |max, o| max.max(o[i]));
                    let sum: f32 = outputs.iter().map(|o| exp(o[i] - largest)).sum();
                    let p = exp(f - largest) / sum;
                    // Friedman's K/(K − 1) makes up for outputs whose sum is free.
                    let factor = classes as f32 / (classes as f32 - 1.0).max(1.0);
                    *out = [w * (p - f32::from(y == k as f32)), w * factor * (p * (1.0 - p)).max(LEAST_HESSIAN)];
                }
            }
            Self::Exponential => rows.for_each(|((out, &f), (&y, &w))| {
                let y = 2.0 * y - 1.0;
                let e = w * exp((-y * f).min(LARGEST_EXPONENT));
                *out = [-y * e, e];
            }),
            Self::Regression(residual, _) => rows.for_each(|((out, &f), (&y, &w))| {
                let [g, h] = residual.gradient(f, y);
                *out = [w * g, w * h];
            }),
        }
    }

    fn loss(&self, outputs: &[f32], targets: &[f32]) -> f64 {
        let (f, y) = (f64::from(outputs[0]), f64::from(targets[0]));
        let binary = |f: f64, is: bool| -(sigmoid(if is { f } else { -f }).max(1e-300)).ln();
        match *self {
            Self::Logistic => binary(f, y == 1.0),
            Self::OneVsRest(_) => outputs.iter().enumerate().map(|(k, &f)| binary(f64::from(f), k as f64 == y)).sum(),
            Self::Softmax(_) => {
                let largest = outputs.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let sum: f64 = outputs.iter().map(|&f| f64::from(f - largest).exp()).sum();
                sum.ln() - f64::from(outputs[y as usize] - largest)
            }
            Self::Exponential => (-(2.0 * y - 1.0) * f).exp(),
            Self::Regression(residual, _) => {
                outputs.iter().zip(targets).map(|(&f, &y)| residual.loss(f64::from(f), f64::from(y))).sum()
            }
        }
    }

    fn leaf_quantile(&self) -> Option<f64> {
        match self {
            Self::Regression(Residual::Quantile(alpha), _) => Some(*alpha),
            _ => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fall over")]
mod tests {
    use super::*;

    #[test]
    fn the_fast_exponential_is_one() {
        for i in -8700..8700 {
            let x = i as f32 / 100.0;
            let (fast, exact) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((fast / exact - 1.0).abs() < 4e-7, "{x}: {fast} {exact}");
        }
        assert!(exp(-1e30) > 0.0 && exp(1e30).is_finite());
    }

    #[test]
    fn gradients_are_those_of_the_loss() {
        let losses = [
            (Loss::Logistic, 1.0),
            (Loss::Logistic, 0.0),
            (Loss::Exponential, 1.0),
            (Loss::Softmax(3), 2.0),
            (Loss::OneVsRest(3), 1.0),
            (Loss::Regression(Residual::Squared, 1), 1.7),
            (Loss::Regression(Residual::Huber(0.5), 1), 0.35),
            (Loss::Regression(Residual::Huber(0.5), 1), 4.0),
            (Loss::Regression(Residual::Quantile(0.3), 1), 0.9),
            (Loss::Regression(Residual::Quantile(0.3), 1), -0.9),
            (Loss::Regression(Residual::Poisson, 1), 3.0),
            (Loss::Regression(Residual::Tweedie(1.4), 1), 2.0),
        ];
        for (loss, target) in losses {
            let outputs = [0.3f32, -0.7, 0.2];
            for k in 0..loss.outputs() {
                let at = |shift: f32| {
                    let mut moved = outputs;
                    moved[k] += shift;
                    loss.loss(&moved[..loss.outputs()], &[target])
                };
                let columns: Vec<[f32; 1]> = outputs.iter().map(|&f| [f]).collect();
                let columns: Vec<&[f32]> = columns.iter().map(|c| &c[..]).collect();
                let mut out = [[0.0; 2]];
                let sample = Targets { targets: &[target], weights: &[-2.0] };
                loss.gradients(k, 0, &columns, sample, &mut out);
                let step = 1e-3;
                let slope = (at(step) - at(-step)) / (2.0 * f64::from(step));
                assert!((f64::from(out[0][0]) + 2.0 * slope).abs() < 2e-3, "{loss:?} {k}: {out:?} {slope}");
                let curvature = (at(0.02) - 2.0 * at(0.0) + at(-0.02)) / 0.0004;
                let exact = |residual| !matches!(residual, Residual::Huber(_) | Residual::Quantile(_));
                if !matches!(loss, Loss::Softmax(_)) && !matches!(loss, Loss::Regression(r, _) if !exact(r)) {
                    let found = f64::from(out[0][1]);
                    assert!((found + 2.0 * curvature).abs() < 0.02 * found.abs(), "{loss:?} {k}: {found} {curvature}");
                }
            }
        }
    }

    #[test]
    fn the_base_is_the_best_constant() {
        let (targets, weights) = ([1.0, 0.0, 0.0, 2.0, 1.0], [1.0, 2.0, -0.5, 1.0, 0.5]);
        let sample = Targets { targets: &targets, weights: &weights };
        let regressions =
            [Residual::Squared, Residual::Poisson, Residual::Tweedie(1.5)].map(|r| Loss::Regression(r, 1));
        for loss in [Loss::Softmax(3), Loss::OneVsRest(3)].into_iter().chain(regressions) {
            let base: Vec<f32> = loss.base(sample).into_iter().map(|x| x as f32).collect();
            let columns: Vec<Vec<f32>> = base.iter().map(|&b| vec![b; 5]).collect();
            let columns: Vec<&[f32]> = columns.iter().map(Vec::as_slice).collect();
            for k in 0..loss.outputs() {
                let mut out = [[0.0; 2]; 5];
                loss.gradients(k, 0, &columns, sample, &mut out);
                let sum: f32 = out.iter().map(|g| g[0]).sum();
                assert!(sum.abs() < 1e-5, "{loss:?} {k}: {sum}");
            }
        }
    }
}
