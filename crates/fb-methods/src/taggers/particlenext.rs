//! ParticleNeXt (Qu, ML4Jets 2021): ParticleNet with pair variables on its edges, several ranges of neighbours,
//! attention in place of means, and gates.
//!
//! Every constituent has edges to itself and to its nearest others in (Δη, Δφ). A message is made of both ends and of
//! ln kT, ln z, ln Δ, ln m² of the pair, by layers that normalise first. It is gated by its mean over the jet
//! (squeeze and excitation, arXiv:1709.01507); then the nearest 1/8, 1/4, 1/2 and all of the messages are added up, each
//! range with an attention of eight heads, and what the node's layers make of them is added to the shortcut with a factor
//! per channel that starts at 10⁻⁵ (LayerScale, arXiv:2103.17239). Attention of four heads pools the constituents. Sees
//! seven variables of each constituent [particle, 7] and its px, py, pz, E in GeV.
//!
//! With these seven variables it has 551,496 parameters; the talk gives 560,000 without saying of which inputs.

use fb_core::{Card, Input, Paper, Promise, Result, Status, Task, Variable};
use fb_nn::optimiser::Rule;
use fb_nn::{Activation, Edges, Graph, Init, Schedule, Train};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    DEEPEST, UNWEIGHTED_NORM, at_least_one, at_most, cloud_with_momenta, dense, logits, particlenet_variables,
};
use crate::neural::Network;

/// Options of ParticleNeXt.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Constituents that are kept, the hardest first.
    pub max: usize,
    /// What it sees of a constituent; neighbours are sought in the first two.
    pub variables: Vec<Variable>,
    /// Edges of a constituent, that to itself included.
    pub k: usize,
    /// Parts of the edges, the nearest first, that are added up on their own: 8 for an eighth of them.
    pub reductions: Vec<usize>,
    /// Width of the first row of a constituent.
    pub node: usize,
    /// Width of what is made of the variables of a pair.
    pub edge: usize,
    /// Width of a message.
    pub message: usize,
    /// Width of a constituent after each block.
    pub hidden: usize,
    /// Blocks.
    pub depth: usize,
    /// Heads of the attention over edges.
    pub edge_heads: usize,
    /// Heads of the attention over constituents.
    pub heads: usize,
    /// How many times narrower than its channels a gate is.
    pub squeeze: usize,
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
            max: 128,
            variables: particlenet_variables(),
            k: 32,
            reductions: vec![8, 4, 2, 1],
            node: 32,
            edge: 8,
            message: 64,
            hidden: 256,
            depth: 3,
            edge_heads: 8,
            heads: 4,
            squeeze: 16,
            dense: 256,
            dropout: 0.1,
            train: Train {
                epochs: 20,
                batch: 512,
                lr: 5e-3,
                optimiser: Rule::Adamw,
                weight_decay: 1e-4,
                schedule: Schedule::OneCycle,
                ..Train::default()
            },
        }
    }
}

/// Batch normalisation, rectifier, linear.
fn layer(graph: &mut Graph, x: usize, out: usize) -> usize {
    let x = graph.batch_norm(x, graph.nodes[x].width, Activation::Relu);
    graph.linear_no_bias(x, out)
}

/// x times a gate of its channels, made of their `mean` over the jet.
fn gated(graph: &mut Graph, x: usize, mean: usize, squeeze: usize) -> usize {
    let width = graph.nodes[x].width;
    let gate = graph.linear_bare(mean, (width / squeeze).max(1), Activation::Relu);
    let gate = graph.linear_bare(gate, width, Activation::Sigmoid);
    graph.multiply(x, gate)
}

/// Σ softmax·x for each head.
fn attentive(graph: &mut Graph, x: usize, scores: usize) -> usize {
    let share = graph.softmax(scores);
    graph.weighted_sum(x, share)
}

/// One block: what constituents `x` become, with `pairs` on their edges.
fn block(graph: &mut Graph, config: &Config, x: usize, pairs: usize) -> usize {
    let half = config.message / 2;
    let ends = if graph.nodes[x].width == half { x } else { layer(graph, x, half) };
    let [receiver, sender] = [graph.spread(ends), graph.senders(ends)];
    let message = graph.concat(&[receiver, sender, pairs]);
    let message = layer(graph, message, config.message);
    let message = layer(graph, message, config.message);
    // Every constituent of a jet has as many edges as the others, so this is the mean over all of them.
    let mean = graph.mean(message);
    let mean = graph.mean(mean);
    let message = gated(graph, message, mean, config.squeeze);
    let mut ranges = Vec::new();
    for &reduction in &config.reductions {
        let near = (config.k / reduction.max(1)).max(1);
        let messages = if near == config.k { message } else { graph.head(message, near) };
        let scores = layer(graph, messages, config.edge_heads);
        ranges.push(attentive(graph, messages, scores));
    }
    let node = graph.concat(&ranges);
    let node = layer(graph, node, config.hidden);
    let node = layer(graph, node, config.hidden);
    let mean = graph.mean(node);
    let node = gated(graph, node, mean, config.squeeze);
    let node = graph.scale(node, config.hidden);
    graph.start(node, Init::Constant(1e-5));
    let shortcut = if graph.nodes[x].width == config.hidden { x } else { graph.linear_no_bias(x, config.hidden) };
    graph.add(shortcut, node, Activation::Identity)
}

/// ParticleNeXt.
pub struct ParticleNext;

impl Network for ParticleNext {
    const CARD: Card = Card {
        name: "particlenext",
        title: "ParticleNeXt, attention over edges with pair variables",
        tasks: &[Task::Classify],
        input: "particle cloud",
        promises: &[Promise::PermutationInvariant, Promise::OnnxParity],
        paper: Paper { authors: "Qu", arxiv: "1902.08570" },
        status: Status::Experimental,
        parameters: Some(551_496),
        known_failures: UNWEIGHTED_NORM,
    };
    type Config = Config;

    fn input(config: &Config) -> Result<Input> {
        Ok(cloud_with_momenta(config.max, &config.variables))
    }

    fn train(config: &Config) -> &Train {
        &config.train
    }

    fn build(config: &Config, classes: usize, graph: &mut Graph) -> Result<()> {
        const MOST: usize = 1 << 12;
        at_most("particlenext", "depth", config.depth, DEEPEST)?;
        for (option, found) in [("k", config.k), ("edge_heads", config.edge_heads), ("message", config.message)] {
            at_most("particlenext", option, found, MOST)?;
            at_least_one("particlenext", option, found)?;
        }
        at_least_one("particlenext", "squeeze", config.squeeze)?;
        at_least_one("particlenext", "reductions", config.reductions.len())?;
        let seen = config.variables.len();
        at_least_one("particlenext", "variables", seen)?;
        graph.edges = Some(Edges::Nearest { k: config.k });
        let x = graph.columns(Graph::INPUT, 0, seen);
        let x = graph.batch_norm(x, seen, Activation::Identity);
        let mut x = graph.linear_no_bias(x, config.node);
        if config.depth > 0 {
            let momenta = graph.columns(Graph::INPUT, seen, seen + 4);
            let pairs = graph.pair_kinematics(momenta);
            let pairs = graph.batch_norm(pairs, 4, Activation::Identity);
            let pairs = graph.linear_no_bias(pairs, config.edge);
            for _ in 0..config.depth {
                x = block(graph, config, x, pairs);
            }
        }
        let x = graph.batch_norm(x, graph.nodes[x].width, Activation::Relu);
        let scores = graph.linear_no_bias(x, config.heads);
        let x = attentive(graph, x, scores);
        let x = dense(graph, x, &[config.dense]);
        let x = graph.dropout(x, config.dropout);
        logits(graph, x, classes);
        Ok(())
    }
}
