//! Interaction network (arXiv:1612.00222, Battaglia et al.; JEDI-net, arXiv:1908.05318, Moreno et al.) in its
//! permutation-invariant form.
//!
//! Every ordered pair of constituents sends a message f_R(x_i, x_j); each constituent becomes f_O(x_i, Σ_j messages);
//! the sum over constituents is classified by φ_C. Sees seven variables of each constituent [particle, 7].

use fb_core::{Card, Error, Input, Paper, Promise, Result, Status, Task, Variable};
use fb_nn::{Activation, Graph, Train};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{cloud, dense, logits, particlenet_variables};
use crate::neural::Network;

/// Options of the interaction network.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Constituents that are kept, the hardest first; the cost grows with its square.
    pub max: usize,
    /// What it sees of a constituent.
    pub variables: Vec<Variable>,
    /// Widths of the message network f_R.
    pub messages: [usize; 3],
    /// Widths of the object network f_O.
    pub objects: Vec<usize>,
    /// Widths of the classifier φ_C.
    pub classifier: Vec<usize>,
    /// How it is trained.
    pub train: Train,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max: 50,
            variables: particlenet_variables(),
            messages: [50, 25, 14],
            objects: vec![50, 25, 12],
            classifier: vec![50, 25],
            train: Train { epochs: 20, batch: 256, lr: 1e-3, ..Train::default() },
        }
    }
}

/// Interaction network.
pub struct InteractionNetwork;

impl Network for InteractionNetwork {
    const CARD: Card = Card {
        name: "interaction_network",
        title: "Interaction network over all pairs of constituents",
        tasks: &[Task::Classify],
        input: "particle cloud",
        promises: &[Promise::PermutationInvariant, Promise::OnnxParity],
        paper: Paper { authors: "Moreno et al.; Battaglia et al.", arxiv: "1908.05318" },
        status: Status::Experimental,
        parameters: Some(7_053),
        known_failures: &[],
    };
    type Config = Config;

    fn input(config: &Config) -> Result<Input> {
        Ok(cloud(config.max, &config.variables))
    }

    fn train(config: &Config) -> &Train {
        &config.train
    }

    fn build(config: &Config, classes: usize, graph: &mut Graph) -> Result<()> {
        let Some((&first, rest)) = config.objects.split_first() else {
            return Err(Error::Config {
                place: "method `interaction_network`, `objects`".to_owned(),
                reason: "found none, expected at least one width".to_owned(),
            });
        };
        let messages = graph.interaction(Graph::INPUT, config.messages);
        // The first layer of f_O on [x_i, Σ_j] is the sum of its parts on each.
        let own = graph.linear(Graph::INPUT, first, Activation::Identity);
        let received = graph.linear_no_bias(messages, first);
        let x = graph.add(own, received, Activation::Relu);
        let objects = dense(graph, x, rest);
        let sum = graph.sum(objects);
        let x = dense(graph, sum, &config.classifier);
        logits(graph, x, classes);
        Ok(())
    }
}
