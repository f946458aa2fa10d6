//! Networks of pairs, node by node. A value on edges has the shape [event, receiver, place, width]: the places of a
//! receiver are all particles in their order, or its neighbours.

use fb_nn::graph::Equivariant;
use fb_nn::{Activation, Edges, Node, Op, Rows};

use super::builder::{Builder, Element, Setting, Value};
use super::network::Network;
use crate::Error;

/// Stands for minus infinity in a softmax over nothing, which must stay finite.
const LOWEST: f32 = -1e30;
/// Lower bound of what a logarithm is taken of.
const LEAST: f64 = 1e-8;

/// The edges of a network.
pub(super) struct EdgeView {
    /// Which there are [event, receiver, place].
    mask: Value,
    /// The sender at each place, where places are not all particles.
    senders: Option<Value>,
}

impl EdgeView {
    /// From the input [event, particle, width] and its mask.
    pub fn new(network: &mut Network<'_>, edges: Edges, input: &str, mask: &str) -> Self {
        let b = &mut *network.b;
        let pairs = |b: &mut Builder| {
            let (here, there) = (b.unsqueeze(mask, 2), b.unsqueeze(mask, 1));
            b.op("And", &[&here, &there])
        };
        match edges {
            // What is computed for unordered pairs is the same for both orders.
            Edges::Unordered | Edges::All => Self { mask: pairs(b), senders: None },
            Edges::Ordered => {
                let (all, own) = (pairs(b), own(b, mask));
                let other = b.op("Not", &[&own]);
                Self { mask: b.op("And", &[&all, &other]), senders: None }
            }
            Edges::Nearest { k } => {
                let place = b.slice(input, -1, 0, 2);
                let (others, there) = network.nearest(&place, 2, mask, k - 1);
                let b = &mut *network.b;
                let here = b.unsqueeze(mask, 2);
                let count = b.count_up(mask, 1);
                let count = b.unsqueeze(&count, 1);
                let shape = b.op("Shape", &[&here]);
                let own = b.op("Expand", &[&count, &shape]);
                let there = b.op("And", &[&there, &here]);
                Self { mask: b.concat(&[&here, &there], 2), senders: Some(b.concat(&[&own, &others], 2)) }
            }
            Edges::Listed { from, to } => {
                let named = b.slice(input, -1, from, to);
                let (zero, here) = (b.f32(0.0), b.unsqueeze(mask, 2));
                let some = b.op("GreaterOrEqual", &[&named, &zero]);
                let some = b.op("And", &[&some, &here]);
                let named = b.choose(&some, &named, &zero);
                Self { mask: some, senders: Some(b.cast(&named, Element::I64)) }
            }
        }
    }
}

/// Whether i is j [i, j].
fn own(b: &mut Builder, mask: &str) -> Value {
    let count = b.count_up(mask, 1);
    let (here, there) = (b.unsqueeze(&count, 1), b.unsqueeze(&count, 0));
    b.op("Equal", &[&here, &there])
}

/// Axes between that of events and that of columns.
fn axes(rows: Rows) -> usize {
    match rows {
        Rows::Event => 0,
        Rows::Particle | Rows::Joint => 1,
        Rows::Edge | Rows::Near { .. } => 2,
    }
}

/// x in double precision.
fn double(b: &mut Builder, x: &str) -> Value {
    b.cast(x, Element::F64)
}

/// E·E′ − p·p′ along the last axis, which stays.
fn invariant(b: &mut Builder, p: &str, q: &str) -> Value {
    let product = b.mul(p, q);
    let (space, time) = (b.slice(&product, -1, 0, 3), b.slice(&product, -1, 3, 4));
    let space = b.sum_keep(&space, -1);
    b.sub(&time, &space)
}

/// sgn(t)·ln(1 + |t|), rounded to 32 bits.
fn psi(b: &mut Builder, t: &str) -> Value {
    let (sign, size) = (b.op("Sign", &[t]), b.op("Abs", &[t]));
    let log = b.function(fb_core::expression::Function::Log1p, &size);
    let psi = b.mul(&sign, &log);
    b.cast(&psi, Element::F32)
}

impl Network<'_> {
    fn edges(&self) -> Result<(Value, Option<Value>), Error> {
        match &self.edges {
            Some(edges) => Ok((edges.mask.clone(), edges.senders.clone())),
            None => Err(Error::Unsupported { reason: "the network wants pairs and names none".to_owned() }),
        }
    }

    /// Which pairs of different particles there are [event, particle, particle].
    pub(super) fn others(&mut self) -> Result<Value, Error> {
        let (edges, mask) = (self.edges()?.0, self.particles()?.0);
        let own = own(self.b, &mask);
        let other = self.b.op("Not", &[&own]);
        Ok(self.b.op("And", &[&edges, &other]))
    }

    /// The mask of rows, and the axis that counts them.
    pub(super) fn rows(&mut self, rows: Rows) -> Result<(Value, i64), Error> {
        Ok(match rows {
            Rows::Edge => (self.edges()?.0, 2),
            Rows::Near { k } => {
                let mask = self.edges()?.0;
                (self.b.slice(&mask, 2, 0, k), 2)
            }
            _ => (self.particles()?.0, 1),
        })
    }

    /// Values of particles at both ends of every edge; the two broadcast to all edges.
    fn ends(&mut self, receivers: &str, senders: &str) -> Result<[Value; 2], Error> {
        let index = self.edges()?.1;
        let senders = match index {
            None => self.b.unsqueeze(senders, 1),
            Some(index) => {
                let index = self.b.unsqueeze(&index, 3);
                self.b.op_with("GatherND", &[senders, &index], vec![("batch_dims", Setting::Integer(1))])
            }
        };
        Ok([self.b.unsqueeze(receivers, 2), senders])
    }

    /// `x`, which broadcasts to them, in the full shape of some rows.
    fn fill(&mut self, x: &str, rows: Rows, width: usize) -> Result<Value, Error> {
        let mask = self.rows(rows)?.0;
        let (shape, width) = (self.b.op("Shape", &[&mask]), self.b.integers(&[width as i64]));
        let shape = self.b.concat(&[&shape, &width], 0);
        Ok(self.b.op("Expand", &[x, &shape]))
    }

    /// A node that only networks of pairs have.
    pub(super) fn pair_node(&mut self, node: &Node, inputs: &[Value], width: usize) -> Result<Value, Error> {
        let x = inputs.first().map_or("", String::as_str);
        let y = inputs.get(1).map_or("", String::as_str);
        Ok(match node.op {
            Op::Gelu => {
                let half = self.b.f32(std::f32::consts::FRAC_1_SQRT_2);
                let erf = self.b.mul(x, &half);
                let erf = self.b.op("Erf", &[&erf]);
                let (one, half) = (self.b.f32(1.0), self.b.f32(0.5));
                let below = self.b.add(&erf, &one);
                let below = self.b.mul(&below, &half);
                self.b.mul(x, &below)
            }
            Op::LayerNorm => self.layer_norm(node, x)?,
            Op::Scale { groups } => {
                let each = width / groups;
                let gamma = &self.parameter(node, 0)?.values;
                let gamma: Vec<f32> = gamma.iter().flat_map(|&g| std::iter::repeat_n(g, each)).collect();
                let gamma = self.b.floats(&[width], &gamma);
                self.b.mul(x, &gamma)
            }
            Op::Multiply => {
                let [a, b] = [0, 1].map(|i| node.inputs[i]);
                let factors = self.width(b);
                let y = if self.rows_at(a) == self.rows_at(b) {
                    self.repeat(y, factors, width)
                } else {
                    (0..axes(node.rows)).fold(y.to_owned(), |y, _| self.b.unsqueeze(&y, 1))
                };
                self.b.mul(x, &y)
            }
            Op::Senders => {
                let senders = self.ends(x, x)?[1].clone();
                self.fill(&senders, node.rows, node.width)?
            }
            Op::Head { k } => self.b.slice(x, 2, 0, k),
            Op::Concat => self.b.concat(&inputs.iter().map(String::as_str).collect::<Vec<_>>(), -1),
            Op::Token => {
                let row = self.parameter(node, 0)?.values.clone();
                let row = self.b.floats(&[1, node.width], &row);
                let (events, width) = (self.b.size(x, 0), self.b.integers(&[node.width as i64]));
                let shape = self.b.concat(&[&events, &width], 0);
                self.b.op("Expand", &[&row, &shape])
            }
            Op::Spread => {
                let x = self.b.unsqueeze(x, if node.rows == Rows::Edge { 2 } else { 1 });
                self.fill(&x, node.rows, node.width)?
            }
            Op::Softmax => {
                let (mask, axis) = self.rows(node.rows)?;
                let (mask, lowest) = (self.b.unsqueeze(&mask, -1), self.b.f32(LOWEST));
                let x = self.b.choose(&mask, x, &lowest);
                self.b.op_with("Softmax", &[&x], vec![("axis", Setting::Integer(axis))])
            }
            Op::Join { activation } => {
                let [a, b] = self.ends(x, y)?;
                let mut z = self.b.add(&a, &b);
                for (more, &at) in inputs.iter().zip(&node.inputs).skip(2) {
                    let mut more = more.clone();
                    if self.rows_at(at) == Rows::Particle {
                        let (own, d) = (self.same()?, self.b.unsqueeze(&more, 2));
                        let zero = self.b.f32(0.0);
                        more = self.b.choose(&own, &d, &zero);
                    }
                    z = self.b.add(&z, &more);
                }
                self.activate(z, activation)
            }
            Op::PairKinematics => self.pair_kinematics(x)?,
            Op::Minkowski => {
                let x = double(self.b, x);
                let [p, q] = self.ends(&x, &x)?;
                let d = self.b.sub(&p, &q);
                let (norm, product) = (invariant(self.b, &d, &d), invariant(self.b, &p, &q));
                let (norm, product) = (psi(self.b, &norm), psi(self.b, &product));
                self.b.concat(&[&norm, &product], -1)
            }
            Op::Displace { step, limit } => {
                let (x, s) = (double(self.b, x), double(self.b, y));
                let [p, q] = self.ends(&x, &x)?;
                let d = self.b.sub(&p, &q);
                let d = self.b.mul(&s, &d);
                let [low, high] = [-limit, limit].map(|bound| self.b.f64(bound));
                let d = self.b.op("Max", &[&d, &low]);
                let d = self.b.op("Min", &[&d, &high]);
                let mask = self.edges()?.0;
                let there = self.b.unsqueeze(&mask, -1);
                let d = self.b.or(&there, &d, 0.0);
                let sum = self.b.sum(&d, 2);
                let n = self.b.cast(&mask, Element::F64);
                let n = self.b.sum_keep(&n, 2);
                let one = self.b.f64(1.0);
                let n = self.b.op("Max", &[&n, &one]);
                let mean = self.b.div(&sum, &n);
                let moved = self.b.times(&mean, step);
                self.b.add(&x, &moved)
            }
            Op::Attention { heads, .. } => {
                let mask = self.particles()?.0;
                let bias = inputs.get(3).map(|u| self.b.transpose(u, &[0, 3, 1, 2]));
                self.attend([x, y, &inputs[2]], &mask, bias.as_deref(), heads, width)
            }
            Op::Unit { activation } => {
                let square = self.b.mul(x, x);
                let square = self.b.sum_keep(&square, -1);
                let least = self.b.f32(1e-12);
                let square = self.b.add(&square, &least);
                let length = self.b.op("Sqrt", &[&square]);
                let z = self.b.div(x, &length);
                self.activate(z, activation)
            }
            Op::SetAttention => {
                let (mask, narrow) = (self.particles()?.0, self.width(node.inputs[0]));
                let factor = self.b.f32((1.0 / (narrow as f64).sqrt()) as f32);
                let q = self.b.mul(x, &factor);
                let k = self.b.transpose(y, &[0, 2, 1]);
                let scores = self.b.op("MatMul", &[&q, &k]);
                let (mask, lowest) = (self.b.unsqueeze(&mask, 1), self.b.f32(LOWEST));
                let scores = self.b.choose(&mask, &scores, &lowest);
                let share = self.b.op_with("Softmax", &[&scores], vec![("axis", Setting::Integer(2))]);
                self.b.op("MatMul", &[&share, &inputs[2]])
            }
            Op::Stack => {
                let first = self.b.unsqueeze(x, 1);
                self.b.concat(&[&first, y], 1)
            }
            Op::ClassAttention { heads } => {
                let mask = self.particles()?.0;
                let first = self.always(&mask, 1);
                let mask = self.b.concat(&[&first, &mask], 1);
                let q = self.b.unsqueeze(x, 1);
                let y = self.attend([&q, y, &inputs[2]], &mask, None, heads, width);
                self.b.reshape(&y, &[-1, width as i64])
            }
            Op::Diagonal => self.diagonal(x)?,
            Op::Multiplicity { mean, activation } => {
                let alpha = self.parameter(node, 0)?.values.clone();
                let factor = self.multiples(&alpha, mean)?;
                let factor = (0..axes(node.rows)).fold(factor, |factor, _| self.b.unsqueeze(&factor, 1));
                let x = self.b.mul(x, &factor);
                self.activate(x, activation)
            }
            Op::Invariants => {
                let p = double(self.b, x);
                let [p, q] = self.ends(&p, &p)?;
                let product = invariant(self.b, &p, &q);
                let product = self.b.plus(&product, 1.0);
                let product = self.b.op("Abs", &[&product]);
                let least = self.b.f64(f64::MIN_POSITIVE);
                let product = self.b.op("Max", &[&product, &least]);
                let log = self.b.op("Log", &[&product]);
                let alpha = self.constant(node, 0)?;
                let alpha = double(self.b, &alpha);
                let power = self.b.mul(&alpha, &alpha);
                let power = self.b.plus(&power, 1e-6);
                let log = self.b.mul(&log, &power);
                let y = self.b.function(fb_core::expression::Function::Expm1, &log);
                let y = self.b.div(&y, &power);
                self.b.cast(&y, Element::F32)
            }
            Op::Equivariant { mean } => self.equivariant(node, x, mean)?,
            _ => return Err(Error::Unsupported { reason: format!("the operation {:?}", node.op) }),
        })
    }

    /// `columns` columns, each as often as makes `width` of them.
    pub(super) fn repeat(&mut self, x: &str, columns: usize, width: usize) -> Value {
        if columns == width {
            return x.to_owned();
        }
        let each = width / columns;
        let share = |i: usize| f32::from(u8::from(i % width / each == i / width));
        let shares = self.b.floats(&[columns, width], &(0..columns * width).map(share).collect::<Vec<_>>());
        self.b.op("MatMul", &[x, &shares])
    }

    /// x_ii [event, particle, width].
    fn diagonal(&mut self, x: &str) -> Result<Value, Error> {
        let mask = self.particles()?.0;
        let own = own(self.b, &mask);
        let (own, zero) = (self.b.unsqueeze(&own, -1), self.b.f32(0.0));
        let x = self.b.choose(&own, x, &zero);
        Ok(self.b.sum(&x, 2))
    }

    /// (n/mean)^α of each event and column.
    fn multiples(&mut self, alpha: &[f32], mean: f64) -> Result<Value, Error> {
        let n = self.particles()?.1;
        let n = self.at_least_one(&n);
        let unit = self.b.f32((1.0 / mean) as f32);
        let n = self.b.mul(&n, &unit);
        let alpha = self.b.floats(&[alpha.len()], alpha);
        Ok(self.b.op("Pow", &[&n, &alpha]))
    }

    fn equivariant(&mut self, node: &Node, x: &str, mean: f64) -> Result<Value, Error> {
        let [of_in, of_out, first, second, alpha] = [
            self.parameter(node, 0)?,
            self.parameter(node, 1)?,
            self.parameter(node, 2)?,
            self.parameter(node, 3)?,
            self.parameter(node, 4)?,
        ]
        .map(|t| t.values.clone());
        let (out, basis) = (node.width, Equivariant::BASIS);
        let width = first.len() / out;
        let weights = |b: usize| -> Vec<f32> {
            let entry = |at: usize| {
                let (d, o) = (at / out, at % out);
                of_in[d * basis + b] * first[at] + of_out[o * basis + b] * second[at]
            };
            (0..width * out).map(entry).collect()
        };
        let (mask, n) = self.particles()?;
        let n = self.at_least_one(&n);
        let count = self.b.unsqueeze(&n, 2);
        // Means over what is there.
        let edges = self.only(&self.edges()?.0, x);
        let over = |network: &mut Self, x: &str, axis: i64| {
            let sum = network.b.sum(x, axis);
            network.b.div(&sum, &count)
        };
        let own = self.diagonal(x)?;
        let senders = over(self, &edges, 2);
        let receivers = over(self, &edges, 1);
        let [diagonal, all] = [&own, &senders].map(|x| {
            let x = self.only(&mask, x);
            let sum = self.b.sum_keep(&x, 1);
            self.b.div(&sum, &count)
        });
        let kinds = [own, senders, receivers, diagonal, all];
        let mut power = 0;
        let mut parts = Vec::new();
        for (start, count) in Equivariant::STACKS {
            let mut part: Option<Value> = None;
            for (kind, x) in kinds[..count].iter().enumerate() {
                let mut x = x.clone();
                if kind > 0 {
                    let factor = self.multiples(&alpha[power * width..(power + 1) * width], mean)?;
                    let factor = self.b.unsqueeze(&factor, 1);
                    x = self.b.mul(&x, &factor);
                    power += 1;
                }
                let w = self.b.floats(&[width, out], &weights(start + kind));
                let z = self.b.op("MatMul", &[&x, &w]);
                part = Some(match part {
                    None => z,
                    Some(sum) => self.b.add(&sum, &z),
                });
            }
            parts.extend(part);
        }
        let turned = self.b.transpose(x, &[0, 2, 1, 3]);
        let [here, there] = [0, 1].map(|b| self.b.floats(&[width, out], &weights(b)));
        let z = self.b.op("MatMul", &[x, &here]);
        let mirrored = self.b.op("MatMul", &[&turned, &there]);
        let z = self.b.add(&z, &mirrored);
        let [a, b] = self.ends(&parts[0], &parts[1])?;
        let z = self.b.add(&z, &a);
        let z = self.b.add(&z, &b);
        let (bias, diagonal) = (self.constant(node, 5)?, self.constant(node, 6)?);
        let z = self.b.add(&z, &bias);
        let d = self.b.add(&parts[2], &diagonal);
        let (same, d, zero) = (self.same()?, self.b.unsqueeze(&d, 2), self.b.f32(0.0));
        let d = self.b.choose(&same, &d, &zero);
        let z = self.b.add(&z, &d);
        Ok(self.activate(z, Activation::Leaky))
    }

    /// Whether an edge leads from a particle to itself, for [.., width].
    fn same(&mut self) -> Result<Value, Error> {
        let (mask, index) = (self.particles()?.0, self.edges()?.1);
        let own = match index {
            None => own(self.b, &mask),
            Some(index) => {
                let count = self.b.count_up(&mask, 1);
                let here = self.b.unsqueeze(&count, 1);
                self.b.op("Equal", &[&index, &here])
            }
        };
        Ok(self.b.unsqueeze(&own, -1))
    }

    /// `n` particles that are there in every event.
    pub(super) fn always(&mut self, mask: &str, n: usize) -> Value {
        let one = self.b.f32(1.0);
        let (events, n) = (self.b.size(mask, 0), self.b.integers(&[n as i64]));
        let shape = self.b.concat(&[&events, &n], 0);
        let ones = self.b.op("Expand", &[&one, &shape]);
        let zero = self.b.f32(0.0);
        self.b.op("Greater", &[&ones, &zero])
    }

    fn layer_norm(&mut self, node: &Node, x: &str) -> Result<Value, Error> {
        let mean = |b: &mut Builder, x: &str| b.extreme("ReduceMean", x, -1);
        let center = mean(self.b, x);
        let x = self.b.sub(x, &center);
        let square = self.b.mul(&x, &x);
        let square = mean(self.b, &square);
        let epsilon = self.b.f32(super::network::EPSILON);
        let square = self.b.add(&square, &epsilon);
        let deviation = self.b.op("Sqrt", &[&square]);
        let x = self.b.div(&x, &deviation);
        let (gamma, beta) = (self.constant(node, 0)?, self.constant(node, 1)?);
        let x = self.b.mul(&x, &gamma);
        Ok(self.b.add(&x, &beta))
    }

    /// Attention of rows [event, row, width], `mask` [event, row] on those that are looked at.
    fn attend(&mut self, qkv: [&str; 3], mask: &str, bias: Option<&str>, heads: usize, width: usize) -> Value {
        let columns = width / heads;
        let [q, k, v] = qkv.map(|x| {
            let x = self.b.reshape(x, &[0, 0, heads as i64, columns as i64]);
            self.b.transpose(&x, &[0, 2, 1, 3])
        });
        let factor = self.b.f32((1.0 / (columns as f64).sqrt()) as f32);
        let q = self.b.mul(&q, &factor);
        let k = self.b.transpose(&k, &[0, 1, 3, 2]);
        let mut scores = self.b.op("MatMul", &[&q, &k]);
        if let Some(bias) = bias {
            scores = self.b.add(&scores, bias);
        }
        let mask = self.b.unsqueeze(mask, 1);
        let (mask, lowest) = (self.b.unsqueeze(&mask, 1), self.b.f32(LOWEST));
        let scores = self.b.choose(&mask, &scores, &lowest);
        let share = self.b.op_with("Softmax", &[&scores], vec![("axis", Setting::Integer(3))]);
        let y = self.b.op("MatMul", &[&share, &v]);
        let y = self.b.transpose(&y, &[0, 2, 1, 3]);
        self.b.reshape(&y, &[0, 0, width as i64])
    }

    fn pair_kinematics(&mut self, x: &str) -> Result<Value, Error> {
        let p = double(self.b, x);
        let [px, py, pz, e] = [0, 1, 2, 3].map(|i| self.b.slice(&p, -1, i, i + 1));
        let bound = |b: &mut Builder, x: &str, least: f64| {
            let least = b.f64(least);
            b.op("Max", &[x, &least])
        };
        let backward = self.b.sub(&e, &pz);
        let backward = bound(self.b, &backward, 1e-20);
        let ratio = self.b.div(&pz, &backward);
        let ratio = self.b.times(&ratio, 2.0);
        let ratio = self.b.plus(&ratio, 1.0);
        let ratio = bound(self.b, &ratio, 1e-20);
        let rapidity = self.b.op("Log", &[&ratio]);
        let rapidity = self.b.times(&rapidity, 0.5);
        let (pt, phi) = (self.b.hypot(&px, &py), self.b.atan2(&py, &px));
        let [pt, rapidity, phi, p] =
            [self.ends(&pt, &pt)?, self.ends(&rapidity, &rapidity)?, self.ends(&phi, &phi)?, self.ends(&p, &p)?];
        let b = &mut *self.b;
        let (dy, dphi) = (b.sub(&rapidity[0], &rapidity[1]), b.delta_phi(&phi[0], &phi[1]));
        let delta = b.hypot(&dy, &dphi);
        let softer = b.op("Min", &[&pt[0], &pt[1]]);
        let kt = b.mul(&softer, &delta);
        let total = b.add(&pt[0], &pt[1]);
        let total = bound(b, &total, LEAST);
        let z = b.div(&softer, &total);
        let sum = b.add(&p[0], &p[1]);
        let square = invariant(b, &sum, &sum);
        let columns = [kt, z, delta, square].map(|x| {
            let x = bound(b, &x, LEAST);
            let x = b.op("Log", &[&x]);
            b.cast(&x, Element::F32)
        });
        Ok(b.concat(&columns.each_ref().map(String::as_str), -1))
    }
}
