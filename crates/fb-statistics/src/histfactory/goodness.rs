//! Goodness of fit of a workspace.

use fb_core::{Philox, Result, Workers};

use super::fit::{Fit, conditional_fit};
use super::likelihood::Likelihood;
use super::toys::draw;
use crate::goodness::Goodness;

/// The ratio to the saturated model at the best fit ([`Likelihood::deviance`]). Its degrees of freedom are the bins, less
/// the free parameters that have no constraint: one that has is a parameter more and a measurement more. With `toys`
/// pseudo-experiments, drawn at the best fit, too.
///
/// # Errors
/// As [`Goodness::with_toys`].
pub fn goodness(
    likelihood: &Likelihood,
    best: &Fit,
    toys: Option<(usize, u64)>,
    workers: &dyn Workers,
) -> Result<Goodness> {
    let model = likelihood.model();
    let unknown = model.parameters().iter().filter(|p| !p.fixed && p.constraint.is_none()).count();
    let found = Goodness::chi2(likelihood.deviance(&best.theta), model.bins().saturating_sub(unknown));
    let Some((toys, seed)) = toys else { return Ok(found) };
    let inits = model.inits();
    found.with_toys(toys, workers, &|toy| {
        let toy = Likelihood::new(model, draw(model, &best.theta, &mut Philox::new(seed, 7, toy)));
        let fit = conditional_fit(&toy, &[&best.theta, &inits], None)?;
        Ok(toy.deviance(&fit.theta))
    })
}
