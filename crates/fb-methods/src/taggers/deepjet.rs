//! DeepJet: convolutions and recurrent networks over the particles and vertices of a jet (arXiv:2008.10519, Bols, Kieseler,
//! Verzetti, Stoye, Stakia).
//!
//! Every charged particle, neutral particle and secondary vertex goes alone through the same small layers (1×1 convolutions,
//! each with batch normalisation and dropout), then a recurrent network reads each list from its least to its most
//! displaced or hardest entry; 150, 50 and 50 numbers of the three and those of the jet go through a dense network, 200 and
//! five times 100, to a probability for each class. Sees 8 numbers of up to 25 charged and 5 of up to 25 neutral particles,
//! 8 of up to 4 vertices and 12 of the jet, where the paper has 16, 8, 12 and 15: what tracks with impact parameters,
//! neutral particles and vertices have of them. That makes 243,260 parameters for six classes, 244,760 with as many inputs as
//! in the paper. In training, jets are weighted so that all classes have the spectrum in pT and |η| of b jets; the paper
//! takes events out to this end.

use fb_core::{Card, Error, Input, Layout, List, Paper, Promise, Result, Status, Task, Variable};
use fb_nn::graph::NodeId;
use fb_nn::{Activation, Graph, Rows, Schedule, Train};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{UNWEIGHTED_NORM, logits, neutrals, standard, tracks, vertices};
use crate::neural::Network;
use crate::taggers::deepcsv;
use crate::weights::Reweight;

/// What becomes of the entries of a list.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Branch {
    /// Widths of the layers that each entry goes through.
    pub convolutions: Vec<usize>,
    /// Width of the recurrent network's state.
    pub hidden: usize,
}

/// Options of DeepJet.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Numbers of the jet.
    pub event: Vec<Variable>,
    /// Objects in the jet.
    pub lists: Vec<List>,
    /// For each list, what becomes of it.
    pub branches: Vec<Branch>,
    /// Widths of the dense layers.
    pub layers: Vec<usize>,
    /// Share of the outputs of each layer that a training step leaves out.
    pub dropout: f64,
    /// How the spectra of classes are made alike; none leaves them as they are.
    pub reweight: Option<Reweight>,
    /// How it is trained.
    pub train: Train,
}

impl Default for Config {
    fn default() -> Self {
        let neutral = standard(["log(neu_pt)", "log(neu_pt / jet_pt)", "neu_dr", "neu_is_photon", "min(neu_dr, 0.1)"]);
        let deepcsv::Config { event, lists, reweight, .. } = deepcsv::Config::default();
        let mut variables = lists.into_iter().map(|list| list.variables);
        let mut next = || variables.next().unwrap_or_default();
        let neutrals = List { reversed: true, ..neutrals(25, neutral) };
        let [charged, vertex] = [tracks(25, Layout::Cloud, next()), vertices(4, Layout::Cloud, next())];
        let [charged, vertex] = [charged, vertex].map(|list| List { reversed: true, ..list });
        let branch = |convolutions: &[usize], hidden| Branch { convolutions: convolutions.to_vec(), hidden };
        Self {
            event,
            lists: vec![charged, neutrals, vertex],
            branches: vec![branch(&[64, 32, 32, 8], 150), branch(&[32, 16, 4], 50), branch(&[64, 32, 32, 8], 50)],
            layers: vec![200, 100, 100, 100, 100, 100],
            dropout: 0.1,
            reweight,
            train: Train { epochs: 50, batch: 256, schedule: Schedule::Cosine, ..Train::default() },
        }
    }
}

/// DeepJet.
pub struct DeepJet;

impl Config {
    /// Batch normalisation and dropout.
    fn regular(&self, graph: &mut Graph, x: NodeId) -> NodeId {
        let width = graph.nodes[x].width;
        let x = graph.batch_norm(x, width, Activation::Identity);
        if self.dropout > 0.0 { graph.dropout(x, self.dropout) } else { x }
    }

    /// The numbers that the dense network sees, in parts.
    fn parts(&self, graph: &mut Graph) -> Vec<NodeId> {
        let mut parts = Vec::new();
        let mut branches = self.branches.iter();
        for (input, (rows, width)) in graph.inputs().into_iter().enumerate() {
            let mut x = graph.batch_norm(input, width, Activation::Identity);
            if let Some(branch) = if rows == Rows::Particle { branches.next() } else { None } {
                for &width in &branch.convolutions {
                    x = graph.linear(x, width, Activation::Relu);
                    x = self.regular(graph, x);
                }
                x = graph.lstm(x, branch.hidden);
                x = self.regular(graph, x);
            }
            parts.push(x);
        }
        parts
    }
}

impl Network for DeepJet {
    const CARD: Card = Card {
        name: "deepjet",
        title: "DeepJet, recurrent networks over particles and vertices of a jet",
        tasks: &[Task::Classify],
        input: "tracks, neutral particles, vertices and a table",
        promises: &[Promise::PermutationInvariant, Promise::OnnxParity],
        paper: Paper { authors: "Bols, Kieseler, Verzetti, Stoye, Stakia", arxiv: "2008.10519" },
        status: Status::Experimental,
        parameters: None,
        known_failures: UNWEIGHTED_NORM,
    };
    type Config = Config;

    fn input(config: &Config) -> Result<Input> {
        Ok(Input::Lists { event: config.event.clone(), lists: config.lists.clone() })
    }

    fn train(config: &Config) -> &Train {
        &config.train
    }

    fn reweight(config: &Config) -> Option<&Reweight> {
        config.reweight.as_ref()
    }

    fn build(config: &Config, classes: usize, graph: &mut Graph) -> Result<()> {
        let bad =
            |key: &str, reason: String| Err(Error::Config { place: format!("method `deepjet`, `{key}`"), reason });
        if config.lists.iter().any(|list| list.layout != Layout::Cloud) {
            return bad("lists", "found the layout `sequence`, expected `cloud`".to_owned());
        }
        if config.branches.len() != config.lists.len() {
            let reason = format!("found {}, expected {}, one for each list", config.branches.len(), config.lists.len());
            return bad("branches", reason);
        }
        let Some((&first, rest)) = config.layers.split_first() else {
            return bad("layers", "found none, expected at least one width".to_owned());
        };
        // The first layer on all parts side by side is the sum of its parts on each.
        let parts = config.parts(graph);
        let Some((&last, others)) = parts.split_last() else { return Ok(()) };
        let mut x = graph.linear(last, first, if others.is_empty() { Activation::Relu } else { Activation::Identity });
        for (i, &part) in others.iter().enumerate() {
            let own = graph.linear_no_bias(part, first);
            let activation = if i + 1 == others.len() { Activation::Relu } else { Activation::Identity };
            x = graph.add(x, own, activation);
        }
        x = config.regular(graph, x);
        for &width in rest {
            x = graph.linear(x, width, Activation::Relu);
            x = config.regular(graph, x);
        }
        logits(graph, x, classes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(widths: [usize; 4]) -> Graph {
        let mut graph = Graph::new(Rows::Event, widths[0]);
        for width in &widths[1..] {
            graph.input(Rows::Particle, *width);
        }
        DeepJet::build(&Config::default(), 6, &mut graph).unwrap();
        graph.check().unwrap();
        graph
    }

    /// Layer by layer: inputs, convolutions, recurrent networks and dense layers with their normalisations.
    #[test]
    fn parameters_are_those_of_the_layers() {
        let count = |[event, charged, neutral, vertex]: [usize; 4]| {
            let norm = 2 * (event + charged + neutral + vertex);
            let dense = |widths: &[usize]| widths.windows(2).map(|w| w[0] * w[1] + 3 * w[1]).sum::<usize>();
            let lstm = |width: usize, hidden: usize| 4 * hidden * (width + hidden + 1) + 2 * hidden;
            let charged = dense(&[charged, 64, 32, 32, 8]) + lstm(8, 150);
            let neutral = dense(&[neutral, 32, 16, 4]) + lstm(4, 50);
            let vertex = dense(&[vertex, 64, 32, 32, 8]) + lstm(8, 50);
            norm + charged + neutral + vertex + dense(&[event + 250, 200, 100, 100, 100, 100, 100]) + 606
        };
        let inputs: Vec<usize> = Config::default().lists.iter().map(|list| list.variables.len()).collect();
        assert_eq!((Config::default().event.len(), &inputs[..]), (12, &[8, 5, 8][..]));
        for (widths, expected) in [([12, 8, 5, 8], 243_260), ([15, 16, 8, 12], 244_760)] {
            assert_eq!(graph(widths).parameter_count(), count(widths));
            assert_eq!(count(widths), expected);
        }
    }
}
