//! CLs from pseudo-experiments, where the asymptotic laws are not to be relied on.

use fb_core::run::gather;
use fb_core::{Error, Philox, Result, Value, Workers};

use super::fit::conditional_fit;
use super::likelihood::Likelihood;
use super::model::{Constraint, Data, Model};
use crate::quantile;
use crate::special::normal_cdf;
use crate::toys::poisson;

/// The test of a strength with pseudo-experiments.
#[derive(Debug, Clone, PartialEq)]
pub struct ToyTest {
    /// CLs of the data with its error.
    pub observed: Value,
    /// CLs expected without signal, for data at −2, −1, 0, 1 and 2 standard deviations.
    pub expected: [f64; 5],
    /// Pseudo-experiments whose fits failed, of 2 × the number asked for; they are left out.
    pub failed: usize,
}

/// CLs of the strength `mu` with q̃_μ of `toys` pseudo-experiments with it and as many without, at the other parameters that
/// fit the data best at that strength (arXiv:1007.1727, eq. 16). Counts and auxiliary measurements are drawn.
///
/// # Errors
/// [`Error::Model`] if the model has no parameter of interest; [`Error::Fit`] if fits of the data fail, or more than a
/// tenth of those of pseudo-experiments.
pub fn test_with_toys(
    likelihood: &Likelihood,
    mu: f64,
    toys: usize,
    seed: u64,
    workers: &dyn Workers,
) -> Result<ToyTest> {
    let model = likelihood.model();
    let poi = model.interest("test")?;
    let inits = model.inits();
    let statistic = |likelihood: &Likelihood, start: &[f64]| -> Result<f64> {
        let best = conditional_fit(likelihood, &[start, &inits], None)?;
        if best.theta[poi] > mu {
            return Ok(0.0);
        }
        let held = conditional_fit(likelihood, &[&best.theta, start], Some((poi, mu)))?;
        Ok((held.twice_nll - best.twice_nll).max(0.0))
    };
    let observed = statistic(likelihood, &inits)?;
    let mut failed = 0;
    let mut distributions = Vec::new();
    for (which, strength) in [mu, 0.0].into_iter().enumerate() {
        let truth = conditional_fit(likelihood, &[&inits], Some((poi, strength)))?.theta;
        let one = |toy: usize| {
            let data = draw(model, &truth, &mut Philox::new(seed, which as u64, toy as u64));
            statistic(&Likelihood::new(model, data), &truth).ok()
        };
        let mut values: Vec<f64> = gather(workers, toys, &one).into_iter().flatten().collect();
        values.sort_by(f64::total_cmp);
        failed += toys - values.len();
        distributions.push(values);
    }
    if failed * 5 > toys {
        return Err(Error::Fit { reason: format!("{failed} of the fits of 2 × {toys} pseudo-experiments failed") });
    }
    let [with, without] = [&distributions[0], &distributions[1]];
    // The share that is as far from the hypothesis as q or farther.
    let share = |values: &[f64], q: f64| {
        let above = values.len() - values.partition_point(|x| *x < q);
        above as f64 / values.len() as f64
    };
    // At least one of the pseudo-experiments without signal, for a ratio.
    let least = |q: f64| share(without, q).max(1.0 / without.len() as f64);
    let cls = |q: f64| share(with, q) / least(q);
    let (p, b) = (share(with, observed), least(observed));
    let relative = |p: f64, n: usize| (1.0 - p) / (p.max(1.0 / n as f64) * n as f64);
    let error = p.max(1.0 / with.len() as f64) / b * (relative(p, with.len()) + relative(b, without.len())).sqrt();
    Ok(ToyTest {
        observed: Value::symmetric(cls(observed), error),
        expected: [2.0, 1.0, 0.0, -1.0, -2.0].map(|k| cls(quantile(without, normal_cdf(k)))),
        failed,
    })
}

/// A pseudo-experiment: counts and auxiliary measurements drawn at these parameters.
pub(super) fn draw(model: &Model, theta: &[f64], random: &mut Philox) -> Data {
    let counts = model.expected(theta).into_iter().map(|mean| poisson(random, mean)).collect();
    let auxiliary = model.parameters().iter().zip(theta).map(|(parameter, theta)| match parameter.constraint {
        Some(Constraint::Normal { sigma, .. }) => theta + sigma * random.normal(),
        Some(Constraint::Poisson { factor, .. }) => poisson(random, factor * theta),
        None => 0.0,
    });
    let auxiliary = auxiliary.collect();
    Data { counts, auxiliary }
}
