//! Long short-term memory over the constituents in order of falling pT (arXiv:1711.09059, Egan, Fedorko, Lister,
//! Pearkes, Gay): LSTM 128, dense 64, one logit.
//!
//! Sees (log pT, Δη, Δφ) of each constituent [particle, 3].

use fb_core::{Card, Input, Paper, Promise, Result, Status, Task, Variable};
use fb_nn::{Graph, Train};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{cloud, dense, logit};
use crate::neural::Network;

/// Options of the LSTM tagger.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Constituents that are kept, the hardest first.
    pub max: usize,
    /// What it sees of a constituent.
    pub variables: Vec<Variable>,
    /// Width of the hidden state.
    pub hidden: usize,
    /// Width of the dense layer.
    pub dense: usize,
    /// How it is trained.
    pub train: Train,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max: 120,
            variables: vec![
                Variable::affine("log(pt)", 1.7, 0.7).clipped(-5.0, 5.0),
                Variable::affine("deta(jet)", 0.0, 4.0),
                Variable::affine("dphi(jet)", 0.0, 4.0),
            ],
            hidden: 128,
            dense: 64,
            train: Train { epochs: 20, batch: 256, clip: Some(5.0), ..Train::default() },
        }
    }
}

/// LSTM tagger.
pub struct LstmTagger;

impl Network for LstmTagger {
    const CARD: Card = Card {
        name: "lstm_tagger",
        title: "Recurrent network over ordered constituents",
        tasks: &[Task::Classify],
        input: "particle sequence",
        promises: &[Promise::OnnxParity],
        paper: Paper { authors: "Egan, Fedorko, Lister, Pearkes, Gay", arxiv: "1711.09059" },
        status: Status::Experimental,
        parameters: Some(75_905),
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
        let state = graph.lstm(Graph::INPUT, config.hidden);
        let x = dense(graph, state, &[config.dense]);
        logit(graph, x, classes);
        Ok(())
    }
}
