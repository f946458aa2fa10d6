//! Intervals of the parameter of interest by Feldman and Cousins, with pseudo-experiments.
//!
//! Source: physics/9711021, with the other parameters as the data want them at each strength (profile construction).

use fb_core::{Error, Philox, Result, Value, Workers};

use super::fit::{best_fit, conditional_fit, profile_interval};
use super::likelihood::Likelihood;
use super::toys::draw;
use crate::goodness::share;
use crate::profile::End;
use crate::toys::experiments;

/// An interval with what it was made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Construction {
    /// Where p falls to 1 − level on either side of the best value, with the errors of the pseudo-experiments; at a bound
    /// of the parameter without an error.
    pub ends: [Value; 2],
    /// (strength, −2 ln λ of the data, share of pseudo-experiments with a larger one), in rising order.
    pub points: Vec<(f64, f64, Value)>,
    /// Pseudo-experiments whose fits failed; they are left out.
    pub failed: usize,
}

/// Strengths at which pseudo-experiments are made.
const POINTS: usize = 25;

/// The interval at this `level`: strengths μ for which more than 1 − level of `toys` pseudo-experiments have a larger
/// −2 ln λ(μ) = −2 ln [L(μ, θ̂(μ))/L(μ̂, θ̂)], with μ̂ inside of its bounds. Ends are interpolated between strengths.
///
/// # Errors
/// [`Error::Model`] if the model has no parameter of interest or it is fixed; [`Error::Fit`] if fits of the data fail, more
/// than a tenth of those of pseudo-experiments, or there is no error to start from.
pub fn feldman_cousins(
    likelihood: &Likelihood,
    level: f64,
    (toys, seed): (usize, u64),
    workers: &dyn Workers,
) -> Result<Construction> {
    let model = likelihood.model();
    let poi = model.interest("interval")?;
    let (inits, bounds) = (model.inits(), model.parameters()[poi].bounds);
    let best = best_fit(likelihood)?;
    // Two standard deviations beyond what is asked for, in the asymptotic law.
    let wide = (std::f64::consts::SQRT_2 * inverse_erf(level) + 2.0).powi(2);
    let [low, high] = profile_interval(likelihood, &best, poi, wide)?.map(End::value);
    let statistic = |likelihood: &Likelihood, start: &[f64], mu: f64| -> Result<f64> {
        let free = conditional_fit(likelihood, &[start, &inits], None)?;
        let held = conditional_fit(likelihood, &[&free.theta, start], Some((poi, mu)))?;
        Ok((held.twice_nll - free.twice_nll).max(0.0))
    };
    let (mut points, mut failed) = (Vec::new(), 0);
    for k in 0..POINTS {
        let mu = low + (high - low) * k as f64 / (POINTS - 1) as f64;
        let truth = conditional_fit(likelihood, &[&best.fit.theta, &inits], Some((poi, mu)))?;
        let seen = (truth.twice_nll - best.fit.twice_nll).max(0.0);
        let one = |toy: usize| {
            let data = draw(model, &truth.theta, &mut Philox::new(seed, 100 + k as u64, toy as u64));
            statistic(&Likelihood::new(model, data), &truth.theta, mu).ok()
        };
        let (found, missed) = experiments(toys, workers, &one)?;
        failed += missed;
        // Fits end within 1e-6 of the lowest −2 ln L.
        let above = found.iter().filter(|t| **t >= seen - 1e-6).count();
        points.push((mu, seen, share(above, found.len())));
    }
    let middle = points.partition_point(|(mu, ..)| *mu <= best.fit.theta[poi]);
    let size = 1.0 - level;
    let accepted = |k: usize| points[k].2.central > size;
    let cross = |outside: usize, inside: usize| {
        let ((x, _, p), (y, _, q)) = (points[outside], points[inside]);
        let slope = (q.central - p.central) / (y - x);
        let at = x + (size - p.central) / slope;
        // As if the p-values on both sides were off by their error at 1 − level.
        Value::symmetric(at, (size * (1.0 - size) / toys as f64).sqrt() / slope.abs())
    };
    let end = |mut inside: Vec<usize>, edge: f64, bound: f64| {
        inside.retain(|&k| accepted(k));
        match inside.first() {
            // Beyond the last strength nothing was asked.
            Some(0) if edge <= bound => Ok(Value::symmetric(bound, 0.0)),
            Some(&k) if k == POINTS - 1 && edge >= bound => Ok(Value::symmetric(bound, 0.0)),
            Some(&k) if k > 0 && k < POINTS - 1 => Ok(cross(if k < middle { k - 1 } else { k + 1 }, k)),
            _ => Err(Error::Fit { reason: format!("no end of the interval between {low} and {high}") }),
        }
    };
    // The outermost strengths that are accepted; the best value always is.
    let lower = end((0..middle.max(1)).collect(), low, bounds.0)?;
    let upper = end((middle.min(POINTS - 1)..POINTS).rev().collect(), high, bounds.1)?;
    Ok(Construction { ends: [lower, upper], points, failed })
}

/// The x of erf x = y, by bisection.
fn inverse_erf(y: f64) -> f64 {
    let (mut low, mut high) = (0.0, 6.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if libm::erf(middle) < y {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}
