//! ResNeXt-50 on jet images, as in the landscape (arXiv:1611.05431, Xie, Girshick, Dollár, Tu, He; arXiv:1902.09914,
//! section 3.1.2).
//!
//! A 7×7 convolution and a 3×3 maximum, each with stride 2, then sixteen blocks: a 1×1 convolution to a narrow width, a 3×3
//! convolution in 32 groups of channels, a 1×1 convolution to twice the width, and a shortcut; every convolution with
//! batch normalisation. The mean over all pixels is classified. All channels but those of the first convolution are a
//! quarter of the original ones. Sees the pT of the constituents in 64×64 pixels of 0.025 in Δη and Δφ around the jet's
//! axis, divided by its sum [v, u].
//!
//! The paper's learning rate falls to a tenth after a third and again after two thirds of the 30 epochs, that of `step`
//! after a half and three quarters. A batch of 256 images takes more than a gigabyte: 32×32 pixels need a quarter.

use fb_core::{Card, Error, Frame, Input, Paper, Promise, Result, Status, Task};
use fb_nn::graph::{Convolution, Window};
use fb_nn::{Activation, Graph, Schedule, Train};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{COLLECTION, DEEPEST, UNWEIGHTED_NORM, at_least_one, at_most, logits};
use crate::neural::Network;

/// Options of `ResNeXt`.
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
    /// Channels of the first convolution.
    pub stem: usize,
    /// For each stage, the channels of the grouped convolutions of its blocks; from one to the next the image halves.
    pub widths: Vec<usize>,
    /// For each stage, its blocks.
    pub repeats: Vec<usize>,
    /// Groups of channels.
    pub cardinality: usize,
    /// Share of the numbers before the last layer that are dropped in training.
    pub dropout: f64,
    /// How it is trained.
    pub train: Train,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max: 200,
            pixels: 64,
            half_width: 0.8,
            frame: Frame::Jet,
            stem: 64,
            widths: vec![32, 64, 128, 256],
            repeats: vec![3, 4, 6, 3],
            cardinality: 32,
            dropout: 0.5,
            train: Train { epochs: 30, batch: 256, lr: 0.01, schedule: Schedule::Step, ..Train::default() },
        }
    }
}

/// A convolution with batch normalisation; images keep their size but for the stride.
fn conv(
    graph: &mut Graph,
    (x, shape): (usize, [usize; 3]),
    [out, kernel, stride, groups]: [usize; 4],
    activation: Activation,
) -> (usize, [usize; 3]) {
    let options =
        Convolution { out, kernel, stride, padding: kernel / 2, groups, bias: false, activation: Activation::Identity };
    let (x, shape) = graph.conv(x, shape, options);
    (graph.batch_norm(x, out, activation), shape)
}

/// A block of `width`; where the image or its channels change, the shortcut is a convolution.
fn block(
    graph: &mut Graph,
    (x, shape): (usize, [usize; 3]),
    [width, stride, groups]: [usize; 3],
    changes: bool,
) -> (usize, [usize; 3]) {
    let out = width.saturating_mul(2);
    let y = conv(graph, (x, shape), [width, 1, 1, 1], Activation::Relu);
    let y = conv(graph, y, [width, 3, stride, groups], Activation::Relu);
    let (y, shape_out) = conv(graph, y, [out, 1, 1, 1], Activation::Identity);
    let shortcut = if changes { conv(graph, (x, shape), [out, 1, stride, 1], Activation::Identity).0 } else { x };
    (graph.add(y, shortcut, Activation::Relu), shape_out)
}

/// `ResNeXt`.
pub struct Resnext;

impl Network for Resnext {
    const CARD: Card = Card {
        name: "resnext",
        title: "ResNeXt-50 on jet images, with a quarter of the channels",
        tasks: &[Task::Classify],
        input: "jet image",
        promises: &[Promise::PermutationInvariant, Promise::OnnxParity],
        paper: Paper { authors: "Xie, Girshick, Dollár, Tu, He; Qu, Gouskos", arxiv: "1611.05431" },
        status: Status::Experimental,
        parameters: Some(1_457_314),
        known_failures: UNWEIGHTED_NORM,
    };
    type Config = Config;

    fn input(config: &Config) -> Result<Input> {
        let half_width = config.half_width;
        if !(half_width > 0.0 && half_width.is_finite()) {
            let reason = format!("found {half_width}, expected a positive number");
            return Err(Error::Config { place: "method `resnext`, `half_width`".to_owned(), reason });
        }
        let Config { max, pixels, frame, .. } = *config;
        Ok(Input::Image { collection: COLLECTION.to_owned(), max, frame, pixels, half_width })
    }

    fn train(config: &Config) -> &Train {
        &config.train
    }

    fn build(config: &Config, classes: usize, graph: &mut Graph) -> Result<()> {
        let bad =
            |key: &str, reason: String| Err(Error::Config { place: format!("method `resnext`, `{key}`"), reason });
        let (pixels, groups) = (config.pixels, config.cardinality);
        at_least_one("resnext", "widths", config.widths.len())?;
        at_least_one("resnext", "cardinality", groups)?;
        if config.repeats.len() != config.widths.len() {
            let (found, expected) = (config.repeats.len(), config.widths.len());
            return bad("repeats", format!("found {found}, expected {expected}, one for each of `widths`"));
        }
        if let Some(width) = config.widths.iter().find(|width| !width.is_multiple_of(groups)) {
            return bad("widths", format!("found {width}, expected multiples of `cardinality`, {groups}"));
        }
        let deepest = config.repeats.iter().fold(0, |sum: usize, &n| sum.saturating_add(n));
        at_most("resnext", "repeats", deepest, DEEPEST)?;
        let mut image = conv(graph, (Graph::INPUT, [pixels, pixels, 1]), [config.stem, 7, 2, 1], Activation::Relu);
        image = graph.max_pool(image.0, image.1, Window { size: 3, stride: 2, padding: 1 });
        for (stage, (&width, &repeats)) in config.widths.iter().zip(&config.repeats).enumerate() {
            for i in 0..repeats {
                let stride = if stage > 0 && i == 0 { 2 } else { 1 };
                image = block(graph, image, [width, stride, groups], i == 0);
            }
        }
        let (x, shape) = image;
        let x = graph.mean_positions(x, shape[2]);
        let x = if config.dropout > 0.0 { graph.dropout(x, config.dropout) } else { x };
        logits(graph, x, classes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use fb_nn::Rows;

    use super::*;

    /// Sixteen blocks on images of 16, 8, 4 and 2 pixels, and a layer of 512 numbers at the end.
    #[test]
    fn shapes_are_those_of_the_paper() {
        let mut graph = Graph::new(Rows::Event, 64 * 64);
        Resnext::build(&Config::default(), 2, &mut graph).unwrap();
        graph.check().unwrap();
        let adds = graph.nodes.iter().filter(|n| matches!(n.op, fb_nn::Op::Add { .. }));
        let widths: Vec<usize> = adds.map(|n| n.width).collect();
        let stages = [(3, 16 * 16 * 64), (4, 8 * 8 * 128), (6, 4 * 4 * 256), (3, 2 * 2 * 512)];
        assert_eq!(widths, stages.iter().flat_map(|&(n, width)| vec![width; n]).collect::<Vec<_>>());
    }
}
