//! ParticleNet-Lite (arXiv:1902.08570, section 3.2): two EdgeConv blocks with seven neighbours, a fourteenth of the
//! parameters of ParticleNet at nearly its performance. The default graph network on a CPU.

use fb_core::{Card, Input, Paper, Promise, Result, Status, Task};
use fb_nn::{Graph, Train};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{UNWEIGHTED_NORM, cloud, particlenet};
use crate::neural::Network;

/// Options of ParticleNet-Lite: those of ParticleNet with smaller defaults.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Config(particlenet::Config);

impl Default for Config {
    fn default() -> Self {
        let full = particlenet::Config::default();
        let train = Train { batch: 1024, lr: 5e-3, ..full.train.clone() };
        Self(particlenet::Config { k: 7, blocks: vec![[32; 3], [64; 3]], dense: 128, train, ..full })
    }
}

/// ParticleNet-Lite.
pub struct ParticleNetLite;

impl Network for ParticleNetLite {
    const CARD: Card = Card {
        name: "particlenet_lite",
        title: "ParticleNet-Lite, the graph network for CPUs",
        tasks: &[Task::Classify],
        input: "particle cloud",
        promises: &[Promise::PermutationInvariant, Promise::OnnxParity],
        paper: Paper { authors: "Qu, Gouskos", arxiv: "1902.08570" },
        status: Status::Stable,
        parameters: Some(26_416),
        known_failures: UNWEIGHTED_NORM,
    };
    type Config = Config;

    fn input(config: &Config) -> Result<Input> {
        Ok(cloud(config.0.max, &config.0.variables))
    }

    fn train(config: &Config) -> &Train {
        &config.0.train
    }

    fn build(config: &Config, classes: usize, graph: &mut Graph) -> Result<()> {
        particlenet::build(&config.0, classes, graph);
        Ok(())
    }
}
