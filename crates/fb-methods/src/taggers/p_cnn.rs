//! P-CNN: a residual network of one-dimensional convolutions over the constituents in order of falling pT
//! (arXiv:1902.08570, section 4.1; after CMS DeepAK8, arXiv:2004.08262).
//!
//! Sees the seven variables of ParticleNet for 100 constituents [event, 100 × 7], filled up with zeros.

use fb_core::{Card, Frame, Input, Layout, Paper, Promise, Result, Status, Task, Variable};
use fb_nn::graph::Convolution;
use fb_nn::optimiser::Rule;
use fb_nn::{Activation, Graph, Schedule, Train};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{COLLECTION, UNWEIGHTED_NORM, dense, logits, particlenet_variables};
use crate::neural::Network;

/// Options of P-CNN.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Constituents, the hardest first.
    pub max: usize,
    /// What it sees of a constituent.
    pub variables: Vec<Variable>,
    /// Channels of the first convolution and of the three stages of two residual units each.
    pub channels: [usize; 4],
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
            channels: [32, 64, 64, 128],
            dense: 512,
            dropout: 0.2,
            train: Train {
                epochs: 30,
                batch: 1024,
                optimiser: Rule::Adamw,
                weight_decay: 1e-4,
                schedule: Schedule::Step,
                ..Train::default()
            },
        }
    }
}

/// P-CNN.
pub struct PCnn;

/// Convolution with normalisation and rectifier.
fn conv(graph: &mut Graph, x: usize, shape: [usize; 3], out: usize, stride: usize) -> (usize, [usize; 3]) {
    let options =
        Convolution { out, kernel: 3, stride, padding: 1, groups: 1, bias: true, activation: Activation::Identity };
    let (x, shape) = graph.conv(x, shape, options);
    (graph.batch_norm(x, out, Activation::Relu), shape)
}

/// Two convolutions and a shortcut, which is a 1×1 convolution where the shape changes.
fn unit(graph: &mut Graph, x: usize, shape: [usize; 3], out: usize, stride: usize) -> (usize, [usize; 3]) {
    let (y, inner) = conv(graph, x, shape, out, stride);
    let (y, shape_out) = conv(graph, y, inner, out, 1);
    let shortcut = if shape == shape_out {
        x
    } else {
        let options = Convolution {
            out,
            kernel: 1,
            stride,
            padding: 0,
            groups: 1,
            bias: false,
            activation: Activation::Identity,
        };
        graph.conv(x, shape, options).0
    };
    (graph.add(y, shortcut, Activation::Identity), shape_out)
}

impl Network for PCnn {
    const CARD: Card = Card {
        name: "p_cnn",
        title: "P-CNN, a residual 1D convolutional network over ordered constituents",
        tasks: &[Task::Classify],
        input: "particle sequence",
        promises: &[Promise::OnnxParity],
        paper: Paper { authors: "Qu, Gouskos; CMS DeepAK8", arxiv: "1902.08570" },
        status: Status::Experimental,
        parameters: Some(349_456),
        known_failures: UNWEIGHTED_NORM,
    };
    type Config = Config;

    fn input(config: &Config) -> Result<Input> {
        Ok(Input::Particles {
            collection: COLLECTION.to_owned(),
            max: config.max,
            layout: Layout::Sequence,
            frame: Frame::Jet,
            variables: config.variables.clone(),
        })
    }

    fn train(config: &Config) -> &Train {
        &config.train
    }

    fn build(config: &Config, classes: usize, graph: &mut Graph) -> Result<()> {
        let variables = config.variables.len();
        let [first, stages @ ..] = config.channels;
        let x = graph.batch_norm(Graph::INPUT, variables, Activation::Identity);
        let (mut x, mut shape) = conv(graph, x, [1, config.max, variables], first, 1);
        for (stage, out) in stages.into_iter().enumerate() {
            (x, shape) = unit(graph, x, shape, out, if stage == 0 { 1 } else { 2 });
            (x, shape) = unit(graph, x, shape, out, 1);
        }
        let x = graph.mean_positions(x, shape[2]);
        let x = dense(graph, x, &[config.dense]);
        let x = graph.dropout(x, config.dropout);
        logits(graph, x, classes);
        Ok(())
    }
}
