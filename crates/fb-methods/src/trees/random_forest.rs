//! Random forests (Breiman 2001): trees on samples drawn with replacement, averaged.
//!
//! Sees one number per event and variable, NaN where it is missing. A node looks at √F of the F variables (at all in a regression); leaves hold the
//! share of each class, or the mean target. The training tells the share of wrong events out of bag (of a regression, the
//! r.m.s. of its residuals): by the trees that have not seen them.
//! Robust without any tuning, and a baseline for boosted trees.

use fb_core::{Card, Paper, Promise, Result, Run, Sample, Status, Task};
use fb_trees::{Asked, Forest, Options, Shape};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::forest::{Ensemble, Prepared, Table, check, count, share};

/// Options of random forests.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Config {
    /// What is seen of an event.
    #[serde(flatten)]
    pub table: Table,
    /// Number of trees.
    pub trees: usize,
    /// Largest depth of a tree.
    pub depth: usize,
    /// Share of the variables that each node looks at; where absent, √F of F, and all of them in a regression.
    pub variables_per_node: Option<f64>,
    /// Least share of the sum of weights in a leaf.
    pub min_node_size: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { table: Table::default(), trees: 500, depth: 16, variables_per_node: None, min_node_size: 0.0005 }
    }
}

impl Config {
    /// Refuses values that cannot work.
    fn check(&self) -> Result<()> {
        count("trees", self.trees, 1..=1_000_000)?;
        count("depth", self.depth, 1..=24)?;
        check(
            "min_node_size",
            self.min_node_size,
            self.min_node_size >= 0.0 && self.min_node_size < 0.5,
            "a share of the weights below a half",
        )?;
        share("variables_per_node", self.variables_per_node.unwrap_or(1.0))
    }
}

/// Random forest.
pub struct RandomForest;

impl Ensemble for RandomForest {
    const CARD: Card = Card {
        name: "random_forest",
        title: "Random forest",
        tasks: &[Task::Classify, Task::Regress],
        input: "table",
        promises: &[Promise::OnnxParity],
        paper: Paper { authors: "Breiman 2001; TMVA: Hoecker et al.", arxiv: "physics/0703039" },
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
        let features = prepared.variables().len() as f64;
        let share = if prepared.asked == Asked::Targets { 1.0 } else { features.sqrt() / features };
        let total: f64 = prepared.train().events.weights.iter().map(|&w| f64::from(w)).sum();
        let options = Options {
            trees: config.trees,
            shape: Shape::Depth(config.depth),
            l2: 0.0,
            min_child_weight: config.min_node_size * total,
            features: [1.0, 1.0, config.variables_per_node.unwrap_or(share)],
            ..Options::default()
        };
        let (train, validation) = (prepared.train(), prepared.validation());
        fb_trees::random_forest(&options, prepared.asked, train, validation, run)
    }
}
