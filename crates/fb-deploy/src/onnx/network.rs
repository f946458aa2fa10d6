//! The network, node by node, as it computes once it is trained.
//!
//! A value has the shape [event, width] or [event, particle, width]. Rows of particles that are not there hold finite
//! numbers, which every sum over particles leaves out.

use fb_core::{Artifact, Tensor};
use fb_nn::graph::conv_shape;
use fb_nn::{Activation, Graph, Node, Op, Rows};

use super::builder::{Builder, Element, Setting, Value};
use super::pairs::EdgeView;
use super::preparation::{Prepared, sequence};
use crate::Error;

/// Added to a variance before its square root is taken.
pub(super) const EPSILON: f32 = 1e-5;
/// The largest number of coordinates whose differences are formed pair by pair.
const FEW: usize = 4;

/// Writes the network into the graph; gives the logits [event, width], or [event, particle, particle, 1] and which pairs
/// there are.
pub(super) fn network(
    b: &mut Builder,
    artifact: &Artifact,
    graph: &Graph,
    seen: &[Prepared],
) -> Result<(Value, Option<Value>), Error> {
    let particles = vec![None; seen.len()];
    let mut network = Network { b, artifact, graph, particles, collection: 0, edges: None, values: Vec::new() };
    for node in &graph.nodes {
        network.collection = node.collection;
        let value = if node.op == Op::Input { network.input(&seen[node.collection]) } else { network.node(node)? };
        network.values.push(value);
    }
    let none = || Error::Unsupported { reason: "the network is empty".to_owned() };
    let logits = network.values.pop().ok_or_else(none)?;
    let there = if graph.is_of_pairs() { Some(network.others()?) } else { None };
    Ok((logits, there))
}

/// The probabilities that belong to logits of pairs [event, particle, particle, 1], zero where there is none.
pub(super) fn pairs(b: &mut Builder, logits: &str, there: &str) -> Value {
    let share = b.op("Sigmoid", &[logits]);
    let axis = b.integers(&[3]);
    let share = b.op("Squeeze", &[&share, &axis]);
    let zero = b.f32(0.0);
    b.choose(there, &share, &zero)
}

/// The probabilities that belong to logits [event, width]; two for a single logit.
pub(super) fn probabilities(b: &mut Builder, logits: &str, width: usize) -> Value {
    if width > 1 {
        return b.op_with("Softmax", &[logits], vec![("axis", Setting::Integer(1))]);
    }
    let signal = b.op("Sigmoid", &[logits]);
    let one = b.f32(1.0);
    let background = b.sub(&one, &signal);
    b.concat(&[&background, &signal], 1)
}

/// Predictions [event, target], and where their logarithms are there, the standard deviations.
pub(super) fn predictions(b: &mut Builder, outputs: &str, [targets, width]: [usize; 2]) -> (Value, Option<Value>) {
    if width == targets {
        return (b.op("Identity", &[outputs]), None);
    }
    let values = b.slice(outputs, 1, 0, targets);
    let logs = b.slice(outputs, 1, targets, width);
    let half = b.f32(0.5);
    let logs = b.mul(&logs, &half);
    (values, Some(b.op("Exp", &[&logs])))
}

pub(super) struct Network<'a> {
    pub b: &'a mut Builder,
    artifact: &'a Artifact,
    graph: &'a Graph,
    /// Of each collection, which particles there are [event, particle] and how many [event, 1].
    particles: Vec<Option<(Value, Value)>>,
    /// That of the current node.
    collection: usize,
    /// The pairs of particles of the first collection that have rows.
    pub edges: Option<EdgeView>,
    values: Vec<Value>,
}

impl Network<'_> {
    /// The input of the current collection, of the first one with its fixed rows in front; works out which particles and
    /// edges there are.
    fn input(&mut self, seen: &Prepared) -> Value {
        let mut input = seen.value.clone();
        let Some(mut mask) = seen.mask.clone() else { return input };
        let is_first = self.collection == 0;
        let rows = &self.graph.fixed;
        if is_first && !rows.is_empty() {
            let width = self.graph.nodes[0].width;
            let fixed = self.b.floats(&[1, rows.len(), width], &rows.concat());
            let (events, rest) = (self.b.size(&input, 0), self.b.integers(&[rows.len() as i64, width as i64]));
            let shape = self.b.concat(&[&events, &rest], 0);
            let fixed = self.b.op("Expand", &[&fixed, &shape]);
            input = self.b.concat(&[&fixed, &input], 1);
            let there = self.always(&mask, rows.len());
            mask = self.b.concat(&[&there, &mask], 1);
        }
        let ones = self.b.cast(&mask, Element::F32);
        let counts = self.b.sum_keep(&ones, 1);
        self.particles[self.collection] = Some((mask.clone(), counts));
        if let Some(edges) = self.graph.edges.filter(|_| is_first) {
            self.edges = Some(EdgeView::new(self, edges, &input, &mask));
        }
        input
    }

    pub(super) fn width(&self, node: usize) -> usize {
        self.graph.nodes[node].width
    }

    pub(super) fn rows_at(&self, node: usize) -> Rows {
        self.graph.nodes[node].rows
    }

    pub(super) fn parameter(&self, node: &Node, i: usize) -> Result<&Tensor, Error> {
        Ok(self.artifact.tensor(&self.graph.parameters[node.parameters[i]].name)?)
    }

    fn buffer(&self, node: &Node, i: usize) -> Result<&Tensor, Error> {
        Ok(self.artifact.tensor(&self.graph.buffers[node.buffers[i]].name)?)
    }

    /// A parameter as a constant.
    pub(super) fn constant(&mut self, node: &Node, i: usize) -> Result<Value, Error> {
        let tensor = self.artifact.tensor(&self.graph.parameters[node.parameters[i]].name)?;
        Ok(self.b.floats(&tensor.shape, &tensor.values))
    }

    /// Which particles of the current collection there are, and how many in each event [event, 1].
    pub(super) fn particles(&self) -> Result<(Value, Value), Error> {
        self.particles_of(self.collection)
    }

    /// The same of any collection.
    fn particles_of(&self, collection: usize) -> Result<(Value, Value), Error> {
        let none = || Error::Unsupported { reason: "the network wants particles and sees none".to_owned() };
        self.particles.get(collection).cloned().flatten().ok_or_else(none)
    }

    fn node(&mut self, node: &Node) -> Result<Value, Error> {
        let inputs: Vec<Value> = node.inputs.iter().map(|&i| self.values[i].clone()).collect();
        let width = node.inputs.first().map_or(0, |&i| self.graph.nodes[i].width);
        let rows = node.inputs.first().map_or(node.rows, |&i| self.graph.nodes[i].rows);
        let x = inputs.first().map_or("", String::as_str);
        let y = inputs.get(1).map_or("", String::as_str);
        Ok(match node.op {
            Op::Input | Op::Dropout { .. } => x.to_owned(),
            Op::Columns { from, to } => self.b.slice(x, -1, from, to),
            Op::Linear { bias, activation } => {
                let weight = self.constant(node, 0)?;
                let mut z = self.b.op("MatMul", &[x, &weight]);
                if bias {
                    let bias = self.constant(node, 1)?;
                    z = self.b.add(&z, &bias);
                }
                self.activate(z, activation)
            }
            Op::BatchNorm { channels, activation } => {
                let (scale, shift) = self.scale_shift(node, [0, 1], [0, 1])?;
                let [scale, shift] = [scale, shift].map(|row| self.b.floats(&[width], &row.repeat(width / channels)));
                let z = self.b.mul(x, &scale);
                let z = self.b.add(&z, &shift);
                self.activate(z, activation)
            }
            Op::Add { activation } => {
                let z = self.b.add(x, y);
                self.activate(z, activation)
            }
            Op::Sum => self.sum(x, rows)?,
            Op::Mean => {
                let sum = self.sum(x, rows)?;
                let (mask, axis) = self.rows(rows)?;
                let n = self.b.cast(&mask, Element::F32);
                let n = self.b.sum_keep(&n, axis);
                let n = self.at_least_one(&n);
                self.b.div(&sum, &n)
            }
            Op::WeightedSum => {
                let heads = self.width(node.inputs[1]);
                let z = self.repeat(y, heads, width);
                let z = self.b.mul(x, &z);
                self.sum(&z, rows)?
            }
            Op::EdgeConv { k, .. } => {
                let coordinates = node.inputs.first().map_or(0, |&i| self.graph.nodes[i].width);
                self.edge_conv(node, [x, y], k, coordinates)?
            }
            Op::Interaction { activation, .. } => self.interaction(node, &inputs, activation)?,
            Op::Tree => self.tree(node, &inputs)?,
            Op::Grid { cells, size } => self.grid(node, [x, y], cells, size as f32)?,
            Op::Flatten { max } => {
                let mask = self.particles()?.0;
                let x = self.only(&mask, x);
                sequence(self.b, &x, max, width)
            }
            Op::Lstm { hidden } => self.lstm(node, x, hidden)?,
            Op::Conv { .. } => self.conv(node, x)?,
            Op::MaxPool { shape, window } => {
                let image = self.image_of(x, shape);
                let sides = |n: usize, times| Setting::Integers(vec![n as i64; times]);
                let options = vec![
                    ("kernel_shape", sides(window.size, 2)),
                    ("strides", sides(window.stride, 2)),
                    ("pads", sides(window.padding, 4)),
                ];
                let image = self.b.op_with("MaxPool", &[&image], options);
                self.rows_of(node, &image)?
            }
            Op::MeanPositions { channels } => {
                let positions = self.b.reshape(x, &[-1, (width / channels) as i64, channels as i64]);
                let options = vec![("axes", Setting::Integers(vec![1])), ("keepdims", Setting::Integer(0))];
                let mean = self.b.op_with("ReduceMean", &[&positions], options);
                self.unfold(node, &mean)?
            }
            Op::Boost { .. } | Op::Lola { .. } => self.momentum_node(node, x, width)?,
            _ => self.pair_node(node, &inputs, width)?,
        })
    }

    pub(super) fn activate(&mut self, x: Value, activation: Activation) -> Value {
        match activation {
            Activation::Identity => x,
            Activation::Relu => self.b.op("Relu", &[&x]),
            Activation::Sigmoid => self.b.op("Sigmoid", &[&x]),
            Activation::Tanh => self.b.op("Tanh", &[&x]),
            Activation::Leaky => self.b.op("LeakyRelu", &[&x]),
            // The operator's own constants are those of arXiv:1706.02515.
            Activation::Selu => self.b.op("Selu", &[&x]),
            Activation::Elu => self.b.op("Elu", &[&x]),
        }
    }

    pub(super) fn at_least_one(&mut self, n: &str) -> Value {
        let one = self.b.f32(1.0);
        self.b.op("Max", &[n, &one])
    }

    /// `x` where `mask` [.., rows], else zero; x is [.., rows, width].
    pub(super) fn only(&mut self, mask: &str, x: &str) -> Value {
        let mask = self.b.unsqueeze(mask, -1);
        let zero = self.b.f32(0.0);
        self.b.choose(&mask, x, &zero)
    }

    /// Sum over the particles of an event, or the edges of a receiver.
    fn sum(&mut self, x: &str, rows: Rows) -> Result<Value, Error> {
        let (mask, axis) = self.rows(rows)?;
        let x = self.only(&mask, x);
        Ok(self.b.sum(&x, axis))
    }

    /// Batch normalisation as x·scale + shift, from the places of γ, β and of μ, σ².
    fn scale_shift(
        &self,
        node: &Node,
        [gamma, beta]: [usize; 2],
        [mean, variance]: [usize; 2],
    ) -> Result<(Vec<f32>, Vec<f32>), Error> {
        let [gamma, beta] = [self.parameter(node, gamma)?, self.parameter(node, beta)?];
        let [mean, variance] = [self.buffer(node, mean)?, self.buffer(node, variance)?];
        let scale: Vec<f32> =
            gamma.values.iter().zip(&variance.values).map(|(g, v)| g / (v + EPSILON).sqrt()).collect();
        let shift = beta.values.iter().zip(&scale).zip(&mean.values).map(|((b, s), m)| b - m * s).collect();
        Ok((scale, shift))
    }

    /// relu(x·W + b).
    fn layer(&mut self, x: &str, (weight, bias): (&Value, &Value)) -> Value {
        let z = self.b.op("MatMul", &[x, weight]);
        let z = self.b.add(&z, bias);
        self.b.op("Relu", &[&z])
    }

    /// Squared distances [event, particle, particle], infinite to a particle itself and to those that are not there.
    fn distances(&mut self, x: &str, width: usize, mask: &str) -> Value {
        let (here, there) = (self.b.unsqueeze(x, 2), self.b.unsqueeze(x, 1));
        let distance = if width <= FEW {
            let delta = self.b.sub(&there, &here);
            let square = self.b.mul(&delta, &delta);
            self.b.sum(&square, 3)
        } else {
            // |x|² + |y|² − 2·x·y, in double precision as it cancels.
            let x = self.b.cast(x, Element::F64);
            let square = self.b.mul(&x, &x);
            let square = self.b.sum_keep(&square, 2);
            let turned = self.b.transpose(&x, &[0, 2, 1]);
            let product = self.b.op("MatMul", &[&x, &turned]);
            let product = self.b.times(&product, -2.0);
            let other = self.b.transpose(&square, &[0, 2, 1]);
            let sum = self.b.add(&square, &other);
            let sum = self.b.add(&sum, &product);
            self.b.cast(&sum, Element::F32)
        };
        let pair = self.pairs(mask);
        let infinity = self.b.f32(f32::INFINITY);
        self.b.choose(&pair, &distance, &infinity)
    }

    /// Whether j is there and not i [event, i, j].
    fn pairs(&mut self, mask: &str) -> Value {
        let count = self.b.count_up(mask, 1);
        let (here, there) = (self.b.unsqueeze(&count, 1), self.b.unsqueeze(&count, 0));
        let same = self.b.op("Equal", &[&here, &there]);
        let other = self.b.op("Not", &[&same]);
        let mask = self.b.unsqueeze(mask, 1);
        self.b.op("And", &[&mask, &other])
    }

    /// The `k` nearest others of each particle by their places, and whether they are there [event, particle, k].
    pub(super) fn nearest(&mut self, place: &str, coordinates: usize, mask: &str, k: usize) -> (Value, Value) {
        let distance = self.distances(place, coordinates, mask);
        let (size, k) = (self.b.size(&distance, 2), self.b.integers(&[k as i64]));
        let k = self.b.op("Min", &[&size, &k]);
        let options =
            vec![("axis", Setting::Integer(2)), ("largest", Setting::Integer(0)), ("sorted", Setting::Integer(1))];
        let nearest = self.b.op_many("TopK", &[&distance, &k], options, 2);
        let infinity = self.b.f32(f32::INFINITY);
        let there = self.b.op("Less", &[&nearest[0], &infinity]);
        (nearest[1].clone(), there)
    }

    fn edge_conv(&mut self, node: &Node, [place, x]: [&str; 2], k: usize, coordinates: usize) -> Result<Value, Error> {
        let mask = self.particles()?.0;
        let mut layers = Vec::new();
        let mut first = Vec::new();
        for l in 0..3 {
            // The normalisation goes into the weights: x·(W·scale) + shift.
            let (scale, shift) = self.scale_shift(node, [3 * l + 1, 3 * l + 2], [2 * l, 2 * l + 1])?;
            let weight = self.parameter(node, 3 * l)?;
            let (rows, out) = (weight.shape[0], scale.len());
            let mut scaled = weight.values.clone();
            scaled.chunks_exact_mut(out).for_each(|row| row.iter_mut().zip(&scale).for_each(|(w, s)| *w *= s));
            if l == 0 {
                // [x_i, x_j − x_i]·W = x_i·(W_a − W_b) + x_j·W_b: products over particles instead of pairs.
                let (own, other) = scaled.split_at(scaled.len() / 2);
                let own: Vec<f32> = own.iter().zip(other).map(|(a, b)| a - b).collect();
                first.extend([&own[..], other].map(|weight| self.b.floats(&[rows / 2, out], weight)));
                first.push(self.b.floats(&[out], &shift));
            } else {
                layers.push((self.b.floats(&[rows, out], &scaled), self.b.floats(&[out], &shift)));
            }
        }
        let (senders, edge) = self.nearest(place, coordinates, &mask, k);
        let own = self.b.op("MatMul", &[x, &first[0]]);
        let own = self.b.add(&own, &first[2]);
        let own = self.b.unsqueeze(&own, 2);
        let other = self.b.op("MatMul", &[x, &first[1]]);
        let index = self.b.unsqueeze(&senders, 3);
        let other = self.b.op_with("GatherND", &[&other, &index], vec![("batch_dims", Setting::Integer(1))]);
        let z = self.b.add(&own, &other);
        let mut z = self.b.op("Relu", &[&z]);
        for (weight, shift) in &layers {
            z = self.layer(&z, (weight, shift));
        }
        let z = self.only(&edge, &z);
        let sum = self.b.sum(&z, 2);
        let n = self.b.cast(&edge, Element::F32);
        let n = self.b.sum_keep(&n, 2);
        let n = self.at_least_one(&n);
        Ok(self.b.div(&sum, &n))
    }

    fn interaction(&mut self, node: &Node, inputs: &[Value], activation: Activation) -> Result<Value, Error> {
        let (x, y) = (&inputs[0], &inputs[inputs.len() - 1]);
        let weight = self.parameter(node, 0)?.clone();
        let (rows, out) = (weight.shape[0], weight.shape[1]);
        let own = self.width(node.inputs[0]);
        let halves = weight.values.split_at(own * out);
        let [receiver, sender] =
            [(own, halves.0), (rows - own, halves.1)].map(|(rows, w)| self.b.floats(&[rows, out], w));
        let bias = self.constant(node, 1)?;
        let receiver = self.b.op("MatMul", &[x, &receiver]);
        let receiver = self.b.add(&receiver, &bias);
        let sender = self.b.op("MatMul", &[y, &sender]);
        let (receiver, sender) = (self.b.unsqueeze(&receiver, 2), self.b.unsqueeze(&sender, 1));
        let z = self.b.add(&receiver, &sender);
        let mut z = self.activate(z, activation);
        for l in 1..3 {
            let [weight, bias] = [self.constant(node, 2 * l)?, self.constant(node, 2 * l + 1)?];
            z = self.b.op("MatMul", &[&z, &weight]);
            z = self.b.add(&z, &bias);
            z = self.activate(z, activation);
        }
        let pairs = if let [_, from] = node.inputs[..] {
            let there = self.particles_of(self.graph.nodes[from].collection)?.0;
            self.b.unsqueeze(&there, 1)
        } else {
            let mask = self.particles()?.0;
            self.pairs(&mask)
        };
        let z = self.only(&pairs, &z);
        Ok(self.b.sum(&z, 2))
    }

    /// The first particle in each cell, found among all of the event.
    fn grid(&mut self, node: &Node, [place, x]: [&str; 2], cells: usize, size: f32) -> Result<Value, Error> {
        let mask = self.particles()?.0;
        let b = &mut *self.b;
        let (size, half) = (b.f32(size), b.f32(0.5 * cells as f32));
        let cell = b.div(place, &size);
        let cell = b.add(&cell, &half);
        let cell = b.op("Floor", &[&cell]);
        // Whether each particle is in each column and row [event, cell, particle].
        let numbers: Vec<f32> = (0..cells).map(|i| i as f32).collect();
        let numbers = b.floats(&[cells, 1], &numbers);
        let [column, row] = [0, 1].map(|i| {
            let at = b.slice(&cell, -1, i, i + 1);
            let at = b.transpose(&at, &[0, 2, 1]);
            b.op("Equal", &[&at, &numbers])
        });
        let (column, row) = (b.unsqueeze(&column, 1), b.unsqueeze(&row, 2));
        let inside = b.op("And", &[&column, &row]);
        let mask = b.unsqueeze(&mask, 1);
        let mask = b.unsqueeze(&mask, 1);
        let inside = b.op("And", &[&inside, &mask]);
        let inside = b.cast(&inside, Element::F32);
        let shape = b.integers(&[0, (cells * cells) as i64, -1]);
        let inside = b.op("Reshape", &[&inside, &shape]);
        let first =
            b.op_with("ArgMax", &[&inside], vec![("axis", Setting::Integer(2)), ("keepdims", Setting::Integer(1))]);
        let rows = b.op_with("GatherND", &[x, &first], vec![("batch_dims", Setting::Integer(1))]);
        let some = b.extreme("ReduceMax", &inside, 2);
        let zero = b.f32(0.0);
        let some = b.op("Greater", &[&some, &zero]);
        let image = b.choose(&some, &rows, &zero);
        self.unfold(node, &image)
    }

    fn lstm(&mut self, node: &Node, x: &str, hidden: usize) -> Result<Value, Error> {
        let counts = self.particles()?.1;
        let (weight, bias) = (self.parameter(node, 0)?, self.parameter(node, 1)?);
        let width = weight.shape[0] - hidden;
        // The operator has the gates in the order i, o, f, g, one row per output.
        let order = [0, 3, 1, 2].map(|gate| gate * hidden..(gate + 1) * hidden);
        let outputs: Vec<usize> = order.into_iter().flatten().collect();
        let part = |rows: std::ops::Range<usize>| -> Vec<f32> {
            let at = |&o: &usize| rows.clone().map(move |row| weight.values[row * 4 * hidden + o]);
            outputs.iter().flat_map(at).collect()
        };
        let (input, recurrent) = (part(0..width), part(width..width + hidden));
        let mut both: Vec<f32> = outputs.iter().map(|&o| bias.values[o]).collect();
        both.resize(8 * hidden, 0.0);
        let input = self.b.floats(&[1, 4 * hidden, width], &input);
        let recurrent = self.b.floats(&[1, 4 * hidden, hidden], &recurrent);
        let both = self.b.floats(&[1, 8 * hidden], &both);
        let steps = self.b.transpose(x, &[1, 0, 2]);
        // Runtimes differ in what they make of a sequence without steps: it gets one, and zero in the end.
        let lengths = self.at_least_one(&counts);
        let lengths = self.b.reshape(&lengths, &[-1]);
        let lengths = self.b.cast(&lengths, Element::I32);
        let options = vec![("hidden_size", Setting::Integer(hidden as i64))];
        let states = self.b.op_many("LSTM", &[&steps, &input, &recurrent, &both, &lengths], options, 2);
        let axes = self.b.integers(&[0]);
        let last = self.b.op("Squeeze", &[&states[1], &axes]);
        let zero = self.b.f32(0.0);
        let some = self.b.op("Greater", &[&counts, &zero]);
        Ok(self.b.choose(&some, &last, &zero))
    }

    /// Rows [.., height · width · channels] as images [image, channels, height, width].
    fn image_of(&mut self, x: &str, [height, width, channels]: [usize; 3]) -> Value {
        let image = self.b.reshape(x, &[-1, height as i64, width as i64, channels as i64]);
        self.b.transpose(&image, &[0, 3, 1, 2])
    }

    /// Images [image, channels, height, width] as rows.
    fn rows_of(&mut self, node: &Node, image: &str) -> Result<Value, Error> {
        let image = self.b.transpose(image, &[0, 2, 3, 1]);
        self.unfold(node, &image)
    }

    /// Any value in the shape of this node's rows.
    fn unfold(&mut self, node: &Node, x: &str) -> Result<Value, Error> {
        if node.rows == Rows::Event {
            return Ok(self.b.reshape(x, &[-1, node.width as i64]));
        }
        let mask = self.particles()?.0;
        let (rows, width) = (self.b.op("Shape", &[&mask]), self.b.integers(&[node.width as i64]));
        let shape = self.b.concat(&[&rows, &width], 0);
        Ok(self.b.op("Reshape", &[x, &shape]))
    }

    fn conv(&mut self, node: &Node, x: &str) -> Result<Value, Error> {
        let Op::Conv { shape, out, kernel, stride, padding, groups, bias, activation } = node.op else {
            return Err(Error::Unsupported { reason: "the node is no convolution".to_owned() });
        };
        debug_assert_eq!(node.width, conv_shape(shape, out, kernel, stride, padding).iter().product::<usize>());
        let weight = self.parameter(node, 0)?;
        let &[rows, columns, channels, _] = &weight.shape[..] else {
            return Err(Error::Unsupported { reason: format!("weights of the shape {:?}", weight.shape) });
        };
        // [row, column, in, out] to [out, in, row, column]
        let mut turned = Vec::with_capacity(weight.values.len());
        for o in 0..out {
            for c in 0..channels {
                turned.extend((0..rows * columns).map(|tap| weight.values[(tap * channels + c) * out + o]));
            }
        }
        let weight = self.b.floats(&[out, channels, rows, columns], &turned);
        let image = self.image_of(x, shape);
        // A sequence has one row of taps and no padding above and below.
        let above = if shape[0] == 1 { 0 } else { padding as i64 };
        let (side, step) = (padding as i64, stride as i64);
        let options = vec![
            ("kernel_shape", Setting::Integers(vec![rows as i64, columns as i64])),
            ("strides", Setting::Integers(vec![if shape[0] == 1 { 1 } else { step }, step])),
            ("pads", Setting::Integers(vec![above, side, above, side])),
            ("group", Setting::Integer(groups as i64)),
        ];
        let bias = if bias { Some(self.constant(node, 1)?) } else { None };
        let inputs: Vec<&str> = [&image, &weight].into_iter().chain(&bias).map(String::as_str).collect();
        let z = self.b.op_with("Conv", &inputs, options);
        let z = self.activate(z, activation);
        self.rows_of(node, &z)
    }
}
