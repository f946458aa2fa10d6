//! A small particle transformer (arXiv:2202.03772) for CPUs: four blocks of width 64, 170,854 parameters instead of two million.

use fb_core::{Card, Input, Paper, Promise, Result, Status, Task};
use fb_nn::{Graph, Train};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{UNWEIGHTED_NORM, cloud_with_momenta, part};
use crate::neural::Network;

/// Options of the small particle transformer: those of the full one with smaller defaults.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Config(part::Config);

impl Default for Config {
    fn default() -> Self {
        let full = part::Config::default();
        let train = Train { batch: 128, ..full.train.clone() };
        Self(part::Config {
            embed: vec![64],
            pairs: vec![32],
            heads: 4,
            depth: 4,
            class_depth: 1,
            expansion: 2,
            train,
            ..full
        })
    }
}

/// Small particle transformer.
pub struct PartSmall;

impl Network for PartSmall {
    const CARD: Card = Card {
        name: "part_small",
        title: "Particle Transformer, small enough for CPUs",
        tasks: &[Task::Classify],
        input: "particle cloud",
        promises: &[Promise::PermutationInvariant, Promise::OnnxParity],
        paper: Paper { authors: "Qu, Li, Qian", arxiv: "2202.03772" },
        status: Status::Experimental,
        parameters: Some(170_854),
        known_failures: UNWEIGHTED_NORM,
    };
    type Config = Config;

    fn input(config: &Config) -> Result<Input> {
        Ok(cloud_with_momenta(config.0.max, &config.0.variables))
    }

    fn train(config: &Config) -> &Train {
        &config.0.train
    }

    fn build(config: &Config, classes: usize, graph: &mut Graph) -> Result<()> {
        part::build(&config.0, classes, graph)
    }
}
