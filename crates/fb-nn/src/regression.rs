//! Losses of networks that predict numbers.
//!
//! Targets are standardised, t̂ = (t − μ)/σ, so that an output o is of the order of one; what options say in the units of
//! the target is brought to these by its σ. With r = o − t̂:

use fb_core::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::Real;

/// What the prediction of a number is to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Regression {
    /// ½r²: the mean.
    #[default]
    Squared,
    /// ½r² up to |r| = δ, δ|r| − ½δ² beyond.
    Huber {
        /// δ, in units of the target.
        delta: f64,
    },
    /// max(−αr, (1 − α)r): the α-quantile; the median for α = ½.
    Quantile {
        /// α, which of them.
        alpha: f64,
    },
    /// −exp(−r²/2α)/√(2πα) + β|r|: the mode, as α becomes small (leaky Gaussian kernel, arXiv:1910.03773). α goes from
    /// the first number to the second in equal factors over the training.
    GaussianKernel {
        /// α at the start and at the end, in units of the target squared.
        alpha: [f64; 2],
        /// β, in units of the target to the power −2.
        beta: f64,
    },
    /// ½(r²·e^{−s} + s): the mean, and s, the logarithm of its variance.
    Gaussian,
}

impl Regression {
    /// Outputs of a network for so many targets.
    pub fn outputs(self, targets: usize) -> usize {
        targets * if self == Self::Gaussian { 2 } else { 1 }
    }

    /// Refuses values that cannot work.
    ///
    /// # Errors
    /// [`Error::Config`] naming the option.
    pub fn check(self) -> Result<()> {
        let positive = |x: f64| x > 0.0 && x.is_finite();
        let (key, found) = match self {
            Self::Huber { delta } if !positive(delta) => ("delta", delta.to_string()),
            Self::Quantile { alpha } if !(alpha > 0.0 && alpha < 1.0) => ("alpha", alpha.to_string()),
            Self::GaussianKernel { alpha, .. } if !alpha.into_iter().all(positive) => ("alpha", format!("{alpha:?}")),
            Self::GaussianKernel { beta, .. } if !(beta >= 0.0 && beta.is_finite()) => ("beta", beta.to_string()),
            _ => return Ok(()),
        };
        let expected =
            if matches!(self, Self::Quantile { .. }) { "a number between 0 and 1" } else { "positive numbers" };
        Err(Error::Config { place: format!("`loss.{key}`"), reason: format!("found {found}, expected {expected}") })
    }

    /// As it is after this share of a training.
    pub(crate) fn at(self, share: f64) -> Self {
        match self {
            Self::GaussianKernel { alpha: [first, last], beta } => {
                Self::GaussianKernel { alpha: [first * (last / first).powf(share); 2], beta }
            }
            other => other,
        }
    }

    /// The loss of an output, with `s` for [`Self::Gaussian`], and its slopes in both.
    fn value(self, r: f64, s: f64, sigma: f64) -> (f64, [f64; 2]) {
        match self {
            Self::Squared => (0.5 * r * r, [r, 0.0]),
            Self::Huber { delta } => {
                let delta = delta / sigma;
                let inner = r.clamp(-delta, delta);
                (inner * (r - 0.5 * inner), [inner, 0.0])
            }
            Self::Quantile { alpha } => {
                let slope = if r < 0.0 { -alpha } else { 1.0 - alpha };
                (slope * r, [slope, 0.0])
            }
            Self::GaussianKernel { alpha: [_, alpha], beta } => {
                let (alpha, beta) = (alpha / (sigma * sigma), beta * sigma * sigma);
                let kernel = (-0.5 * r * r / alpha).exp() / (std::f64::consts::TAU * alpha).sqrt();
                (beta * r.abs() - kernel, [beta * r.signum() + kernel * r / alpha, 0.0])
            }
            Self::Gaussian => {
                let precise = r * r * (-s).exp();
                (0.5 * (precise + s), [r * (-s).exp(), 0.5 * (1.0 - precise)])
            }
        }
    }
}

/// The numbers that a network is to predict.
#[derive(Debug, Clone, Copy)]
pub struct Numbers<'a> {
    /// t̂ [event, target], row after row.
    pub standard: &'a [f64],
    /// σ of each target.
    pub sigma: &'a [f64],
    /// How predictions are compared with them.
    pub loss: Regression,
}

impl Numbers<'_> {
    /// Number of events.
    pub(crate) fn events(&self) -> usize {
        self.standard.len() / self.sigma.len().max(1)
    }

    /// `scale`·Σ losses of the targets of event `i`, and the gradient into `grad`. Outputs are predictions, then the
    /// logarithms of their variances.
    pub(crate) fn loss<T: Real>(&self, outputs: &[T], i: usize, scale: f64, grad: &mut [T]) -> f64 {
        let n = self.sigma.len();
        let mut loss = 0.0;
        for (k, (&t, &sigma)) in self.standard[i * n..(i + 1) * n].iter().zip(self.sigma).enumerate() {
            let s = outputs.get(n + k).map_or(0.0, |s| s.f64());
            let (value, slopes) = self.loss.value(outputs[k].f64() - t, s, sigma);
            loss += scale * value;
            grad[k] = T::of(scale * slopes[0]);
            if let Some(grad) = grad.get_mut(n + k) {
                *grad = T::of(scale * slopes[1]);
            }
        }
        loss
    }

    /// Σ weight·loss of all events.
    pub(crate) fn total(&self, outputs: &[f32], weights: &[f64]) -> f64 {
        let width = self.loss.outputs(self.sigma.len());
        let mut grad = vec![0.0; width];
        let each = outputs.chunks_exact(width).zip(weights).enumerate();
        each.map(|(i, (row, &weight))| self.loss(row, i, weight, &mut grad)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_those_of_the_losses() {
        let losses = [
            Regression::Squared,
            Regression::Huber { delta: 0.9 },
            Regression::Quantile { alpha: 0.3 },
            Regression::GaussianKernel { alpha: [0.7; 2], beta: 0.2 },
            Regression::Gaussian,
        ];
        let sigma = [2.0, 0.5];
        for loss in losses {
            let numbers = Numbers { standard: &[0.0, 0.0, 0.3, -1.2], sigma: &sigma, loss };
            let width = loss.outputs(2);
            let outputs = [0.7, -0.4, 0.5, -0.6][..width].to_vec();
            let mut grad = vec![0.0; width];
            numbers.loss(&outputs, 1, 1.5, &mut grad);
            for k in 0..width {
                let moved = |h: f64| {
                    let mut outputs = outputs.clone();
                    outputs[k] += h;
                    numbers.loss(&outputs, 1, 1.5, &mut vec![0.0; width])
                };
                let found = (moved(1e-6) - moved(-1e-6)) / 2e-6;
                assert!((found - grad[k]).abs() < 1e-8, "{loss:?}, output {k}: {found}, expected {}", grad[k]);
            }
        }
    }

    /// Losses of two units of the same target differ by a factor only.
    #[test]
    fn options_are_in_units_of_the_target() {
        let of = |loss: Regression, unit: f64, r: f64| loss.value(r / unit, 0.0, unit).0;
        let kernel = Regression::GaussianKernel { alpha: [0.7; 2], beta: 0.2 };
        for loss in [Regression::Huber { delta: 0.8 }, kernel] {
            let ratio = of(loss, 2.0, 1.1) / of(loss, 5.0, 1.1);
            assert!((of(loss, 2.0, 0.3) / of(loss, 5.0, 0.3) / ratio - 1.0).abs() < 1e-12, "{loss:?}");
        }
    }

    #[test]
    fn what_cannot_work_is_refused() {
        assert!(Regression::Huber { delta: 0.0 }.check().is_err());
        assert!(Regression::Quantile { alpha: 1.0 }.check().is_err());
        assert!(Regression::GaussianKernel { alpha: [0.1, 0.0], beta: 0.0 }.check().is_err());
        assert!(Regression::GaussianKernel { alpha: [0.1, 0.01], beta: 0.0 }.check().is_ok());
    }
}
