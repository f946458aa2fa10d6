//! LundNet (arXiv:2012.08526, Dreyer, Qu): messages along the tree of declusterings of a jet.
//!
//! The jet is clustered with Cambridge/Aachen. Every declustering, of either branch, is a node with its place in the Lund
//! plane; edges lead to the declusterings of its two parts and to that it came from. A block makes a message
//! θ(x_i − x_j) + φ(x_j) of each edge by two layers with batch normalisation, takes the mean of what a node receives and
//! adds a shortcut. The results of all blocks side by side go through a layer; their mean over the nodes is
//! classified. Sees ln z, ln Δ, ψ, ln m and ln kT of each declustering [declustering, 5], in GeV and radians: LundNet-5.
//! With ln kT, ln Δ and ln z alone it is LundNet-3.
//!
//! ψ is the full angle atan2(Δy, Δφ), without the loss of its quadrant in atan(Δy/Δφ).

use fb_core::{Card, Input, Paper, Promise, Result, Status, Task, Variable};
use fb_nn::{Activation, Edges, Graph, Schedule, Train};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{COLLECTION, UNWEIGHTED_NORM, at_least_one, dense, logits};
use crate::neural::Network;

/// Options of LundNet.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What it sees of a declustering, in z, delta, psi, m and kt.
    pub variables: Vec<Variable>,
    /// Width of each block.
    pub layers: Vec<usize>,
    /// Width of the layer on the results of all blocks.
    pub fusion: usize,
    /// Width of the dense layer.
    pub dense: usize,
    /// Share of its outputs that are dropped in training.
    pub dropout: f64,
    /// How it is trained.
    pub train: Train,
}

impl Default for Config {
    fn default() -> Self {
        // Declusterings of exactly collinear or massless parts stay finite.
        let variables =
            ["log(max(z, 1e-6))", "log(max(delta, 1e-6))", "psi", "log(max(m, 1e-6))", "log(max(kt, 1e-6))"];
        Self {
            variables: variables.map(Variable::plain).to_vec(),
            layers: vec![32, 32, 64, 64, 128, 128],
            fusion: 384,
            dense: 256,
            dropout: 0.1,
            train: Train { epochs: 30, batch: 256, lr: 1e-3, schedule: Schedule::Step, ..Train::default() },
        }
    }
}

/// A block: two layers on every edge, the mean over edges, a shortcut.
fn block(graph: &mut Graph, x: usize, width: usize) -> usize {
    // θ(x_i − x_j) + φ(x_j) = θ·x_i + (φ − θ)·x_j: the products are over declusterings instead of edges.
    let [receiver, sender] = [0, 1].map(|_| graph.linear_no_bias(x, width));
    let e = graph.join(receiver, sender, &[], Activation::Identity);
    let e = graph.batch_norm(e, width, Activation::Relu);
    let e = graph.linear_no_bias(e, width);
    let e = graph.batch_norm(e, width, Activation::Relu);
    let mean = graph.mean(e);
    let shortcut = if graph.nodes[x].width == width {
        x
    } else {
        let shortcut = graph.linear_no_bias(x, width);
        graph.batch_norm(shortcut, width, Activation::Identity)
    };
    graph.add(mean, shortcut, Activation::Relu)
}

/// LundNet.
pub struct LundNet;

impl Network for LundNet {
    const CARD: Card = Card {
        name: "lundnet",
        title: "LundNet, messages along the tree of declusterings",
        tasks: &[Task::Classify],
        input: "Lund tree",
        promises: &[Promise::PermutationInvariant, Promise::OnnxParity],
        paper: Paper { authors: "Dreyer, Qu", arxiv: "2012.08526" },
        status: Status::Experimental,
        parameters: Some(391_724),
        known_failures: UNWEIGHTED_NORM,
    };
    type Config = Config;

    fn input(config: &Config) -> Result<Input> {
        Ok(Input::Lund { collection: COLLECTION.to_owned(), variables: config.variables.clone() })
    }

    fn train(config: &Config) -> &Train {
        &config.train
    }

    fn build(config: &Config, classes: usize, graph: &mut Graph) -> Result<()> {
        let seen = config.variables.len();
        at_least_one("lundnet", "variables", seen)?;
        at_least_one("lundnet", "layers", config.layers.len())?;
        graph.edges = Some(Edges::Listed { from: seen, to: seen + Input::LUND_LINKS });
        let x = graph.columns(Graph::INPUT, 0, seen);
        let mut x = graph.batch_norm(x, seen, Activation::Identity);
        let mut results = Vec::new();
        for &width in &config.layers {
            x = block(graph, x, width);
            results.push(x);
        }
        let all = graph.concat(&results);
        let x = dense(graph, all, &[config.fusion]);
        let x = graph.batch_norm(x, config.fusion, Activation::Identity);
        let x = graph.mean(x);
        let x = dense(graph, x, &[config.dense]);
        let x = graph.dropout(x, config.dropout);
        logits(graph, x, classes);
        Ok(())
    }
}
