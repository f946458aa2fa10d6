//! Ordered boosting (arXiv:1706.09516, Algorithm 2): the shape of a tree is chosen on gradients that come from models of
//! the events before each one in a random order, so that no event enters the model that it is judged by.
//!
//! Models are kept for the first 32, 64, 128, … events; an event uses the largest one that it is not in.

use fb_core::{Workers, philox};

use crate::boost::Set;
use crate::forest::Tree;
use crate::histogram::Pair;
use crate::loss::{Objective, Targets};
use crate::parallel::{map, pieces};
use crate::split::Rules;

/// Events of the smallest model.
const FIRST: usize = 32;
const PIECE: usize = 1 << 14;

/// The models of an ordered boosting with one output.
pub(crate) struct Ordered {
    /// Rows in the random order.
    rows: Vec<u32>,
    /// Targets and weights in that order.
    targets: Vec<f32>,
    weights: Vec<f32>,
    /// (events of the model, its outputs for twice as many events, their gradients).
    models: Vec<(usize, Vec<f32>, Vec<Pair>)>,
}

impl Ordered {
    pub(crate) fn new(train: Set<'_>, base: f64, seed: u64) -> Self {
        let mut rows: Vec<u32> = (0..train.identity.len() as u32).collect();
        rows.sort_by_cached_key(|&i| (philox::hash(seed, train.identity[i as usize]), train.identity[i as usize]));
        let pick = |values: &[f32]| rows.iter().map(|&i| values[i as usize]).collect();
        let (targets, weights) = (pick(train.events.targets), pick(train.events.weights));
        let n = rows.len();
        let mut models = Vec::new();
        let mut events = FIRST.min(n);
        while events < n || models.is_empty() {
            let seen = (2 * events).min(n);
            models.push((events, vec![base as f32; seen], vec![[0.0; 2]; seen]));
            events *= 2;
        }
        Self { rows, targets, weights, models }
    }

    /// Gradients of all rows, each by a model of earlier events.
    pub(crate) fn gradients(&mut self, objective: &dyn Objective, out: &mut [Pair], workers: &dyn Workers) {
        let (targets, weights) = (&self.targets, &self.weights);
        for (_, outputs, gradients) in &mut self.models {
            let tasks: Vec<_> = pieces(outputs.len(), PIECE).zip(gradients.chunks_mut(PIECE)).collect();
            map(workers, tasks, |(range, out)| {
                let sample = Targets { targets: &targets[range.clone()], weights: &weights[range.clone()] };
                objective.gradients(0, range.start, &[&outputs[range]], sample, out);
            });
        }
        // A later model takes over from the first event that it does not hold.
        for (i, (events, _, gradients)) in self.models.iter().enumerate() {
            let from = if i == 0 { 0 } else { *events };
            for (&row, gradient) in self.rows[from..].iter().zip(&gradients[from..]) {
                out[row as usize] = *gradient;
            }
        }
    }

    /// Moves all models by a tree of this shape, whose leaf each row falls into is known.
    pub(crate) fn update(&mut self, tree: &Tree, leaf_of: &[u32], rules: &Rules, rate: f64, workers: &dyn Workers) {
        let rows = &self.rows;
        map(workers, self.models.iter_mut().collect(), |(events, outputs, gradients)| {
            let mut sums = vec![[0.0f64; 2]; tree.nodes.len()];
            for (&row, g) in rows[..*events].iter().zip(gradients.iter()) {
                let sum = &mut sums[leaf_of[row as usize] as usize];
                *sum = [sum[0] + f64::from(g[0]), sum[1] + f64::from(g[1])];
            }
            let free = [f64::NEG_INFINITY, f64::INFINITY];
            let values: Vec<f32> = sums.into_iter().map(|sum| (rate * rules.value(sum, free)) as f32).collect();
            for (output, &row) in outputs.iter_mut().zip(rows) {
                *output += values[leaf_of[row as usize] as usize];
            }
        });
    }
}
