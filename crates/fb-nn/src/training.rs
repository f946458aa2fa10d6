//! The one training loop, and the model that comes out of it.
//!
//! Shuffles and dropout follow from (seed, epoch, event), so a training that was stopped anywhere goes on from its last
//! checkpoint to the same bits.

use fb_core::{Artifact, Error, Features, Philox, Progress, Result, Run, Tensor, Workers, philox};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::decorrelation::Decorrelate;
use crate::executor::{Batch, Executor, Mode};
use crate::graph::{Activation, Graph, Op};
use crate::loss::probabilities;
use crate::optimiser::{Optimiser, Rule};
use crate::schedule::Schedule;
use crate::significance::Significance;
use crate::target::Target;

/// Options of a training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Train {
    /// Passes over the training events.
    pub epochs: usize,
    /// Events per step.
    pub batch: usize,
    /// Largest learning rate.
    pub lr: f64,
    /// Rule of the step: `sgd`, `adam` or `adamw`.
    pub optimiser: Rule,
    /// Weight decay.
    pub weight_decay: f64,
    /// How the learning rate moves: `constant`, `cosine`, `one_cycle`, `exponential`, `step` or `plateau`.
    pub schedule: Schedule,
    /// Gradients longer than this are shortened to it.
    pub clip: Option<f64>,
    /// Stop after this many epochs without a lower validation loss, and take the best epoch's weights.
    pub patience: Option<usize>,
    /// Average of the weights over the steps, w̄ = a·w̄ + (1 − a)·w; the average is the result.
    pub average: Option<f64>,
    /// What the score shall not tell: a penalty on its distance correlation with a variable. Batches of a thousand events
    /// and more estimate it well.
    #[serde(default)]
    pub decorrelate: Option<Decorrelate>,
    /// The counting experiment whose expected significance is to be large, in place of the cross entropy; for two classes.
    /// The validation loss stays the cross entropy.
    #[serde(default)]
    pub significance: Option<Significance>,
}

impl Default for Train {
    fn default() -> Self {
        Self {
            epochs: 20,
            batch: 256,
            lr: 1e-3,
            optimiser: Rule::Adam,
            weight_decay: 0.0,
            schedule: Schedule::Constant,
            clip: None,
            patience: None,
            average: None,
            decorrelate: None,
            significance: None,
        }
    }
}

impl Train {
    /// Refuses values that cannot work.
    ///
    /// # Errors
    /// [`Error::Config`] naming the option.
    pub fn check(&self) -> Result<()> {
        let bad = |key: &str, reason: String| Err(Error::Config { place: format!("`train.{key}`"), reason });
        if self.epochs == 0 {
            return bad("epochs", "found 0, expected at least 1".to_owned());
        }
        if self.batch == 0 {
            return bad("batch", "found 0, expected at least 1".to_owned());
        }
        if !(self.lr > 0.0 && self.lr.is_finite()) {
            return bad("lr", format!("found {}, expected a positive number", self.lr));
        }
        if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) {
            return bad("weight_decay", format!("found {}, expected zero or a positive number", self.weight_decay));
        }
        if self.clip.is_some_and(|c| c.is_nan() || c <= 0.0) {
            return bad("clip", format!("found {:?}, expected a positive number", self.clip));
        }
        if self.decorrelate.as_ref().is_some_and(|d| !(d.strength >= 0.0 && d.strength.is_finite())) {
            return bad("decorrelate.strength", "expected zero or a positive number".to_owned());
        }
        if let Some(significance) = &self.significance {
            significance.check()?;
        }
        if self.average.is_some_and(|a| !(0.0..1.0).contains(&a)) {
            return bad("average", format!("found {:?}, expected a number from 0 to below 1", self.average));
        }
        Ok(())
    }
}

/// The events of a training or validation part.
#[derive(Debug, Clone, Copy)]
pub struct Set<'a> {
    /// What the network sees.
    pub features: &'a Features,
    /// What the network is to say of each event.
    pub target: Target<'a>,
    /// Signed weight of each event.
    pub weights: &'a [f64],
    /// Identity of each event.
    pub identity: &'a [u64],
    /// The variable of [`Train::decorrelate`] of each event.
    pub variable: Option<&'a [f64]>,
}

impl Set<'_> {
    /// Number of events.
    pub fn len(&self) -> usize {
        self.target.len()
    }

    /// Whether there are no events.
    pub fn is_empty(&self) -> bool {
        self.target.is_empty()
    }
}

/// A trained network.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Its network.
    pub graph: Graph,
    /// Its trained numbers.
    pub parameters: Vec<f32>,
    /// Its running averages.
    pub buffers: Vec<f32>,
}

impl Model {
    /// The output row by row: logits of events, or of their pairs of particles.
    pub fn outputs(&self, features: &Features, workers: &dyn Workers) -> Vec<f32> {
        Executor::new(self.graph.clone(), self.parameters.clone(), self.buffers.clone()).logits(features, workers)
    }

    /// Probabilities [event, class].
    pub fn probabilities(&self, features: &Features, workers: &dyn Workers) -> Vec<f32> {
        probabilities(&self.outputs(features, workers), self.graph.nodes[self.graph.output()].width)
    }

    /// Predictions [event, target] of a network of numbers, and where it says them their standard deviations.
    pub fn predictions(&self, features: &Features, workers: &dyn Workers) -> (Vec<f32>, Option<Vec<f32>>) {
        let (all, width) = (self.outputs(features, workers), self.graph.nodes[self.graph.output()].width);
        let targets = self.graph.classes();
        if width == targets {
            return (all, None);
        }
        let (values, logs): (Vec<&[f32]>, Vec<&[f32]>) =
            all.chunks_exact(width).map(|row| row.split_at(targets)).unzip();
        (values.concat(), Some(logs.concat().iter().map(|s| (0.5 * s).exp()).collect()))
    }

    /// Makes every output o of a network of standardised numbers μ + σ·o, and so the logarithms of variances.
    ///
    /// # Errors
    /// [`Error::Config`] if its last operation is not a linear layer.
    pub fn in_units(&mut self, means: &[f64], sigma: &[f64]) -> Result<()> {
        let last = &self.graph.nodes[self.graph.output()];
        if last.op != (Op::Linear { bias: true, activation: Activation::Identity }) {
            let reason = "a network that predicts numbers ends in a linear layer with a bias".to_owned();
            return Err(Error::Config { place: "the network".to_owned(), reason });
        }
        let n = sigma.len();
        let [weight, bias] = [0, 1].map(|i| self.graph.parameters[last.parameters[i]].range());
        for k in 0..last.width {
            let (factor, shift) = if k < n { (sigma[k], means[k]) } else { (1.0, 2.0 * sigma[k - n].ln()) };
            let scaled = |x: f32, shift: f64| (f64::from(x) * factor + shift) as f32;
            for at in weight.clone().skip(k).step_by(last.width) {
                self.parameters[at] = scaled(self.parameters[at], 0.0);
            }
            self.parameters[bias.start + k] = scaled(self.parameters[bias.start + k], shift);
        }
        Ok(())
    }

    /// Its numbers as named tensors.
    pub fn tensors(&self) -> Vec<Tensor> {
        let blocks = self.graph.parameters.iter().map(|p| (p, &self.parameters));
        let buffers = self.graph.buffers.iter().map(|p| (p, &self.buffers));
        blocks
            .chain(buffers)
            .map(|(p, all)| Tensor { name: p.name.clone(), shape: p.shape.clone(), values: all[p.range()].to_vec() })
            .collect()
    }

    /// A network with the numbers of an artifact.
    ///
    /// # Errors
    /// [`Error::Artifact`] if the network is not well formed, or a tensor is missing or has another shape.
    pub fn from_tensors(graph: Graph, artifact: &Artifact) -> Result<Self> {
        graph.check()?;
        let read = |blocks: &[crate::Parameter]| -> Result<Vec<f32>> {
            let mut all = Vec::new();
            for p in blocks {
                let tensor = artifact.tensor(&p.name)?;
                if tensor.shape != p.shape || tensor.values.len() != p.len() {
                    let (name, found, expected) = (&p.name, &tensor.shape, &p.shape);
                    let reason = format!("tensor `{name}` has the shape {found:?}, expected {expected:?}");
                    return Err(Error::Artifact { reason });
                }
                all.extend_from_slice(&tensor.values);
            }
            Ok(all)
        };
        Ok(Self { parameters: read(&graph.parameters)?, buffers: read(&graph.buffers)?, graph })
    }
}

/// What a training carries from step to step: all that a checkpoint holds.
struct State {
    executor: Executor<f32>,
    optimiser: Optimiser<f32>,
    average: Vec<f32>,
    best: Option<(Vec<f32>, Vec<f32>)>,
    counts: Counts,
}

/// The numbers of a checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Counts {
    /// Of the options, the network and the events: a checkpoint goes on with its own training only.
    fingerprint: String,
    /// Epochs done.
    epoch: usize,
    /// Steps done in the current epoch.
    step: usize,
    /// Sum of the losses of these steps.
    loss: f64,
    events: usize,
    best_loss: Option<f64>,
    epochs_since_best: usize,
    halvings: i32,
    progress: Vec<Progress>,
}

/// Trains a network.
///
/// # Errors
/// [`Error::Diverged`] if the loss is not finite, [`Error::Stopped`] after a signal (with a checkpoint stored),
/// [`Error::Config`] for options that cannot work.
pub fn train(graph: Graph, config: &Train, train: Set<'_>, validation: Set<'_>, run: &mut Run<'_>) -> Result<Model> {
    config.check()?;
    graph.check()?;
    for set in [&train, &validation] {
        set.target.check(&graph, set.features)?;
        if config.decorrelate.is_some() && !matches!(set.target, Target::Classes(_)) {
            let reason = "it is for scores of classes, found another task".to_owned();
            return Err(Error::Config { place: "`train.decorrelate`".to_owned(), reason });
        }
        if config.significance.is_some() && !(matches!(set.target, Target::Classes(_)) && graph.classes() == 2) {
            let reason = "it is for signal and background, found another task or other classes".to_owned();
            return Err(Error::Config { place: "`train.significance`".to_owned(), reason });
        }
    }
    let total: f64 = train.weights.iter().sum();
    if train.is_empty() || total.is_nan() || total <= 0.0 {
        let hint = format!("{} events with a sum of weights of {total}", train.len());
        return Err(Error::Empty { what: "the training part".to_owned(), hint });
    }
    if config.patience.is_some() || config.schedule == Schedule::Plateau {
        let total: f64 = validation.weights.iter().sum();
        if total.is_nan() || total <= 0.0 {
            let hint =
                "`train.patience` and the schedule `plateau` follow its loss; set another or leave events for it";
            return Err(Error::Empty { what: "the validation part".to_owned(), hint: hint.to_owned() });
        }
    }
    let mut state = State::fresh(graph, config, train, run.seed);
    if let Some(bytes) = run.store.load()? {
        state.restore(&bytes)?;
        state.counts.progress.iter().for_each(|p| (run.report)(p));
    }
    // Batches of nearly equal size: a small last one would have poor statistics.
    let batches = ((train.len() as f64 / config.batch as f64).round() as usize).max(1);
    let mean_weight = total / train.len() as f64;
    while state.counts.epoch < config.epochs && !state.is_finished(config) {
        let epoch = state.counts.epoch;
        let order = Philox::new(run.seed, u64::from(u32::MAX) + 1, epoch as u64).permutation(train.len());
        while state.counts.step < batches {
            let b = state.counts.step;
            let indices = &order[train.len() * b / batches..train.len() * (b + 1) / batches];
            let batch = Batch {
                features: train.features,
                target: train.target.at((epoch * batches + b) as f64 / (config.epochs * batches) as f64),
                weights: train.weights,
                identity: train.identity,
                indices,
                decorrelate: config.decorrelate.as_ref().zip(train.variable),
                significance: config.significance.as_ref().filter(|s| epoch as f64 >= s.after * config.epochs as f64),
            };
            let step = epoch * batches + b;
            let mode = Mode::Training { seed: run.seed, step: step as u64 };
            let loss = state.executor.step(&batch, mean_weight * indices.len() as f64, mode, run.workers);
            if !loss.is_finite() {
                return Err(Error::Diverged { epoch: epoch + 1, step: b + 1, loss });
            }
            let lr = config.lr * config.schedule.factor(step, config.epochs * batches, state.counts.halvings);
            state.update(config, lr, step as u64 + 1);
            state.counts.loss += loss;
            state.counts.events += indices.len();
            state.counts.step += 1;
            (run.tick)(epoch + 1, state.counts.step as f64 / batches as f64);
            let stop = (run.stop)();
            if stop || run.store.is_due() {
                run.store.save(&state.checkpoint()?)?;
            }
            if stop {
                return Err(Error::Stopped { epoch: epoch + 1 });
            }
        }
        let watched = state.validate(config, validation, run.workers);
        let progress = Progress {
            epoch: epoch + 1,
            epochs: config.epochs,
            loss: state.counts.loss / batches as f64,
            validation_loss: watched.map(|(loss, _)| loss),
            validation_accuracy: watched.and_then(|(_, accuracy)| accuracy),
            lr: config.lr
                * config.schedule.factor((epoch + 1) * batches - 1, config.epochs * batches, state.counts.halvings),
            events: state.counts.events,
        };
        state.end_epoch(config, progress);
        if let Some(progress) = state.counts.progress.last() {
            (run.report)(progress);
        }
        run.store.save(&state.checkpoint()?)?;
    }
    Ok(state.finish(config))
}

impl State {
    fn fresh(graph: Graph, config: &Train, train: Set<'_>, seed: u64) -> Self {
        let data = train.identity.iter().fold(0, |h, &id| philox::hash(h, id));
        let whole = json!([config, graph, seed, train.features.width, data]).to_string();
        let counts = Counts {
            fingerprint: format!("{:016x}", philox::hash_text(&whole)),
            epoch: 0,
            step: 0,
            loss: 0.0,
            events: 0,
            best_loss: None,
            epochs_since_best: 0,
            halvings: 0,
            progress: Vec::new(),
        };
        let executor = Executor::fresh(graph, seed);
        let optimiser = Optimiser::new(config.optimiser, config.weight_decay, executor.parameters.len());
        let average = if config.average.is_some() { executor.parameters.clone() } else { Vec::new() };
        Self { executor, optimiser, average, best: None, counts }
    }

    fn update(&mut self, config: &Train, lr: f64, step: u64) {
        if let Some(clip) = config.clip {
            let norm = self.executor.gradient.iter().map(|&g| f64::from(g) * f64::from(g)).sum::<f64>().sqrt();
            if norm > clip {
                let factor = (clip / norm) as f32;
                self.executor.gradient.iter_mut().for_each(|g| *g *= factor);
            }
        }
        self.optimiser.step(&mut self.executor.parameters, &self.executor.gradient, lr, step);
        if let Some(a) = config.average {
            // Early on the average runs over the steps there have been, so that the start is forgotten.
            let a = a.min(step as f64 / (step as f64 + 9.0)) as f32;
            for (average, &p) in self.average.iter_mut().zip(&self.executor.parameters) {
                *average = a * *average + (1.0 - a) * p;
            }
        }
    }

    /// The weights that predictions use now.
    fn weights(&self) -> &[f32] {
        if self.average.is_empty() { &self.executor.parameters } else { &self.average }
    }

    /// Mean weighted loss and accuracy of the validation part, if there is one.
    fn validate(&mut self, config: &Train, set: Set<'_>, workers: &dyn Workers) -> Option<(f64, Option<f64>)> {
        let total: f64 = set.weights.iter().sum();
        if set.is_empty() || total <= 0.0 {
            return None;
        }
        if config.average.is_some() {
            std::mem::swap(&mut self.average, &mut self.executor.parameters);
        }
        let logits = self.executor.logits(set.features, workers);
        if config.average.is_some() {
            std::mem::swap(&mut self.average, &mut self.executor.parameters);
        }
        let graph = self.executor.graph();
        // What is compared between epochs is the loss as it ends.
        Some(set.target.at(1.0).watched(&logits, graph.nodes[graph.output()].width, set.weights))
    }

    fn end_epoch(&mut self, config: &Train, progress: Progress) {
        let counts = &mut self.counts;
        // Without a validation part there is no better or worse, and neither `patience` nor `plateau`.
        let better = progress.validation_loss.is_some_and(|loss| counts.best_loss.is_none_or(|best| loss < best));
        counts.epochs_since_best = if better { 0 } else { counts.epochs_since_best + 1 };
        if better {
            counts.best_loss = progress.validation_loss;
        }
        if config.schedule == Schedule::Plateau
            && counts.epochs_since_best > 0
            && counts.epochs_since_best.is_multiple_of(3)
        {
            counts.halvings += 1;
        }
        counts.epoch += 1;
        counts.step = 0;
        counts.loss = 0.0;
        counts.progress.push(progress);
        if better && config.patience.is_some() {
            self.best = Some((self.weights().to_vec(), self.executor.buffers.clone()));
        }
    }

    fn is_finished(&self, config: &Train) -> bool {
        config.patience.is_some_and(|patience| self.counts.epochs_since_best >= patience.max(1))
    }

    fn finish(self, config: &Train) -> Model {
        let weights = self.weights().to_vec();
        let (parameters, buffers) = match self.best {
            Some(best) if config.patience.is_some() => best,
            _ => (weights, self.executor.buffers.clone()),
        };
        Model { graph: self.executor.graph().clone(), parameters, buffers }
    }

    fn checkpoint(&self) -> Result<Vec<u8>> {
        let (best_parameters, best_buffers) = self.best.clone().unwrap_or_default();
        let blocks = [
            ("parameters", &self.executor.parameters),
            ("buffers", &self.executor.buffers),
            ("first", &self.optimiser.first),
            ("second", &self.optimiser.second),
            ("average", &self.average),
            ("best_parameters", &best_parameters),
            ("best_buffers", &best_buffers),
        ];
        let tensor = |(name, values): (&str, &Vec<f32>)| Tensor {
            name: name.to_owned(),
            shape: vec![values.len()],
            values: values.clone(),
        };
        let header = serde_json::to_value(&self.counts).map_err(|e| Error::Checkpoint { reason: e.to_string() })?;
        Artifact { header, tensors: blocks.map(tensor).to_vec(), doubles: Vec::new() }.to_bytes()
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<()> {
        let fail = |reason: String| Error::Checkpoint { reason };
        let stored = Artifact::from_bytes(bytes)?;
        let counts: Counts = serde_json::from_value(stored.header.clone()).map_err(|e| fail(e.to_string()))?;
        if counts.fingerprint != self.counts.fingerprint {
            let reason = "it belongs to another training (other options, network, seed or events)".to_owned();
            return Err(fail(reason));
        }
        let restore = |name: &str, into: &mut Vec<f32>| -> Result<()> {
            let values = &stored.tensor(name)?.values;
            if values.len() != into.len() {
                return Err(fail(format!("`{name}` has {} entries, expected {}", values.len(), into.len())));
            }
            into.copy_from_slice(values);
            Ok(())
        };
        restore("parameters", &mut self.executor.parameters)?;
        restore("buffers", &mut self.executor.buffers)?;
        restore("first", &mut self.optimiser.first)?;
        restore("second", &mut self.optimiser.second)?;
        restore("average", &mut self.average)?;
        let best = ["best_parameters", "best_buffers"].map(|name| stored.tensor(name).map(|t| t.values.clone()));
        let [best_parameters, best_buffers] = best;
        let (best_parameters, best_buffers) = (best_parameters?, best_buffers?);
        self.best = (!best_parameters.is_empty()).then_some((best_parameters, best_buffers));
        self.counts = counts;
        Ok(())
    }
}
