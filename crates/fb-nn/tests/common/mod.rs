//! Random events, and gradients against finite differences.

use fb_core::run::Alone;
use fb_core::{Features, Partition, Philox};
use fb_nn::graph::Graph;
use fb_nn::{Activation, Batch, Decorrelate, Executor, Mode, Real, Rows, Significance, Target};

pub const TRAINING: Mode = Mode::Training { seed: 5, step: 3 };

/// Random events: with 0, 1, 2, … particles for clouds.
pub fn features(rows: Rows, width: usize, events: usize) -> Features {
    let mut random = Philox::new(11, width as u64, events as u64);
    let offsets: Vec<usize> = (0..=events).map(|e| (0..e).map(|i| [4, 1, 7, 0, 2, 5][i % 6]).sum()).collect();
    let count = if rows == Rows::Event { events } else { offsets[events] };
    let values = (0..count * width).map(|_| random.normal() as f32).collect();
    Features { width, values, offsets: (rows == Rows::Particle).then_some(offsets), others: Vec::new() }
}

pub struct Problem {
    pub features: Features,
    pub labels: Vec<u32>,
    /// The groups of the particles of each event, for networks with a logit per pair.
    pub partition: Partition,
    pub weights: Vec<f64>,
    pub identity: Vec<u64>,
    pub indices: Vec<usize>,
    /// What the score shall not tell, with the variable of each event.
    pub decorrelate: Option<(Decorrelate, Vec<f64>)>,
    /// What stands in place of the cross entropy.
    pub significance: Option<Significance>,
}

impl Problem {
    pub fn new(graph: &Graph, events: usize) -> Self {
        let mut each: Vec<Features> =
            graph.inputs().into_iter().map(|(rows, width)| features(rows, width, events)).collect();
        // Collections of different lengths.
        for (shift, features) in each.iter_mut().enumerate() {
            let (width, Some(offsets)) = (features.width, &mut features.offsets) else { continue };
            offsets.iter_mut().skip(1).for_each(|o| *o += shift);
            features.values.resize((offsets[events]) * width, 0.3);
        }
        let others = each.split_off(1);
        let features = Features { others, ..each.remove(0) };
        let classes = graph.classes() as u32;
        let mut partition = Partition::default();
        for i in 0..events {
            partition.push((0..features.rows(i).len()).map(|j| [0, 1, 0, 2, 1][(i + j) % 5]));
        }
        Self {
            features,
            labels: (0..events as u32).map(|i| i % classes).collect(),
            partition,
            weights: (0..events).map(|i| [1.0, 0.5, -0.25, 2.0][i % 4]).collect(),
            identity: (0..events as u64).collect(),
            indices: (0..events).rev().collect(),
            decorrelate: None,
            significance: None,
        }
    }

    pub fn loss<T: Real>(&self, executor: &mut Executor<T>) -> f64 {
        let of_pairs = executor.graph().is_of_pairs();
        let batch = Batch {
            features: &self.features,
            target: if of_pairs { Target::Partition(&self.partition) } else { Target::Classes(&self.labels) },
            weights: &self.weights,
            identity: &self.identity,
            indices: &self.indices,
            decorrelate: self.decorrelate.as_ref().map(|(what, variable)| (what, &variable[..])),
            significance: self.significance.as_ref(),
        };
        executor.step(&batch, 7.0, TRAINING, &Alone)
    }
}

/// Parameters moved away from their start, so that biases and norms are tested off zero and one.
pub fn executor(graph: &Graph) -> Executor<f64> {
    let mut executor = Executor::fresh(graph.clone(), 3);
    let mut random = Philox::new(4, 0, 0);
    executor.parameters.iter_mut().for_each(|p| *p += 0.1 * random.normal());
    executor
}

pub fn check(graph: &Graph, events: usize) {
    check_with(graph, events, |_| true);
}

/// The same for the parameters of these names; others stay as they start.
pub fn check_with(graph: &Graph, events: usize, tested: impl Fn(&str) -> bool) {
    check_on(graph, &Problem::new(graph, events), tested);
}

/// The same on these events.
pub fn check_on(graph: &Graph, problem: &Problem, tested: impl Fn(&str) -> bool) {
    graph.check().unwrap();
    let mut double = executor(graph);
    for block in graph.parameters.iter().filter(|block| !tested(&block.name)) {
        let (start, _) = graph.initial(3);
        double.parameters[block.range()].copy_from_slice(&start[block.range()]);
    }
    problem.loss(&mut double);
    let gradient = double.gradient.clone();
    let length = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
    assert!(length > 1e-6, "the gradient vanishes: nothing is tested");
    let n = gradient.len();
    // All parameters of small networks, some of each block of large ones.
    let mut worst = (0.0f64, String::new());
    for block in graph.parameters.iter().filter(|block| tested(&block.name)) {
        for i in block.range().step_by((block.len() / 12).max(1)) {
            let h = 1e-6;
            let start = double.parameters[i];
            double.parameters[i] = start + h;
            let up = problem.loss(&mut double);
            double.parameters[i] = start - h;
            let down = problem.loss(&mut double);
            double.parameters[i] = start;
            let numeric = (up - down) / (2.0 * h);
            // Relative to the largest entries of the gradient where this one is small.
            let scale = numeric.abs().max(length / (n as f64).sqrt());
            let error = (numeric - gradient[i]).abs() / scale;
            if error > worst.0 {
                worst = (error, format!("{}[{}]: {} and {numeric}", block.name, i - block.start, gradient[i]));
            }
        }
    }
    assert!(worst.0 < 1e-6, "relative error {} at {}", worst.0, worst.1);
    let parameters = double.parameters.iter().map(|&p| p as f32).collect();
    let buffers = double.buffers.iter().map(|&p| p as f32).collect();
    let mut single = Executor::<f32>::new(graph.clone(), parameters, buffers);
    problem.loss(&mut single);
    let difference: f64 =
        single.gradient.iter().zip(&gradient).map(|(&s, d)| (f64::from(s) - d).powi(2)).sum::<f64>().sqrt();
    assert!(difference < 1e-3 * length, "f32 differs from f64 by {} of the gradient", difference / length);
}

pub fn head(graph: &mut Graph, x: usize) {
    graph.linear(x, 3, Activation::Identity);
}
