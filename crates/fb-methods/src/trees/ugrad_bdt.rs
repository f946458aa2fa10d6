//! Boosting for a flat efficiency (arXiv:1410.4140): the Flat4d model of LHCb's particle identification.
//!
//! Sees one number per event and variable, NaN where it is missing. Minimises
//! Σ w e^−ys + c Σ_b W_b ∫ |F_b(s) − F(s)|^p dF(s): F is the distribution of the score of a class, F_b that in a bin, or
//! among neighbours, in the features `flat`. The features need not be among the variables, and are not needed to predict.

use fb_core::{Card, Paper, Promise, Result, Run, Sample, Status, Task, philox};
use fb_trees::{Flatness, Forest, Options, Shape, groups};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::forest::{Ensemble, Prepared, Table, check, count, flat_features, not_negative, positive, share};

/// Within what the score is to be distributed as in all of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Groups {
    /// Bins of equal width in each feature, and the same moved by half a bin.
    Bins,
    /// The nearest events around some of them.
    Neighbours,
}

/// Options; the defaults are those of hep_ml.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Config {
    /// What is seen of an event.
    #[serde(flatten)]
    pub table: Table,
    /// Features along which the efficiency is to be flat.
    pub flat: Vec<String>,
    /// Classes whose efficiency is to be flat: 0 for background.
    pub flat_classes: Vec<u32>,
    /// c, the strength of the term for flatness.
    pub strength: f64,
    /// p, the power of the difference of distributions.
    pub power: f64,
    /// `bins` or `neighbours`.
    pub groups: Groups,
    /// Bins along each feature.
    pub flat_bins: usize,
    /// Events of a group of neighbours.
    pub neighbours: usize,
    /// Groups of neighbours, drawn from all.
    pub most_groups: usize,
    /// Number of trees.
    pub trees: usize,
    /// Depth of a tree.
    pub depth: usize,
    /// Factor on leaf values.
    pub learning_rate: f64,
    /// Least sum of weights of a leaf.
    pub min_child_weight: f64,
    /// Share of the events that a tree sees, drawn anew for each.
    pub subsample: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            table: Table::balanced(),
            flat: Vec::new(),
            flat_classes: vec![0],
            strength: 3.0,
            power: 2.0,
            groups: Groups::Bins,
            flat_bins: 10,
            neighbours: 100,
            most_groups: 5000,
            trees: 100,
            depth: 4,
            learning_rate: 0.1,
            min_child_weight: 1.0,
            subsample: 1.0,
        }
    }
}

impl Config {
    /// Refuses values that cannot work.
    fn check(&self) -> Result<()> {
        count("trees", self.trees, 1..=1_000_000)?;
        count("depth", self.depth, 1..=16)?;
        not_negative("strength", self.strength)?;
        check("power", self.power, (1.0..=10.0).contains(&self.power), "1 to 10")?;
        count("flat_bins", self.flat_bins, 1..=1000)?;
        count("neighbours", self.neighbours, 2..=10_000)?;
        count("most_groups", self.most_groups, 1..=usize::MAX)?;
        positive("learning_rate", self.learning_rate)?;
        not_negative("min_child_weight", self.min_child_weight)?;
        share("subsample", self.subsample)
    }
}

/// Boosted trees with a flat efficiency.
pub struct UgradBdt;

impl Ensemble for UgradBdt {
    const CARD: Card = Card {
        name: "ugrad_bdt",
        title: "Boosted trees with a flat efficiency",
        tasks: &[Task::Classify],
        input: "table",
        promises: &[Promise::OnnxParity],
        paper: Paper { authors: "Rogozhnikov et al.", arxiv: "1410.4140" },
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

    fn grow(config: &Config, prepared: &Prepared, events: &Sample, run: &mut Run<'_>) -> Result<Forest> {
        prepared.two_classes(Self::CARD.name)?;
        let (columns, classes) = flat_features(&config.flat, &config.flat_classes, &config.table.missing, events)?;
        let groups = |members: Vec<u32>| {
            let groups = match config.groups {
                Groups::Bins => groups::bins(&columns, &members, config.flat_bins),
                Groups::Neighbours => {
                    let hash = |&i: &u32| philox::hash(run.seed, events.identity[i as usize]);
                    let mut centres = members.clone();
                    centres.sort_by_key(hash);
                    centres.truncate(config.most_groups);
                    groups::Neighbours::around(&columns, &centres, &members, config.neighbours, run.workers).near
                }
            };
            (members, groups)
        };
        let classes = classes.into_iter().map(groups).collect();
        let weights = prepared.train().events.weights;
        let mut objective = Flatness::new(config.strength, config.power, classes, weights, run.workers);
        let options = Options {
            trees: config.trees,
            shape: Shape::Depth(config.depth),
            learning_rate: config.learning_rate,
            l2: 0.0,
            min_child_weight: config.min_child_weight,
            subsample: config.subsample,
            ..Options::default()
        };
        let mut forest = fb_trees::boost(&options, &mut objective, prepared.train(), prepared.validation(), run)?;
        // Outputs are half the logarithm of the odds.
        forest.scale(2.0);
        Ok(forest)
    }
}
