//! A network like DeepTau (CMS, arXiv:2201.08458): numbers of a candidate for a hadronic tau decay, and two grids of
//! particles around its axis.
//!
//! An inner grid of 11×11 cells of 0.02 and an outer one of 21×21 cells of 0.05 in Δη and Δφ hold, for each of three streams
//! (electrons and photons, muons, hadrons), the hardest particle of every cell. Each stream goes through 1×1 convolutions,
//! the streams of a cell are merged, and 3×3 convolutions without padding follow until one cell is left. Both, and the
//! numbers of the candidate after dense layers, go through four layers of 200 to a probability for each class: electron,
//! muon, tau, jet. Every layer has batch normalisation, a rectifier and dropout. An empty cell is a row of zeros.
//!
//! Not as published: what it sees, since the detector's own quantities (47 of the candidate, some 200 of a cell) are not
//! in any public sample; cross entropy in place of the loss with focal terms; leaky rectifiers in place of parametric
//! ones; Adam in place of its Nesterov variant. So there is no published number of parameters to keep to.

use fb_core::{Card, Error, Input, Layout, List, Paper, Promise, Result, Status, Task, Variable};
use fb_nn::graph::{Convolution, NodeId};
use fb_nn::{Activation, Graph, Rows, Train};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{UNWEIGHTED_NORM, at_least_one, logits};
use crate::neural::Network;

/// Prefix of the columns of particles around a candidate.
const CANDIDATES: &str = "cand";

/// A grid of cells.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// Cells along each side, an odd number.
    pub cells: usize,
    /// Side of a cell, in the units of the first two variables of each list.
    pub size: f64,
}

/// Options of DeepTau.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Numbers of the candidate.
    pub event: Vec<Variable>,
    /// Streams of particles, the hardest first; the first two variables of each are the place in the grids.
    pub lists: Vec<List>,
    /// The grids.
    pub grids: Vec<Grid>,
    /// Widths of the layers on each stream of a cell.
    pub cell: Vec<usize>,
    /// Width of the merged cells and of the 3×3 convolutions.
    pub filters: usize,
    /// Widths of the layers on the numbers of the candidate.
    pub candidate: Vec<usize>,
    /// Widths of the layers on all.
    pub layers: Vec<usize>,
    /// Share of the outputs of each layer that a training step leaves out.
    pub dropout: f64,
    /// How it is trained.
    pub train: Train,
}

impl Default for Config {
    fn default() -> Self {
        let standard = |v: &str| Variable::standard(v).clipped(-5.0, 5.0);
        let event = [
            "log(tau_pt)",
            "abs(tau_eta)",
            "tau_m / tau_pt",
            "count(cand_class != 1 && cand_class != 2)",
            "count(hypot(cand_deta, cand_dphi) < 0.1 && cand_class == 0)",
            "count(hypot(cand_deta, cand_dphi) < 0.1 && cand_class == 2)",
            "sum(if(hypot(cand_deta, cand_dphi) < 0.1, cand_pt, 0)) / max(sum(cand_pt), 1e-3)",
            "sum(if(hypot(cand_deta, cand_dphi) < 0.1, 0, cand_pt)) / tau_pt",
            "sum(if(cand_class == 0, cand_pt, 0)) / max(sum(cand_pt), 1e-3)",
            "sum(if(cand_class == 1, cand_pt, 0)) / max(sum(cand_pt), 1e-3)",
            "sum(if(cand_class == 2, cand_pt, 0)) / max(sum(cand_pt), 1e-3)",
            "sum(if(cand_class == 3, cand_pt, 0)) / max(sum(cand_pt), 1e-3)",
            "sum(if(cand_class == 4, cand_pt, 0)) / max(sum(cand_pt), 1e-3)",
            "sqrt(sum(cand_pt * cand_pt)) / tau_pt",
            "sum(cand_pt * hypot(cand_deta, cand_dphi)) / max(sum(cand_pt), 1e-3)",
        ];
        let stream = |select: &str, kinds: &[&str]| {
            let places = ["cand_deta", "cand_dphi"].map(Variable::plain);
            let numbers = ["log(cand_pt)", "log(cand_pt / tau_pt)", "hypot(cand_deta, cand_dphi)"];
            let numbers = numbers.iter().chain(kinds).map(|v| standard(v));
            List {
                name: CANDIDATES.to_owned(),
                select: Some(select.to_owned()),
                order: Some("cand_pt".to_owned()),
                max: 100,
                layout: Layout::Cloud,
                reversed: false,
                variables: places.into_iter().chain(numbers).collect(),
            }
        };
        Self {
            event: event.map(standard).to_vec(),
            lists: vec![
                stream("cand_class == 2 || cand_class == 3", &["cand_class == 3"]),
                stream("cand_class == 4", &[]),
                stream("cand_class < 2", &["cand_class == 1"]),
            ],
            grids: vec![Grid { cells: 11, size: 0.02 }, Grid { cells: 21, size: 0.05 }],
            cell: vec![32, 20],
            filters: 64,
            candidate: vec![113, 80, 57],
            layers: vec![200; 4],
            dropout: 0.2,
            train: Train { epochs: 10, batch: 128, ..Train::default() },
        }
    }
}

/// DeepTau.
pub struct DeepTau;

/// A layer on every cell (1), or on cells and their neighbours (3).
fn conv(graph: &mut Graph, (x, shape): (NodeId, [usize; 3]), (out, kernel): (usize, usize)) -> (NodeId, [usize; 3]) {
    let activation = Activation::Identity;
    // The normalisation after it has a shift of its own.
    let options = Convolution { out, kernel, stride: 1, padding: 0, groups: 1, bias: false, activation };
    graph.conv(x, shape, options)
}

impl Config {
    /// Batch normalisation over `channels`, rectifier and dropout.
    fn regular(&self, graph: &mut Graph, x: NodeId, channels: usize) -> NodeId {
        let x = graph.batch_norm(x, channels, Activation::Leaky);
        if self.dropout > 0.0 { graph.dropout(x, self.dropout) } else { x }
    }

    /// Dense layers.
    fn dense(&self, graph: &mut Graph, mut x: NodeId, widths: &[usize]) -> NodeId {
        for &width in widths {
            x = graph.linear_no_bias(x, width);
            x = self.regular(graph, x, width);
        }
        x
    }

    /// What is left of a grid: the streams cell by cell, merged, and convolutions until there is one cell.
    fn grid(&self, graph: &mut Graph, grid: Grid, streams: &[NodeId]) -> Option<NodeId> {
        let mut merged: Option<(NodeId, [usize; 3])> = None;
        for &stream in streams {
            let place = graph.columns(stream, 0, 2);
            let mut image = graph.grid(place, stream, grid.cells, grid.size);
            for &width in &self.cell {
                let (x, shape) = conv(graph, image, (width, 1));
                image = (self.regular(graph, x, width), shape);
            }
            // A layer on all streams of a cell side by side is the sum of its parts on each.
            let (x, shape) = conv(graph, image, (self.filters, 1));
            merged = Some(match merged {
                Some((others, _)) => (graph.add(others, x, Activation::Identity), shape),
                None => (x, shape),
            });
        }
        let (x, mut shape) = merged?;
        let mut x = self.regular(graph, x, self.filters);
        while shape[0] > 2 {
            (x, shape) = conv(graph, (x, shape), (self.filters, 3));
            x = self.regular(graph, x, self.filters);
        }
        Some(x)
    }
}

impl Network for DeepTau {
    const CARD: Card = Card {
        name: "deeptau",
        title: "A network like DeepTau, on grids of particles around a tau candidate",
        tasks: &[Task::Classify],
        input: "particles and a table",
        promises: &[Promise::PermutationInvariant, Promise::OnnxParity],
        paper: Paper { authors: "CMS", arxiv: "2201.08458" },
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

    fn build(config: &Config, classes: usize, graph: &mut Graph) -> Result<()> {
        let bad =
            |key: &str, reason: String| Err(Error::Config { place: format!("method `deeptau`, `{key}`"), reason });
        let inputs = graph.inputs();
        let streams: Vec<NodeId> = (0..inputs.len()).filter(|&i| inputs[i].0 == Rows::Particle).collect();
        if streams.len() < config.lists.len() {
            return bad("lists", "found the layout `sequence`, expected `cloud`".to_owned());
        }
        at_least_one("deeptau", "lists", streams.len())?;
        if streams.iter().any(|&i| inputs[i].1 < 2) {
            return bad("lists", "found fewer than two variables, expected a place and more".to_owned());
        }
        at_least_one("deeptau", "layers", config.layers.len())?;
        for grid in &config.grids {
            // Larger ones fit into no memory.
            if grid.cells % 2 == 0 || grid.cells > 512 {
                return bad("grids", format!("found {} cells, expected an odd number up to 511", grid.cells));
            }
        }
        let mut parts = Vec::new();
        if inputs[0].0 == Rows::Event {
            let x = graph.batch_norm(Graph::INPUT, inputs[0].1, Activation::Identity);
            parts.push(config.dense(graph, x, &config.candidate));
        }
        for &grid in &config.grids {
            parts.extend(config.grid(graph, grid, &streams));
        }
        if parts.is_empty() {
            return bad("grids", "found none and no numbers of the candidate".to_owned());
        }
        let x = graph.concat(&parts);
        let x = config.dense(graph, x, &config.layers);
        logits(graph, x, classes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Layer by layer: a normalisation has two numbers a channel, and a grid of n×n cells (n − 1)/2 convolutions of 3×3.
    #[test]
    fn parameters_are_those_of_the_layers() {
        let config = Config::default();
        let inputs = fb_nn::graph::of_lists(config.event.len(), &config.lists);
        assert_eq!(inputs, [(Rows::Event, 15), (Rows::Particle, 6), (Rows::Particle, 5), (Rows::Particle, 6)]);
        let mut graph = Graph::new(Rows::Event, 15);
        inputs[1..].iter().for_each(|&(rows, width)| {
            graph.input(rows, width);
        });
        DeepTau::build(&config, 4, &mut graph).unwrap_or_else(|e| panic!("{e}"));
        graph.check().unwrap_or_else(|e| panic!("{e}"));
        let dense = |widths: &[usize]| widths.windows(2).map(|w| w[0] * w[1] + 2 * w[1]).sum::<usize>();
        let stream = |width: usize| dense(&[width, 32, 20]) + 20 * 64;
        let grid = |layers: usize| stream(6) + stream(5) + stream(6) + 2 * 64 + layers * (9 * 64 * 64 + 2 * 64);
        let all = 2 * 15 + dense(&[15, 113, 80, 57]) + grid(5) + grid(10);
        assert_eq!(graph.parameter_count(), all + dense(&[57 + 128, 200, 200, 200, 200]) + 200 * 4 + 4);
    }
}
