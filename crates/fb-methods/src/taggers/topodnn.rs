//! TopoDNN: a fully connected network on the 30 hardest constituents (arXiv:1704.02124, Pearkes, Fedorko, Lister, Gay).
//!
//! Sees (pT/pT_jet, u, v) of each constituent in the frame where the hardest is at the origin, the second below it and
//! the third to the right. Of the 90 numbers the three that the frame fixes are left out: [event, 87].

use fb_core::{Card, Frame, Input, Layout, Paper, Promise, Result, Status, Task, Variable};
use fb_nn::{Activation, Graph, Train};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{COLLECTION, dense, logit};
use crate::neural::Network;

/// Options of TopoDNN.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Constituents, the hardest first; 30 in the paper.
    pub max: usize,
    /// Widths of the hidden layers.
    pub layers: Vec<usize>,
    /// How it is trained.
    pub train: Train,
}

impl Default for Config {
    fn default() -> Self {
        let train = Train { epochs: 40, batch: 96, patience: Some(5), ..Train::default() };
        Self { max: 30, layers: vec![300, 102, 12, 6], train }
    }
}

/// TopoDNN.
pub struct TopoDnn;

impl Network for TopoDnn {
    const CARD: Card = Card {
        name: "topodnn",
        title: "TopoDNN, a fully connected network on ordered constituents",
        tasks: &[Task::Classify],
        input: "particle sequence",
        promises: &[Promise::OnnxParity],
        paper: Paper { authors: "Pearkes, Fedorko, Lister, Gay", arxiv: "1704.02124" },
        status: Status::Experimental,
        parameters: Some(58_423),
        known_failures: &[],
    };
    type Config = Config;

    fn input(config: &Config) -> Result<Input> {
        Ok(Input::Particles {
            collection: COLLECTION.to_owned(),
            max: config.max,
            layout: Layout::Sequence,
            frame: Frame::Leading,
            variables: vec![Variable::plain("u"), Variable::plain("v"), Variable::affine("pt / jet_pt", 0.0, 1.0)],
        })
    }

    fn train(config: &Config) -> &Train {
        &config.train
    }

    fn build(config: &Config, classes: usize, graph: &mut Graph) -> Result<()> {
        // Fixed by the frame: u and v of the hardest constituent and u of the second, columns 0, 1 and 3. The network
        // sees the rest as [pT₁] and [v₂, pT₂, u₃, …]; the first layer is the sum of its two parts.
        let last = 3 * config.max;
        let hardest = graph.columns(Graph::INPUT, 2, 3);
        let others = graph.columns(Graph::INPUT, 4, last);
        let Some((&first, rest)) = config.layers.split_first() else {
            return Err(fb_core::Error::Config {
                place: "method `topodnn`, `layers`".to_owned(),
                reason: "found none, expected at least one width".to_owned(),
            });
        };
        let a = graph.linear_no_bias(hardest, first);
        let b = graph.linear(others, first, Activation::Identity);
        let x = graph.add(a, b, Activation::Relu);
        let x = dense(graph, x, rest);
        logit(graph, x, classes);
        Ok(())
    }
}
