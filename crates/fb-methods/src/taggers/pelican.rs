//! PELICAN (arXiv:2211.00454, Bogatskiy, Hoffman, Miller, Offermann): permutation-equivariant maps of all products of momenta.
//!
//! Of every pair it sees p_i·p_j, as fifty powers ((1 + x)^a − 1)/a with trainable exponents. A block mixes the channels of
//! each pair, normalises them over the batch, and applies the general linear map from pairs to pairs that commutes with
//! permutations: fifteen terms made of the pair, its mirror, the diagonal and means over rows, columns and all, which grow
//! as a trainable power of the number of constituents over 49. In the end the mean over all pairs and that of the diagonal
//! are classified. Sees px, py, pz, E of each constituent in GeV.
//!
//! Two light-like momenta along the beam stand beside the constituents (`beams`), and labels of pairs tell them apart. With
//! them the score is invariant under rotations about the beam and changes under others; without, it is invariant under all
//! Lorentz transformations.
//!
//! The sizes are those of the authors' configuration of 48,000 parameters; the paper speaks of 45,000.

use fb_core::{Card, Input, Paper, Promise, Result, Status, Task, Variable};
use fb_nn::optimiser::Rule;
use fb_nn::{Activation, Edges, Graph, Init, Schedule, Train};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DEEPEST, UNWEIGHTED_NORM, at_most, cloud, logits};
use crate::neural::Network;

/// Options of PELICAN.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Constituents that are kept, the hardest first; the cost grows with its square.
    pub max: usize,
    /// Powers of each product.
    pub powers: usize,
    /// Channels of what labels make of a pair.
    pub labels: usize,
    /// Channels of a pair inside a block.
    pub hidden: usize,
    /// Channels of a pair between blocks.
    pub message: usize,
    /// Blocks.
    pub depth: usize,
    /// Constituents in units of which means grow.
    pub mean: f64,
    /// Whether momenta along the beam stand beside the constituents.
    pub beams: bool,
    /// Share that is dropped in training, of pairs inside a block and of the last layer.
    pub dropout: f64,
    /// How it is trained.
    pub train: Train,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max: 80,
            powers: 50,
            labels: 10,
            hidden: 35,
            message: 60,
            depth: 5,
            mean: 49.0,
            beams: true,
            dropout: 0.025,
            train: Train {
                epochs: 35,
                batch: 64,
                lr: 2.5e-3,
                optimiser: Rule::Adamw,
                weight_decay: 0.005,
                schedule: Schedule::OneCycle,
                ..Train::default()
            },
        }
    }
}

/// Columns of the input: the momentum, and a label for each of beam and constituent.
const MOMENTUM: usize = 4;
const LABELS: usize = 2;

/// What labels of particles make of pairs: to the receiver, the sender, the diagonal, and their means to all and to the
/// diagonal.
fn label_pairs(graph: &mut Graph, config: &Config) -> usize {
    let labels = graph.columns(Graph::INPUT, MOMENTUM, MOMENTUM + LABELS);
    let mean = graph.mean(labels);
    let mean = graph.spread(mean);
    let [own, receiver, sender, all, all_own] = [labels, labels, labels, mean, mean].map(|x| {
        let x = graph.multiplicity(x, config.mean, Activation::Leaky);
        graph.start(x, Init::Constant(0.0));
        graph.linear_no_bias(x, config.labels)
    });
    let receiver = graph.add(receiver, all, Activation::Identity);
    let own = graph.add(own, all_own, Activation::Identity);
    graph.join(receiver, sender, &[own], Activation::Identity)
}

/// Mixes the channels of pairs.
fn message(graph: &mut Graph, config: &Config, x: usize) -> usize {
    let x = graph.linear(x, config.hidden, Activation::Leaky);
    let x = graph.batch_norm(x, config.hidden, Activation::Identity);
    if config.dropout == 0.0 { x } else { graph.dropout(x, config.dropout) }
}

/// PELICAN.
pub struct Pelican;

impl Network for Pelican {
    const CARD: Card = Card {
        name: "pelican",
        title: "PELICAN, equivariant maps of products of momenta",
        tasks: &[Task::Classify],
        input: "particle cloud",
        promises: &[Promise::PermutationInvariant, Promise::LorentzInvariant, Promise::OnnxParity],
        paper: Paper { authors: "Bogatskiy, Hoffman, Miller, Offermann", arxiv: "2211.00454" },
        status: Status::Experimental,
        parameters: Some(48_317),
        known_failures: UNWEIGHTED_NORM,
    };
    type Config = Config;

    fn input(config: &Config) -> Result<Input> {
        Ok(cloud(config.max, &["px", "py", "pz", "E", "0", "1"].map(Variable::plain)))
    }

    fn train(config: &Config) -> &Train {
        &config.train
    }

    fn build(config: &Config, classes: usize, graph: &mut Graph) -> Result<()> {
        at_most("pelican", "depth", config.depth, DEEPEST)?;
        graph.edges = Some(Edges::All);
        if config.beams {
            graph.fixed = [1.0, -1.0].map(|pz| vec![0.0, 0.0, pz, 1.0, 1.0, 0.0]).to_vec();
        }
        let momenta = graph.columns(Graph::INPUT, 0, MOMENTUM);
        let products = graph.invariants(momenta, config.powers);
        let labels = label_pairs(graph, config);
        let mut x = graph.concat(&[products, labels]);
        for _ in 0..config.depth {
            x = message(graph, config, x);
            x = graph.equivariant(x, config.message, config.mean);
        }
        let x = message(graph, config, x);
        let own = graph.diagonal(x);
        let all = graph.mean(x);
        let parts = [all, own].map(|x| {
            let mean = graph.mean(x);
            let mean = graph.multiplicity(mean, config.mean, Activation::Leaky);
            graph.start(mean, Init::Even([0.0, 1.0]));
            mean
        });
        let x = graph.concat(&parts);
        let x = graph.linear(x, config.message, Activation::Identity);
        let x = graph.dropout(x, config.dropout);
        logits(graph, x, classes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use fb_nn::Rows;

    use super::*;
    use crate::invariance::{self, Transformation};

    #[test]
    fn invariance() {
        for beams in [false, true] {
            let config = Config { powers: 6, labels: 3, hidden: 5, message: 6, depth: 2, beams, ..Config::default() };
            let mut graph = Graph::new(Rows::Particle, MOMENTUM + LABELS);
            Pelican::build(&config, 2, &mut graph).unwrap_or_else(|e| panic!("{e}"));
            for (transformation, difference) in invariance::differences(&graph, |_| [0.0, 1.0]) {
                // The beams single out one axis.
                let holds = !beams || transformation == Transformation::TurnAboutBeam;
                assert!((difference < 1e-10) == holds, "{transformation:?}, beams {beams}: {difference:e}");
            }
        }
    }
}
