//! Convolutional networks on jet images (arXiv:1701.08784, Kasieczka, Plehn, Russell, Schell; arXiv:1803.00107,
//! Macaluso, Shih).
//!
//! The constituents are centred, rotated and flipped first and pixelated then; the image [v, u] of pT is divided by its
//! sum. The full network is the 610k one of the landscape; the small one needs a twenty-fifth of its operations.

use fb_core::{Card, Error, Frame, Input, Paper, Promise, Result, Status, Task};
use fb_nn::graph::{Convolution, Window};
use fb_nn::{Activation, Graph, Train};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{COLLECTION, dense, logits};
use crate::neural::Network;

/// Options of a network on jet images.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Constituents that are kept, the hardest first.
    pub max: usize,
    /// Pixels along each side.
    pub pixels: usize,
    /// The image covers this distance from its centre along u and v.
    pub half_width: f64,
    /// The frame of the image.
    pub frame: Frame,
    /// Channels of the two convolutions before each of the two pools.
    pub filters: [[usize; 2]; 2],
    /// Taps along each side.
    pub kernel: usize,
    /// Widths of the dense layers.
    pub dense: Vec<usize>,
    /// How it is trained.
    pub train: Train,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max: 200,
            pixels: 40,
            half_width: 0.8,
            frame: Frame::Principal,
            filters: [[128, 64], [64, 64]],
            kernel: 4,
            dense: vec![64, 256, 256],
            train: Train { epochs: 15, batch: 128, ..Train::default() },
        }
    }
}

/// Options of the small network: the same with smaller defaults.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct SmallConfig(Config);

impl Default for SmallConfig {
    fn default() -> Self {
        let dense = vec![64];
        Self(Config { pixels: 32, filters: [[16, 32], [32, 32]], kernel: 3, dense, ..Config::default() })
    }
}

fn input(config: &Config) -> Result<Input> {
    let half_width = config.half_width;
    if !(half_width > 0.0 && half_width.is_finite()) {
        return Err(Error::Config {
            place: "`half_width` of a jet image".to_owned(),
            reason: format!("found {half_width}, expected a positive number"),
        });
    }
    Ok(Input::Image {
        collection: COLLECTION.to_owned(),
        max: config.max,
        frame: config.frame,
        pixels: config.pixels,
        half_width,
    })
}

fn build(config: &Config, classes: usize, graph: &mut Graph) -> Result<()> {
    // One zero on each side: a 4×4 window shrinks the image by one, a 3×3 window keeps it.
    let options = Convolution {
        out: 0,
        kernel: config.kernel,
        stride: 1,
        padding: 1,
        groups: 1,
        bias: true,
        activation: Activation::Relu,
    };
    let (mut x, mut shape) = (Graph::INPUT, [config.pixels, config.pixels, 1]);
    for stage in config.filters {
        for out in stage {
            if config.kernel < 2 || shape[0] + 2 < config.kernel + 1 {
                return Err(Error::Config {
                    place: "method `jet_image_cnn`, `kernel`".to_owned(),
                    reason: format!("found {}, expected at least 2 and no more than {}", config.kernel, shape[0] + 1),
                });
            }
            (x, shape) = graph.conv(x, shape, Convolution { out, ..options });
        }
        (x, shape) = graph.max_pool(x, shape, Window::default());
    }
    let x = dense(graph, x, &config.dense);
    logits(graph, x, classes);
    Ok(())
}

/// The network of the landscape.
pub struct JetImageCnn;

impl Network for JetImageCnn {
    const CARD: Card = Card {
        name: "jet_image_cnn",
        title: "Convolutional network on jet images, as in the landscape",
        tasks: &[Task::Classify],
        input: "jet image",
        promises: &[Promise::OnnxParity],
        paper: Paper { authors: "Macaluso, Shih; Kasieczka, Plehn, Russell, Schell", arxiv: "1803.00107" },
        status: Status::Experimental,
        parameters: Some(609_666),
        known_failures: &[],
    };
    type Config = Config;

    fn input(config: &Config) -> Result<Input> {
        input(config)
    }

    fn train(config: &Config) -> &Train {
        &config.train
    }

    fn build(config: &Config, classes: usize, graph: &mut Graph) -> Result<()> {
        build(config, classes, graph)
    }
}

/// The small network.
pub struct JetImageCnnSmall;

impl Network for JetImageCnnSmall {
    const CARD: Card = Card {
        name: "jet_image_cnn_small",
        title: "Convolutional network on jet images, for CPUs",
        parameters: Some(154_562),
        status: Status::Stable,
        ..JetImageCnn::CARD
    };
    type Config = SmallConfig;

    fn input(config: &SmallConfig) -> Result<Input> {
        input(&config.0)
    }

    fn train(config: &SmallConfig) -> &Train {
        &config.0.train
    }

    fn build(config: &SmallConfig, classes: usize, graph: &mut Graph) -> Result<()> {
        build(&config.0, classes, graph)
    }
}
