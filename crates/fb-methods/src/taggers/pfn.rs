//! Particle-flow network (arXiv:1810.05165, Komiske, Metodiev, Thaler): F(Σ_i Φ(p_i)), a deep set.
//!
//! Sees (z, Δη, Δφ) of each constituent [particle, 3], z = pT/ΣpT. Any function of an unordered set can be written so.

use fb_core::{Card, Input, Paper, Promise, Result, Status, Task, Variable};
use fb_nn::{Graph, Train};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{cloud, dense, logits};
use crate::neural::Network;

/// Options of the particle-flow network.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Constituents that are kept, the hardest first.
    pub max: usize,
    /// What it sees of a constituent.
    pub variables: Vec<Variable>,
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
            variables: ["pt / sum(pt)", "deta(jet)", "dphi(jet)"].map(Variable::plain).to_vec(),
            phi: vec![100, 100, 256],
            f: vec![100, 100, 100],
            train: Train { epochs: 20, batch: 500, ..Train::default() },
        }
    }
}

/// Particle-flow network.
pub struct Pfn;

impl Network for Pfn {
    const CARD: Card = Card {
        name: "pfn",
        title: "Particle-flow network, a deep set of constituents",
        tasks: &[Task::Classify],
        input: "particle cloud",
        promises: &[Promise::PermutationInvariant, Promise::OnnxParity],
        paper: Paper { authors: "Komiske, Metodiev, Thaler", arxiv: "1810.05165" },
        status: Status::Stable,
        parameters: Some(82_458),
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
        let phi = dense(graph, Graph::INPUT, &config.phi);
        let sum = graph.sum(phi);
        let f = dense(graph, sum, &config.f);
        logits(graph, f, classes);
        Ok(())
    }
}
