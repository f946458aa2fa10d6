//! Logistic regression: the plain baseline that every tagger has to beat.
//!
//! Sees the jet's mass and N-subjettiness ratios [event, variable], standardised over the training part; gives
//! p = 1/(1 + e^{−(w·x + b)}).

use fb_core::{Card, Input, Paper, Promise, Result, Status, Task, Variable};
use fb_nn::{Graph, Schedule, Train};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::logit;
use crate::neural::Network;

/// Options of logistic regression.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What it sees of a jet.
    pub variables: Vec<Variable>,
    /// How it is trained.
    pub train: Train,
}

impl Default for Config {
    fn default() -> Self {
        // A jet of one or two constituents has τ = 0.
        let variables = ["jet_m", "jet_msd", "jet_tau2 / max(jet_tau1, 1e-3)", "jet_tau3 / max(jet_tau2, 1e-3)"];
        Self {
            variables: variables.map(|v| Variable::standard(v).clipped(-5.0, 5.0)).to_vec(),
            train: Train { epochs: 10, batch: 128, lr: 0.02, schedule: Schedule::Cosine, ..Train::default() },
        }
    }
}

/// Logistic regression.
pub struct Logistic;

impl Network for Logistic {
    const CARD: Card = Card {
        name: "logistic",
        title: "Logistic regression on jet mass and N-subjettiness",
        tasks: &[Task::Classify],
        input: "table",
        promises: &[Promise::OnnxParity],
        paper: Paper { authors: "Cox 1958; N-subjettiness: Thaler, Van Tilburg", arxiv: "1011.2268" },
        status: Status::Stable,
        parameters: Some(5),
        known_failures: &[],
    };
    type Config = Config;

    fn input(config: &Config) -> Result<Input> {
        Ok(Input::Table { variables: config.variables.clone() })
    }

    fn train(config: &Config) -> &Train {
        &config.train
    }

    fn build(_: &Config, classes: usize, graph: &mut Graph) -> Result<()> {
        logit(graph, Graph::INPUT, classes);
        Ok(())
    }
}
