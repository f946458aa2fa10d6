//! Particle Transformer (ParT, arXiv:2202.03772, Qu, Li, Qian): attention among the constituents, with what pairs of
//! them are to each other as a bias of the scores.
//!
//! A constituent becomes a row by three layers (normalisation, linear, Gaussian error unit); ln kT, ln z, ln Δ and ln m²
//! of each pair become a number u_ij for each head. In a block, x + LN(c·MHA(LN x)) with
//! softmax_j(q_i·k_j/√d + u_ij), then w·x + FFN(x) with a normalisation inside (NormFormer). Two more blocks let a row
//! of the class look at all constituents. Sees variables of each constituent [particle, 7] and its px, py, pz, E in GeV.

use fb_core::{Card, Input, Paper, Promise, Result, Status, Task, Variable};
use fb_nn::optimiser::Rule;
use fb_nn::{Activation, Edges, Graph, Schedule, Train};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DEEPEST, UNWEIGHTED_NORM, at_least_one, at_most, cloud_with_momenta, logits, particlenet_variables};
use crate::neural::Network;

/// Options of the particle transformer.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Constituents that are kept, the hardest first; the cost grows with its square.
    pub max: usize,
    /// What it sees of a constituent.
    pub variables: Vec<Variable>,
    /// Widths of the layers that make a row of a constituent; the last is that of all blocks.
    pub embed: Vec<usize>,
    /// Widths of the layers that make a bias of a pair, before the one with a number for each head; none for attention
    /// without pairs (P-MHA).
    pub pairs: Vec<usize>,
    /// Heads of the attention.
    pub heads: usize,
    /// Blocks of attention among constituents.
    pub depth: usize,
    /// Blocks of attention of the class.
    pub class_depth: usize,
    /// Width of the layer inside a block, in units of its own.
    pub expansion: usize,
    /// Share that is dropped in training: of the scores, of the layer inside, of what a block adds.
    pub dropout: f64,
    /// How it is trained.
    pub train: Train,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max: 128,
            variables: particlenet_variables(),
            embed: vec![128, 512, 128],
            pairs: vec![64, 64, 64],
            heads: 8,
            depth: 8,
            class_depth: 2,
            expansion: 4,
            dropout: 0.1,
            train: Train {
                epochs: 20,
                batch: 512,
                lr: 1e-3,
                optimiser: Rule::Adamw,
                weight_decay: 0.01,
                schedule: Schedule::OneCycle,
                clip: Some(1.0),
                ..Train::default()
            },
        }
    }
}

/// What blocks share.
struct Shape {
    width: usize,
    heads: usize,
    expansion: usize,
}

/// A block after its attention `x`: what it adds to `residual`, and the layers within.
fn finish_block(graph: &mut Graph, x: usize, residual: usize, shape: &Shape, dropout: f64) -> usize {
    let x = graph.linear(x, shape.width, Activation::Identity);
    let x = graph.scale(x, shape.heads);
    let x = graph.layer_norm(x);
    let x = drop(graph, x, dropout);
    let residual = graph.add(x, residual, Activation::Identity);
    let x = graph.layer_norm(residual);
    let x = graph.linear(x, shape.width.saturating_mul(shape.expansion), Activation::Identity);
    let x = graph.gelu(x);
    let x = drop(graph, x, dropout);
    let x = graph.layer_norm(x);
    let x = graph.linear(x, shape.width, Activation::Identity);
    let x = drop(graph, x, dropout);
    let residual = graph.scale(residual, shape.width);
    graph.add(x, residual, Activation::Identity)
}

fn drop(graph: &mut Graph, x: usize, rate: f64) -> usize {
    if rate == 0.0 { x } else { graph.dropout(x, rate) }
}

/// The numbers u_ij [pair, head].
fn pair_bias(graph: &mut Graph, config: &Config, momenta: usize) -> usize {
    graph.edges = Some(Edges::Unordered);
    let u = graph.pair_kinematics(momenta);
    let mut u = graph.batch_norm(u, 4, Activation::Identity);
    for &width in &config.pairs {
        let z = graph.linear(u, width, Activation::Identity);
        let z = graph.batch_norm(z, width, Activation::Identity);
        u = graph.gelu(z);
    }
    let u = graph.linear(u, config.heads, Activation::Identity);
    graph.batch_norm(u, config.heads, Activation::Identity)
}

/// The operations of the particle transformer, also of its small version.
pub(super) fn build(config: &Config, classes: usize, graph: &mut Graph) -> Result<()> {
    let (seen, heads) = (config.variables.len(), config.heads);
    at_least_one("part", "variables", seen)?;
    at_least_one("part", "embed", config.embed.len())?;
    at_least_one("part", "depth", config.depth.saturating_add(config.class_depth))?;
    let width = config.embed[config.embed.len() - 1];
    at_most("part", "depth", config.depth, DEEPEST)?;
    at_most("part", "class_depth", config.class_depth, DEEPEST)?;
    let mut x = graph.columns(Graph::INPUT, 0, seen);
    x = graph.batch_norm(x, seen, Activation::Identity);
    for &width in &config.embed {
        let norm = graph.layer_norm(x);
        let linear = graph.linear(norm, width, Activation::Identity);
        x = graph.gelu(linear);
    }
    let bias = (config.depth > 0 && !config.pairs.is_empty()).then(|| {
        let momenta = graph.columns(Graph::INPUT, seen, seen + 4);
        pair_bias(graph, config, momenta)
    });
    let shape = Shape { width, heads, expansion: config.expansion };
    let project = |graph: &mut Graph, x: usize| graph.linear(x, width, Activation::Identity);
    for _ in 0..config.depth {
        let norm = graph.layer_norm(x);
        let qkv = [0, 1, 2].map(|_| project(graph, norm));
        let y = graph.attention(qkv, bias, heads, config.dropout);
        x = finish_block(graph, y, x, &shape, config.dropout);
    }
    let mut class = graph.token(width);
    for _ in 0..config.class_depth {
        // The class and the constituents go through the same normalisation and projections.
        let both = graph.stack(class, x);
        let both = graph.layer_norm(both);
        let q = project(graph, class);
        let [k, v] = [0, 1].map(|_| project(graph, both));
        let y = graph.class_attention([q, k, v], heads);
        class = finish_block(graph, y, class, &shape, 0.0);
    }
    let x = if config.class_depth == 0 { graph.mean(x) } else { class };
    let x = graph.layer_norm(x);
    logits(graph, x, classes);
    Ok(())
}

/// Particle transformer.
pub struct Part;

impl Network for Part {
    const CARD: Card = Card {
        name: "part",
        title: "Particle Transformer, attention with the kinematics of pairs",
        tasks: &[Task::Classify],
        input: "particle cloud",
        promises: &[Promise::PermutationInvariant, Promise::OnnxParity],
        paper: Paper { authors: "Qu, Li, Qian", arxiv: "2202.03772" },
        status: Status::Experimental,
        parameters: Some(2_141_134),
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
        build(config, classes, graph)
    }
}

#[cfg(test)]
mod tests {
    use fb_nn::Rows;

    use super::*;

    /// With the seventeen variables and ten classes of JetClass it has the published number of parameters.
    #[test]
    fn size_on_jetclass() {
        let config = Config { variables: vec![Variable::plain("pt"); 17], ..Config::default() };
        let mut graph = Graph::new(Rows::Particle, 21);
        build(&config, 10, &mut graph).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(graph.parameter_count(), 2_143_486);
    }
}
