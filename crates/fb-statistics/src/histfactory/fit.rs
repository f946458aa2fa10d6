//! Maximum likelihood, with errors.

use fb_core::{Error, Result};

use super::likelihood::Likelihood;
use super::model::Model;
use crate::matrix::{Matrix, dot};
use crate::minimise::{Objective as _, Status, covariance, errors, hessian, minimise};
use crate::profile::{End, end};

/// The maximum of a likelihood.
#[derive(Debug, Clone)]
pub struct Fit {
    /// The parameters.
    pub theta: Vec<f64>,
    /// −2 ln L there.
    pub twice_nll: f64,
}

/// The maximum with the errors of parameters.
#[derive(Debug, Clone)]
pub struct Fitted {
    /// The maximum.
    pub fit: Fit,
    /// √V_jj with V = 2 (∂²(−2 ln L))⁻¹ over the parameters that are not fixed; 0 for those that are, NaN for
    /// the others if there is no covariance.
    pub errors: Vec<f64>,
    /// V over all parameters; nothing if the second derivatives are not positive definite.
    pub covariance: Option<Matrix>,
}

/// By how much −2 ln L may be expected to fall yet, by the true second derivatives.
const VERIFIED: f64 = 1e-6;

/// Maxima that differ by less in −2 ln L are the same.
const DIFFERENT: f64 = 1e-6;

/// The maximum over all parameters that are not fixed, with errors.
///
/// The distance to the minimum is verified with second derivatives that are taken from exact gradients; as long as they
/// say that it is larger than 1e-6, or that this is a saddle point, the fit goes on from where they lead.
///
/// # Errors
/// [`Error::Model`] if a bin is impossible at the starting values, [`Error::Fit`] if no minimum is found.
pub fn best_fit(likelihood: &Likelihood) -> Result<Fitted> {
    let model = likelihood.model();
    let bounds = bounds(model, None);
    let free: Vec<usize> = (0..bounds.len()).filter(|&i| bounds[i].0 < bounds[i].1).collect();
    let mut fit = explored(likelihood, run(likelihood, &model.inits(), &bounds)?, &bounds);
    for _ in 0..20 {
        let second = hessian(likelihood, &fit.theta, &bounds, &free);
        if let Some(lower) = lower(likelihood, &fit, &second, &bounds, &free)? {
            fit = run(likelihood, &lower, &bounds)?;
            continue;
        }
        let covariance = covariance(&second, &free, bounds.len());
        let errors = errors(covariance.as_ref(), &free, bounds.len());
        return Ok(Fitted { fit, errors, covariance });
    }
    Err(Error::Fit { reason: "second derivatives keep saying that the minimum is elsewhere".to_owned() })
}

/// The profile-likelihood interval of parameter `i` about the best fit: −2 ln L rises by `rise` at its ends.
///
/// # Errors
/// As [`end`]; those of [`conditional_fit`].
pub fn profile_interval(likelihood: &Likelihood, fitted: &Fitted, i: usize, rise: f64) -> Result<[End; 2]> {
    let (low, high) = likelihood.model().parameters()[i].bounds;
    let (best, error) = ((fitted.fit.theta[i], fitted.fit.twice_nll), fitted.errors[i]);
    let one = |bound: f64, error: f64| {
        let mut last = fitted.fit.theta.clone();
        let mut conditional = |x: f64| {
            let fit = conditional_fit(likelihood, &[&last], Some((i, x)))?;
            last.clone_from(&fit.theta);
            Ok(fit.twice_nll)
        };
        end(&mut conditional, best, bound, error, rise)
    };
    Ok([one(low, -error)?, one(high, error)?])
}

/// A place where −2 ln L is lower, if the second derivatives show one: along Newton's step where they are positive definite
/// and expect a fall above the tolerance, else along the direction in which they are most negative.
fn lower(
    likelihood: &Likelihood,
    fit: &Fit,
    second: &Matrix,
    bounds: &[(f64, f64)],
    free: &[usize],
) -> Result<Option<Vec<f64>>> {
    let gradient = likelihood.gradient(&fit.theta);
    let inner: Vec<usize> = (0..free.len())
        .filter(|&k| {
            let (i, x) = (free[k], fit.theta[free[k]]);
            (x > bounds[i].0 || gradient[i] < 0.0) && (x < bounds[i].1 || gradient[i] > 0.0)
        })
        .collect();
    let curved = second.part(&inner);
    let moved = |step: &[f64], part: f64| {
        let mut next = fit.theta.clone();
        for (&k, d) in inner.iter().zip(step) {
            let i = free[k];
            next[i] = (next[i] + part * d).clamp(bounds[i].0, bounds[i].1);
        }
        next
    };
    let halves = || (0..12).map(|n| 0.5_f64.powi(n));
    let Some(factor) = curved.cholesky() else {
        let step = most_negative(&curved);
        let both = halves().flat_map(|part| [part, -part]).map(|part| moved(&step, part));
        return Ok(both.into_iter().find(|next| likelihood.twice_nll(next) < fit.twice_nll - DIFFERENT));
    };
    let slope: Vec<f64> = inner.iter().map(|&k| -gradient[free[k]]).collect();
    let step = factor.solve(&slope);
    let distance = 0.5 * dot(&slope, &step);
    if distance < VERIFIED {
        return Ok(None);
    }
    let next = halves().map(|part| moved(&step, part)).find(|next| likelihood.twice_nll(next) < fit.twice_nll);
    next.map(Some).ok_or_else(|| Error::Fit {
        reason: format!("-2 ln L should fall by {distance:e} yet, but Newton's step does not lower it"),
    })
}

/// The direction of the lowest eigenvalue of a matrix whose diagonal is scaled to ±1, by powers of c − H: as long as where
/// the scaled parameters change by one in all.
fn most_negative(matrix: &Matrix) -> Vec<f64> {
    let size = matrix.size();
    let scale: Vec<f64> = (0..size).map(|i| matrix.row(i)[i].abs().max(f64::MIN_POSITIVE).sqrt().recip()).collect();
    let scaled = |v: &[f64]| -> Vec<f64> {
        let inner: Vec<f64> = v.iter().zip(&scale).map(|(v, s)| v * s).collect();
        matrix.times(&inner).iter().zip(&scale).map(|(v, s)| v * s).collect()
    };
    let above = (0..size)
        .map(|i| (0..size).map(|j| (matrix.row(i)[j] * scale[i] * scale[j]).abs()).sum::<f64>())
        .fold(0.0, f64::max);
    // Not along any axis, and not orthogonal to what is sought but by accident.
    let mut v: Vec<f64> = (0..size).map(|i| 1.0 + 0.1 * (i as f64).sin()).collect();
    for _ in 0..500 {
        let image = scaled(&v);
        for (v, h) in v.iter_mut().zip(image) {
            *v = above * *v - h;
        }
        let norm = dot(&v, &v).sqrt();
        for v in &mut v {
            *v /= norm;
        }
    }
    v.iter().zip(&scale).map(|(v, s)| std::f64::consts::SQRT_2 * v * s).collect()
}

/// The maximum with the parameter of interest at `poi`: the highest that is found from each of the starts, and where
/// parameters that move yields the same way up and down have the other sign.
///
/// # Errors
/// As [`best_fit`], if it fails from all of the starts.
pub fn conditional_fit(likelihood: &Likelihood, starts: &[&[f64]], poi: Option<(usize, f64)>) -> Result<Fit> {
    let bounds = bounds(likelihood.model(), poi);
    let none = || Err(Error::Fit { reason: "there is nowhere to start from".to_owned() });
    let fit = starts.iter().map(|start| run(likelihood, start, &bounds)).reduce(better).unwrap_or_else(none)?;
    Ok(explored(likelihood, fit, &bounds))
}

fn better(a: Result<Fit>, b: Result<Fit>) -> Result<Fit> {
    match (a, b) {
        (Ok(a), Ok(b)) => Ok(if b.twice_nll < a.twice_nll - DIFFERENT { b } else { a }),
        (a, b) => a.or(b),
    }
}

/// The fit, or a higher maximum: with another sign of one of the parameters that can have either, or with a parameter
/// inside of its bounds that came to one of them.
fn explored(likelihood: &Likelihood, mut fit: Fit, bounds: &[(f64, f64)]) -> Fit {
    let (bent, inits) = (likelihood.model().bent(), likelihood.model().inits());
    let moves = |at: &usize| bounds[*at].0 < bounds[*at].1;
    for _ in 0..3 {
        let before = fit.twice_nll;
        for &at in bent.iter().filter(|at| moves(at)) {
            let mut start = fit.theta.clone();
            start[at] = if start[at] > 0.0 { (-start[at]).min(-0.5) } else { (-start[at]).max(0.5) };
            fit = higher(fit, run(likelihood, &start, bounds));
        }
        for at in (0..bounds.len()).filter(moves) {
            let (low, high) = bounds[at];
            let inside = low < inits[at] && inits[at] < high;
            if inside && (fit.theta[at] <= low || fit.theta[at] >= high) {
                // The others follow while it is held where it started.
                let mut held = bounds.to_vec();
                held[at] = (inits[at], inits[at]);
                let other = run(likelihood, &fit.theta, &held).and_then(|held| run(likelihood, &held.theta, bounds));
                fit = higher(fit, other);
            }
        }
        if fit.twice_nll == before {
            break;
        }
    }
    fit
}

fn higher(fit: Fit, other: Result<Fit>) -> Fit {
    match other {
        Ok(other) if other.twice_nll < fit.twice_nll - DIFFERENT => other,
        _ => fit,
    }
}

/// Where fits may go: nowhere for what is fixed.
fn bounds(model: &Model, poi: Option<(usize, f64)>) -> Vec<(f64, f64)> {
    let bounds = model.parameters().iter().enumerate().map(|(i, parameter)| match poi {
        Some((at, value)) if at == i => (value, value),
        _ if parameter.fixed => (parameter.init, parameter.init),
        _ => parameter.bounds,
    });
    bounds.collect()
}

fn run(likelihood: &Likelihood, start: &[f64], bounds: &[(f64, f64)]) -> Result<Fit> {
    let model = likelihood.model();
    let start: Vec<f64> = start.iter().zip(bounds).map(|(x, (low, high))| x.clamp(*low, *high)).collect();
    if let Some((bin, rate)) = likelihood.impossible_bin(&start) {
        let seen = likelihood.data().counts[bin];
        let reason = format!("expects {rate:?} events where the fit starts, and {seen:?} were seen");
        return Err(Error::Model { place: model.bin_name(bin), reason });
    }
    let minimum = minimise(likelihood, &start, bounds);
    let edge = || {
        let expected = model.expected(&minimum.x);
        let least = (0..expected.len()).min_by(|a, b| expected[*a].total_cmp(&expected[*b]));
        least.filter(|bin| expected[*bin] < 1e-6).map_or_else(String::new, |bin| {
            format!("; the expectation of {} goes to zero ({:e})", model.bin_name(bin), expected[bin])
        })
    };
    let how = match minimum.status {
        Status::Converged if minimum.value.is_finite() => {
            return Ok(Fit { theta: minimum.x, twice_nll: minimum.value });
        }
        Status::Converged => "the likelihood is not finite".to_owned(),
        Status::Stuck => "no step lowers -2 ln L".to_owned(),
        Status::StepLimit => "too many steps".to_owned(),
    };
    Err(Error::Fit { reason: format!("{how}, expected to fall by {:e} yet{}", minimum.distance, edge()) })
}
