//! AdaBoost (Freund, Schapire 1997), with the options and defaults of TMVA (physics/0703039).
//!
//! Sees one number per event and variable, NaN where it is missing. Each tree is grown on weights in which the events that
//! were told wrong before count more; the trees vote. The probability that is given is (1 + score)/2 with the score in
//! [−1, 1]. For two classes.

use fb_core::{Card, Paper, Promise, Result, Run, Sample, Status, Task};
use fb_trees::{Forest, Options, Shape};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::forest::{Ensemble, Prepared, Table, check, count, positive};

/// What a leaf says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Votes {
    /// −1 or 1.
    Sign,
    /// 2p − 1 for a share p of signal.
    Purity,
}

/// Options of AdaBoost.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Config {
    /// What is seen of an event.
    #[serde(flatten)]
    pub table: Table,
    /// Number of trees.
    pub trees: usize,
    /// Depth of a tree.
    pub depth: usize,
    /// β, the exponent on the boost weight (1 − err)/err.
    pub beta: f64,
    /// Whether leaves vote with the `sign` or the `purity` of their majority.
    pub votes: Votes,
    /// Least share of the sum of weights in a leaf.
    pub min_node_size: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { table: Table::balanced(), trees: 800, depth: 3, beta: 0.5, votes: Votes::Sign, min_node_size: 0.05 }
    }
}

impl Config {
    /// Refuses values that cannot work.
    fn check(&self) -> Result<()> {
        count("trees", self.trees, 1..=1_000_000)?;
        count("depth", self.depth, 1..=16)?;
        positive("beta", self.beta)?;
        check(
            "min_node_size",
            self.min_node_size,
            self.min_node_size >= 0.0 && self.min_node_size < 0.5,
            "a share of the weights below a half",
        )
    }
}

/// AdaBoost as in TMVA.
pub struct AdaBoost;

impl Ensemble for AdaBoost {
    const CARD: Card = Card {
        name: "adaboost",
        title: "AdaBoost as in TMVA",
        tasks: &[Task::Classify],
        input: "table",
        promises: &[Promise::OnnxParity],
        paper: Paper { authors: "Freund, Schapire 1997; TMVA: Hoecker et al.", arxiv: "physics/0703039" },
        status: Status::Experimental,
        parameters: None,
        known_failures: &[],
    };
    type Config = Config;

    fn table(config: &Config) -> &Table {
        &config.table
    }

    fn check(config: &Config) -> Result<()> {
        config.check()
    }

    fn grow(config: &Config, prepared: &Prepared, _: &Sample, run: &mut Run<'_>) -> Result<Forest> {
        prepared.two_classes(Self::CARD.name)?;
        let trees = Options {
            trees: config.trees,
            shape: Shape::Depth(config.depth),
            l2: 0.0,
            min_child_weight: config.min_node_size,
            ..Options::default()
        };
        let options =
            fb_trees::AdaBoost { trees, beta: config.beta, votes: config.votes == Votes::Sign, uniform: None };
        let forest = fb_trees::adaboost(&options, None, prepared.train(), prepared.validation(), run)?;
        Ok(forest)
    }
}
