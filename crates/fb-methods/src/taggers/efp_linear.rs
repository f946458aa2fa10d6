//! Linear classifier on energy-flow polynomials (arXiv:1712.07124, Komiske, Metodiev, Thaler).
//!
//! Sees all polynomials of up to `degree` edges, EFP_G = Σ z_{i₁} … z_{i_N} Π_{(k, l) ∈ G} θ_{i_k i_l}^β, standardised; they
//! span every infrared- and collinear-safe observable, so a linear combination of them is a tagger. 1000 of them for degree 7.

use fb_core::{Card, Input, Paper, Promise, Result, Status, Task};
use fb_nn::{Graph, Schedule, Train};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{COLLECTION, logit};
use crate::forest::{check, count};
use crate::neural::Network;

/// Options of the linear classifier on energy-flow polynomials.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Most edges of a polynomial, 0 to 7.
    pub degree: usize,
    /// β, the power of the distance.
    pub beta: f64,
    /// How it is trained.
    pub train: Train,
}

impl Default for Config {
    fn default() -> Self {
        let train = Train { epochs: 60, batch: 256, lr: 2e-3, schedule: Schedule::Cosine, ..Train::default() };
        Self { degree: 7, beta: 0.5, train }
    }
}

/// Linear classifier on energy-flow polynomials.
pub struct EfpLinear;

impl Network for EfpLinear {
    const CARD: Card = Card {
        name: "efp_linear",
        title: "Linear classifier on energy-flow polynomials",
        tasks: &[Task::Classify],
        input: "observables of a jet",
        promises: &[Promise::PermutationInvariant],
        paper: Paper { authors: "Komiske, Metodiev, Thaler", arxiv: "1712.07124" },
        status: Status::Experimental,
        parameters: Some(1_001),
        known_failures: &[],
    };
    type Config = Config;

    fn input(config: &Config) -> Result<Input> {
        count("degree", config.degree, 0..=7)?;
        check("beta", config.beta, config.beta > 0.0 && config.beta <= 10.0, "a power up to 10")?;
        let set = format!("efp(d<={}, beta={})", config.degree, config.beta);
        Ok(Input::Observables { collection: COLLECTION.to_owned(), set, center: Vec::new(), scale: Vec::new() })
    }

    fn train(config: &Config) -> &Train {
        &config.train
    }

    fn build(_: &Config, classes: usize, graph: &mut Graph) -> Result<()> {
        logit(graph, Graph::INPUT, classes);
        Ok(())
    }
}
