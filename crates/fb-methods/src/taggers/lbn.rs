//! Lorentz Boost Network (arXiv:1812.09722, Erdmann, Geiser, Rath, Rieger): combinations of constituents in rest frames of
//! other combinations.
//!
//! P_m = Σ_i |w_im|·p_i and R_m = Σ_i |v_im|·p_i are momenta of composite particles and of rest frames. Each P_m is boosted
//! into the rest frame of R_m; its E, pT, η, φ, m and the cosines of all pairs go through batch normalisation into
//! dense layers. Sees px, py, pz, E of the hardest constituents in order [constituent, 4], in units of 100 GeV.
//!
//! The entry in the landscape of top taggers (arXiv:1902.09914) has 705,000 parameters, but its numbers of combinations and
//! widths are not given: with the ones chosen here there are 675,272.

use fb_core::{Card, Input, Paper, Promise, Result, Status, Task};
use fb_nn::{Activation, Graph, Schedule, Train};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{UNWEIGHTED_NORM, at_most, dense, logits, momenta};
use crate::neural::Network;

/// Options of the Lorentz boost network.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Constituents that are seen, the hardest first.
    pub max: usize,
    /// Composite particles, and as many rest frames.
    pub combinations: usize,
    /// Widths of the dense layers.
    pub layers: Vec<usize>,
    /// Share of the last layer that is dropped in training.
    pub dropout: f64,
    /// How it is trained.
    pub train: Train,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max: 60,
            combinations: 30,
            layers: vec![450; 3],
            dropout: 0.1,
            train: Train { epochs: 20, batch: 512, lr: 1e-3, schedule: Schedule::Cosine, ..Train::default() },
        }
    }
}

/// Lorentz boost network.
pub struct Lbn;

impl Network for Lbn {
    const CARD: Card = Card {
        name: "lbn",
        title: "Lorentz Boost Network, combinations in rest frames",
        tasks: &[Task::Classify],
        input: "momenta in order of pT",
        promises: &[Promise::OnnxParity],
        paper: Paper { authors: "Erdmann, Geiser, Rath, Rieger", arxiv: "1812.09722" },
        status: Status::Experimental,
        parameters: Some(675_272),
        known_failures: UNWEIGHTED_NORM,
    };
    type Config = Config;

    fn input(config: &Config) -> Result<Input> {
        Ok(momenta(config.max))
    }

    fn train(config: &Config) -> &Train {
        &config.train
    }

    fn build(config: &Config, classes: usize, graph: &mut Graph) -> Result<()> {
        at_most("lbn", "combinations", config.combinations, 1 << 10)?;
        let x = graph.boost(Graph::INPUT, config.combinations);
        let x = graph.batch_norm(x, graph.nodes[x].width, Activation::Identity);
        let x = dense(graph, x, &config.layers);
        let x = graph.dropout(x, config.dropout);
        logits(graph, x, classes);
        Ok(())
    }
}
