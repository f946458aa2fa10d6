//! Hypothesis tests with q̃_μ in the asymptotic limit, and upper limits by CLs.
//!
//! Source: arXiv:1007.1727, eqs. 16 and 66; CLs: J. Phys. G 28 (2002) 2693.

use fb_core::{Error, Result};

use super::fit::{Fit, conditional_fit};
use super::likelihood::Likelihood;
use crate::special::ln_normal_cdf;

/// The test of one value of the parameter of interest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hypothesis {
    /// CLs of the data.
    pub observed: f64,
    /// CLs expected without signal, for data at −2, −1, 0, 1 and 2 standard deviations.
    pub expected: [f64; 5],
}

/// The values of the parameter of interest above which CLs is smaller than 1 − the level of confidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// From the data.
    pub observed: f64,
    /// Expected without signal, for data at −2, −1, 0, 1 and 2 standard deviations.
    pub expected: [f64; 5],
}

/// Differences of −2 ln L below this are rounding and what the minimiser leaves.
const NOISE: f64 = 1e-9;

/// The fits that all values of the parameter of interest have in common.
#[derive(Debug)]
pub struct Scan<'a> {
    poi: usize,
    data: Curve<'a>,
    asimov: Curve<'a>,
}

/// −2 ln λ̃(μ) of one set of data.
#[derive(Debug)]
struct Curve<'a> {
    likelihood: Likelihood<'a>,
    best: Fit,
    /// Where the next conditional fit starts.
    last: Vec<f64>,
}

impl Curve<'_> {
    /// q̃_μ; zero where the best value is above μ.
    fn statistic(&mut self, poi: usize, mu: f64) -> Result<f64> {
        let at = Some((poi, mu));
        // There can be several minima, and a start can be impossible at this μ.
        let inits = self.likelihood.model().inits();
        let fit = conditional_fit(&self.likelihood, &[&self.last, &self.best.theta, &inits], at)?;
        self.last.clone_from(&fit.theta);
        let (low, high) = self.likelihood.model().parameters()[poi].bounds;
        if fit.twice_nll < self.best.twice_nll - 1e-6 && (low..=high).contains(&mu) {
            // The minimum that was taken for the lowest is not.
            self.best = conditional_fit(&self.likelihood, &[&fit.theta], None)?;
        }
        if self.best.theta[poi] > mu {
            return Ok(0.0);
        }
        let difference = fit.twice_nll - self.best.twice_nll;
        Ok(if difference > NOISE { difference } else { 0.0 })
    }
}

impl<'a> Scan<'a> {
    /// Fits the data, then the Asimov data of no signal with the other parameters as the data want them.
    ///
    /// # Errors
    /// [`Error::Model`] if the model has no parameter of interest or it is fixed; of fits, as
    /// [`best_fit`](super::best_fit).
    pub fn new(likelihood: Likelihood<'a>) -> Result<Self> {
        let model = likelihood.model();
        let poi = model.interest("limit")?;
        let parameter = &model.parameters()[poi];
        let best = conditional_fit(&likelihood, &[&model.inits()], None)?;
        let background = conditional_fit(&likelihood, &[&model.inits(), &best.theta], Some((poi, 0.0)))?;
        let asimov = Likelihood::new(model, model.asimov(&background.theta));
        // Asimov data are fitted best by the parameters that made them, if these are allowed.
        let perfect = if (parameter.bounds.0..=parameter.bounds.1).contains(&0.0) {
            Fit { twice_nll: asimov.twice_nll(&background.theta), theta: background.theta.clone() }
        } else {
            conditional_fit(&asimov, &[&model.inits()], None)?
        };
        Ok(Self {
            poi,
            data: Curve { likelihood, last: best.theta.clone(), best },
            asimov: Curve { likelihood: asimov, last: background.theta, best: perfect },
        })
    }

    /// The test of μ.
    ///
    /// # Errors
    /// Of fits, as [`best_fit`](super::best_fit).
    pub fn test(&mut self, mu: f64) -> Result<Hypothesis> {
        let q = self.data.statistic(self.poi, mu)?;
        let q_asimov = self.asimov.statistic(self.poi, mu)?;
        let root = q_asimov.sqrt();
        // Beyond the Asimov value the law of q̃ is another one.
        let z = if q.sqrt() <= root { q.sqrt() - root } else { (q - q_asimov) / (2.0 * root) };
        let cls = |z: f64| (ln_normal_cdf(-(z + root)) - ln_normal_cdf(-z)).exp();
        if root == 0.0 {
            // Signal and background expect the same.
            return Ok(Hypothesis { observed: 1.0, expected: [1.0; 5] });
        }
        Ok(Hypothesis { observed: cls(z), expected: [2.0, 1.0, 0.0, -1.0, -2.0].map(cls) })
    }

    /// Upper limits where CLs = `size`, 0.05 for a confidence of 95 %, to 1e-7 of their value.
    ///
    /// # Errors
    /// [`Error::Fit`] if CLs does not fall below `size` however large μ is; of fits, as [`best_fit`](super::best_fit).
    pub fn limits(&mut self, size: f64) -> Result<Limits> {
        let (low, high) = self.data.likelihood.model().parameters()[self.poi].bounds;
        let mut known = Vec::new();
        let mut top = if high > 0.0 { high } else { 1.0 };
        // Limits are sought from below: a fit far from the data can fail without need.
        top = top.min((self.data.best.theta[self.poi].max(0.0) * 2.0).max(1e-3 * top));
        self.add(&mut known, low.max(0.0))?;
        for turn in 0.. {
            let found = self.add(&mut known, top)?;
            if found.iter().all(|cls| *cls < size) {
                break;
            }
            if turn == 60 {
                let reason = format!("CLs is still {} at {top:e}", found[0]);
                return Err(Error::Fit { reason: format!("no upper limit: {reason}; is there any signal?") });
            }
            top *= 2.0;
        }
        let mut limits = [0.0; 6];
        for (which, limit) in limits.iter_mut().enumerate() {
            *limit = self.crossing(&mut known, which, size)?;
        }
        let [observed, expected @ ..] = limits;
        Ok(Limits { observed, expected })
    }

    /// Tests μ, and keeps ln CLs, in the order of μ.
    fn add(&mut self, known: &mut Vec<(f64, [f64; 6])>, mu: f64) -> Result<[f64; 6]> {
        let Hypothesis { observed, expected: [a, b, c, d, e] } = self.test(mu)?;
        let values = [observed, a, b, c, d, e];
        let at = known.partition_point(|(other, _)| *other < mu);
        known.insert(at, (mu, values));
        Ok(values)
    }

    /// The root of ln CLs − ln size by false position, with the Illinois rule.
    fn crossing(&mut self, known: &mut Vec<(f64, [f64; 6])>, which: usize, size: f64) -> Result<f64> {
        let height = |values: &[f64; 6]| (values[which].max(1e-300) / size).ln();
        let after = known.iter().position(|(_, values)| height(values) < 0.0).unwrap_or(known.len() - 1);
        if after == 0 {
            let reason = format!("no upper limit: CLs is {} at the lower bound already", known[0].1[which]);
            return Err(Error::Fit { reason });
        }
        let (mut low, mut high) = (known[after - 1].0, known[after].0);
        let (mut above, mut below) = (height(&known[after - 1].1), height(&known[after].1));
        let mut side = 0;
        for _ in 0..100 {
            let mu = (low * below - high * above) / (below - above);
            let mu = if mu > low && mu < high { mu } else { 0.5 * (low + high) };
            let found = height(&self.add(known, mu)?);
            if found.abs() < 1e-9 || high - low < 1e-7 * high {
                return Ok(mu);
            }
            if found > 0.0 {
                (low, above) = (mu, found);
                below *= if side == 1 { 0.5 } else { 1.0 };
                side = 1;
            } else {
                (high, below) = (mu, found);
                above *= if side == -1 { 0.5 } else { 1.0 };
                side = -1;
            }
        }
        Err(Error::Fit { reason: format!("no upper limit: CLs does not come to {size} near {high}") })
    }
}
