//! What each nuisance parameter does to the parameter of interest, and how much the data know of it.

use fb_core::run::gather;
use fb_core::{Result, Workers};

use super::fit::{Fitted, conditional_fit};
use super::likelihood::Likelihood;
use crate::profile;

/// A nuisance parameter θ, which the auxiliary measurement alone puts at θ₀ ± σ₀ and the fit at θ̂ ± σ.
#[derive(Debug, Clone, PartialEq)]
pub struct Impact {
    /// Its index in the model.
    pub parameter: usize,
    /// (θ̂ − θ₀)/σ₀; nothing without a constraint.
    pub pull: Option<f64>,
    /// σ/σ₀; nothing without a constraint.
    pub constraint: Option<f64>,
    /// Change of the best parameter of interest, in a fit of all others, where θ is held at θ̂ + σ; NaN if that fit fails.
    pub up: f64,
    /// The same at θ̂ − σ.
    pub down: f64,
    /// The same two at θ̂ ± σ₀; nothing without a constraint.
    pub before: Option<[f64; 2]>,
}

impl Impact {
    /// The larger of the two changes.
    pub fn size(&self) -> f64 {
        self.up.abs().max(self.down.abs())
    }
}

/// The impacts of all parameters but that of interest and those that are fixed, the largest first.
///
/// θ is held inside of its bounds. The result does not depend on the number of threads.
///
/// # Errors
/// [`fb_core::Error::Model`] if the model has no parameter of interest or it is fixed; [`fb_core::Error::Fit`] without a
/// covariance of the best fit.
pub fn impacts(likelihood: &Likelihood, fitted: &Fitted, workers: &dyn Workers) -> Result<Vec<Impact>> {
    let model = likelihood.model();
    let poi = model.interest("impact")?;
    if fitted.covariance.is_none() {
        let reason = "no impacts without errors: the second derivatives at the minimum are not positive definite";
        return Err(fb_core::Error::Fit { reason: reason.to_owned() });
    }
    let free: Vec<usize> =
        (0..model.parameters().len()).filter(|&i| i != poi && !model.parameters()[i].fixed).collect();
    let shift = |i: usize, by: f64| {
        let (low, high) = model.parameters()[i].bounds;
        let x = (fitted.fit.theta[i] + by).clamp(low, high);
        held(likelihood, fitted, i, x).map_or(f64::NAN, |theta| theta[poi] - fitted.fit.theta[poi])
    };
    let one = |k: usize| {
        let (i, error) = (free[k], fitted.errors[free[k]]);
        let known = model.parameters()[i].constraint.map(|c| (c, c.measured()));
        Impact {
            parameter: i,
            pull: known.map(|(_, (value, sigma))| (fitted.fit.theta[i] - value) / sigma),
            constraint: known.map(|(_, (_, sigma))| error / sigma),
            up: shift(i, error),
            down: shift(i, -error),
            before: known.map(|(_, (_, sigma))| [shift(i, sigma), shift(i, -sigma)]),
        }
    };
    let mut impacts = gather(workers, free.len(), &one);
    let rank = |impact: &Impact| if impact.size().is_nan() { f64::NEG_INFINITY } else { impact.size() };
    impacts.sort_by(|a, b| rank(b).total_cmp(&rank(a)));
    Ok(impacts)
}

/// (x, rise of −2 ln L) at `points` places of parameter `i` within three errors of its best value and its bounds, lowest in
/// all other parameters; places without a fit are left out.
pub fn profile_scan(
    likelihood: &Likelihood,
    fitted: &Fitted,
    i: usize,
    points: usize,
    workers: &dyn Workers,
) -> Vec<(f64, f64)> {
    let bounds = likelihood.model().parameters()[i].bounds;
    profile::scan((fitted.fit.theta[i], fitted.errors[i]), bounds, points, workers, &|x| {
        let theta = held(likelihood, fitted, i, x)?;
        Some(likelihood.twice_nll(&theta) - fitted.fit.twice_nll)
    })
}

/// The best parameters where parameter `i` is at `x`. The fit starts where the covariance leads, Δθ = V_·i Δθ_i/V_ii.
fn held(likelihood: &Likelihood, fitted: &Fitted, i: usize, x: f64) -> Option<Vec<f64>> {
    let (best, inits) = (&fitted.fit.theta, likelihood.model().inits());
    let moved: Vec<f64> = match &fitted.covariance {
        Some(v) if v.row(i)[i] > 0.0 => {
            let part = (x - best[i]) / v.row(i)[i];
            best.iter().zip(v.row(i)).map(|(value, v)| value + part * v).collect()
        }
        _ => best.clone(),
    };
    // A start can be impossible at this value.
    let fit = conditional_fit(likelihood, &[&moved], Some((i, x)));
    fit.or_else(|_| conditional_fit(likelihood, &[best, &inits], Some((i, x)))).ok().map(|fit| fit.theta)
}
