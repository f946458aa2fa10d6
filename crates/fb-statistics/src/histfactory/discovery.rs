//! The significance of a signal with q₀ in the asymptotic limit (arXiv:1007.1727, eqs. 12 and 53).

use fb_core::Result;

use super::fit::{Fit, conditional_fit};
use super::likelihood::Likelihood;

/// Standard deviations by which the absence of the signal is excluded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Discovery {
    /// With the data, √q₀; zero where the best strength is not positive.
    pub observed: f64,
    /// With the Asimov data of the strength 1, the other parameters as the data want them at that strength.
    pub expected: f64,
}

/// Tests the absence of the signal.
///
/// # Errors
/// [`fb_core::Error::Model`] if the model has no parameter of interest or it is fixed; of fits, as
/// [`best_fit`](super::best_fit).
pub fn discovery(likelihood: &Likelihood) -> Result<Discovery> {
    let model = likelihood.model();
    let poi = model.interest("significance")?;
    let inits = model.inits();
    let best = conditional_fit(likelihood, &[&inits], None)?;
    let signal = conditional_fit(likelihood, &[&best.theta, &inits], Some((poi, 1.0)))?;
    let asimov = Likelihood::new(model, model.asimov(&signal.theta));
    let truth = Fit { twice_nll: asimov.twice_nll(&signal.theta), theta: signal.theta };
    let significance = |likelihood: &Likelihood, best: &Fit| -> Result<f64> {
        if best.theta[poi] <= 0.0 {
            return Ok(0.0);
        }
        let absent = conditional_fit(likelihood, &[&best.theta, &inits], Some((poi, 0.0)))?;
        Ok((absent.twice_nll - best.twice_nll).max(0.0).sqrt())
    };
    Ok(Discovery { observed: significance(likelihood, &best)?, expected: significance(&asimov, &truth)? })
}
