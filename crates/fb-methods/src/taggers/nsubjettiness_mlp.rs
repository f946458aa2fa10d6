//! Dense network on a basis of N-subjettiness (arXiv:1704.08249 Datta, Larkoski; arXiv:1807.04769 Moore et al.).
//!
//! Sees the 3M − 4 numbers that span the phase space of M bodies, τ_1^(½), τ_1^(1), τ_1^(2), …, τ_{M−2}^(½, 1, 2), τ_{M−1}^(1),
//! τ_{M−1}^(2) with exclusive kT axes, and the mass and transverse momentum of the jet; 200-200-50-50 rectifiers. Six and
//! eight bodies in the landscape of top taggers (arXiv:1902.09914).

use fb_core::{Card, Input, Paper, Promise, Result, Status, Task};
use fb_nn::{Activation, Graph, Train};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{COLLECTION, logits};
use crate::forest::{check, count};
use crate::neural::Network;

/// Options of the network on N-subjettiness.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// M: so many bodies are resolved, 3 to 12.
    pub bodies: usize,
    /// R₀ of the normalisation, the radius of the jets.
    pub radius: f64,
    /// Widths of the layers.
    pub layers: Vec<usize>,
    /// Share of the outputs of each layer that a training step leaves out.
    pub dropout: f64,
    /// How it is trained.
    pub train: Train,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bodies: 6,
            radius: 0.8,
            layers: vec![200, 200, 50, 50],
            dropout: 0.1,
            train: Train { epochs: 40, batch: 256, lr: 5e-4, ..Train::default() },
        }
    }
}

/// Dense network on N-subjettiness.
pub struct NsubjettinessMlp;

impl Network for NsubjettinessMlp {
    const CARD: Card = Card {
        name: "nsubjettiness_mlp",
        title: "Dense network on a basis of N-subjettiness",
        tasks: &[Task::Classify],
        input: "observables of a jet",
        promises: &[Promise::PermutationInvariant],
        paper: Paper { authors: "Datta, Larkoski; Moore et al.", arxiv: "1807.04769" },
        status: Status::Experimental,
        parameters: Some(56_302),
        known_failures: &[],
    };
    type Config = Config;

    fn input(config: &Config) -> Result<Input> {
        count("bodies", config.bodies, 3..=12)?;
        check("radius", config.radius, config.radius > 0.0 && config.radius <= 10.0, "a radius up to 10")?;
        let tau = |n: usize, beta: f64| format!("tau{n}(beta={beta}, R0={})", config.radius);
        let mut set: Vec<String> =
            (1..config.bodies - 1).flat_map(|n| [0.5, 1.0, 2.0].map(|beta| tau(n, beta))).collect();
        set.extend([1.0, 2.0].map(|beta| tau(config.bodies - 1, beta)));
        set.extend(["mass", "pt"].map(str::to_owned));
        let (collection, set) = (COLLECTION.to_owned(), set.join(", "));
        Ok(Input::Observables { collection, set, center: Vec::new(), scale: Vec::new() })
    }

    fn train(config: &Config) -> &Train {
        &config.train
    }

    fn build(config: &Config, classes: usize, graph: &mut Graph) -> Result<()> {
        let mut x = Graph::INPUT;
        for &width in &config.layers {
            x = graph.linear(x, width, Activation::Relu);
            if config.dropout > 0.0 {
                x = graph.dropout(x, config.dropout);
            }
        }
        logits(graph, x, classes);
        Ok(())
    }
}
