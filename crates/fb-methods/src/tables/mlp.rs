//! Multilayer perceptron: fully connected layers on a table of variables.
//!
//! Sees one number per event and variable, standardised over the training part; a missing value counts as zero before
//! that. h_{k+1} = f(W_k h_k + b_k), and a softmax over the classes, or predictions of numbers. The network of event selections: 2×200 in H→ττ
//! (arXiv:2204.12957), 300-300-400 in particle identification (EPJ Web Conf. 214 (2019) 06011), five layers of 300 in the
//! search for exotic particles (arXiv:1402.4735).

use fb_core::{Card, Error, Input, Paper, Promise, Result, Status, Task, Variable};
use fb_nn::{Activation, Graph, Regression, Schedule, Train};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::neural::Network;
use crate::taggers::logits;
use crate::weights::{Normalise, Reweight};

/// Options of multilayer perceptrons.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What it sees of an event, in the expression language; where empty, all columns with one number per event but
    /// label, weight and identifiers.
    pub variables: Vec<String>,
    /// Values that stand for a missing one: −999.
    pub missing: Vec<f64>,
    /// Standardised values are cut off at this size.
    pub clip: f64,
    /// Widths of the layers.
    pub layers: Vec<usize>,
    /// f: `relu`, `tanh`, `sigmoid`, …
    pub activation: Activation,
    /// Share of the outputs of each layer that a training step leaves out.
    pub dropout: f64,
    /// What predictions of numbers are to be: `{ kind = "squared" }`, `huber`, `quantile`, `gaussian_kernel` or `gaussian`.
    pub loss: Regression,
    /// How weights are scaled: `none`, `events` (to a mean of one) or `classes` (each class to the same sum).
    pub normalise: Normalise,
    /// How the spectra of the classes are made alike (planing).
    pub reweight: Option<Reweight>,
    /// How it is trained.
    pub train: Train,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            variables: Vec::new(),
            missing: Vec::new(),
            clip: 8.0,
            layers: vec![200, 200],
            activation: Activation::Relu,
            dropout: 0.0,
            loss: Regression::Squared,
            normalise: Normalise::None,
            reweight: None,
            train: Train { epochs: 20, batch: 256, lr: 2e-3, schedule: Schedule::Cosine, ..Train::default() },
        }
    }
}

/// Multilayer perceptron.
pub struct Mlp;

impl Network for Mlp {
    const CARD: Card = Card {
        name: "mlp",
        title: "Multilayer perceptron on a table of variables",
        tasks: &[Task::Classify, Task::Regress],
        input: "table",
        promises: &[Promise::OnnxParity],
        paper: Paper { authors: "Baldi, Sadowski, Whiteson", arxiv: "1402.4735" },
        status: Status::Experimental,
        parameters: None,
        known_failures: &[],
    };
    type Config = Config;

    fn input(config: &Config) -> Result<Input> {
        let present = |text: &String| {
            let factors = config.missing.iter().map(|m| format!(" * (({text}) != {m})"));
            format!("({text}){}", factors.collect::<String>())
        };
        let whole = |text: &String| if config.missing.is_empty() { text.clone() } else { present(text) };
        let variable = |text| Variable::standard(whole(text)).clipped(-config.clip, config.clip);
        Ok(Input::Table { variables: config.variables.iter().map(variable).collect() })
    }

    fn train(config: &Config) -> &Train {
        &config.train
    }

    fn normalise(config: &Config) -> Normalise {
        config.normalise
    }

    fn reweight(config: &Config) -> Option<&Reweight> {
        config.reweight.as_ref()
    }

    fn regression(config: &Config) -> Option<Regression> {
        Some(config.loss)
    }

    fn build(config: &Config, classes: usize, graph: &mut Graph) -> Result<()> {
        if config.variables.is_empty() {
            let hint = "name some in `variables`".to_owned();
            return Err(Error::Empty { what: "the list of variables".to_owned(), hint });
        }
        let mut x = Graph::INPUT;
        for &width in &config.layers {
            x = graph.linear(x, width, config.activation);
            if config.dropout > 0.0 {
                x = graph.dropout(x, config.dropout);
            }
        }
        logits(graph, x, classes);
        Ok(())
    }
}
