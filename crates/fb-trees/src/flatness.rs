//! Boosting for a flat efficiency (arXiv:1410.4140).
//!
//! L = Σ w e^−ys + c·Σ_b W_b ∫ |F_b(s) − F(s)|^p dF(s) for y = ±1, where F is the distribution of the score of a class and
//! F_b that within a group of events near each other (bins or neighbours) in the features along which it is to be flat.

use fb_core::Workers;

use crate::forest::Link;
use crate::histogram::Pair;
use crate::loss::{Loss, Objective, Targets};
use crate::parallel::map;

/// Exponential loss with a term for flatness. Outputs are half the logarithm of the odds.
pub struct Flatness<'a> {
    /// c.
    pub strength: f64,
    /// p.
    pub power: f64,
    /// For each class that is to be flat its events, and groups of them.
    pub classes: Vec<(Vec<u32>, Vec<Vec<u32>>)>,
    /// Weights of all events.
    pub weights: &'a [f32],
    /// Threads.
    pub workers: &'a dyn Workers,
    /// Where the term pulls each event.
    pull: Vec<f32>,
    /// In how many groups each event is.
    occurrences: Vec<u32>,
}

impl<'a> Flatness<'a> {
    /// The objective for these classes.
    pub fn new(
        strength: f64,
        power: f64,
        classes: Vec<(Vec<u32>, Vec<Vec<u32>>)>,
        weights: &'a [f32],
        workers: &'a dyn Workers,
    ) -> Self {
        let mut occurrences = vec![0; weights.len()];
        for event in classes.iter().flat_map(|(_, groups)| groups).flatten() {
            occurrences[*event as usize] += 1;
        }
        Self { strength, power, classes, weights, workers, pull: vec![0.0; weights.len()], occurrences }
    }

    /// Where each of these events, sorted by score, stands in their distribution: the share of weight below it, with half
    /// of those that have the same score.
    fn positions(&self, sorted: &[u32], scores: &[f32]) -> Vec<f32> {
        // Weights count with their size, so that no share leaves [0, 1].
        let weight = |&i: &u32| f64::from(self.weights[i as usize].abs());
        let total: f64 = sorted.iter().map(weight).sum();
        let (mut positions, mut below, mut at) = (vec![0.0; sorted.len()], 0.0, 0);
        while at < sorted.len() {
            let score = scores[sorted[at] as usize];
            let end = at + sorted[at..].partition_point(|&i| scores[i as usize] <= score);
            let equal: f64 = sorted[at..end].iter().map(weight).sum();
            positions[at..end].fill(((below + 0.5 * equal) / total) as f32);
            below += equal;
            at = end;
        }
        positions
    }
}

impl Objective for Flatness<'_> {
    fn outputs(&self) -> usize {
        1
    }

    fn link(&self) -> Link {
        Loss::Exponential.link()
    }

    fn base(&self, sample: Targets<'_>) -> Vec<f64> {
        Loss::Exponential.base(sample)
    }

    fn prepare(&mut self, outputs: &[Vec<f32>]) {
        let scores = &outputs[0];
        let mut pull = vec![0.0f32; scores.len()];
        let mut global = vec![0.0f32; scores.len()];
        for (events, groups) in &self.classes {
            let sort = |events: &[u32]| {
                let mut sorted = events.to_vec();
                sorted.sort_unstable_by(|&a, &b| scores[a as usize].total_cmp(&scores[b as usize]).then(a.cmp(&b)));
                sorted
            };
            let sorted = sort(events);
            for (&i, position) in sorted.iter().zip(self.positions(&sorted, scores)) {
                global[i as usize] = position;
            }
            let parts = map(self.workers, groups.iter().collect(), |group: &Vec<u32>| {
                let sorted = sort(group);
                let local = self.positions(&sorted, scores);
                let pull = sorted.iter().zip(local).map(|(&i, local)| {
                    let difference = local - global[i as usize];
                    let size = self.power * f64::from(difference.abs()).powf(self.power - 1.0);
                    (i, difference.signum() * size as f32)
                });
                pull.collect::<Vec<_>>()
            });
            for (i, p) in parts.into_iter().flatten() {
                pull[i as usize] += p;
            }
        }
        for (pull, &n) in pull.iter_mut().zip(&self.occurrences) {
            *pull *= self.strength as f32 / n.max(1) as f32;
        }
        self.pull = pull;
    }

    fn gradients(&self, k: usize, first: usize, outputs: &[&[f32]], sample: Targets<'_>, out: &mut [Pair]) {
        Loss::Exponential.gradients(k, first, outputs, sample, out);
        for ((out, pull), &w) in out.iter_mut().zip(&self.pull[first..]).zip(sample.weights) {
            // Leaves take the mean of the gradient, as the term has no hessian of its own.
            *out = [out[0] - w * pull, w];
        }
    }

    fn loss(&self, outputs: &[f32], targets: &[f32]) -> f64 {
        Loss::Exponential.loss(outputs, targets)
    }
}
