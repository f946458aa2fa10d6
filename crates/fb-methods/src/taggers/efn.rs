//! Energy-flow network (arXiv:1810.05165, Komiske, Metodiev, Thaler): F(Σ_i z_i·Φ(Δη_i, Δφ_i)).
//!
//! Linear in the momentum fractions z = pT/ΣpT, so a soft or collinear emission leaves the score as it was. Sees
//! (z, Δη, Δφ) of each constituent [particle, 3].

use fb_core::{Card, Input, Paper, Promise, Result, Status, Task, Variable};
use fb_nn::{Graph, Train};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{cloud, dense, logits};
use crate::neural::Network;

/// Options of the energy-flow network.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Constituents that are kept, the hardest first.
    pub max: usize,
    /// Widths of Φ, per constituent.
    pub phi: Vec<usize>,
    /// Widths of F, per jet.
    pub f: Vec<usize>,
    /// How it is trained.
    pub train: Train,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max: 128,
            phi: vec![100, 100, 256],
            f: vec![100, 100, 100],
            train: Train { epochs: 20, batch: 500, ..Train::default() },
        }
    }
}

/// Energy-flow network.
pub struct Efn;

impl Network for Efn {
    const CARD: Card = Card {
        name: "efn",
        title: "Energy-flow network, an infrared- and collinear-safe deep set",
        tasks: &[Task::Classify],
        input: "particle cloud",
        promises: &[Promise::PermutationInvariant, Promise::InfraredCollinearSafe, Promise::OnnxParity],
        paper: Paper { authors: "Komiske, Metodiev, Thaler", arxiv: "1810.05165" },
        status: Status::Experimental,
        parameters: Some(82_358),
        known_failures: &[],
    };
    type Config = Config;

    fn input(config: &Config) -> Result<Input> {
        Ok(cloud(config.max, &["pt / sum(pt)", "deta(jet)", "dphi(jet)"].map(Variable::plain)))
    }

    fn train(config: &Config) -> &Train {
        &config.train
    }

    fn build(config: &Config, classes: usize, graph: &mut Graph) -> Result<()> {
        let z = graph.columns(Graph::INPUT, 0, 1);
        let direction = graph.columns(Graph::INPUT, 1, 3);
        let phi = dense(graph, direction, &config.phi);
        let sum = graph.weighted_sum(phi, z);
        let f = dense(graph, sum, &config.f);
        logits(graph, f, classes);
        Ok(())
    }
}
