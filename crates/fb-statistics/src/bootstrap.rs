//! The Poisson bootstrap: each replica counts every event 0, 1, 2, … times, Poisson with mean one.
//!
//! The count follows from (seed, replica, identity of the event), so two classifiers on the same events see the same
//! replicas and their difference loses what they have in common.

use fb_core::run::gather;
use fb_core::{Philox, Result, Value, Workers};

use crate::metric::{Evaluation, Metric};
use crate::quantile;

/// Replicas of a sample.
pub struct Bootstrap {
    /// Replica after replica, the count of each event.
    counts: Vec<u8>,
    events: usize,
}

/// Counts 0 … 8 with Poisson(1) probabilities; larger ones have a probability of 10⁻⁶.
fn poisson(uniform: u32) -> u8 {
    // Cumulative probabilities e⁻¹·Σ 1/k! in units of 2⁻³².
    const CUMULATIVE: [u32; 8] = [
        1_580_030_168,
        3_160_060_337,
        3_950_075_421,
        4_213_413_783,
        4_279_248_373,
        4_292_415_291,
        4_294_609_777,
        4_294_923_275,
    ];
    CUMULATIVE.iter().filter(|&&c| uniform >= c).count() as u8
}

impl Bootstrap {
    /// `replicas` replicas of the events with these identities.
    pub fn new(seed: u64, replicas: usize, identity: &[u64]) -> Self {
        let events = identity.len();
        let mut counts = vec![0; replicas * events];
        for (event, &id) in identity.iter().enumerate() {
            // Four replicas come from one block of random bits.
            for block in 0..replicas.div_ceil(4) {
                let key = [seed as u32, (seed >> 32) as u32];
                let bits = Philox::block(key, [block as u32, 0x626f_6f74, id as u32, (id >> 32) as u32]);
                for (i, bits) in bits.into_iter().enumerate().take(replicas - 4 * block) {
                    counts[(4 * block + i) * events + event] = poisson(bits);
                }
            }
        }
        Self { counts, events }
    }

    /// Number of replicas.
    pub fn replicas(&self) -> usize {
        self.counts.len() / self.events.max(1)
    }

    /// The weights of a replica.
    pub fn weights(&self, replica: usize, weights: &[f64]) -> Vec<f64> {
        let counts = &self.counts[replica * self.events..][..self.events];
        weights.iter().zip(counts).map(|(w, &n)| w * f64::from(n)).collect()
    }

    /// Calls `statistic` with the weights of every replica; replicas on which it fails are left out.
    pub fn replicate(
        &self,
        weights: &[f64],
        workers: &dyn Workers,
        statistic: &(dyn Fn(&[f64]) -> Result<Vec<f64>> + Sync),
    ) -> Vec<Vec<f64>> {
        let replica = |replica: usize| statistic(&self.weights(replica, weights)).ok();
        gather(workers, self.replicas(), &replica).into_iter().flatten().collect()
    }
}

/// The central value with the 16% and 84% quantiles of its replicas. Infinite replicas (a rejection without background)
/// count as larger than all others.
pub fn interval(central: f64, replicas: impl IntoIterator<Item = f64>) -> Value {
    let mut sorted: Vec<f64> = replicas.into_iter().filter(|x| !x.is_nan()).collect();
    sorted.sort_by(f64::total_cmp);
    Value::new(central, quantile(&sorted, 0.158_655), quantile(&sorted, 0.841_345))
}

/// Metrics of one classifier with their intervals, and all replicas for paired differences.
pub struct Evaluated {
    /// In the order of the metrics asked for.
    pub values: Vec<Value>,
    /// Replica after replica, the same metrics.
    pub replicas: Vec<Vec<f64>>,
}

/// Computes metrics with their bootstrap intervals.
///
/// # Errors
/// As [`Evaluation::metrics`].
pub fn evaluate(
    metrics: &[Metric],
    evaluation: &Evaluation<'_>,
    weights: &[f64],
    bootstrap: &Bootstrap,
    workers: &dyn Workers,
) -> Result<Evaluated> {
    evaluate_with(weights, bootstrap, workers, &|w| evaluation.metrics(metrics, w))
}

/// Computes any numbers that follow from the weights, with their bootstrap intervals.
///
/// # Errors
/// As `statistic` on the weights themselves.
pub fn evaluate_with(
    weights: &[f64],
    bootstrap: &Bootstrap,
    workers: &dyn Workers,
    statistic: &(dyn Fn(&[f64]) -> Result<Vec<f64>> + Sync),
) -> Result<Evaluated> {
    let central = statistic(weights)?;
    let replicas = bootstrap.replicate(weights, workers, statistic);
    let values = central.iter().enumerate().map(|(m, &c)| interval(c, replicas.iter().map(|r| r[m]))).collect();
    Ok(Evaluated { values, replicas })
}

/// Difference a − b of metric `m` on the same replicas, with its interval and its significance |Δ|/σ.
pub fn difference(a: &Evaluated, b: &Evaluated, m: usize) -> (Value, f64) {
    let central = a.values[m].central - b.values[m].central;
    let deltas: Vec<f64> = a.replicas.iter().zip(&b.replicas).map(|(a, b)| a[m] - b[m]).collect();
    let mean = deltas.iter().sum::<f64>() / deltas.len() as f64;
    let variance = deltas.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / (deltas.len() as f64 - 1.0);
    (interval(central, deltas), central.abs() / variance.sqrt())
}

/// Background efficiency against signal efficiency with its bands.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Band {
    /// Signal efficiencies.
    pub signal: Vec<f64>,
    /// Background efficiency at each.
    pub background: Vec<f64>,
    /// 16% quantile of the replicas.
    pub low: Vec<f64>,
    /// 84% quantile of the replicas.
    pub high: Vec<f64>,
}

/// The ROC curve on a grid of signal efficiencies with its 68% band, by vertical averaging.
pub fn roc_band(
    evaluation: &Evaluation<'_>,
    weights: &[f64],
    grid: &[f64],
    bootstrap: &Bootstrap,
    workers: &dyn Workers,
) -> Result<Band> {
    let curve = |w: &[f64]| -> Result<Vec<f64>> {
        // Negative weights make steps back, which a curve on paper does not have.
        let roc = evaluation.ranking().roc(w)?.clipped();
        Ok(grid.iter().map(|&s| roc.background_at(s)).collect())
    };
    let background = curve(weights)?;
    let replicas = bootstrap.replicate(weights, workers, &curve);
    let bands: Vec<Value> =
        background.iter().enumerate().map(|(i, &b)| interval(b, replicas.iter().map(|r| r[i]))).collect();
    let (low, high) = bands.iter().map(|v| (v.low, v.high)).unzip();
    Ok(Band { signal: grid.to_vec(), background, low, high })
}

/// Edges of `bins` bins with equally many of these numbers.
pub fn quantile_edges(x: &[f64], bins: usize) -> Vec<f64> {
    let mut sorted = x.to_vec();
    sorted.sort_by(f64::total_cmp);
    (0..=bins).map(|i| quantile(&sorted, i as f64 / bins as f64)).collect()
}

#[cfg(test)]
mod tests {
    use fb_core::run::Alone;

    use super::*;

    fn toy(seed: u64, n: usize) -> (Vec<f64>, Vec<bool>) {
        let mut random = Philox::new(seed, 9, 9);
        let signal: Vec<bool> = (0..n).map(|i| i % 2 == 0).collect();
        let scores = signal.iter().map(|&s| random.normal() + f64::from(u8::from(s))).collect();
        (scores, signal)
    }

    #[test]
    fn counts_are_poisson() {
        let bootstrap = Bootstrap::new(1, 50, &(0..2000).collect::<Vec<_>>());
        let n = bootstrap.counts.len() as f64;
        let mean = bootstrap.counts.iter().map(|&c| f64::from(c)).sum::<f64>() / n;
        let variance = bootstrap.counts.iter().map(|&c| (f64::from(c) - mean).powi(2)).sum::<f64>() / n;
        assert!((mean - 1.0).abs() < 0.015 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
    }

    /// The 68% interval of the area covers the known one, Φ(1/√2), in 68% of 300 toys (±2.7% is one sigma).
    #[test]
    fn intervals_cover() {
        let covered = (0..300)
            .filter(|&seed| {
                let (scores, signal) = toy(seed, 240);
                let evaluation = Evaluation::new(&scores, &signal).unwrap();
                let bootstrap = Bootstrap::new(seed, 100, &(0..240).collect::<Vec<_>>());
                let found = evaluate(&[Metric::Auc], &evaluation, &[1.0; 240], &bootstrap, &Alone).unwrap();
                found.values[0].low <= 0.760_250 && 0.760_250 <= found.values[0].high
            })
            .count();
        assert!((f64::from(covered as u32) / 300.0 - 0.683).abs() < 0.08, "{covered} of 300");
    }

    #[test]
    fn pairing_removes_what_is_common() {
        let (scores, signal) = toy(5, 3000);
        let mut random = Philox::new(6, 0, 0);
        let worse: Vec<f64> = scores.iter().map(|s| s + 0.3 * random.normal()).collect();
        let bootstrap = Bootstrap::new(2, 200, &(0..3000).collect::<Vec<_>>());
        let run = |scores: &[f64]| {
            let evaluation = Evaluation::new(scores, &signal).unwrap();
            evaluate(&[Metric::Auc], &evaluation, &vec![1.0; 3000], &bootstrap, &Alone).unwrap()
        };
        let (a, b) = (run(&scores), run(&worse));
        let (delta, z) = difference(&a, &b, 0);
        assert!(delta.error() < 0.5 * a.values[0].error(), "the paired error is far smaller");
        assert!(delta.central > 0.0 && z > 2.0, "{delta} {z}");
    }
}
