//! Metrics of a regression: residuals r = prediction − target and responses prediction / target, with signed weights.

use std::sync::OnceLock;

use fb_core::{Error, Result, closest};

use crate::bootstrap::quantile_edges;

/// A number that says how good predictions are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Accuracy {
    /// √⟨r²⟩.
    Rmse,
    /// ⟨|r|⟩.
    Mae,
    /// ⟨r⟩.
    Bias,
    /// Half the width of the central 68% of r.
    Resolution,
    /// 1 − ⟨r²⟩ / variance of the target.
    R2,
    /// Median of prediction / target.
    Response,
    /// Half the width of the central 68% of prediction / target, divided by its median.
    RelativeResolution,
    /// ⟨max(α (−r), (α − 1)(−r))⟩: least for the α-quantile.
    Pinball(f64),
}

/// Half the outside of the central interval of one standard deviation.
const TAIL: f64 = 0.158_655;

impl Accuracy {
    const NAMES: [(&'static str, Self); 7] = [
        ("rmse", Self::Rmse),
        ("mae", Self::Mae),
        ("bias", Self::Bias),
        ("resolution", Self::Resolution),
        ("r2", Self::R2),
        ("response", Self::Response),
        ("relative_resolution", Self::RelativeResolution),
    ];

    /// From its name: `rmse`, `mae`, `bias`, `resolution`, `r2`, `response`, `relative_resolution`, `pinball@0.9`.
    ///
    /// # Errors
    /// [`Error::UnknownName`] with the nearest name, [`Error::Config`] for a quantile outside of (0, 1).
    pub fn parse(name: &str) -> Result<Self> {
        if let Some(alpha) = name.strip_prefix("pinball@") {
            return match alpha.parse() {
                Ok(alpha) if alpha > 0.0 && alpha < 1.0 => Ok(Self::Pinball(alpha)),
                _ => Err(Error::Config {
                    place: format!("metric `{name}`"),
                    reason: format!("found the quantile `{alpha}`, expected a number between 0 and 1"),
                }),
            };
        }
        Self::NAMES.iter().find(|(n, _)| *n == name).map(|(_, metric)| *metric).ok_or_else(|| Error::UnknownName {
            what: "metric of a regression",
            name: name.to_owned(),
            closest: closest(name, Self::NAMES.iter().map(|(n, _)| *n).chain(["pinball@0.5"])),
        })
    }
}

/// Predictions beside their targets, sorted once where a metric needs it, to compute metrics for many sets of weights.
pub struct Residuals<'a> {
    targets: &'a [f64],
    differences: Vec<f64>,
    responses: Vec<f64>,
    /// Events by rising residual, and by rising response.
    orders: [OnceLock<Vec<u32>>; 2],
}

/// The first value at which the sum of weights reaches half of the whole; NaN without events.
pub fn median(values: &[f64], weights: &[f64]) -> f64 {
    quantiles(values, &order(values), weights, [0.5])[0]
}

fn order(values: &[f64]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..values.len() as u32).collect();
    order.sort_by(|&a, &b| values[a as usize].total_cmp(&values[b as usize]).then(a.cmp(&b)));
    order
}

/// The first value at which the sum of weights reaches each share of the whole; shares rise.
fn quantiles<const N: usize>(values: &[f64], order: &[u32], weights: &[f64], shares: [f64; N]) -> [f64; N] {
    let total: f64 = order.iter().map(|&i| weights[i as usize]).sum();
    let (mut sum, mut found, mut next) = (0.0, [f64::NAN; N], 0);
    for &i in order {
        sum += weights[i as usize];
        while next < N && sum >= shares[next] * total {
            found[next] = values[i as usize];
            next += 1;
        }
    }
    found
}

impl<'a> Residuals<'a> {
    /// Compares predictions with targets.
    ///
    /// # Errors
    /// [`Error::Length`] for lists of different lengths, [`Error::NotFinite`] for a prediction that is no number.
    pub fn new(predictions: &[f64], targets: &'a [f64]) -> Result<Self> {
        if predictions.len() != targets.len() {
            let what = "predictions".to_owned();
            return Err(Error::Length { what, expected: targets.len(), found: predictions.len() });
        }
        if let Some(event) = predictions.iter().position(|p| !p.is_finite()) {
            return Err(Error::NotFinite { column: "prediction".to_owned(), event, found: predictions[event] });
        }
        let differences: Vec<f64> = predictions.iter().zip(targets).map(|(p, t)| p - t).collect();
        let responses: Vec<f64> = predictions.iter().zip(targets).map(|(p, t)| p / t).collect();
        Ok(Self { targets, differences, responses, orders: Default::default() })
    }

    /// Prediction − target of each event.
    pub fn residuals(&self) -> &[f64] {
        &self.differences
    }

    fn mean(&self, weights: &[f64], f: impl Fn(f64) -> f64) -> f64 {
        let sum: f64 = self.differences.iter().zip(weights).map(|(&r, w)| w * f(r)).sum();
        sum / weights.iter().sum::<f64>()
    }

    /// Each metric with these weights.
    pub fn metrics(&self, metrics: &[Accuracy], weights: &[f64]) -> Vec<f64> {
        let half = |[low, high]: [f64; 2]| 0.5 * (high - low);
        let by_residual = || self.orders[0].get_or_init(|| order(&self.differences));
        let by_response = || self.orders[1].get_or_init(|| order(&self.responses));
        let value = |metric: &Accuracy| match *metric {
            Accuracy::Rmse => self.mean(weights, |r| r * r).sqrt(),
            Accuracy::Mae => self.mean(weights, f64::abs),
            Accuracy::Bias => self.mean(weights, |r| r),
            Accuracy::Pinball(alpha) => self.mean(weights, |r| (-alpha * r).max((1.0 - alpha) * r)),
            Accuracy::Resolution => half(quantiles(&self.differences, by_residual(), weights, [TAIL, 1.0 - TAIL])),
            Accuracy::R2 => {
                let total: f64 = weights.iter().sum();
                let moment = |n: i32| self.targets.iter().zip(weights).map(|(t, w)| w * t.powi(n)).sum::<f64>() / total;
                1.0 - self.mean(weights, |r| r * r) / (moment(2) - moment(1).powi(2))
            }
            Accuracy::Response => quantiles(&self.responses, by_response(), weights, [0.5])[0],
            Accuracy::RelativeResolution => {
                let [low, median, high] = quantiles(&self.responses, by_response(), weights, [TAIL, 0.5, 1.0 - TAIL]);
                half([low, high]) / median
            }
        };
        metrics.iter().map(value).collect()
    }
}

/// Events in bins of equal population of their target, for closure: is the prediction right on average in each?
pub struct Closure {
    centres: Vec<f64>,
    bin: Vec<u8>,
}

impl Closure {
    /// `bins` bins of equal population; fewer where targets repeat.
    pub fn new(targets: &[f64], bins: usize) -> Self {
        let mut edges = quantile_edges(targets, bins);
        edges.dedup();
        let inner = edges.get(1..edges.len() - 1).unwrap_or_default();
        let bin: Vec<u8> = targets.iter().map(|t| inner.partition_point(|e| e <= t) as u8).collect();
        let mut sums = vec![[0.0; 2]; inner.len() + 1];
        for (&bin, t) in bin.iter().zip(targets) {
            let sum = &mut sums[usize::from(bin)];
            *sum = [sum[0] + 1.0, sum[1] + t];
        }
        Self { centres: sums.into_iter().map(|[n, t]| t / n).collect(), bin }
    }

    /// Mean target of each bin.
    pub fn centres(&self) -> &[f64] {
        &self.centres
    }

    /// (mean, root mean square about it) of the residuals in each bin.
    pub fn sums(&self, residuals: &[f64], weights: &[f64]) -> Vec<[f64; 2]> {
        let mut sums = vec![[0.0; 3]; self.centres.len()];
        for ((&bin, &r), &w) in self.bin.iter().zip(residuals).zip(weights) {
            let sum = &mut sums[usize::from(bin)];
            *sum = [sum[0] + w, sum[1] + w * r, sum[2] + w * r * r];
        }
        let moments = |[w, r, r2]: [f64; 3]| [r / w, (r2 / w - (r / w).powi(2)).max(0.0).sqrt()];
        sums.into_iter().map(moments).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read() {
        for (name, metric) in Accuracy::NAMES {
            assert_eq!(Accuracy::parse(name).unwrap(), metric);
        }
        assert_eq!(Accuracy::parse("pinball@0.25").unwrap(), Accuracy::Pinball(0.25));
        assert!(Accuracy::parse("pinball@1").is_err());
        let error = Accuracy::parse("rsme").unwrap_err().to_string();
        assert_eq!(error, "no metric of a regression `rsme`; did you mean `rmse`?");
    }

    #[test]
    fn values_of_a_small_sample() {
        let targets = [1.0, 2.0, 4.0, 5.0];
        let predictions = [1.5, 1.0, 4.0, 6.0];
        let weights = [1.0, 2.0, -1.0, 2.0];
        let found = Residuals::new(&predictions, &targets).unwrap().metrics(
            &[Accuracy::Rmse, Accuracy::Mae, Accuracy::Bias, Accuracy::R2, Accuracy::Response, Accuracy::Pinball(0.2)],
            &weights,
        );
        let mean = 11.0 / 4.0;
        let variance = (1.0 + 8.0 - 16.0 + 50.0) / 4.0 - mean * mean;
        let pinball = (0.5 * 0.8 + 2.0 * 0.2 + 2.0 * 0.8) / 4.0;
        // Responses in order: 0.5 (2), 1 (−1), 1.2 (2), 1.5 (1): half of the weight, two, is reached at the first.
        let expected = [(4.25f64 / 4.0).sqrt(), 4.5 / 4.0, 0.5 / 4.0, 1.0 - (4.25 / 4.0) / variance, 0.5, pinball];
        for (f, e) in found.iter().zip(expected) {
            assert!((f - e).abs() < 1e-12, "{found:?} {expected:?}");
        }
    }

    #[test]
    fn a_gaussian_has_its_resolution_and_closure() {
        let mut random = fb_core::Philox::new(1, 0, 0);
        let targets: Vec<f64> = (0..40_000).map(|_| 10.0 + random.uniform()).collect();
        let predictions: Vec<f64> = targets.iter().map(|t| t + 0.5 + 2.0 * random.normal()).collect();
        let weights = vec![1.0; targets.len()];
        let residuals = Residuals::new(&predictions, &targets).unwrap();
        let [resolution, bias] = residuals.metrics(&[Accuracy::Resolution, Accuracy::Bias], &weights)[..] else {
            panic!("two")
        };
        assert!((resolution - 2.0).abs() < 0.04 && (bias - 0.5).abs() < 0.04, "{resolution} {bias}");
        let closure = Closure::new(&targets, 10);
        for [mean, width] in closure.sums(residuals.residuals(), &weights) {
            assert!((mean - 0.5).abs() < 0.15 && (width - 2.0).abs() < 0.1, "{mean} {width}");
        }
    }
}
