//! A network as plain data: nodes in order of evaluation, each with its operation, inputs and parameters.
//!
//! Any shapes can be put together, as they follow from options; [`Graph::check`] tells whether they fit. It is stored with the model and read by the executor and the exporters alike, so all
//! of them compute the same network.

use fb_core::{Error, Layout, List, Philox, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The inputs of a network that sees so many numbers per event and these lists: see [`fb_core::Input::Lists`].
pub fn of_lists(event: usize, lists: &[List]) -> Vec<(Rows, usize)> {
    let size = |list: &List| list.max.saturating_mul(list.variables.len());
    let sequences = lists.iter().filter(|list| list.layout == Layout::Sequence).map(size);
    let width = sequences.fold(event, usize::saturating_add);
    let clouds = lists.iter().filter(|list| list.layout == Layout::Cloud);
    let clouds = clouds.map(|list| (Rows::Particle, list.variables.len()));
    (width > 0).then_some((Rows::Event, width)).into_iter().chain(clouds).collect()
}

/// What the rows of a value stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rows {
    /// One row per event.
    Event,
    /// One row per particle of an event.
    Particle,
}

/// Element-wise non-linearity. All of these give their derivative from their own output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// x.
    Identity,
    /// max(x, 0).
    Relu,
    /// 1 / (1 + e⁻ˣ).
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// λ·x for x > 0, λ·α·(eˣ − 1) else (arXiv:1706.02515).
    Selu,
}

/// An operation. Widths are numbers per row.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Op {
    /// What the network sees: see `fb_core::Input`.
    Input,
    /// Columns `from..to` of the input.
    Columns {
        /// First column.
        from: usize,
        /// One past the last.
        to: usize,
    },
    /// `activation(x·W + b)`; parameters W [in, out] and, if `bias`, b `[out]`.
    Linear {
        /// Whether there is b.
        bias: bool,
        /// What follows.
        activation: Activation,
    },
    /// `activation(γ·(x − μ)/√(σ² + ε) + β)` per channel, μ and σ² over all rows of the batch in training and running
    /// averages afterwards; parameters γ, β `[channels]`, buffers μ, σ² `[channels]`. Rows hold `width / channels`
    /// positions.
    BatchNorm {
        /// Numbers that share no statistics.
        channels: usize,
        /// What follows.
        activation: Activation,
    },
    /// Sets a random share `rate` of the entries to zero in training and scales the others by 1/(1 − rate).
    Dropout {
        /// Share of entries that are dropped.
        rate: f64,
    },
    /// `activation(x + y)`.
    Add {
        /// What follows.
        activation: Activation,
    },
    /// Sum of the particle rows of each event.
    Sum,
    /// Mean of the particle rows of each event; zero for an event without particles.
    Mean,
    /// Σ z·x over the particles of each event; inputs x [particle, width] and z [particle, 1].
    WeightedSum,
    /// EdgeConv (arXiv:1801.07829, as used in arXiv:1902.08570): for each particle i and its `k` nearest neighbours j
    /// of the same event, the mean over j of a shared network of [x_i, x_j − x_i] whose layers are
    /// relu(batchnorm(·W)). Inputs: coordinates [particle, d], features [particle, c]. Parameters of layer l: W, γ, β;
    /// buffers: μ, σ².
    EdgeConv {
        /// Neighbours; fewer where the event has fewer particles.
        k: usize,
        /// Width of each layer.
        channels: [usize; 3],
    },
    /// Interaction network (arXiv:1612.00222; arXiv:1908.05318): for each particle i the sum over all other particles
    /// j of the event of a shared network of [x_i, x_j] whose layers are relu(·W + b). Parameters of layer l: W, b.
    Interaction {
        /// Width of each layer.
        channels: [usize; 3],
    },
    /// Long short-term memory over the particles of an event in their order; gives the last hidden state (zero for an
    /// event without particles). Parameters W [in + hidden, 4·hidden], b [4·hidden], gates in the order i, f, g, o.
    Lstm {
        /// Width of the hidden state.
        hidden: usize,
    },
    /// Convolution over an image [height, width, in], channels last; parameters W [kernel, kernel, in, out] (one row
    /// of taps where height is 1) and, if `bias`, b `[out]`.
    Conv {
        /// Height, width and channels of the input.
        shape: [usize; 3],
        /// Channels of the output.
        out: usize,
        /// Taps along each side.
        kernel: usize,
        /// Distance between the windows.
        stride: usize,
        /// Zeros added on each side.
        padding: usize,
        /// Whether there is b.
        bias: bool,
        /// What follows.
        activation: Activation,
    },
    /// Largest of each 2 × 2 pixels of an image [height, width, channels]; an odd last row or column is left out.
    MaxPool {
        /// Height, width and channels of the input.
        shape: [usize; 3],
    },
    /// Mean over the positions of a row [positions, channels].
    MeanPositions {
        /// Channels.
        channels: usize,
    },
}

/// How a parameter starts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Init {
    /// Every entry this number.
    Constant(f64),
    /// Uniform in ±bound.
    Uniform(f64),
    /// Normal with this standard deviation.
    Normal(f64),
}

/// A block of trainable numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// Its name, `node.letter`.
    pub name: String,
    /// Its shape, the last dimension contiguous.
    pub shape: Vec<usize>,
    /// How it starts.
    pub init: Init,
    /// Place of its first entry among all parameters (or all buffers).
    pub start: usize,
}

impl Parameter {
    /// Number of entries.
    pub fn len(&self) -> usize {
        size(&self.shape)
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its place among all parameters.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.start..self.start + self.len()
    }
}

/// One step of the evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// What it does.
    #[serde(flatten)]
    pub op: Op,
    /// The nodes it takes its inputs from.
    pub inputs: Vec<usize>,
    /// Its parameters.
    pub parameters: Vec<usize>,
    /// Its buffers (running averages).
    pub buffers: Vec<usize>,
    /// What its rows stand for.
    pub rows: Rows,
    /// Of which collection the particles are that it takes or gives: the place of their input among the inputs.
    #[serde(default, skip_serializing_if = "is_first")]
    pub collection: usize,
    /// Numbers per row.
    pub width: usize,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_first(collection: &usize) -> bool {
    *collection == 0
}

/// A network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Graph {
    /// In order of evaluation; the last is the output, a row of logits per event.
    pub nodes: Vec<Node>,
    /// Trainable.
    pub parameters: Vec<Parameter>,
    /// Running averages: not trained, but stored.
    pub buffers: Vec<Parameter>,
}

/// A node of a graph under construction.
pub type NodeId = usize;

impl Graph {
    /// A network that sees `width` numbers per row.
    pub fn new(rows: Rows, width: usize) -> Self {
        let mut graph = Self { nodes: vec![], parameters: vec![], buffers: vec![] };
        graph.input(rows, width);
        graph
    }

    /// A further input, for another collection of particles; all inputs come before any operation.
    pub fn input(&mut self, rows: Rows, width: usize) -> NodeId {
        let collection = self.nodes.len();
        let (inputs, parameters, buffers) = (vec![], vec![], vec![]);
        self.nodes.push(Node { op: Op::Input, inputs, parameters, buffers, rows, collection, width });
        collection
    }

    /// Rows and width of each input.
    pub fn inputs(&self) -> Vec<(Rows, usize)> {
        self.nodes.iter().take_while(|node| node.op == Op::Input).map(|node| (node.rows, node.width)).collect()
    }

    /// The input node, the first of several.
    pub const INPUT: NodeId = 0;

    /// Trainable numbers.
    pub fn parameter_count(&self) -> usize {
        self.parameters.iter().map(Parameter::len).sum()
    }

    /// Numbers in the running averages.
    pub fn buffer_count(&self) -> usize {
        self.buffers.iter().map(Parameter::len).sum()
    }

    /// The output node.
    pub fn output(&self) -> NodeId {
        self.nodes.len() - 1
    }

    /// Classes that the logits stand for: two for a single logit.
    pub fn classes(&self) -> usize {
        self.nodes[self.output()].width.max(2)
    }

    /// Whether any operation needs sums over the whole batch.
    pub fn is_synchronised(&self) -> bool {
        self.nodes.iter().any(|n| matches!(n.op, Op::BatchNorm { .. } | Op::EdgeConv { .. }))
    }

    /// Fresh parameters and buffers: the same for the same seed.
    pub fn initial(&self, seed: u64) -> (Vec<f64>, Vec<f64>) {
        let fill = |blocks: &[Parameter]| {
            let mut all = Vec::new();
            for (i, block) in blocks.iter().enumerate() {
                let mut random = Philox::new(seed, u64::from(u32::MAX), i as u64);
                all.extend((0..block.len()).map(|_| match block.init {
                    Init::Constant(c) => c,
                    Init::Uniform(bound) => (2.0 * random.uniform() - 1.0) * bound,
                    Init::Normal(sigma) => sigma * random.normal(),
                }));
            }
            all
        };
        (fill(&self.parameters), fill(&self.buffers))
    }

    fn block(blocks: &mut Vec<Parameter>, name: String, shape: Vec<usize>, init: Init) -> usize {
        let start = blocks.last().map_or(0, |p| p.start.saturating_add(p.len()));
        blocks.push(Parameter { name, shape, init, start });
        blocks.len() - 1
    }

    fn node(&mut self, op: Op, inputs: Vec<NodeId>, rows: Rows, width: usize) -> NodeId {
        let particles = inputs.iter().map(|&i| &self.nodes[i]).find(|node| node.rows == Rows::Particle);
        let collection = particles.map_or(0, |node| node.collection);
        self.nodes.push(Node { op, inputs, parameters: vec![], buffers: vec![], rows, collection, width });
        self.nodes.len() - 1
    }

    fn parameter(&mut self, node: NodeId, letter: &str, shape: &[usize], init: Init) {
        let at = Self::block(&mut self.parameters, format!("{node}.{letter}"), shape.to_vec(), init);
        self.nodes[node].parameters.push(at);
    }

    fn norm_parameters(&mut self, node: NodeId, suffix: &str, channels: usize) {
        self.parameter(node, &format!("gamma{suffix}"), &[channels], Init::Constant(1.0));
        self.parameter(node, &format!("beta{suffix}"), &[channels], Init::Constant(0.0));
        for (letter, start) in [("mean", 0.0), ("variance", 1.0)] {
            let name = format!("{node}.{letter}{suffix}");
            let at = Self::block(&mut self.buffers, name, vec![channels], Init::Constant(start));
            self.nodes[node].buffers.push(at);
        }
    }

    /// Columns `from..to` of `x`.
    pub fn columns(&mut self, x: NodeId, from: usize, to: usize) -> NodeId {
        self.node(Op::Columns { from, to }, vec![x], self.nodes[x].rows, to.saturating_sub(from))
    }

    /// `activation(x·W + b)`, W uniform in ±√(6/in) before a rectifier (He) and ±√(3/in) else, b = 0.
    pub fn linear(&mut self, x: NodeId, out: usize, activation: Activation) -> NodeId {
        self.linear_with(x, out, true, activation)
    }

    /// `x·W`.
    pub fn linear_no_bias(&mut self, x: NodeId, out: usize) -> NodeId {
        self.linear_with(x, out, false, Activation::Identity)
    }

    fn linear_with(&mut self, x: NodeId, out: usize, bias: bool, activation: Activation) -> NodeId {
        let width = self.nodes[x].width;
        let node = self.node(Op::Linear { bias, activation }, vec![x], self.nodes[x].rows, out);
        self.parameter(node, "weight", &[width, out], weight_init(width, activation));
        if bias {
            self.parameter(node, "bias", &[out], Init::Constant(0.0));
        }
        node
    }

    /// Batch normalisation over `channels`.
    pub fn batch_norm(&mut self, x: NodeId, channels: usize, activation: Activation) -> NodeId {
        let node = self.node(Op::BatchNorm { channels, activation }, vec![x], self.nodes[x].rows, self.nodes[x].width);
        self.norm_parameters(node, "", channels);
        node
    }

    /// Dropout.
    pub fn dropout(&mut self, x: NodeId, rate: f64) -> NodeId {
        self.node(Op::Dropout { rate }, vec![x], self.nodes[x].rows, self.nodes[x].width)
    }

    /// `activation(x + y)`.
    pub fn add(&mut self, x: NodeId, y: NodeId, activation: Activation) -> NodeId {
        self.node(Op::Add { activation }, vec![x, y], self.nodes[x].rows, self.nodes[x].width)
    }

    /// Sum over the particles of each event.
    pub fn sum(&mut self, x: NodeId) -> NodeId {
        self.node(Op::Sum, vec![x], Rows::Event, self.nodes[x].width)
    }

    /// Mean over the particles of each event.
    pub fn mean(&mut self, x: NodeId) -> NodeId {
        self.node(Op::Mean, vec![x], Rows::Event, self.nodes[x].width)
    }

    /// Σ z·x over the particles of each event.
    pub fn weighted_sum(&mut self, x: NodeId, z: NodeId) -> NodeId {
        self.node(Op::WeightedSum, vec![x, z], Rows::Event, self.nodes[x].width)
    }

    /// EdgeConv with `k` neighbours in `coordinates`.
    pub fn edge_conv(&mut self, coordinates: NodeId, x: NodeId, k: usize, channels: [usize; 3]) -> NodeId {
        let node = self.node(Op::EdgeConv { k, channels }, vec![coordinates, x], Rows::Particle, channels[2]);
        let mut width = self.nodes[x].width.saturating_mul(2);
        for (l, &out) in channels.iter().enumerate() {
            self.parameter(node, &format!("weight{l}"), &[width, out], weight_init(width, Activation::Relu));
            self.norm_parameters(node, &l.to_string(), out);
            width = out;
        }
        node
    }

    /// Messages from all other particles, added up.
    pub fn interaction(&mut self, x: NodeId, channels: [usize; 3]) -> NodeId {
        let node = self.node(Op::Interaction { channels }, vec![x], Rows::Particle, channels[2]);
        let mut width = self.nodes[x].width.saturating_mul(2);
        for (l, &out) in channels.iter().enumerate() {
            self.parameter(node, &format!("weight{l}"), &[width, out], weight_init(width, Activation::Relu));
            self.parameter(node, &format!("bias{l}"), &[out], Init::Constant(0.0));
            width = out;
        }
        node
    }

    /// The last hidden state of a long short-term memory, every weight uniform in ±1/√hidden.
    pub fn lstm(&mut self, x: NodeId, hidden: usize) -> NodeId {
        let width = self.nodes[x].width;
        let bound = Init::Uniform(1.0 / (hidden as f64).sqrt());
        let node = self.node(Op::Lstm { hidden }, vec![x], Rows::Event, hidden);
        self.parameter(node, "weight", &[width.saturating_add(hidden), hidden.saturating_mul(4)], bound);
        self.parameter(node, "bias", &[hidden.saturating_mul(4)], bound);
        node
    }

    /// Convolution over an image [height, width, channels] (a sequence where height is 1).
    pub fn conv(&mut self, x: NodeId, shape: [usize; 3], conv: Convolution) -> (NodeId, [usize; 3]) {
        let Convolution { out, kernel, stride, padding, bias, activation } = conv;
        let op = Op::Conv { shape, out, kernel, stride, padding, bias, activation };
        let shape_out = conv_shape(shape, out, kernel, stride, padding);
        let node = self.node(op, vec![x], self.nodes[x].rows, size(&shape_out));
        let rows = if shape[0] == 1 { 1 } else { kernel };
        self.parameter(
            node,
            "weight",
            &[rows, kernel, shape[2], out],
            weight_init(size(&[rows, kernel, shape[2]]), Activation::Relu),
        );
        if bias {
            self.parameter(node, "bias", &[out], Init::Constant(0.0));
        }
        (node, shape_out)
    }

    /// 2 × 2 maximum.
    pub fn max_pool(&mut self, x: NodeId, shape: [usize; 3]) -> (NodeId, [usize; 3]) {
        let out = [shape[0] / 2, shape[1] / 2, shape[2]];
        (self.node(Op::MaxPool { shape }, vec![x], self.nodes[x].rows, size(&out)), out)
    }

    /// Mean over positions.
    pub fn mean_positions(&mut self, x: NodeId, channels: usize) -> NodeId {
        self.node(Op::MeanPositions { channels }, vec![x], self.nodes[x].rows, channels)
    }
}

/// The options of a convolution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Convolution {
    /// Channels of the output.
    pub out: usize,
    /// Taps along each side.
    pub kernel: usize,
    /// Distance between the windows.
    pub stride: usize,
    /// Zeros added on each side.
    pub padding: usize,
    /// Whether there is a bias.
    pub bias: bool,
    /// What follows.
    pub activation: Activation,
}

/// Height, width and channels after a convolution; a sequence (height 1) stays one.
pub fn conv_shape(shape: [usize; 3], out: usize, kernel: usize, stride: usize, padding: usize) -> [usize; 3] {
    let size = |n: usize| n.saturating_add(2 * padding).saturating_sub(kernel) / stride.max(1) + 1;
    [if shape[0] == 1 { 1 } else { size(shape[0]) }, size(shape[1]), out]
}

/// Entries of a shape. One that is too large to be is left to [`Graph::check`].
fn size(shape: &[usize]) -> usize {
    shape.iter().fold(1, |size: usize, &n| size.saturating_mul(n))
}

fn weight_init(inputs: usize, activation: Activation) -> Init {
    let gain = if activation == Activation::Relu { 6.0 } else { 3.0 };
    Init::Uniform((gain / inputs as f64).sqrt())
}

impl Graph {
    /// Whether the graph can be run: options may not fit together, and a stored graph may have been altered.
    ///
    /// It is built again from its own operations; the result must be the same.
    ///
    /// # Errors
    /// [`Error::Artifact`] naming the node.
    pub fn check(&self) -> Result<()> {
        const LARGEST: usize = 1 << 24;
        let bad =
            |node: usize, reason: &str| Error::Artifact { reason: format!("node {node} of the network: {reason}") };
        let Some(first) = self.nodes.first() else { return Err(bad(0, "there is none")) };
        let inputs = self.inputs();
        if inputs.is_empty() || inputs.iter().any(|&(_, width)| width == 0 || width > LARGEST) {
            return Err(bad(0, "it must be the input, with a positive width"));
        }
        let mut again = Self::new(first.rows, first.width);
        for &(rows, width) in &inputs[1..] {
            again.input(rows, width);
        }
        for (i, node) in self.nodes.iter().enumerate().skip(inputs.len()) {
            let x = |n: usize| match node.inputs.get(n) {
                Some(&j) if j < i => Ok(j),
                _ => Err(bad(i, "an input is missing or comes later")),
            };
            let width = |n: usize| x(n).map(|j| self.nodes[j].width);
            let rows = |n: usize| x(n).map(|j| self.nodes[j].rows);
            let sized = |sizes: &[usize]| match sizes.iter().try_fold(1usize, |a, &b| a.checked_mul(b)) {
                Some(1..=LARGEST) => Ok(()),
                _ => Err(bad(i, "a size is zero or too large")),
            };
            let require = |ok: bool, reason: &str| if ok { Ok(()) } else { Err(bad(i, reason)) };
            let particles = |n: usize| require(rows(n)? == Rows::Particle, "its input must have particles");
            let seen = node.inputs.iter().filter_map(|&j| self.nodes.get(j)).filter(|n| n.rows == Rows::Particle);
            let mut collections = seen.map(|node| node.collection);
            let first = collections.next();
            require(collections.all(|c| Some(c) == first), "it takes particles of two collections")?;
            match node.op {
                Op::Input => return Err(bad(i, "inputs come before operations")),
                Op::Columns { from, to } => {
                    require(from < to && to <= width(0)?, "its columns are out of range")?;
                    again.columns(x(0)?, from, to);
                }
                Op::Linear { bias, activation } => {
                    sized(&[node.width, width(0)?])?;
                    again.linear_with(x(0)?, node.width, bias, activation);
                }
                Op::BatchNorm { channels, activation } => {
                    sized(&[channels])?;
                    require(width(0)?.is_multiple_of(channels), "its channels do not divide its width")?;
                    again.batch_norm(x(0)?, channels, activation);
                }
                Op::Dropout { rate } => {
                    require((0.0..1.0).contains(&rate), "its rate is not from 0 to below 1")?;
                    again.dropout(x(0)?, rate);
                }
                Op::Add { activation } => {
                    require((rows(0)?, width(0)?) == (rows(1)?, width(1)?), "its inputs differ in shape")?;
                    again.add(x(0)?, x(1)?, activation);
                }
                Op::Sum | Op::Mean => {
                    particles(0)?;
                    if node.op == Op::Sum {
                        again.sum(x(0)?)
                    } else {
                        again.mean(x(0)?)
                    };
                }
                Op::WeightedSum => {
                    particles(0)?;
                    particles(1)?;
                    require(width(1)? == 1, "its second input must have one column")?;
                    again.weighted_sum(x(0)?, x(1)?);
                }
                Op::EdgeConv { k, channels } => {
                    particles(0)?;
                    particles(1)?;
                    sized(&[k])?;
                    sized(&[2 * width(1)?, channels[0]])?;
                    sized(&channels)?;
                    again.edge_conv(x(0)?, x(1)?, k, channels);
                }
                Op::Interaction { channels } => {
                    particles(0)?;
                    sized(&[2 * width(0)?, channels[0]])?;
                    sized(&channels)?;
                    again.interaction(x(0)?, channels);
                }
                Op::Lstm { hidden } => {
                    particles(0)?;
                    sized(&[hidden, hidden])?;
                    sized(&[hidden, width(0)?])?;
                    again.lstm(x(0)?, hidden);
                }
                Op::Conv { shape, out, kernel, stride, padding, bias, activation } => {
                    sized(&shape)?;
                    sized(&[kernel, kernel, shape[2], out])?;
                    sized(&[stride])?;
                    require(shape.iter().product::<usize>() == width(0)?, "its shape does not fit its input")?;
                    require(padding < kernel, "its padding is not smaller than its kernel")?;
                    require(stride == 1 || shape[0] == 1, "strides are for sequences")?;
                    let fits = |n: usize| n + 2 * padding >= kernel;
                    require(
                        fits(shape[1]) && (shape[0] == 1 || fits(shape[0])),
                        "its kernel is larger than its input",
                    )?;
                    sized(&conv_shape(shape, out, kernel, stride, padding))?;
                    again.conv(x(0)?, shape, Convolution { out, kernel, stride, padding, bias, activation });
                }
                Op::MaxPool { shape } => {
                    sized(&shape)?;
                    require(shape.iter().product::<usize>() == width(0)?, "its shape does not fit its input")?;
                    require(shape[0] >= 2 && shape[1] >= 2, "there is nothing to pool")?;
                    again.max_pool(x(0)?, shape);
                }
                Op::MeanPositions { channels } => {
                    sized(&[channels])?;
                    require(width(0)?.is_multiple_of(channels), "its channels do not divide its width")?;
                    again.mean_positions(x(0)?, channels);
                }
            }
            if again.nodes[i].width != node.width || again.nodes[i].rows != node.rows {
                return Err(bad(i, "its width or rows are not those of its operation"));
            }
        }
        if self.nodes[self.output()].rows != Rows::Event {
            return Err(bad(self.output(), "the result must have one row per event"));
        }
        if *self != again {
            return Err(bad(self.output(), "its parameters are not those of its operations"));
        }
        Ok(())
    }
}
