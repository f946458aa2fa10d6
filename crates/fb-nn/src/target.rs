//! What the output of a network is compared with: the loss of a training, and what its validation is told by.

use fb_core::{Error, Features, Partition, Result};

use crate::graph::{Edges, Graph};
use crate::kernels::Real;
use crate::loss::{cross_entropy, pair_loss, probabilities};
use crate::regression::Numbers;

/// What a network is to say of each event.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// Its class. The output is a row of logits per event, the loss the cross entropy.
    Classes(&'a [u32]),
    /// Which of its particles belong together. The output is a logit per unordered pair, the loss the mean cross
    /// entropy of the pairs less their soft F1, 2·Σp·y / (Σp + Σy) with y = 1 for two of one group (arXiv:2002.08772).
    Partition(&'a Partition),
    /// Numbers. The output is a row of predictions per event.
    Numbers(Numbers<'a>),
}

impl Target<'_> {
    /// Number of events.
    pub fn len(&self) -> usize {
        match self {
            Self::Classes(labels) => labels.len(),
            Self::Partition(partition) => partition.events(),
            Self::Numbers(numbers) => numbers.events(),
        }
    }

    /// Whether there are no events.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As it is after this share of a training.
    pub(crate) fn at(self, share: f64) -> Self {
        match self {
            Self::Numbers(numbers) => Self::Numbers(Numbers { loss: numbers.loss.at(share), ..numbers }),
            other => other,
        }
    }

    /// Refuses a network whose output is of another kind, and particles that are not those that it sees.
    pub(crate) fn check(&self, graph: &Graph, features: &Features) -> Result<()> {
        let expected = match self {
            Self::Classes(_) => "a row of logits per event",
            Self::Partition(_) => "a logit per pair of particles",
            Self::Numbers(_) => "a row of predictions per event",
        };
        let fits = match self {
            Self::Classes(_) => !graph.is_of_pairs() && graph.numbers.is_none(),
            Self::Partition(_) => graph.is_of_pairs(),
            Self::Numbers(numbers) => {
                let (targets, width) = (numbers.sigma.len(), graph.nodes[graph.output()].width);
                graph.numbers == Some(targets) && width == numbers.loss.outputs(targets)
            }
        };
        if !fits {
            let reason = format!("its output does not fit what it is trained on, expected {expected}");
            return Err(Error::Config { place: "the network".to_owned(), reason });
        }
        let Self::Partition(partition) = self else { return Ok(()) };
        let differs = |&i: &usize| partition.of(i).len() != features.rows(i).len();
        match (0..partition.events()).find(differs) {
            None => Ok(()),
            Some(i) => Err(Error::Length {
                what: format!("groups of the particles of event {i}"),
                expected: features.rows(i).len(),
                found: partition.of(i).len(),
            }),
        }
    }

    /// Σ wᵢ·ℓᵢ / `norm` over the events at `indices`, whose outputs are `values`, and its gradient into `grad`.
    pub(crate) fn loss<T: Real>(
        &self,
        values: &[T],
        width: usize,
        (indices, weights): (&[usize], &[f64]),
        norm: f64,
        grad: &mut [T],
    ) -> f64 {
        let mut loss = 0.0;
        let mut at = 0;
        for &i in indices {
            let scale = weights[i] / norm;
            let rows = self.rows(i) * width;
            let (values, grad) = (&values[at..at + rows], &mut grad[at..at + rows]);
            at += rows;
            loss += match self {
                Self::Classes(labels) => cross_entropy(values, labels[i], scale, grad),
                Self::Partition(partition) => pair_loss(values, partition.of(i), scale, grad),
                Self::Numbers(numbers) => numbers.loss(values, i, scale, grad),
            };
        }
        loss
    }

    /// Mean weighted loss, and the share of events of which the most probable class is right, or of pairs that are taken
    /// for what they are; none for numbers. `outputs` are those of all events.
    pub(crate) fn watched(&self, outputs: &[f32], width: usize, weights: &[f64]) -> (f64, Option<f64>) {
        let total: f64 = weights.iter().sum();
        let (mut loss, mut right) = (0.0, 0.0);
        match self {
            Self::Classes(labels) => {
                let all = probabilities(outputs, width);
                for ((p, &label), &weight) in all.chunks_exact(width.max(2)).zip(*labels).zip(weights) {
                    loss -= weight * f64::from(p[label as usize]).max(1e-30).ln();
                    let first_best = (0..p.len()).fold(0, |best, c| if p[c] > p[best] { c } else { best });
                    right += if first_best == label as usize { weight } else { 0.0 };
                }
            }
            Self::Partition(partition) => {
                let mut grad = Vec::new();
                let mut rest = outputs;
                for (i, &weight) in weights.iter().enumerate() {
                    let (values, others) = rest.split_at(self.rows(i));
                    rest = others;
                    grad.resize(values.len(), 0.0);
                    loss += pair_loss(values, partition.of(i), weight, &mut grad);
                    right += weight * share_right(values, partition.of(i));
                }
            }
            Self::Numbers(numbers) => return (numbers.total(outputs, weights) / total, None),
        }
        (loss / total, Some(right / total))
    }

    /// Rows of the output of event `i`.
    fn rows(&self, i: usize) -> usize {
        match self {
            Self::Classes(_) | Self::Numbers(_) => 1,
            Self::Partition(partition) => Edges::Unordered.count(partition.of(i).len()),
        }
    }
}

/// The share of pairs whose logit is above zero where they belong together and not else; one where there is no pair.
fn share_right(logits: &[f32], groups: &[u32]) -> f64 {
    let (mut right, mut all) = (0, 0);
    for i in 0..groups.len() {
        for j in 0..i {
            right += usize::from((logits[Edges::place(i, j)] > 0.0) == (groups[i] == groups[j]));
            all += 1;
        }
    }
    if all == 0 { 1.0 } else { right as f64 / all as f64 }
}
