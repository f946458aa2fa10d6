//! TreeNiN: a recursive network on the kT history of a jet with layers inside its nodes (arXiv:1702.00748, Louppe, Cho,
//! Becot, Cranmer; arXiv:1902.09914, section 3.2.3, Macaluso, Cranmer).
//!
//! A node i with daughters L (the harder in pT) and R is h_i = relu(W_h·[e_L, e_R, u_i] + b), a particle h_i = u_i, with
//! u_i = relu(W_u·x_i + b) and other W_u for nodes than for particles. Two layers follow, e_i = relu(B·relu(A·h_i + a) + b),
//! of four kinds: for the two daughters of the jet, for other nodes, for other particles. What becomes of the jet goes
//! through two more layers. Sees seven numbers of each node [node, 7]: |p|, η, φ, E, E/E_jet, pT and θ, in GeV.
//!
//! Angles are relative to the jet and momenta are logarithms, centred and scaled by mean and standard deviation; the authors
//! take the numbers themselves, by median and quartiles. With the numbers as they are and means, 8,000 jets and five epochs
//! are too few to learn where the jet is: the area under the ROC curve was 0.83 in place of 0.96. The authors' learning
//! rate falls by a tenth each epoch, to 1/68 after 40, that of `exponential` to a hundredth.

use fb_core::{Card, Input, Paper, Promise, Result, Status, Task, Variable};
use fb_nn::{Activation, Graph, Schedule, Train};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{COLLECTION, DEEPEST, at_least_one, at_most, dense, logit};
use crate::neural::Network;

/// Options of TreeNiN.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What it sees of a node, in p, px, py, pz, E, pt, eta, phi, theta, m, jet_E and jet_pt.
    pub variables: Vec<Variable>,
    /// Width of all layers.
    pub hidden: usize,
    /// Layers of the classifier before its last.
    pub depth: usize,
    /// How it is trained.
    pub train: Train,
}

impl Default for Config {
    fn default() -> Self {
        // The first node is the jet. A node without transverse momentum has no direction and stays finite.
        let variables = [
            "log(max(p, 1e-3))",
            "max(min(eta - eta[0], 4), -4)",
            "atan2(sin(phi - phi[0]), cos(phi - phi[0]))",
            "log(max(E, 1e-3))",
            "log(max(E, 1e-3) / max(jet_E, 1e-3))",
            "log(max(pt, 1e-3))",
            "theta - theta[0]",
        ];
        Self {
            variables: variables.map(|v| Variable::standard(v).clipped(-8.0, 8.0)).to_vec(),
            hidden: 50,
            depth: 2,
            train: Train { epochs: 40, batch: 128, lr: 2e-3, schedule: Schedule::Exponential, ..Train::default() },
        }
    }
}

/// TreeNiN.
pub struct TreeNin;

impl Network for TreeNin {
    const CARD: Card = Card {
        name: "treenin",
        title: "TreeNiN, a recursive network on the kT history of a jet",
        tasks: &[Task::Classify],
        input: "kT history",
        promises: &[Promise::PermutationInvariant, Promise::OnnxParity],
        paper: Paper { authors: "Louppe, Cho, Becot, Cranmer; Macaluso, Cranmer", arxiv: "1702.00748" },
        status: Status::Experimental,
        parameters: Some(33_901),
        known_failures: &[],
    };
    type Config = Config;

    fn input(config: &Config) -> Result<Input> {
        Ok(Input::History { collection: COLLECTION.to_owned(), variables: config.variables.clone() })
    }

    fn train(config: &Config) -> &Train {
        &config.train
    }

    fn build(config: &Config, classes: usize, graph: &mut Graph) -> Result<()> {
        let seen = config.variables.len();
        at_least_one("treenin", "variables", seen)?;
        at_most("treenin", "depth", config.depth, DEEPEST)?;
        let x = graph.columns(Graph::INPUT, 0, seen);
        let links = graph.columns(Graph::INPUT, seen, seen + Input::HISTORY_LINKS);
        let u = [0, 1].map(|_| graph.linear(x, config.hidden, Activation::Relu));
        let jet = graph.tree(u, links);
        let x = dense(graph, jet, &vec![config.hidden; config.depth]);
        logit(graph, x, classes);
        Ok(())
    }
}
