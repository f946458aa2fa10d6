//! JEDI-net (arXiv:1908.05318, Moreno, Cerri, Duarte, Newman, Nguyen, Periwal, Pierini, Serikova, Spiropulu, Vlimant): an
//! interaction network on sixteen numbers of each constituent.
//!
//! Every ordered pair of constituents sends a message f_R(x_i, x_j); each constituent becomes f_O(x_i, Σ_j messages); φ_C
//! classifies what they are, side by side in order of falling pT or added up (the ΣO of the paper). Only the sum does not
//! depend on the order. All three networks have layers of h, h/2 and as many numbers as they give. Sees momenta in GeV,
//! their shares of the jet's, angles, angles relative to the jet and in the frame of its principal axis
//! [constituent, 16], each standardised; the published network takes them as they are.
//!
//! The defaults are those of 100 constituents: h = 30, messages and objects of 10 numbers, 33,625 parameters for five
//! classes, 33,577 for two. Constituents that are not there send no messages; the published network lets rows of zeros
//! take part.

use fb_core::{Card, Frame, Input, Layout, Paper, Promise, Result, Status, Task, Variable};
use fb_nn::{Activation, Graph, Train};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{COLLECTION, at_least_one, logits};
use crate::neural::Network;

/// How the constituents become one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Objects {
    /// Side by side, zeros where there are fewer than `max`.
    Flatten,
    /// Added up.
    Sum,
}

/// Options of JEDI-net.
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
    /// How the constituents become one row: `flatten` or `sum`.
    pub pool: Objects,
    /// Widths of the classifier φ_C before its logits.
    pub classifier: Vec<usize>,
    /// Non-linearities of f_R, f_O and φ_C.
    pub activations: [Activation; 3],
    /// How it is trained.
    pub train: Train,
}

impl Default for Config {
    fn default() -> Self {
        let variables = [
            "px",
            "py",
            "pz",
            "E",
            "E / jet_E",
            "pt",
            "pt / jet_pt",
            "eta",
            "deta(jet)",
            "u",
            "phi",
            "dphi(jet)",
            "v",
            "dr(jet)",
            // Cosines of the angles to the beam and to the jet.
            "pz / hypot(pt, pz)",
            "(px * jet_px + py * jet_py + pz * jet_pz) / (hypot(pt, pz) * hypot(jet_pt, jet_pz))",
        ];
        Self {
            max: 100,
            variables: variables.map(|v| Variable::standard(v).clipped(-5.0, 5.0)).to_vec(),
            messages: [30, 15, 10],
            objects: vec![30, 15, 10],
            pool: Objects::Flatten,
            classifier: vec![30, 15],
            activations: [Activation::Selu, Activation::Elu, Activation::Elu],
            train: Train { epochs: 100, batch: 100, lr: 1e-4, patience: Some(10), ..Train::default() },
        }
    }
}

/// JEDI-net.
pub struct JediNet;

impl Network for JediNet {
    const CARD: Card = Card {
        name: "jedi_net",
        title: "JEDI-net, an interaction network on sixteen numbers of constituents",
        tasks: &[Task::Classify],
        input: "particle cloud",
        promises: &[Promise::PermutationInvariant, Promise::OnnxParity],
        paper: Paper { authors: "Moreno et al.", arxiv: "1908.05318" },
        status: Status::Experimental,
        parameters: Some(33_577),
        known_failures: &[],
    };
    type Config = Config;

    fn input(config: &Config) -> Result<Input> {
        Ok(Input::Particles {
            collection: COLLECTION.to_owned(),
            max: config.max,
            layout: Layout::Cloud,
            frame: Frame::Principal,
            variables: config.variables.clone(),
        })
    }

    fn train(config: &Config) -> &Train {
        &config.train
    }

    fn build(config: &Config, classes: usize, graph: &mut Graph) -> Result<()> {
        at_least_one("jedi_net", "objects", config.objects.len())?;
        let [messages, objects, classifier] = config.activations;
        let received = graph.interaction_with(Graph::INPUT, Graph::INPUT, config.messages, messages);
        let mut x = graph.concat(&[Graph::INPUT, received]);
        for &width in &config.objects {
            x = graph.linear(x, width, objects);
        }
        x = match config.pool {
            Objects::Flatten => graph.flatten(x, config.max),
            Objects::Sum => graph.sum(x),
        };
        for &width in &config.classifier {
            x = graph.linear(x, width, classifier);
        }
        logits(graph, x, classes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use fb_core::run::Alone;
    use fb_core::{Features, Philox};
    use fb_nn::{Executor, Rows};

    use super::*;

    fn graph(config: &Config, classes: usize) -> Graph {
        let mut graph = Graph::new(Rows::Particle, 16);
        JediNet::build(config, classes, &mut graph).unwrap_or_else(|e| panic!("{e}"));
        graph
    }

    /// Five classes and 100 constituents; the sum has fewer inputs of φ_C.
    #[test]
    fn size_on_five_classes() {
        assert_eq!(graph(&Config::default(), 5).parameter_count(), 33_625);
        let sum = Config { pool: Objects::Sum, ..Config::default() };
        assert_eq!(graph(&sum, 5).parameter_count(), 33_625 - 99 * 10 * 30);
    }

    /// The largest change of a logit when constituents change places.
    fn change(pool: Objects) -> f64 {
        let mut random = Philox::new(2, 0, 0);
        let rows: Vec<Vec<f32>> = (0..9).map(|_| (0..16).map(|_| random.normal() as f32).collect()).collect();
        let features = |order: &[usize]| Features {
            width: 16,
            values: order.iter().flat_map(|&i| rows[i].clone()).collect(),
            offsets: Some(vec![0, 9]),
            others: Vec::new(),
        };
        let mut executor = Executor::<f64>::fresh(graph(&Config { pool, ..Config::default() }, 5), 3);
        let mut logits = |order: &[usize]| executor.logits(&features(order), &Alone);
        let [one, other] = [[0, 1, 2, 3, 4, 5, 6, 7, 8], [4, 0, 8, 2, 6, 1, 7, 3, 5]].map(|order| logits(&order));
        one.iter().zip(&other).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn only_the_sum_ignores_the_order() {
        assert!(change(Objects::Sum) < 1e-12, "{}", change(Objects::Sum));
        assert!(change(Objects::Flatten) > 1e-3, "{}", change(Objects::Flatten));
    }
}
