//! How well a model describes counts: the likelihood ratio to the saturated model, with its law for large counts and
//! with pseudo-experiments.
//!
//! Source: S. Baker and R. D. Cousins, Nucl. Instrum. Meth. 221 (1984) 437.

use fb_core::{Result, Value, Workers};

use crate::special::chi2_tail;
use crate::toys::experiments;

/// The outcome of a test.
#[derive(Debug, Clone, PartialEq)]
pub struct Goodness {
    /// Large where the model does not describe the data.
    pub statistic: f64,
    /// Numbers of data less numbers of parameters that they fix, and the p-value P(χ² ≥ statistic) for as many degrees of
    /// freedom; nothing where there is no such law.
    pub asymptotic: Option<(usize, f64)>,
    /// From pseudo-experiments, if there were any.
    pub toys: Option<ToyShare>,
}

/// The share of pseudo-experiments that are described as badly or worse.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ToyShare {
    /// The p-value with its binomial error.
    pub p: Value,
    /// Pseudo-experiments whose fits failed; they are left out.
    pub failed: usize,
}

impl Goodness {
    /// Of a statistic that follows χ² if the counts are large.
    pub fn chi2(statistic: f64, degrees: usize) -> Self {
        let p = if degrees == 0 { f64::NAN } else { chi2_tail(statistic, degrees as f64) };
        Self { statistic, asymptotic: Some((degrees, p)), toys: None }
    }

    /// With the share of `toys` pseudo-experiments whose statistic, which `draw` gives, is as large or larger.
    ///
    /// # Errors
    /// [`fb_core::Error::Fit`] if more than a tenth of them fail.
    pub fn with_toys(
        mut self,
        toys: usize,
        workers: &dyn Workers,
        draw: &(dyn Fn(u64) -> Result<f64> + Sync),
    ) -> Result<Self> {
        let (found, failed) = experiments(toys, workers, &|toy| draw(toy as u64).ok().filter(|x: &f64| !x.is_nan()))?;
        let above = found.iter().filter(|x| **x >= self.statistic).count();
        self.toys = Some(ToyShare { p: share(above, found.len()), failed });
        Ok(self)
    }
}

/// A share with its binomial error; that of one in `all` for none and all of them.
pub fn share(part: usize, all: usize) -> Value {
    let (p, n) = (part as f64 / all as f64, all as f64);
    Value::symmetric(p, (p * (1.0 - p) / n).sqrt().max(1.0 / n))
}

/// 2 (λ − n + n ln(n/λ)); without the terms of n alone where n, a sum of signed weights, is not positive.
pub fn deviance(seen: f64, mean: f64) -> f64 {
    if mean.is_nan() || mean < 0.0 || (mean == 0.0 && seen != 0.0) {
        return f64::INFINITY;
    }
    if seen > 0.0 {
        return 2.0 * (mean - seen + seen * (seen / mean).ln());
    }
    2.0 * (mean - if seen == 0.0 { 0.0 } else { seen * mean.ln() })
}
