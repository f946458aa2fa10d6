//! −2 ln L of a model and data, with exact gradients.

use std::f64::consts::PI;

use super::model::{Constraint, Data, Model};
use crate::goodness::deviance;
use crate::matrix::Matrix;
use crate::minimise::Objective;

/// The likelihood of data in a model.
#[derive(Debug, Clone)]
pub struct Likelihood<'a> {
    model: &'a Model,
    data: Data,
    /// The terms that do not depend on parameters: lnΓ(n + 1), ln σ, ½ ln 2π.
    constant: f64,
}

impl<'a> Likelihood<'a> {
    /// Of these data.
    pub fn new(model: &'a Model, data: Data) -> Self {
        let counts: f64 = data.counts.iter().map(|n| libm::lgamma(n + 1.0)).sum();
        let constraints =
            model.parameters().iter().zip(&data.auxiliary).map(|(parameter, a)| match parameter.constraint {
                Some(Constraint::Normal { sigma, .. }) => sigma.ln() + 0.5 * (2.0 * PI).ln(),
                Some(Constraint::Poisson { .. }) => libm::lgamma(a + 1.0),
                None => 0.0,
            });
        let constant = counts + constraints.sum::<f64>();
        Self { model, data, constant }
    }

    /// The model.
    pub fn model(&self) -> &'a Model {
        self.model
    }

    /// The data.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// −2 ln L = 2 Σ_b [λ − n ln λ + lnΓ(n + 1)] + constraints, all constants included, as `pyhf.infer.mle.twice_nll`;
    /// infinite where an expectation is negative, or zero where something was observed.
    pub fn twice_nll(&self, theta: &[f64]) -> f64 {
        let mut sum = self.constant;
        for (rate, n) in self.model.expected(theta).iter().zip(&self.data.counts) {
            sum += poisson(*n, *rate);
        }
        for ((parameter, a), theta) in self.model.parameters().iter().zip(&self.data.auxiliary).zip(theta) {
            sum += match parameter.constraint {
                Some(Constraint::Normal { sigma, .. }) => 0.5 * ((a - theta) / sigma).powi(2),
                Some(Constraint::Poisson { factor, .. }) => poisson(*a, factor * theta),
                None => 0.0,
            };
        }
        if sum.is_nan() { f64::INFINITY } else { 2.0 * sum }
    }

    /// −2 ln of the ratio to the saturated model, in which each bin expects what was seen (Baker and Cousins, Nucl. Instrum.
    /// Meth. 221 (1984) 437): Σ_b 2 (λ − n + n ln(n/λ)), and the same of the auxiliary measurements of parameters that
    /// are not fixed.
    pub fn deviance(&self, theta: &[f64]) -> f64 {
        let bins = self.model.expected(theta);
        let counts: f64 = bins.iter().zip(&self.data.counts).map(|(rate, n)| deviance(*n, *rate)).sum();
        let constraints = self.model.parameters().iter().zip(&self.data.auxiliary).zip(theta);
        let auxiliary = constraints.map(|((parameter, a), theta)| match parameter.constraint {
            _ if parameter.fixed => 0.0,
            Some(Constraint::Normal { sigma, .. }) => ((a - theta) / sigma).powi(2),
            Some(Constraint::Poisson { factor, .. }) => deviance(*a, factor * theta),
            None => 0.0,
        });
        counts + auxiliary.sum::<f64>()
    }

    /// The first bin in which nothing at all or less is expected though events were seen there, or less than nothing.
    pub fn impossible_bin(&self, theta: &[f64]) -> Option<(usize, f64)> {
        let expected = self.model.expected(theta);
        let bin = expected.iter().zip(&self.data.counts).position(|(rate, n)| !poisson(*n, *rate).is_finite())?;
        Some((bin, expected[bin]))
    }
}

/// λ − n ln λ
fn poisson(n: f64, rate: f64) -> f64 {
    match (rate > 0.0, n > 0.0) {
        (true, true) => rate - n * rate.ln(),
        (true, false) => rate,
        (false, false) if rate == 0.0 => 0.0,
        _ => f64::INFINITY,
    }
}

/// d(λ − n ln λ)/dλ; at λ = 0 without events, that from above.
fn poisson_slope(n: f64, rate: f64) -> f64 {
    if n > 0.0 { 1.0 - n / rate } else { 1.0 }
}

impl Objective for Likelihood<'_> {
    fn value(&self, theta: &[f64]) -> f64 {
        self.twice_nll(theta)
    }

    fn gradient(&self, theta: &[f64]) -> Vec<f64> {
        let mut gradient = vec![0.0; theta.len()];
        let expected = self.model.expected(theta);
        let slopes: Vec<f64> =
            expected.iter().zip(&self.data.counts).map(|(rate, n)| 2.0 * poisson_slope(*n, *rate)).collect();
        self.model.derivatives(theta, |bin, parameter, derivative| gradient[parameter] += slopes[bin] * derivative);
        for (i, (parameter, a)) in self.model.parameters().iter().zip(&self.data.auxiliary).enumerate() {
            gradient[i] += match parameter.constraint {
                Some(Constraint::Normal { sigma, .. }) => 2.0 * (theta[i] - a) / (sigma * sigma),
                Some(Constraint::Poisson { factor, .. }) => 2.0 * factor * poisson_slope(*a, factor * theta[i]),
                None => 0.0,
            };
        }
        gradient
    }

    /// Twice the Fisher information, 2 Σ_b ∂ᵢλ ∂ⱼλ / λ, and the second derivatives of the constraints.
    fn curvature(&self, theta: &[f64]) -> Matrix {
        let size = theta.len();
        let (expected, jacobian) = (self.model.expected(theta), self.model.jacobian(theta));
        let mut matrix = Matrix::zeros(size);
        for (row, rate) in jacobian.chunks_exact(size).zip(&expected) {
            // An empty bin would weigh infinitely much.
            let weight = 2.0 / rate.max(1e-9);
            let filled: Vec<usize> = (0..size).filter(|&i| row[i] != 0.0).collect();
            for &i in &filled {
                let target = matrix.row_mut(i);
                for &j in &filled {
                    target[j] += weight * row[i] * row[j];
                }
            }
        }
        for (i, (parameter, a)) in self.model.parameters().iter().zip(&self.data.auxiliary).enumerate() {
            matrix.row_mut(i)[i] += match parameter.constraint {
                Some(Constraint::Normal { sigma, .. }) => 2.0 / (sigma * sigma),
                Some(Constraint::Poisson { .. }) => 2.0 * a / (theta[i] * theta[i]),
                None => 0.0,
            };
        }
        matrix
    }
}
