//! Layers on the momenta of an event side by side, in double precision.

use fb_core::Tensor;
use fb_nn::graph::{BOOST_LEAST, BOOST_SLOWEST};
use fb_nn::{Node, Op};

use super::builder::{Builder, Element, Setting, Value};
use super::network::Network;
use crate::Error;

/// Above all that a minimum is taken of.
const FAR: f64 = 1e300;

/// px, py, pz, E of the combinations [event, combination, 4] with weights [particle, combination].
fn combined(b: &mut Builder, momenta: &str, weights: &Tensor, of: impl Fn(f32) -> f32) -> Value {
    let [particles, combinations] = [weights.shape[0], weights.shape[1]];
    let turned: Vec<f32> = (0..combinations)
        .flat_map(|m| (0..particles).map(move |i| i * combinations + m))
        .map(|at| of(weights.values[at]))
        .collect();
    let turned = b.floats(&[combinations, particles], &turned);
    let turned = b.cast(&turned, Element::F64);
    b.op("MatMul", &[&turned, momenta])
}

/// Σ x·y along the last axis, which stays.
fn dot(b: &mut Builder, x: &str, y: &str) -> Value {
    let product = b.mul(x, y);
    b.sum_keep(&product, -1)
}

fn at_least(b: &mut Builder, x: &str, bound: f64) -> Value {
    let bound = b.f64(bound);
    b.op("Max", &[x, &bound])
}

/// √(x + ε)
fn root(b: &mut Builder, x: &str) -> Value {
    let x = b.plus(x, BOOST_LEAST);
    b.op("Sqrt", &[&x])
}

impl Network<'_> {
    /// A node on momenta side by side.
    pub(super) fn momentum_node(&mut self, node: &Node, x: &str, width: usize) -> Result<Value, Error> {
        let momenta = self.b.reshape(x, &[-1, (width / 4) as i64, 4]);
        let momenta = self.b.cast(&momenta, Element::F64);
        match node.op {
            Op::Boost { combinations } => self.boost(node, &momenta, combinations),
            Op::Lola { learned, .. } => self.lola(node, &momenta, learned),
            _ => Err(Error::Unsupported { reason: format!("the operation {:?}", node.op) }),
        }
    }

    fn boost(&mut self, node: &Node, momenta: &str, combinations: usize) -> Result<Value, Error> {
        let [w, v] = [self.parameter(node, 0)?.clone(), self.parameter(node, 1)?.clone()];
        let b = &mut *self.b;
        let [p, r] = [w, v].map(|weights| combined(b, momenta, &weights, f32::abs));
        let [(space, energy), (frame, frame_energy)] = [&p, &r].map(|p| (b.slice(p, -1, 0, 3), b.slice(p, -1, 3, 4)));
        let frame_energy = at_least(b, &frame_energy, BOOST_LEAST);
        let beta = b.div(&frame, &frame_energy);
        let square = dot(b, &beta, &beta);
        let slow = b.times(&square, -1.0);
        let slow = b.plus(&slow, 1.0);
        let slow = at_least(b, &slow, BOOST_SLOWEST);
        let slow = b.op("Sqrt", &[&slow]);
        let one = b.f64(1.0);
        let gamma = b.div(&one, &slow);
        let along = dot(b, &beta, &space);
        let (above, below) = (b.mul(&gamma, &gamma), b.plus(&gamma, 1.0));
        let factor = b.div(&above, &below);
        let factor = b.mul(&factor, &along);
        let drag = b.mul(&gamma, &energy);
        let shift = b.sub(&factor, &drag);
        let shift = b.mul(&shift, &beta);
        let q = b.add(&space, &shift);
        let e = b.sub(&energy, &along);
        let e = b.mul(&gamma, &e);
        let [x, y, z] = [0, 1, 2].map(|c| b.slice(&q, -1, c, c + 1));
        let plane = b.slice(&q, -1, 0, 2);
        let plane = dot(b, &plane, &plane);
        let pt = root(b, &plane);
        let slope = b.div(&z, &pt);
        let (eta, phi) = (b.asinh(&slope), b.atan2(&y, &x));
        let more = b.plus(&plane, BOOST_LEAST);
        let share = b.div(&plane, &more);
        let phi = b.mul(&phi, &share);
        let square = dot(b, &q, &q);
        let mass = b.mul(&e, &e);
        let mass = b.sub(&mass, &square);
        let mass = at_least(b, &mass, 0.0);
        let mass = root(b, &mass);
        let size = root(b, &square);
        let u = b.div(&q, &size);
        let turned = b.transpose(&u, &[0, 2, 1]);
        let cosines = b.op("MatMul", &[&u, &turned]);
        let n = combinations as i64;
        let cosines = b.reshape(&cosines, &[-1, n * n]);
        let pairs: Vec<i64> = (0..n).flat_map(|m| (m + 1..n).map(move |k| m * n + k)).collect();
        let mut parts: Vec<Value> = [&e, &pt, &eta, &phi, &mass].iter().map(|x| b.reshape(x, &[-1, n])).collect();
        if !pairs.is_empty() {
            let pairs = b.integers(&pairs);
            parts.push(b.op_with("Gather", &[&cosines, &pairs], vec![("axis", Setting::Integer(1))]));
        }
        let all = b.concat(&parts.iter().map(String::as_str).collect::<Vec<_>>(), 1);
        Ok(b.cast(&all, Element::F32))
    }

    fn lola(&mut self, node: &Node, momenta: &str, learned: bool) -> Result<Value, Error> {
        let weights = self.parameter(node, 0)?.clone();
        let [energies, sums, minima] =
            [self.parameter(node, 1)?.clone(), self.parameter(node, 2)?.clone(), self.parameter(node, 3)?.clone()];
        let metric = if learned { self.parameter(node, 4)?.values.clone() } else { vec![-1.0, -1.0, -1.0, 1.0] };
        let b = &mut *self.b;
        let trained = combined(b, momenta, &weights, |w| w);
        let total = b.sum_keep(momenta, 1);
        let k = b.concat(&[&total, momenta, &trained], 1);
        let n = energies.shape[0];
        let metric = b.floats(&[4], &metric);
        let metric = b.cast(&metric, Element::F64);
        let weighted = b.mul(&k, &metric);
        let mass = dot(b, &weighted, &k);
        let mass = b.reshape(&mass, &[-1, n as i64]);
        let [x, y, energy] = [0, 1, 3].map(|c| {
            let x = b.slice(&k, -1, c, c + 1);
            b.reshape(&x, &[-1, n as i64])
        });
        let pt = b.hypot(&x, &y);
        let (here, there) = (b.unsqueeze(&k, 2), b.unsqueeze(&k, 1));
        let d = b.sub(&here, &there);
        let weighted = b.mul(&d, &metric);
        let distances = b.mul(&weighted, &d);
        let distances = b.sum(&distances, 3);
        let mut parts = vec![mass, pt];
        let energies = b.floats(&[1, n, n], &energies.values);
        let energies = b.cast(&energies, Element::F64);
        let energy = b.unsqueeze(&energy, 1);
        let energy = b.mul(&energies, &energy);
        parts.push(b.sum(&energy, 2));
        for (weights, smallest) in [(&sums, false), (&minima, true)] {
            for copy in weights.values.chunks_exact(n * n) {
                let copy = b.floats(&[1, n, n], copy);
                let copy = b.cast(&copy, Element::F64);
                let each = b.mul(&copy, &distances);
                if !smallest {
                    parts.push(b.sum(&each, 2));
                    continue;
                }
                let own: Vec<f32> = (0..n * n).map(|at| f32::from(u8::from(at / n == at % n))).collect();
                let (own, half) = (b.floats(&[1, n, n], &own), b.f32(0.5));
                let own = b.op("Greater", &[&own, &half]);
                let far = b.f64(FAR);
                let others = b.choose(&own, &far, &each);
                let least = b.extreme("ReduceMin", &others, 2);
                parts.push(b.reshape(&least, &[-1, n as i64]));
            }
        }
        let all = b.concat(&parts.iter().map(String::as_str).collect::<Vec<_>>(), 1);
        Ok(b.cast(&all, Element::F32))
    }
}
