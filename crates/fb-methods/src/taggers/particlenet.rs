//! ParticleNet (arXiv:1902.08570, Qu, Gouskos): dynamic graph convolutions over the constituents.
//!
//! Three EdgeConv blocks: the k nearest neighbours of each constituent, in (Δη, Δφ) first and in the features of the
//! block before afterwards, a shared network of [x_i, x_j − x_i], the mean over j, a shortcut. Sees seven variables of
//! each constituent [particle, 7].

use fb_core::{Card, Input, Paper, Promise, Result, Status, Task, Variable};
use fb_nn::optimiser::Rule;
use fb_nn::{Activation, Graph, Schedule, Train};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{UNWEIGHTED_NORM, cloud, dense, logits, particlenet_variables};
use crate::neural::Network;

/// Options of ParticleNet.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Constituents that are kept, the hardest first.
    pub max: usize,
    /// What it sees of a constituent; the first two are the coordinates of the first block.
    pub variables: Vec<Variable>,
    /// Neighbours.
    pub k: usize,
    /// Widths of the layers of each EdgeConv block.
    pub blocks: Vec<[usize; 3]>,
    /// Width of the dense layer.
    pub dense: usize,
    /// Share of its outputs that are dropped in training.
    pub dropout: f64,
    /// How it is trained.
    pub train: Train,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max: 100,
            variables: particlenet_variables(),
            k: 16,
            blocks: vec![[64; 3], [128; 3], [256; 3]],
            dense: 256,
            dropout: 0.1,
            train: Train {
                epochs: 20,
                batch: 384,
                lr: 3e-3,
                optimiser: Rule::Adamw,
                weight_decay: 1e-4,
                schedule: Schedule::OneCycle,
                ..Train::default()
            },
        }
    }
}

/// The operations of ParticleNet, also of its small version.
pub(super) fn build(config: &Config, classes: usize, graph: &mut Graph) {
    let width = config.variables.len();
    let mut coordinates = graph.columns(Graph::INPUT, 0, width.min(2));
    let mut x = graph.batch_norm(Graph::INPUT, width, Activation::Identity);
    for &channels in &config.blocks {
        let edges = graph.edge_conv(coordinates, x, config.k.max(1), channels);
        let shortcut = graph.linear_no_bias(x, channels[2]);
        let shortcut = graph.batch_norm(shortcut, channels[2], Activation::Identity);
        x = graph.add(edges, shortcut, Activation::Relu);
        coordinates = x;
    }
    let pool = graph.mean(x);
    let x = dense(graph, pool, &[config.dense]);
    let x = graph.dropout(x, config.dropout);
    logits(graph, x, classes);
}

/// ParticleNet.
pub struct ParticleNet;

impl Network for ParticleNet {
    const CARD: Card = Card {
        name: "particlenet",
        title: "ParticleNet, dynamic graph convolutions over constituents",
        tasks: &[Task::Classify],
        input: "particle cloud",
        promises: &[Promise::PermutationInvariant, Promise::OnnxParity],
        paper: Paper { authors: "Qu, Gouskos", arxiv: "1902.08570" },
        status: Status::Experimental,
        parameters: Some(366_160),
        known_failures: UNWEIGHTED_NORM,
    };
    type Config = Config;

    fn input(config: &Config) -> Result<Input> {
        Ok(cloud(config.max, &config.variables))
    }

    fn train(config: &Config) -> &Train {
        &config.train
    }

    fn build(config: &Config, classes: usize, graph: &mut Graph) -> Result<()> {
        build(config, classes, graph);
        Ok(())
    }
}
