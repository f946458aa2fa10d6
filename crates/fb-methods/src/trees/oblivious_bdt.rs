//! Oblivious trees (arXiv:1706.09516): one cut for all nodes of a level, so that a tree is a table of 2^depth values.
//!
//! Sees one number per event and variable, NaN where it is missing. The cut of a level is the one with the largest sum of
//! scores G²/(H + λ) over all its nodes. With `ordered`, the gradient of an event comes from models of the events before
//! it in a random order, which keeps small samples from being learned by heart. Even trees need few cuts, resist
//! over-training and are the fastest to evaluate.

use fb_core::{Card, Paper, Promise, Result, Run, Sample, Status, Task};
use fb_trees::{Forest, Options, Shape};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::forest::{Ensemble, Objectives, Prepared, Table, check, count, positive};

/// Options of oblivious trees; the defaults are CatBoost's where it has one.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Config {
    /// What is seen of an event.
    #[serde(flatten)]
    pub table: Table,
    /// What is minimised.
    #[serde(flatten)]
    pub objective: Objectives,
    /// Number of trees.
    pub trees: usize,
    /// Depth of a tree.
    pub depth: usize,
    /// Factor on leaf values.
    pub learning_rate: f64,
    /// λ, added to the sum of hessians.
    pub l2: f64,
    /// Whether gradients come from models of earlier events only (for two classes or one target).
    pub ordered: bool,
    /// Standard deviation of the noise on scores of cuts, as a share of them.
    pub random_strength: f64,
    /// T of random event weights (−ln u)^T.
    pub bagging_temperature: f64,
    /// Stop after this many rounds without a lower validation loss, and keep the best number of trees.
    pub patience: Option<usize>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            table: Table::default(),
            objective: Objectives::default(),
            trees: 500,
            depth: 6,
            learning_rate: 0.1,
            l2: 3.0,
            ordered: false,
            random_strength: 0.0,
            bagging_temperature: 0.0,
            patience: None,
        }
    }
}

impl Config {
    /// Refuses values that cannot work.
    fn check(&self) -> Result<()> {
        self.objective.check()?;
        count("trees", self.trees, 1..=1_000_000)?;
        count("depth", self.depth, 1..=10)?;
        positive("learning_rate", self.learning_rate)?;
        for (key, x) in [
            ("l2", self.l2),
            ("random_strength", self.random_strength),
            ("bagging_temperature", self.bagging_temperature),
        ] {
            check(key, x, (0.0..=100.0).contains(&x), "0 to 100")?;
        }
        count("patience", self.patience.unwrap_or(1), 1..=usize::MAX)
    }
}

/// Gradient-boosted oblivious trees, as in CatBoost.
pub struct ObliviousBdt;

impl Ensemble for ObliviousBdt {
    const CARD: Card = Card {
        name: "oblivious_bdt",
        title: "Gradient-boosted oblivious trees, as in CatBoost",
        tasks: &[Task::Classify, Task::Regress],
        input: "table",
        promises: &[Promise::OnnxParity, Promise::WarmStart],
        paper: Paper { authors: "Prokhorenkova et al.", arxiv: "1706.09516" },
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
        let options = Options {
            trees: config.trees,
            shape: Shape::Oblivious(config.depth),
            learning_rate: config.learning_rate,
            l2: config.l2,
            ordered: config.ordered,
            noise: config.random_strength,
            bagging_temperature: config.bagging_temperature,
            patience: config.patience,
            ..Options::default()
        };
        config.objective.boost(&options, prepared, run)
    }
}
