//! uBoost (arXiv:1305.7248): AdaBoost whose efficiency at one working point is flat in some features.
//!
//! Sees one number per event and variable, NaN where it is missing. After each tree, events among whose neighbours fewer
//! than the wanted share pass gain weight by exp[(ε̄ − ε_i) ρ ln(1/e')], where e' is the mean of |ε_i − ε̄|. Flat near the
//! working point only; `ugrad_bdt` is flat at all of them. For two classes.

use fb_core::{Artifact, Card, Input, Method, Paper, Promise, Result, Run, Sample, Status, Task};
use fb_trees::groups::Neighbours;
use fb_trees::{AdaBoost, Options, Shape, Uniform};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::forest::{FittedForest, Table, check, flat_features, prepare};

/// Options of uBoost.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Config {
    /// What is seen of an event.
    #[serde(flatten)]
    pub table: Table,
    /// Features along which the efficiency is to be flat.
    pub flat: Vec<String>,
    /// Class whose efficiency is to be flat.
    pub flat_class: u32,
    /// Efficiency of the working point: the share of this class whose score is above the cut.
    pub efficiency: f64,
    /// ρ, the rate at which events gain weight.
    pub rate: f64,
    /// Events that a local efficiency is taken over.
    pub neighbours: usize,
    /// Number of trees.
    pub trees: usize,
    /// Depth of a tree.
    pub depth: usize,
    /// β, the exponent on the boost weight (1 − err)/err.
    pub beta: f64,
    /// Least share of the sum of weights in a leaf.
    pub min_node_size: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            table: Table::balanced(),
            flat: Vec::new(),
            flat_class: 0,
            efficiency: 0.5,
            rate: 1.0,
            neighbours: 50,
            trees: 100,
            depth: 3,
            beta: 1.0,
            min_node_size: 0.01,
        }
    }
}

impl Config {
    /// Refuses values that cannot work.
    fn check(&self) -> Result<()> {
        check("trees", self.trees as f64, (1..=1_000_000).contains(&self.trees), "1 to a million")?;
        check("depth", self.depth as f64, (1..=16).contains(&self.depth), "1 to 16")?;
        check(
            "efficiency",
            self.efficiency,
            self.efficiency > 0.0 && self.efficiency < 1.0,
            "a share between 0 and 1",
        )?;
        check("rate", self.rate, self.rate >= 0.0 && self.rate.is_finite(), "zero or a positive number")?;
        check("neighbours", self.neighbours as f64, (2..=10_000).contains(&self.neighbours), "2 to 10000")?;
        check("beta", self.beta, self.beta > 0.0 && self.beta <= 1e3, "a positive number up to 1000")?;
        check(
            "min_node_size",
            self.min_node_size,
            self.min_node_size >= 0.0 && self.min_node_size < 0.5,
            "a share of the weights below a half",
        )
    }
}

/// uBoost, AdaBoost with a flat efficiency at a working point.
pub struct UBoost;

impl Method for UBoost {
    const CARD: Card = Card {
        name: "uboost",
        title: "uBoost, AdaBoost with a flat efficiency at a working point",
        task: Task::Classify,
        input: "table",
        promises: &[Promise::OnnxParity],
        paper: Paper { authors: "Stevens, Williams", arxiv: "1305.7248" },
        status: Status::Experimental,
        parameters: None,
        known_failures: &[(
            "weight_two_is_twice",
            "the nearest events are counted, whatever their weight: an event twice is two neighbours",
        )],
    };
    type Config = Config;
    type Fitted = FittedForest;

    fn input(config: &Config) -> Result<Input> {
        Ok(config.table.input())
    }

    fn fit(config: &Config, train: &Sample, validation: &Sample, run: &mut Run<'_>) -> Result<FittedForest> {
        config.check()?;
        let prepared = prepare(&config.table, train, validation, run)?;
        prepared.two_classes(Self::CARD.name)?;
        let (columns, classes) = flat_features(&config.flat, &[config.flat_class], &config.table.missing, train)?;
        let near = Neighbours::around(&columns, &classes[0], &classes[0], config.neighbours, run.workers);
        let trees = Options {
            trees: config.trees,
            shape: Shape::Depth(config.depth),
            l2: 0.0,
            min_child_weight: config.min_node_size,
            ..Options::default()
        };
        let is_signal = config.flat_class == 1;
        let uniform = Some(Uniform { efficiency: config.efficiency, is_signal, rate: config.rate });
        let options = AdaBoost { trees, beta: config.beta, votes: false, uniform };
        let forest = fb_trees::adaboost(&options, Some(&near), prepared.train(), prepared.validation(), run)?;
        FittedForest::new(Self::CARD.name, config, prepared.input, forest)
    }

    fn load(artifact: &Artifact) -> Result<FittedForest> {
        FittedForest::load(artifact)
    }
}
