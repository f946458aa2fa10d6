//! Weights that take a component out of a sum of components.
//!
//! Source: M. Pivk and F. R. Le Diberder, physics/0402083.

use fb_core::{Error, Result};

use super::model::{Category, Data, Estimate, Spectra};
use crate::matrix::Matrix;

/// How far Σ_e w f_n/Σ_k N_k f_k may be from 1 for a yield N_n: it is 1 where −2 ln L is lowest in it.
const STATIONARY: f64 = 1e-3;

/// The weights of one category: as functions of the observable.
#[derive(Debug)]
pub struct Splot<'a> {
    category: &'a Category,
    theta: &'a [f64],
    /// V of the yields with all else held, V⁻¹_nj = Σ_e w f_n f_j/(Σ_k N_k f_k)² (eq. 8).
    covariance: Matrix,
}

impl<'a> Splot<'a> {
    /// Of a category of a fit event by event.
    ///
    /// # Errors
    /// [`Error::Config`] for bins, and where a yield is at a bound, fixed, constrained, or no yield of one component alone:
    /// the weights sum up to the yields only where all yields are free.
    pub fn new(spectra: &Spectra, category: &'a Category, best: &'a Estimate) -> Result<Self> {
        let wrong =
            |reason: String| Error::Config { place: format!("weights of category `{}`", category.name), reason };
        let Data::Events { x, weights } = &category.data else {
            return Err(wrong("found bins, expected a fit event by event: leave out `fit.bins`".to_owned()));
        };
        let densities = category.densities(&best.theta, x);
        let count = densities.len();
        let (mut second, mut sums) = (Matrix::zeros(count), vec![0.0; count]);
        for (event, w) in weights.iter().enumerate() {
            let all: f64 = densities.iter().map(|(size, f)| size * f[event]).sum();
            for n in 0..count {
                let share = densities[n].1[event] / all;
                sums[n] += w * share;
                for (element, (_, f)) in second.row_mut(n).iter_mut().zip(&densities) {
                    *element += w * share * f[event] / all;
                }
            }
        }
        if let Some(n) = sums.iter().position(|sum| (sum - 1.0).abs() > STATIONARY) {
            let size = densities[n].0;
            let at: Vec<&str> = category.components[n].factors().map(|i| spectra.parameters[i].name.as_str()).collect();
            let reason = format!(
                "the yield {size} of component {n} ({}) is not where the likelihood alone puts it: it is fixed, constrained, shared or at a bound",
                at.join(", ")
            );
            return Err(wrong(reason));
        }
        let covariance = second.cholesky().ok_or_else(|| wrong("two components have the same shape".to_owned()))?;
        Ok(Self { category, theta: &best.theta, covariance: covariance.inverse() })
    }

    /// V of the yields.
    pub fn covariance(&self) -> &Matrix {
        &self.covariance
    }

    /// For each component the weights Σ_j V_nj f_j(x)/Σ_k N_k f_k(x) of events at `x` (eq. 9); a weight that an event has
    /// besides is a factor.
    pub fn weights(&self, x: &[f64]) -> Vec<Vec<f64>> {
        let densities = self.category.densities(self.theta, x);
        let all: Vec<f64> = (0..x.len()).map(|e| densities.iter().map(|(size, f)| size * f[e]).sum()).collect();
        let one = |n: usize| {
            let row = self.covariance.row(n);
            let sum = |e: usize| densities.iter().zip(row).map(|((_, f), v)| v * f[e]).sum::<f64>();
            all.iter().enumerate().map(|(e, all)| sum(e) / all).collect()
        };
        (0..densities.len()).map(one).collect()
    }
}
