//! uBoost (arXiv:1305.7248): AdaBoost whose efficiency at one working point is flat in some features.
//!
//! Sees one number per event and variable, NaN where it is missing. After each tree, events among whose neighbours fewer
//! than the wanted share pass gain weight by exp[(ε̄ − ε_i) ρ ln(1/e')], where e' is the mean of |ε_i − ε̄|. Flat near the
//! working point only; `ugrad_bdt` is flat at all of them. For two classes.

use fb_core::{Card, Paper, Promise, Result, Run, Sample, Status, Task};
use fb_trees::groups::Neighbours;
use fb_trees::{AdaBoost, Forest, Options, Shape, Uniform};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::forest::{Ensemble, Prepared, Table, check, count, flat_features, not_negative, positive};

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
        count("trees", self.trees, 1..=1_000_000)?;
        count("depth", self.depth, 1..=16)?;
        check(
            "efficiency",
            self.efficiency,
            self.efficiency > 0.0 && self.efficiency < 1.0,
            "a share between 0 and 1",
        )?;
        not_negative("rate", self.rate)?;
        count("neighbours", self.neighbours, 2..=10_000)?;
        positive("beta", self.beta)?;
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

impl Ensemble for UBoost {
    const CARD: Card = Card {
        name: "uboost",
        title: "uBoost, AdaBoost with a flat efficiency at a working point",
        tasks: &[Task::Classify],
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

    fn table(config: &Config) -> &Table {
        &config.table
    }

    fn check(config: &Config) -> Result<()> {
        config.check()
    }

    fn grow(config: &Config, prepared: &Prepared, events: &Sample, run: &mut Run<'_>) -> Result<Forest> {
        prepared.two_classes(Self::CARD.name)?;
        let (columns, classes) = flat_features(&config.flat, &[config.flat_class], &config.table.missing, events)?;
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
        Ok(forest)
    }
}
