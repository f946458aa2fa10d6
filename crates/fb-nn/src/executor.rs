//! Runs a graph forward and backward over a batch.
//!
//! A batch is cut into a fixed number of lanes, whatever the number of threads. A lane runs on one thread at a time, in
//! buffers that are kept between steps. Operations that need sums over the batch (batch normalisation) are cut into
//! phases; between two phases the lanes' partial sums are added up in the order of the lanes. Gradients are added in a
//! fixed tree. So the bits of a result depend on the data and the seed alone.

use std::sync::{Mutex, MutexGuard, PoisonError};

use fb_core::{Features, Workers};

use crate::decorrelation::{Decorrelate, distance_correlation};
use crate::graph::{Graph, Op, Rows};
use crate::kernels::{Real, add};
use crate::loss;
use crate::ops::{self, Cell};
use crate::significance::Significance;
use crate::target::Target;

/// Whether a pass trains or predicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Running averages, no dropout.
    Inference,
    /// Statistics of the batch, dropout masks that follow from seed, step and event.
    Training {
        /// Seed of the run.
        seed: u64,
        /// Steps since the start of the training.
        step: u64,
    },
}

/// The events of one step.
#[derive(Clone, Copy)]
pub struct Batch<'a> {
    /// What the network sees of all events.
    pub features: &'a Features,
    /// What the output is compared with.
    pub target: Target<'a>,
    /// Weight of every event in the loss.
    pub weights: &'a [f64],
    /// Identity of every event.
    pub identity: &'a [u64],
    /// The events of this batch.
    pub indices: &'a [usize],
    /// What the score of class 1 shall not tell, and the variable of every event.
    pub decorrelate: Option<(&'a Decorrelate, &'a [f64])>,
    /// The loss that stands in place of that of `target`.
    pub significance: Option<&'a Significance>,
}

/// Results of the sums over all lanes that an operation waits for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Norm<T> {
    pub mean: Vec<T>,
    /// 1/√(σ² + ε)
    pub inverse: Vec<T>,
    /// Means over the batch of g and g·x̂, for the backward pass.
    pub gradient: Vec<T>,
    pub gradient_dot: Vec<T>,
}

/// The pairs of particles of a lane, receiver by receiver.
#[derive(Debug, Default)]
pub(crate) struct EdgeList {
    /// Particles + 1 offsets of the edge rows.
    pub offsets: Vec<usize>,
    /// Particle rows.
    pub senders: Vec<u32>,
    pub receivers: Vec<u32>,
    /// Offsets of the first k of each receiver, by k.
    pub near: Vec<(usize, Vec<usize>)>,
}

/// The working memory of a lane.
#[derive(Debug, Default)]
pub(crate) struct Lane<T> {
    pub events: usize,
    /// Events + 1 offsets of the particle rows of the collection that the current operation works on.
    pub offsets: Vec<usize>,
    pub edges: EdgeList,
    /// The same of the other collections; empty for the current one.
    waiting: Vec<Vec<usize>>,
    current: usize,
    pub identity: Vec<u64>,
    pub values: Vec<Vec<T>>,
    pub grads: Vec<Vec<T>>,
    touched: Vec<bool>,
    /// Per node, what an operation keeps from its forward pass for its backward pass.
    pub keep: Vec<Vec<Vec<T>>>,
    pub index: Vec<Vec<u32>>,
    /// Partial sums of the current phase.
    pub partial: Vec<f64>,
    /// Gradient with respect to all parameters.
    pub gradient: Vec<T>,
    loss: f64,
}

impl<T: Real> Lane<T> {
    fn new(graph: &Graph) -> Self {
        let n = graph.nodes.len();
        Self {
            values: vec![Vec::new(); n],
            grads: vec![Vec::new(); n],
            touched: vec![false; n],
            keep: vec![Vec::new(); n],
            index: vec![Vec::new(); n],
            waiting: vec![Vec::new(); graph.inputs().len()],
            ..Self::default()
        }
    }

    /// Brings in the offsets of another collection.
    fn select(&mut self, collection: usize) {
        if collection != self.current {
            std::mem::swap(&mut self.offsets, &mut self.waiting[self.current]);
            std::mem::swap(&mut self.offsets, &mut self.waiting[collection]);
            self.current = collection;
        }
    }

    /// Where the particles of each event begin and end in a collection.
    pub fn offsets_of(&self, collection: usize) -> &[usize] {
        if collection == self.current { &self.offsets } else { &self.waiting[collection] }
    }

    /// Rows of a node's value.
    pub fn rows(&self, rows: Rows) -> usize {
        match rows {
            Rows::Event => self.events,
            Rows::Particle => self.offsets.last().copied().unwrap_or(0),
            Rows::Edge => self.edges.senders.len(),
            Rows::Near { .. } => self.segments(rows).last().copied().unwrap_or(0),
            Rows::Joint => self.events + self.offsets.last().copied().unwrap_or(0),
        }
    }

    /// Where the particles of each event, or the edges of each receiver, begin and end.
    pub fn segments(&self, rows: Rows) -> &[usize] {
        match rows {
            Rows::Edge => &self.edges.offsets,
            Rows::Near { k } => self.edges.near.iter().find(|(at, _)| *at == k).map_or(&[], |(_, offsets)| offsets),
            _ => &self.offsets,
        }
    }

    /// The rows of an event.
    pub fn rows_of(&self, rows: Rows, event: usize) -> std::ops::Range<usize> {
        let particles = self.offsets[event]..self.offsets[event + 1];
        match rows {
            Rows::Event => event..event + 1,
            Rows::Particle => particles,
            Rows::Edge | Rows::Near { .. } => {
                let ends = self.segments(rows);
                ends[particles.start]..ends[particles.end]
            }
            Rows::Joint => particles.start + event..particles.end + event + 1,
        }
    }

    /// The gradient with respect to a node's value: the buffer, and whether it already holds a part of it.
    pub fn take_grad(&mut self, node: usize, len: usize) -> (Vec<T>, bool) {
        let mut grad = std::mem::take(&mut self.grads[node]);
        grad.resize(len, T::ZERO);
        (grad, self.touched[node])
    }

    /// Hands the buffer of [`Self::take_grad`] back, now holding a part of the gradient.
    pub fn give_grad(&mut self, node: usize, grad: Vec<T>) {
        self.grads[node] = grad;
        self.touched[node] = true;
    }

    /// As [`Self::take_grad`], zeroed unless it holds a part already.
    pub fn take_grad_zeroed(&mut self, node: usize, len: usize) -> Vec<T> {
        let (mut grad, touched) = self.take_grad(node, len);
        if !touched {
            grad.fill(T::ZERO);
        }
        grad
    }

    fn load(&mut self, graph: &Graph, batch: &Batch<'_>, events: std::ops::Range<usize>, training: bool) {
        let indices = &batch.indices[events];
        self.events = indices.len();
        self.touched.fill(false);
        for collection in 0..self.waiting.len() {
            self.select(collection);
            let features = batch.features.collection(collection);
            // Pairs and fixed rows are of the first collection.
            let fixed: &[Vec<f32>] = if collection == 0 { &graph.fixed } else { &[] };
            self.offsets.clear();
            self.offsets.push(0);
            let mut input = std::mem::take(&mut self.values[collection]);
            input.clear();
            for &i in indices {
                let rows = features.rows(i);
                self.offsets.push(self.offsets[self.offsets.len() - 1] + fixed.len() + rows.len());
                input.extend(fixed.iter().flatten().map(|&x| T::of(f64::from(x))));
                let range = rows.start * features.width..rows.end * features.width;
                input.extend(features.values[range].iter().map(|&x| T::of(f64::from(x))));
            }
            if let Some(edges) = graph.edges.filter(|_| collection == 0) {
                ops::list(&mut self.edges, edges, &input, features.width, &self.offsets);
                let near =
                    graph.nodes.iter().filter_map(|node| if let Op::Head { k } = node.op { Some(k) } else { None });
                near.for_each(|k| ops::list_near(&mut self.edges, k));
            }
            self.values[collection] = input;
        }
        if training {
            self.identity.clear();
            self.identity.extend(indices.iter().map(|&i| batch.identity[i]));
        }
    }
}

/// Two lanes a core on four cores; a fixed number, since the order of sums follows from it.
const LANES: usize = 8;
/// A lane of an unsynchronised network works through its events in pieces whose values and gradients take about this
/// many bytes, so that they stay in the second-level cache.
const PIECE_BYTES: usize = 1 << 20;

/// A graph with its parameters and the memory to run it.
pub struct Executor<T> {
    graph: Graph,
    /// All trainable numbers.
    pub parameters: Vec<T>,
    /// All running averages.
    pub buffers: Vec<T>,
    /// Gradient of the last step's loss with respect to the parameters.
    pub gradient: Vec<T>,
    lanes: Vec<Mutex<Lane<T>>>,
    norms: Vec<Vec<Norm<T>>>,
    needs_gradient: Vec<bool>,
}

fn lock<T>(lane: &Mutex<Lane<T>>) -> MutexGuard<'_, Lane<T>> {
    // A panic on another thread ends the run; until then the data of this lane is still its own.
    lane.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Real> Executor<T> {
    /// A network with these parameters and running averages.
    pub fn new(graph: Graph, parameters: Vec<T>, buffers: Vec<T>) -> Self {
        assert_eq!(parameters.len(), graph.parameter_count());
        assert_eq!(buffers.len(), graph.buffer_count());
        let mut needs_gradient = vec![false; graph.nodes.len()];
        for (i, node) in graph.nodes.iter().enumerate() {
            needs_gradient[i] = !node.parameters.is_empty() || node.inputs.iter().any(|&j| needs_gradient[j]);
        }
        Self {
            lanes: (0..LANES).map(|_| Mutex::new(Lane::new(&graph))).collect(),
            norms: graph.nodes.iter().map(|n| ops::norms(&n.op)).collect(),
            gradient: vec![T::ZERO; parameters.len()],
            graph,
            parameters,
            buffers,
            needs_gradient,
        }
    }

    /// A network with fresh parameters.
    pub fn fresh(graph: Graph, seed: u64) -> Self {
        let (parameters, buffers) = graph.initial(seed);
        let cast = |v: Vec<f64>| v.into_iter().map(T::of).collect();
        Self::new(graph, cast(parameters), cast(buffers))
    }

    /// The network.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Forward and backward over one batch; leaves the gradient of Σ wᵢ·ℓᵢ / `norm` and returns that sum.
    pub fn step(&mut self, batch: &Batch<'_>, norm: f64, mode: Mode, workers: &dyn Workers) -> f64 {
        let lanes = self.lane_count(batch.indices.len());
        for lane in &self.lanes[..lanes] {
            let mut lane = lock(lane);
            lane.gradient.clear();
            lane.gradient.resize(self.parameters.len(), T::ZERO);
            lane.loss = 0.0;
        }
        if self.graph.is_synchronised() || batch.decorrelate.is_some() || batch.significance.is_some() {
            self.synchronised_step(batch, lanes, norm, mode, workers);
        } else {
            let piece = self.piece(batch);
            let this = &*self;
            workers.for_each(lanes, &|l| {
                let mut lane = lock(&this.lanes[l]);
                let share = share(batch.indices.len(), lanes, l);
                for start in share.clone().step_by(piece) {
                    let events = start..(start + piece).min(share.end);
                    lane.load(&this.graph, batch, events.clone(), true);
                    for node in 1..this.graph.nodes.len() {
                        this.forward(&mut lane, node, 0, mode);
                    }
                    this.loss(&mut lane, batch, events, norm);
                    for node in (1..this.graph.nodes.len()).rev() {
                        this.backward(&mut lane, node, 0, mode);
                    }
                }
            });
        }
        self.sum_gradients(lanes, workers);
        self.lanes[..lanes].iter().map(|lane| lock(lane).loss).sum()
    }

    /// Logits of these events, row after row, from the running averages.
    pub fn logits(&mut self, features: &Features, workers: &dyn Workers) -> Vec<T> {
        self.set_running_norms();
        let n = features.events();
        let width = self.graph.nodes[self.graph.output()].width;
        let all: Vec<usize> = (0..n).collect();
        let batch = Batch {
            features,
            target: Target::Classes(&[]),
            weights: &[],
            identity: &[],
            indices: &all,
            decorrelate: None,
            significance: None,
        };
        let piece = self.piece(&batch);
        let parts: Vec<Mutex<Vec<T>>> = (0..self.lanes.len()).map(|_| Mutex::default()).collect();
        let this = &*self;
        workers.for_each(this.lanes.len(), &|l| {
            let mut lane = lock(&this.lanes[l]);
            let mut out = Vec::new();
            let share = share(n, this.lanes.len(), l);
            for start in share.clone().step_by(piece) {
                lane.load(&this.graph, &batch, start..(start + piece).min(share.end), false);
                for node in 1..this.graph.nodes.len() {
                    this.forward(&mut lane, node, 0, Mode::Inference);
                }
                out.extend_from_slice(&lane.values[this.graph.output()]);
            }
            *parts[l].lock().unwrap_or_else(PoisonError::into_inner) = out;
        });
        let mut logits = Vec::with_capacity(n * width);
        for part in parts {
            logits.extend(part.into_inner().unwrap_or_else(PoisonError::into_inner));
        }
        logits
    }

    /// Sum and weighted sum over the lanes' shares, phase by phase.
    fn synchronised_step(&mut self, batch: &Batch<'_>, lanes: usize, norm: f64, mode: Mode, workers: &dyn Workers) {
        // Every stretch between two sums over the lanes is one round of the threads.
        let nodes = self.graph.nodes.len();
        let forward: Vec<(usize, usize)> = (1..nodes)
            .flat_map(|node| (0..=ops::sums(&self.graph.nodes[node].op)).map(move |phase| (node, phase)))
            .collect();
        let backward: Vec<(usize, usize)> = (1..nodes)
            .rev()
            .flat_map(|node| (0..=ops::sums(&self.graph.nodes[node].op)).map(move |phase| (node, phase)))
            .collect();
        let ends_round = |&(node, phase): &(usize, usize)| phase < ops::sums(&self.graph.nodes[node].op);
        let rounds = |steps: &[(usize, usize)]| -> Vec<Vec<(usize, usize)>> {
            let mut all = vec![Vec::new()];
            for step in steps {
                let last = all.len() - 1;
                all[last].push(*step);
                if ends_round(step) {
                    all.push(Vec::new());
                }
            }
            all
        };
        let (forward, backward) = (rounds(&forward), rounds(&backward));
        for (i, round) in forward.iter().enumerate() {
            let this = &*self;
            workers.for_each(lanes, &|l| {
                let mut lane = lock(&this.lanes[l]);
                if i == 0 {
                    lane.load(&this.graph, batch, share(batch.indices.len(), lanes, l), true);
                }
                for &(node, phase) in round {
                    this.forward(&mut lane, node, phase, mode);
                }
                if i + 1 == forward.len() {
                    this.loss(&mut lane, batch, share(batch.indices.len(), lanes, l), norm);
                }
            });
            if i + 1 < forward.len() {
                let (node, phase) = round[round.len() - 1];
                let sums = self.sum_partials(lanes);
                self.finish_forward(node, phase, &sums);
            }
        }
        if batch.decorrelate.is_some() || batch.significance.is_some() {
            self.loss_of_scores(batch, lanes);
        }
        for (i, round) in backward.iter().enumerate() {
            let this = &*self;
            workers.for_each(lanes, &|l| {
                let mut lane = lock(&this.lanes[l]);
                for &(node, phase) in round {
                    this.backward(&mut lane, node, phase, mode);
                }
            });
            if i + 1 < backward.len() {
                let (node, phase) = round[round.len() - 1];
                let sums = self.sum_partials(lanes);
                self.finish_backward(node, phase, &sums);
            }
        }
    }

    fn forward(&self, lane: &mut Lane<T>, node: usize, phase: usize, mode: Mode) {
        ops::forward(&mut self.cell(lane, node, mode), phase);
    }

    fn backward(&self, lane: &mut Lane<T>, node: usize, phase: usize, mode: Mode) {
        if self.needs_gradient[node] {
            ops::backward(&mut self.cell(lane, node, mode), phase);
        }
    }

    fn cell<'a>(&'a self, lane: &'a mut Lane<T>, node: usize, mode: Mode) -> Cell<'a, T> {
        lane.select(self.graph.nodes[node].collection);
        Cell {
            graph: &self.graph,
            id: node,
            parameters: &self.parameters,
            norms: &self.norms[node],
            needs_gradient: &self.needs_gradient,
            mode,
            lane,
        }
    }

    fn loss(&self, lane: &mut Lane<T>, batch: &Batch<'_>, events: std::ops::Range<usize>, norm: f64) {
        let output = self.graph.output();
        let width = self.graph.nodes[output].width;
        let (mut grad, _) = lane.take_grad(output, lane.values[output].len());
        let events = (&batch.indices[events], batch.weights);
        lane.loss += batch.target.loss(&lane.values[output], width, events, norm, &mut grad);
        lane.give_grad(output, grad);
    }

    /// What depends on the scores of class 1 of the whole batch: puts 1/Z in place of the loss of each event, adds λ·dCor², and
    /// does the same with the gradient of the logits.
    fn loss_of_scores(&self, batch: &Batch<'_>, lanes: usize) {
        let Target::Classes(labels) = batch.target else { return };
        let output = self.graph.output();
        let width = self.graph.nodes[output].width;
        let mut probabilities = Vec::new();
        for lane in &self.lanes[..lanes] {
            lock(lane).values[output].chunks_exact(width).for_each(|row| probabilities.push(loss::shares(row)));
        }
        let scores: Vec<f64> = probabilities.iter().map(|p| p[1]).collect();
        let (mut value, mut slopes) = (0.0, vec![0.0; scores.len()]);
        if let Some(significance) = batch.significance {
            let signal: Vec<bool> = batch.indices.iter().map(|&i| labels[i] == 1).collect();
            let weights: Vec<f64> = batch.indices.iter().map(|&i| batch.weights[i]).collect();
            (value, slopes) = significance.loss(&scores, &signal, &weights);
        }
        if let Some((decorrelate, variable)) = batch.decorrelate {
            let is_of = |i: &usize| labels[batch.indices[*i]] == decorrelate.class;
            let chosen: Vec<usize> = (0..scores.len()).filter(is_of).collect();
            let of = |f: &dyn Fn(usize) -> f64| chosen.iter().map(|&i| f(i)).collect::<Vec<f64>>();
            let (s, m) = (of(&|i| scores[i]), of(&|i| variable[batch.indices[i]]));
            let (penalty, gradient) = distance_correlation(&s, &m, &of(&|i| batch.weights[batch.indices[i]]));
            value += decorrelate.strength * penalty;
            chosen.iter().zip(gradient).for_each(|(&i, g)| slopes[i] += decorrelate.strength * g);
        }
        let mut first = 0;
        for (l, lane) in self.lanes[..lanes].iter().enumerate() {
            let mut lane = lock(lane);
            let events = lane.events;
            let kept = if batch.significance.is_some() { 0.0 } else { 1.0 };
            lane.loss = kept * lane.loss + if l == 0 { value } else { 0.0 };
            for event in 0..events {
                let (p, slope) = (&probabilities[first + event], slopes[first + event]);
                for (c, g) in lane.grads[output][event * width..][..width].iter_mut().enumerate() {
                    // A single logit is that of class 1.
                    let own = if width == 1 { 1 } else { c };
                    let by_logit = p[1] * (f64::from(u8::from(own == 1)) - p[own]);
                    *g = T::of(kept * g.f64() + slope * by_logit);
                }
            }
            first += events;
        }
    }

    fn sum_partials(&self, lanes: usize) -> Vec<f64> {
        let mut sums = lock(&self.lanes[0]).partial.clone();
        for lane in &self.lanes[1..lanes] {
            sums.iter_mut().zip(&lock(lane).partial).for_each(|(s, &p)| *s += p);
        }
        sums
    }

    /// Turns [Σx, Σx², n] into the mean and width of a channel, and moves the running averages by a tenth.
    fn finish_forward(&mut self, node: usize, layer: usize, sums: &[f64]) {
        let channels = (sums.len() - 1) / 2;
        let n = sums[2 * channels].max(1.0);
        let norm = &mut self.norms[node][layer];
        let buffers = &self.graph.nodes[node].buffers;
        let running_mean = self.graph.buffers[buffers[2 * layer]].start;
        let running_variance = self.graph.buffers[buffers[2 * layer + 1]].start;
        norm.mean.clear();
        norm.inverse.clear();
        for c in 0..channels {
            let mean = sums[c] / n;
            let variance = (sums[channels + c] / n - mean * mean).max(0.0);
            norm.mean.push(T::of(mean));
            norm.inverse.push(T::of(1.0 / (variance + ops::EPSILON).sqrt()));
            let mut follow = |at: usize, new: f64| {
                self.buffers[at] = T::of(0.9 * self.buffers[at].f64() + 0.1 * new);
            };
            follow(running_mean + c, mean);
            follow(running_variance + c, variance * n / (n - 1.0).max(1.0));
        }
    }

    /// Turns [Σg, Σg·x̂, n] into means.
    fn finish_backward(&mut self, node: usize, phase: usize, sums: &[f64]) {
        let layers = self.norms[node].len();
        let norm = &mut self.norms[node][layers - 1 - phase];
        let channels = (sums.len() - 1) / 2;
        let n = sums[2 * channels].max(1.0);
        let means = |sums: &[f64]| sums.iter().map(|s| T::of(s / n)).collect();
        norm.gradient = means(&sums[..channels]);
        norm.gradient_dot = means(&sums[channels..2 * channels]);
    }

    fn set_running_norms(&mut self) {
        for (node, norms) in self.graph.nodes.iter().zip(&mut self.norms) {
            for (layer, norm) in norms.iter_mut().enumerate() {
                norm.mean = self.buffers[self.graph.buffers[node.buffers[2 * layer]].range()].to_vec();
                norm.inverse = self.buffers[self.graph.buffers[node.buffers[2 * layer + 1]].range()]
                    .iter()
                    .map(|&v| T::of(1.0 / (v.f64() + ops::EPSILON).sqrt()))
                    .collect();
            }
        }
    }

    /// Adds the lanes' gradients in a tree: 0+1, 2+3, …, then 0+2, …; each thread takes a stretch of the parameters.
    fn sum_gradients(&mut self, lanes: usize, workers: &dyn Workers) {
        const STRETCH: usize = 1 << 14;
        let mut parts: Vec<MutexGuard<'_, Lane<T>>> = self.lanes[..lanes].iter().map(lock).collect();
        let mut columns: Vec<Mutex<Vec<&mut [T]>>> = Vec::new();
        columns.resize_with(self.parameters.len().div_ceil(STRETCH), Mutex::default);
        for lane in &mut parts {
            for (i, piece) in lane.gradient.chunks_mut(STRETCH).enumerate() {
                columns[i].get_mut().unwrap_or_else(PoisonError::into_inner).push(piece);
            }
        }
        workers.for_each(columns.len(), &|i| {
            let mut column = columns[i].lock().unwrap_or_else(PoisonError::into_inner);
            let mut distance = 1;
            while distance < column.len() {
                for at in (0..column.len() - distance).step_by(2 * distance) {
                    let (left, right) = column.split_at_mut(at + distance);
                    add(left[at], right[0]);
                }
                distance *= 2;
            }
        });
        drop(columns);
        self.gradient.copy_from_slice(&parts[0].gradient);
    }

    /// Lanes with at least sixteen events each where there is one row per event, since products over few rows are slow.
    fn lane_count(&self, events: usize) -> usize {
        let light = self.graph.inputs().iter().all(|&(rows, _)| rows == Rows::Event)
            && !self.graph.nodes.iter().any(|n| matches!(n.op, Op::Conv { .. }));
        let least = if light { 64 } else { 1 };
        let mut lanes = LANES;
        while lanes > 2 && events / lanes < least {
            lanes /= 2;
        }
        lanes.min(events.max(1))
    }

    /// Events that a lane takes at a time.
    fn piece(&self, batch: &Batch<'_>) -> usize {
        let events = batch.indices.len().max(1);
        let counts = |c: usize| {
            let fixed = if c == 0 { self.graph.fixed.len() } else { 0 };
            batch.indices.iter().map(move |&i| fixed + batch.features.collection(c).rows(i).len())
        };
        let particles: Vec<usize> = (0..self.graph.inputs().len()).map(|c| counts(c).sum()).collect();
        let edges: usize = self.graph.edges.map_or(0, |edges| counts(0).map(|n| edges.count(n)).sum());
        let per_event: usize = self
            .graph
            .nodes
            .iter()
            .map(|node| {
                let width = node.width + ops::memory(&node.op);
                let particles = particles[node.collection];
                match node.rows {
                    Rows::Event => width,
                    Rows::Particle => width * particles / events,
                    Rows::Edge => width * edges / events,
                    Rows::Near { k } => width * edges.min(particles.saturating_mul(k)) / events,
                    Rows::Joint => width * (particles + events) / events,
                }
            })
            .sum();
        // Recursive networks take a step of all events at once.
        let recursive = self.graph.nodes.iter().any(|n| matches!(n.op, Op::Lstm { .. } | Op::Tree));
        let least = if recursive { 32 } else { 4 };
        let heavy = self.graph.edges.is_some() || self.graph.nodes.iter().any(|n| matches!(n.op, Op::Conv { .. }));
        let least = if heavy { 1 } else { least };
        (PIECE_BYTES / (2 * size_of::<T>() * per_event.max(1))).clamp(least, 256)
    }
}

/// The events of lane `lane` of `lanes`.
fn share(events: usize, lanes: usize, lane: usize) -> std::ops::Range<usize> {
    events * lane / lanes..events * (lane + 1) / lanes
}
