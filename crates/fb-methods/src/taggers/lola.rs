//! LoLa (arXiv:1707.08966, Butter, Kasieczka, Plehn, Russell): combinations of constituents and the Minkowski metric.
//!
//! The combination layer makes k̃ of the sum of all momenta, each of them, and trainable combinations Σ_i c_im·p_i. The Lorentz
//! layer makes seven numbers of each k̃_j: k̃_j², pT, Σ_m e_jm·E(k̃_m), and of w_jm·(k̃_j − k̃_m)² two sums over m and two minima
//! over m ≠ j, each with weights of its own. They go into dense layers. Sees px, py, pz, E of the hardest constituents
//! in order [constituent, 4], in units of 100 GeV.
//!
//! With `learned_metric` the diagonal of the metric is trained too, from random numbers. The landscape of top taggers
//! (arXiv:1902.09914) gives 127,000 parameters without its sizes; those of the paper have 60,732.

use fb_core::{Card, Input, Paper, Promise, Result, Status, Task};
use fb_nn::{Graph, Schedule, Train};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{at_most, dense, logits, momenta};
use crate::neural::Network;

/// Options of LoLa.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Constituents that are seen, the hardest first.
    pub max: usize,
    /// Trainable combinations of them.
    pub combinations: usize,
    /// Whether the metric is trained instead of given.
    pub learned_metric: bool,
    /// Widths of the dense layers.
    pub layers: Vec<usize>,
    /// How it is trained.
    pub train: Train,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max: 40,
            combinations: 15,
            learned_metric: false,
            layers: vec![100, 50],
            train: Train { epochs: 20, batch: 128, lr: 1e-3, schedule: Schedule::Cosine, ..Train::default() },
        }
    }
}

/// LoLa.
pub struct Lola;

impl Network for Lola {
    const CARD: Card = Card {
        name: "lola",
        title: "LoLa, a Lorentz layer on combinations of constituents",
        tasks: &[Task::Classify],
        input: "momenta in order of pT",
        promises: &[Promise::OnnxParity],
        paper: Paper { authors: "Butter, Kasieczka, Plehn, Russell", arxiv: "1707.08966" },
        status: Status::Experimental,
        parameters: Some(60_732),
        known_failures: &[],
    };
    type Config = Config;

    fn input(config: &Config) -> Result<Input> {
        Ok(momenta(config.max))
    }

    fn train(config: &Config) -> &Train {
        &config.train
    }

    fn build(config: &Config, classes: usize, graph: &mut Graph) -> Result<()> {
        at_most("lola", "combinations", config.combinations, 1 << 10)?;
        let x = graph.lola(Graph::INPUT, config.combinations, config.learned_metric);
        let x = dense(graph, x, &config.layers);
        logits(graph, x, classes);
        Ok(())
    }
}
