//! Numbers that physicists publish, with their errors: ROC curves and their metrics under signed weights, the
//! bootstrap that gives intervals and paired differences, residuals of regressions, asymmetries, histograms, and fits of
//! HistFactory models with the limits that follow from them.

#![forbid(unsafe_code)]

pub mod asymmetry;
pub mod bootstrap;
pub mod categories;
pub mod classes;
pub mod clustering;
pub mod feldman_cousins;
pub mod goodness;
pub mod grid;
pub mod histfactory;
pub mod histogram;
pub mod matrix;
pub mod metric;
pub mod minimise;
pub mod profile;
pub mod regression;
pub mod resonance;
pub mod roc;
pub mod significance;
pub mod special;
pub mod spectrum;
pub mod toys;

pub use bootstrap::Bootstrap;
pub use classes::Classes;
pub use clustering::Clustering;
pub use histogram::Histogram;
pub use metric::Metric;
pub use regression::{Accuracy, Closure, Residuals};
pub use roc::{Ranking, Roc};

/// The value below which a share `q` of the sorted numbers lies, interpolated linearly; NaN without numbers.
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let at = q.clamp(0.0, 1.0) * last as f64;
    let (below, part) = (at.floor() as usize, at.fract());
    sorted[below] + part * (sorted[(below + 1).min(last)] - sorted[below])
}
