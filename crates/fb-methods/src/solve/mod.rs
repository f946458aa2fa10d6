//! Differential and integral equations, solved by a network and by a classical method beside it (arXiv:1902.05563).
//!
//! F(x, φ, ∂φ, …) = 0 on a box, with conditions. The network *is* the solution: its derivatives by the inputs are exact
//! ([`fb_nn::taylor`]), conditions of value or derivative hold by construction, and the squares of the residuals at points are made least.
//! The classical solver has products of Chebyshev polynomials in its place. Both are reported, with their largest difference.

mod ansatz;
mod calls;
mod chebyshev;
mod eigen;
mod language;
mod neural;
mod options;
mod points;
mod problem;
mod symbolic;
mod system;
#[cfg(test)]
mod tests;
mod trained;

use fb_core::{Error, Result, Workers};
use fb_physics::calculus::Formula;

pub use options::{Activation, Collocation, Conditions, Network, Optimiser};
pub use problem::{Eigenvalue, Equations, Problem, grid};
pub use trained::Stage;

/// What was found.
#[derive(Debug)]
pub struct Solution {
    network: trained::Solved,
    reference: chebyshev::Reference,
    /// The largest residual of an equation at points that were not fitted.
    pub residual_max: f64,
    /// The root of their mean square.
    pub residual_rms: f64,
    /// The largest residual of a condition.
    pub condition_max: f64,
    /// The largest difference from the exact solutions, of the unknowns that have one.
    pub error_max: Option<f64>,
    /// The same of the classical solution.
    pub reference_error_max: Option<f64>,
    /// The largest difference of network and classical solution.
    pub difference_max: f64,
    /// By how much the last refinement changed the classical solution, relative to its largest value.
    pub reference_change: f64,
    /// The eigenvalue of the network and the classical one.
    pub eigenvalue: Option<(f64, f64)>,
    /// How the training went, networks that were too small included.
    pub training: Vec<Stage>,
}

impl Solution {
    /// The network at a point.
    pub fn value(&self, unknown: usize, point: &[f64]) -> f64 {
        self.network.value(unknown, point)
    }

    /// The classical solution at a point.
    pub fn reference(&self, unknown: usize, point: &[f64]) -> f64 {
        self.reference.value(unknown, point)
    }

    /// left − right of each equation with the network in it, at these points: one list an equation.
    ///
    /// # Errors
    /// Those of integrals that need too many points.
    pub fn residuals(&self, problem: &Problem, points: &[Vec<f64>], workers: &dyn Workers) -> Result<Vec<Vec<f64>>> {
        self.network.residuals(problem, points, workers)
    }

    /// The number of weights of the network.
    pub fn weights(&self) -> usize {
        self.network.weights()
    }
}

/// A mean residual beyond this share of what cancels in it is no solution: where the classical one confirms it, and where not.
const TOLERANCE: [f64; 2] = [1e-2, 1e-3];

/// Solves by a network and by the classical method.
///
/// # Errors
/// [`Error::Model`] if the equations and conditions do not fix a solution, [`Error::NotConverged`] with the residual if
/// none was found.
pub fn solve(problem: &Problem, network: &Network, seed: u64, workers: &dyn Workers) -> Result<Solution> {
    network.check(problem)?;
    let mut reference = chebyshev::solve(problem, workers)?;
    if reference.rank < 1e-13 && reference.misfit.largest < 1e-3 {
        return Err(Error::Model {
            place: "solve.conditions".to_owned(),
            reason: format!(
                "{} conditions and {} equations leave a part of the solution free; add a condition",
                problem.conditions.len(),
                problem.equations.len()
            ),
        });
    }
    let (mut solved, training) = neural::solve(problem, network, seed, workers)?;
    let probes = chebyshev::probes(problem);
    if problem.normalisation().is_some() {
        // States have no sign of their own.
        if negative(problem, &probes, &|point| solved.value(0, point)) {
            solved.reverse();
        }
        if negative(problem, &probes, &|point| reference.value(0, point)) {
            reference.reverse();
        }
    }
    let (mut scale, mut difference_max) = (f64::MIN_POSITIVE, 0.0f64);
    let (mut error, mut reference_error) = (None, None);
    for u in 0..problem.names.unknowns.len() {
        let mut exact = problem.exact[u].as_ref().map(Formula::evaluator);
        for point in &probes {
            let (ours, theirs) = (solved.value(u, point), reference.value(u, point));
            scale = scale.max(theirs.abs());
            difference_max = difference_max.max((ours - theirs).abs());
            if let Some(exact) = &mut exact {
                let exact = exact.value(point);
                error = Some(error.unwrap_or(0.0f64).max((ours - exact).abs()));
                reference_error = Some(reference_error.unwrap_or(0.0f64).max((theirs - exact).abs()));
            }
        }
    }
    let eigenvalue = solved.eigenvalue().zip(reference.eigenvalue());
    let solution = Solution {
        residual_max: solved.residual_max,
        residual_rms: solved.residual_rms,
        condition_max: solved.condition_max,
        error_max: error,
        reference_error_max: reference_error,
        difference_max,
        reference_change: reference.change,
        eigenvalue,
        training,
        network: solved,
        reference,
    };
    judged(problem, solution, scale)
}

/// Whether a state has the sign opposite to the exact one or, without one, is negative where it first exceeds half of its largest
/// value.
fn negative(problem: &Problem, probes: &[Vec<f64>], value: &dyn Fn(&[f64]) -> f64) -> bool {
    let values: Vec<f64> = probes.iter().map(|point| value(point)).collect();
    if let Some(exact) = &problem.exact[0] {
        let mut exact = exact.evaluator();
        return probes.iter().zip(&values).map(|(point, value)| value * exact.value(point)).sum::<f64>() < 0.0;
    }
    let largest = values.iter().fold(0.0f64, |a, x| a.max(x.abs()));
    values.iter().find(|x| x.abs() >= 0.5 * largest).is_some_and(|x| *x < 0.0)
}

/// The solution, if it is one.
fn judged(problem: &Problem, found: Solution, scale: f64) -> Result<Solution> {
    let fail = |reason: String| Err(Error::NotConverged { what: "the solution".to_owned(), reason });
    let sound = found.reference.change < 1e-4 && found.reference.misfit.rms < 1e-2;
    // Where a solution has corners no residual there is small, but two solutions can agree.
    let confirmed = sound && found.difference_max < 1e-3 * scale;
    if found.network.misfit.rms >= TOLERANCE[usize::from(!sound)] && !confirmed {
        let (condition, which) = found.reference.misfit.condition;
        let hint = if !sound && condition > 1e-4 {
            let text = problem.conditions.get(which).map_or("", |c| c.text.as_str());
            format!("; `{text}` cannot be met: do the conditions contradict each other or the equations?")
        } else if sound {
            "; the classical method has a solution, try a wider network".to_owned()
        } else {
            "; is there a solution, and is it smooth?".to_owned()
        };
        return fail(format!(
            "the largest residual of the network is {:.3e}, of the conditions {:.3e}{hint}",
            found.residual_max, found.condition_max
        ));
    }
    if sound && found.difference_max >= 1e-2 * scale {
        return fail(format!(
            "network and classical method differ by {:.3e} with residuals of {:.3e}: is there more than one solution?",
            found.difference_max, found.residual_max
        ));
    }
    Ok(found)
}
