//! Set2Graph: which tracks of a jet begin at one vertex (arXiv:2002.08772, Serviansky, Segol, Shlomi, Cranmer, Gross, Maron,
//! Lipman; arXiv:2008.02831, Shlomi, Ganguly, Gross, Cranmer, Lipman, Serviansky, Maron, Segol).
//!
//! A set becomes a graph in three steps. φ gives each track five numbers u that know of all others: layers x·A + M(x)·B, each
//! brought to unit length and rectified between layers, where M averages the tracks with the weights of attention, queries
//! tanh and a tenth as wide as x. β writes u_i and u_j of a pair side by side, and ψ, a network with one hidden layer, makes a
//! number of them; the mean over both orders is the logit of the pair. It is trained by the cross entropy of the pairs of a
//! jet less their soft F1. Tracks are of one vertex where a chain of pairs with a logit above zero leads from one to the other.
//!
//! The number does not depend on the order of the tracks. With `context = "pairwise"` a track knows of no other, and a pair
//! is judged by its own two alone: the siamese network of the papers, for comparison. `broadcast = "lin5"` adds the sum of
//! all u to a pair; the other two of the five maps from sets to pairs stand on the diagonal alone, which is no pair here.
//!
//! Sees tracks `trk_*` with d0 and z0 in mm and pT in GeV, and pT, η, φ, mass of the jet. Directions are relative to the jet
//! and what has long tails is compressed, where the papers take all numbers as they are.

use fb_core::{Card, Error, Input, Layout, List, Paper, Promise, Result, Status, Task, Variable};
use fb_nn::{Activation, Edges, Graph, Init, Train};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{at_most, tracks};
use crate::neural::Network;

/// What a track knows of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Context {
    /// All of them, by attention.
    Attention,
    /// Nothing.
    Pairwise,
}

/// What a pair sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Broadcast {
    /// u of its two tracks.
    Lin2,
    /// The same and the sum over all.
    Lin5,
}

/// Options of Set2Graph.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The tracks, and what is seen of each; columns of the jet may stand in it. Those that are not taken are each alone.
    pub tracks: List,
    /// What a track knows of the others: `attention` or `pairwise`.
    pub context: Context,
    /// Widths of the layers of φ.
    pub layers: Vec<usize>,
    /// What a pair sees: `lin2` or `lin5`.
    pub broadcast: Broadcast,
    /// Width of the hidden layer of ψ.
    pub hidden: usize,
    /// How it is trained.
    pub train: Train,
}

/// Tracks are kept up to this number; pairs are its square.
const MOST_TRACKS: usize = 1024;

impl Default for Config {
    fn default() -> Self {
        let variables = [
            "asinh(trk_d0 / 0.05)",
            "asinh(trk_z0 / 0.1)",
            "atan2(sin(trk_phi - jet_phi), cos(trk_phi - jet_phi))",
            "asinh(trk_ctgtheta) - jet_eta",
            "log(trk_pt)",
            "trk_charge",
            "log(jet_pt)",
            "jet_eta",
            "jet_M / jet_pt",
        ];
        let variables = variables.map(Variable::standard).to_vec();
        Self {
            tracks: List { select: None, order: None, ..tracks(64, Layout::Cloud, variables) },
            context: Context::Attention,
            layers: vec![256, 256, 256, 256, 5],
            broadcast: Broadcast::Lin2,
            hidden: 256,
            train: Train { epochs: 200, batch: 2048, patience: Some(20), ..Train::default() },
        }
    }
}

/// Set2Graph.
pub struct Set2Graph;

impl Config {
    /// φ: numbers of each track.
    fn tracks(&self, graph: &mut Graph) -> usize {
        let mut x = Graph::INPUT;
        for (l, &width) in self.layers.iter().enumerate() {
            let mut y = graph.linear(x, width, Activation::Identity);
            if self.context == Context::Attention {
                let narrow = graph.nodes[x].width.div_ceil(10);
                let query = graph.linear(x, narrow, Activation::Tanh);
                let key = graph.linear(x, narrow, Activation::Identity);
                // The mean of what the layer makes of tracks is what it makes of their mean.
                let value = graph.linear_no_bias(x, width);
                let context = graph.set_attention([query, key, value]);
                y = graph.add(y, context, Activation::Identity);
            }
            let is_last = l + 1 == self.layers.len();
            x = graph.unit(y, if is_last { Activation::Identity } else { Activation::Relu });
        }
        x
    }
}

impl Network for Set2Graph {
    const CARD: Card = Card {
        name: "set2graph",
        title: "Set2Graph, tracks of a jet to vertices",
        tasks: &[Task::Partition],
        input: "tracks",
        promises: &[Promise::PermutationInvariant, Promise::OnnxParity],
        paper: Paper { authors: "Serviansky, Segol, Shlomi, Cranmer, Gross, Maron, Lipman", arxiv: "2002.08772" },
        status: Status::Experimental,
        parameters: None,
        known_failures: &[],
    };
    type Config = Config;

    fn input(config: &Config) -> Result<Input> {
        Ok(Input::Lists { event: Vec::new(), lists: vec![config.tracks.clone()] })
    }

    fn train(config: &Config) -> &Train {
        &config.train
    }

    fn build(config: &Config, _classes: usize, graph: &mut Graph) -> Result<()> {
        let bad = |key: &str, reason: &str| {
            Err(Error::Config { place: format!("method `set2graph`, `{key}`"), reason: reason.to_owned() })
        };
        if config.tracks.layout != Layout::Cloud {
            return bad("tracks.layout", "found `sequence`, expected `cloud`");
        }
        if config.layers.is_empty() {
            return bad("layers", "found none, expected at least one width");
        }
        at_most("set2graph", "tracks.max", config.tracks.max, MOST_TRACKS)?;
        graph.edges = Some(Edges::Unordered);
        let u = config.tracks(graph);
        // ψ of both orders, up to its last layer: what that makes of their sum is the sum of what it makes of each.
        let mut first = graph.linear(u, config.hidden, Activation::Identity);
        let second = graph.linear_no_bias(u, config.hidden);
        if config.broadcast == Broadcast::Lin5 {
            let sum = graph.sum(u);
            let sum = graph.spread(sum);
            let sum = graph.linear_no_bias(sum, config.hidden);
            first = graph.add(first, sum, Activation::Identity);
        }
        let there = graph.join(first, second, &[], Activation::Relu);
        let back = graph.join(second, first, &[], Activation::Relu);
        let both = graph.add(there, back, Activation::Identity);
        let logit = graph.linear(both, 1, Activation::Identity);
        // Half of the usual start: of the two, the mean is meant.
        graph.start(logit, Init::Uniform((0.75 / config.hidden.max(1) as f64).sqrt()));
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use fb_core::Features;
    use fb_core::run::Alone;
    use fb_nn::{Executor, Rows};

    use super::*;

    /// Weights and biases of the layers and of attention, counted by hand for the ten inputs of the papers.
    #[test]
    fn parameters() {
        let count = |context, broadcast| {
            let config = Config { context, broadcast, ..Config::default() };
            let mut graph = Graph::new(Rows::Particle, 10);
            Set2Graph::build(&config, 1, &mut graph).unwrap();
            graph.parameter_count()
        };
        let layer = |from: usize, to: usize| (from + 1) * to + from * to + 2 * (from + 1) * from.div_ceil(10);
        let phi = layer(10, 256) + 3 * layer(256, 256) + layer(256, 5);
        let psi = 11 * 256 + 257;
        assert_eq!(count(Context::Attention, Broadcast::Lin2), phi + psi);
        assert_eq!(count(Context::Attention, Broadcast::Lin5), phi + psi + 5 * 256);
        assert_eq!(count(Context::Pairwise, Broadcast::Lin2), 11 * 256 + 3 * 257 * 256 + 257 * 5 + psi);
    }

    /// The logit of a pair is the mean of ψ over both orders, written out, and only with attention do other tracks enter.
    #[test]
    fn pairs_are_symmetric_and_know_of_others() {
        for (context, broadcast) in [
            (Context::Attention, Broadcast::Lin2),
            (Context::Pairwise, Broadcast::Lin2),
            (Context::Pairwise, Broadcast::Lin5),
        ] {
            let config = Config { context, broadcast, layers: vec![6, 3], hidden: 4, ..Config::default() };
            let mut graph = Graph::new(Rows::Particle, 2);
            Set2Graph::build(&config, 1, &mut graph).unwrap();
            let mut executor = Executor::<f64>::fresh(graph, 5);
            let mut logits = |tracks: &[[f32; 2]]| {
                let offsets = Some(vec![0, tracks.len()]);
                let features = Features { width: 2, values: tracks.concat(), offsets, others: Vec::new() };
                executor.logits(&features, &Alone)
            };
            let [a, b, c] = [[0.3, -1.0], [1.2, 0.4], [-0.7, 0.9]];
            // Rows: (0,0), (1,0), (1,1), (2,0), …
            let (there, back) = (logits(&[a, b, c]), logits(&[c, b, a]));
            for (i, j) in [(1, 4), (3, 3), (4, 1)] {
                assert!((there[i] - back[j]).abs() < 1e-12, "{context:?}: {there:?} {back:?}");
            }
            let alone = logits(&[a, b])[1];
            let knows = context == Context::Attention || broadcast == Broadcast::Lin5;
            assert_eq!((alone - there[1]).abs() > 1e-9, knows, "{context:?}, {broadcast:?}: {alone} {}", there[1]);
        }
    }
}
