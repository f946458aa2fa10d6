//! Gradient-boosted decision trees on histograms (arXiv:1603.02754).
//!
//! Sees one number per event and variable, in single precision, NaN where it is missing. Each round grows a tree on
//! gradients g and hessians h of the loss: leaves take −η G/(H + λ), splits the largest
//! ½ [G_L²/(H_L + λ) + G_R²/(H_R + λ) − G²/(H + λ)] − γ over at most 255 bins of equal weight. What is missing goes to the
//! side where it gains more. The first method to try on a table of variables.

use std::collections::BTreeMap;

use fb_core::{Card, Error, Paper, Promise, Result, Run, Sample, Status, Task};
use fb_trees::{Forest, Options, Shape};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::forest::{Ensemble, Objectives, Prepared, Table, count, not_negative, positive, share};

/// Options of boosted trees; the names are XGBoost's where it has one.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Config {
    /// What is seen of an event.
    #[serde(flatten)]
    pub table: Table,
    /// What is minimised.
    #[serde(flatten)]
    pub objective: Objectives,
    /// Rounds of boosting, each with one tree (one for each of several classes).
    pub trees: usize,
    /// Depth of a tree that grows level by level; where absent, 6, or without bound with `leaves`.
    pub depth: Option<usize>,
    /// Leaves of a tree that grows where the gain is largest; where absent, trees grow level by level.
    pub leaves: Option<usize>,
    /// η, the factor on leaf values.
    pub learning_rate: f64,
    /// λ, added to the sum of hessians.
    pub l2: f64,
    /// α, the L1 term on leaf values.
    pub l1: f64,
    /// γ, the least gain of a split.
    pub min_gain: f64,
    /// Least sum of hessians of a leaf.
    pub min_child_weight: f64,
    /// Share of the events that a tree sees, drawn anew for each.
    pub subsample: f64,
    /// Share of the variables that a tree sees.
    pub variables_per_tree: f64,
    /// Share of those that each level of a tree sees.
    pub variables_per_level: f64,
    /// Share of those that each node sees.
    pub variables_per_node: f64,
    /// Variables with which the score may only rise (1) or fall (-1).
    pub monotone: BTreeMap<String, i8>,
    /// Stop after this many rounds without a lower validation loss, and keep the best number of trees.
    pub patience: Option<usize>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            table: Table::default(),
            objective: Objectives::default(),
            trees: 200,
            depth: None,
            leaves: None,
            learning_rate: 0.1,
            l2: 1.0,
            l1: 0.0,
            min_gain: 0.0,
            min_child_weight: 1.0,
            subsample: 1.0,
            variables_per_tree: 1.0,
            variables_per_level: 1.0,
            variables_per_node: 1.0,
            monotone: BTreeMap::new(),
            patience: None,
        }
    }
}

/// No tree is deeper than this.
const DEEPEST: usize = 64;
/// No tree grows more leaves, or more levels at once, than this.
const MOST_LEAVES: usize = 1 << 16;

impl Config {
    /// Refuses values that cannot work.
    fn check(&self) -> Result<()> {
        self.objective.check()?;
        count("trees", self.trees, 1..=1_000_000)?;
        let depth = self.depth.unwrap_or(6);
        let deepest = if self.leaves.is_some() { DEEPEST } else { 16 };
        count("depth", depth, 1..=deepest)?;
        let leaves = self.leaves.unwrap_or(2);
        count("leaves", leaves, 2..=MOST_LEAVES)?;
        positive("learning_rate", self.learning_rate)?;
        for (key, x) in
            [("l2", self.l2), ("l1", self.l1), ("min_gain", self.min_gain), ("min_child_weight", self.min_child_weight)]
        {
            not_negative(key, x)?;
        }
        for (key, x) in [
            ("subsample", self.subsample),
            ("variables_per_tree", self.variables_per_tree),
            ("variables_per_level", self.variables_per_level),
            ("variables_per_node", self.variables_per_node),
        ] {
            share(key, x)?;
        }
        if let Some((name, sign)) = self.monotone.iter().find(|(_, sign)| !(-1..=1).contains(*sign)) {
            let reason = format!("found {sign} for `{name}`, expected 1 or -1");
            return Err(Error::Config { place: "`monotone`".to_owned(), reason });
        }
        count("patience", self.patience.unwrap_or(1), 1..=usize::MAX)
    }

    fn shape(&self) -> Shape {
        match self.leaves {
            Some(leaves) => Shape::Leaves(leaves, self.depth.unwrap_or(DEEPEST)),
            None => Shape::Depth(self.depth.unwrap_or(6)),
        }
    }
}

/// Gradient-boosted decision trees.
pub struct Bdt;

impl Ensemble for Bdt {
    const CARD: Card = Card {
        name: "bdt",
        title: "Gradient-boosted decision trees on histograms",
        tasks: &[Task::Classify, Task::Regress],
        input: "table",
        promises: &[Promise::OnnxParity, Promise::WarmStart],
        paper: Paper { authors: "Chen, Guestrin", arxiv: "1603.02754" },
        status: Status::Stable,
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
            shape: config.shape(),
            learning_rate: config.learning_rate,
            l2: config.l2,
            l1: config.l1,
            min_gain: config.min_gain,
            min_child_weight: config.min_child_weight,
            subsample: config.subsample,
            features: [config.variables_per_tree, config.variables_per_level, config.variables_per_node],
            monotone: prepared.of_variables(&config.monotone)?,
            patience: config.patience,
            ..Options::default()
        };
        config.objective.boost(&options, prepared, run)
    }
}
