//! Gradient boosting: trees that are grown one after the other on the gradients of what came before.

use fb_core::philox::hash_text;
use fb_core::{Artifact, Error, Progress, Result, Run, Workers};
use serde_json::json;

use crate::bins::{BINS, Binned, LANES};
use crate::forest::{Forest, Link, Test, Tree};
use crate::grow::{Grower, Grown, Sampling, Shape, add_leaves};
use crate::histogram::Pair;
use crate::loss::{Objective, Targets, quantile};
use crate::ordered::Ordered;
use crate::parallel::{map, pieces};
use crate::split::Rules;

/// Options of boosting; the defaults are those of XGBoost (arXiv:1603.02754), except that there are 255 bins.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Rounds; in each, one tree for every output.
    pub trees: usize,
    /// How trees grow.
    pub shape: Shape,
    /// Factor on leaf values.
    pub learning_rate: f64,
    /// λ.
    pub l2: f64,
    /// α.
    pub l1: f64,
    /// γ: least gain of a split.
    pub min_gain: f64,
    /// Least sum of hessians of a leaf.
    pub min_child_weight: f64,
    /// Share of the events that a tree sees.
    pub subsample: f64,
    /// Share of the features that a tree, a level and a node see.
    pub features: [f64; 3],
    /// For each feature 1, 0 or −1: scores rise with it, do what they like, or fall. Empty: all zero.
    pub monotone: Vec<i8>,
    /// Standard deviation of noise on the scores of splits of oblivious trees, as a share of them.
    pub noise: f64,
    /// Exponent T of random event weights (−ln u)^T, zero for none.
    pub bagging_temperature: f64,
    /// Whether shapes are chosen on gradients by models of earlier events only (one output).
    pub ordered: bool,
    /// Stop after so many rounds without a lower validation loss, and keep the best.
    pub patience: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            trees: 100,
            shape: Shape::Depth(6),
            learning_rate: 0.3,
            l2: 1.0,
            l1: 0.0,
            min_gain: 0.0,
            min_child_weight: 1.0,
            subsample: 1.0,
            features: [1.0; 3],
            monotone: Vec::new(),
            noise: 0.0,
            bagging_temperature: 0.0,
            ordered: false,
            patience: None,
        }
    }
}

/// A sample in bins with what is to be learned of it.
#[derive(Debug, Clone, Copy)]
pub struct Set<'a> {
    /// Features in bins.
    pub binned: &'a Binned,
    /// Targets and weights.
    pub events: Targets<'a>,
    /// Hash of each event.
    pub identity: &'a [u64],
    /// Outputs that the training begins with, a column for each; where there are none, the best constant.
    pub start: &'a [Vec<f32>],
}

/// Training events that the loss is told of.
const TOLD: usize = 1 << 16;
/// Rows that are worked on in one piece.
const PIECE: usize = 1 << 14;

impl Options {
    pub(crate) fn rules(&self) -> Rules {
        let monotone = if self.monotone.iter().any(|&m| m != 0) { self.monotone.clone() } else { Vec::new() };
        Rules { l2: self.l2, l1: self.l1, min_gain: self.min_gain, min_child_weight: self.min_child_weight, monotone }
    }

    /// A grower of trees of these options.
    pub(crate) fn grower<'a>(&self, binned: &'a Binned, seed: u64, workers: &'a dyn Workers) -> Grower<'a> {
        let [tree, level, node] = self.features;
        let sampling = Sampling { tree, level, node };
        let mut grower = Grower::new(binned, self.rules(), self.shape, sampling, workers);
        (grower.noise, grower.seed) = (self.noise, seed);
        grower
    }
}

/// Boosts a forest.
///
/// # Errors
/// [`Error::Stopped`] with a checkpoint if the run asks to stop, [`Error::Diverged`] if the loss is not finite.
pub fn boost(
    options: &Options,
    objective: &mut dyn Objective,
    train: Set<'_>,
    validation: Option<Set<'_>>,
    run: &mut Run<'_>,
) -> Result<Forest> {
    if options.patience.is_some() && validation.is_none() {
        let hint = "`patience` follows its loss; leave it out or leave events for it".to_owned();
        return Err(Error::Empty { what: "the validation part".to_owned(), hint });
    }
    let what = format!("{options:?} {:?} {}", objective.link(), objective.outputs());
    let checkpoint = Checkpoint::new(&what, train, run.seed);
    let mut state = State::begin(objective, train, validation, &checkpoint, run)?;
    let mut grower = options.grower(train.binned, run.seed, run.workers);
    let outputs = objective.outputs();
    if options.ordered && !train.start.is_empty() {
        let reason = "it cannot go on from a model".to_owned();
        return Err(Error::Config { place: "`ordered`".to_owned(), reason });
    }
    if options.ordered && outputs > 1 {
        let reason = format!("it is for two classes or one target, found {outputs} outputs");
        return Err(Error::Config { place: "`ordered`".to_owned(), reason });
    }
    let reports = (options.trees / 20).max(1);
    let mut ordered = options.ordered.then(|| Ordered::new(train, state.forest.base[0], run.seed));
    let known = state.rounds();
    let (mut best, mut best_round) = state.best;
    for round in 0..options.trees {
        if round < known {
            // Trees of the checkpoint: only what follows from them.
            if let Some(ordered) = &mut ordered {
                let tree = &state.forest.trees[round];
                let mut gradients = vec![[0.0; 2]; train.identity.len()];
                ordered.gradients(objective, &mut gradients, run.workers);
                let leaf_of = Routes::new(tree, train.binned).leaves(train.binned, run);
                ordered.update(tree, &leaf_of, &options.rules(), options.learning_rate, run.workers);
            }
            continue;
        }
        objective.prepare(&state.outputs);
        for k in 0..outputs {
            let number = (round * outputs + k) as u64;
            let gradients = state.gradients(objective, k, train, options, number, run);
            let share = options.subsample;
            let keep = |row: usize| uniform(train.identity[row], number ^ run.seed.rotate_left(17)) < share;
            let keep: Option<&(dyn Fn(usize) -> bool + Sync)> = if share < 1.0 { Some(&keep) } else { None };
            let mut grown = match &mut ordered {
                None => grower.grow(&gradients, train.identity, number, keep),
                Some(ordered) => {
                    let mut of_earlier = vec![[0.0; 2]; gradients.len()];
                    ordered.gradients(objective, &mut of_earlier, run.workers);
                    let mut grown = grower.grow(&of_earlier, train.identity, number, keep);
                    grower.refit(&mut grown, &gradients);
                    let leaf_of = Routes::new(&grown.tree, train.binned).leaves(train.binned, run);
                    let rate = options.learning_rate;
                    ordered.update(&grown.tree, &leaf_of, &options.rules(), rate, run.workers);
                    grown
                }
            };
            state.gradients = gradients;
            if let Some(alpha) = objective.leaf_quantile() {
                refit(
                    &mut grown,
                    grower.order(),
                    &state.outputs[k],
                    train.events.of(k, 0..train.events.len()),
                    alpha,
                    run,
                );
            }
            let Grown { mut tree, leaves, .. } = grown;
            tree.output = k;
            for node in &mut tree.nodes {
                node.value *= options.learning_rate;
            }
            let leaves = keep.is_none().then_some((grower.order(), &leaves[..]));
            state.add(tree, leaves, [Some(train), validation], run);
        }
        (run.tick)(round + 1, 1.0);
        let last = round + 1 == options.trees;
        let told = last || (round + 1) % reports == 0;
        let watched = validation.filter(|_| options.patience.is_some() || told);
        let loss = watched.map(|set| mean_loss(objective, &state.watched, set, usize::MAX, run));
        if let Some((loss, _)) = loss
            && loss < best
        {
            (best, best_round) = (loss, round + 1);
        }
        state.best = (best, best_round);
        if told {
            let (train_loss, _) = mean_loss(objective, &state.outputs, train, TOLD, run);
            if !train_loss.is_finite() {
                return Err(Error::Diverged { epoch: round + 1, step: 1, loss: train_loss });
            }
            (run.report)(&Progress {
                epoch: round + 1,
                epochs: options.trees,
                loss: train_loss,
                validation_loss: loss.map(|(loss, _)| loss),
                validation_accuracy: loss.and_then(|(_, accuracy)| accuracy),
                lr: options.learning_rate,
                events: (round + 1) * train.events.len(),
            });
        }
        checkpoint.keep(last, round + 1, || state.forest.clone(), Some(state.best), run)?;
        if options.patience.is_some_and(|p| round + 1 >= best_round + p) {
            break;
        }
    }
    let mut forest = state.forest;
    if options.patience.is_some() && best_round > 0 {
        forest.trees.truncate(best_round * outputs);
    }
    Ok(forest)
}

/// The checkpoints of one training.
pub(crate) struct Checkpoint {
    /// Options, seed and events: a checkpoint of another training is refused.
    fingerprint: String,
}

impl Checkpoint {
    pub(crate) fn new(options: &str, train: Set<'_>, seed: u64) -> Self {
        let numbers = train.events.targets.iter().chain(train.events.weights).map(|x| u64::from(x.to_bits()));
        let start = train.start.iter().flatten().map(|x| u64::from(x.to_bits()));
        let all = train.identity.iter().copied().chain(numbers).chain(start);
        let events = all.fold(0u64, |sum, x| sum.wrapping_mul(31).wrapping_add(x));
        let what = hash_text(&format!("{options} {seed}"));
        Self { fingerprint: format!("{what:016x} {events:016x} {} rows", train.identity.len()) }
    }

    /// The forest of the last checkpoint with its best loss and round, if there is one.
    pub(crate) fn load(&self, run: &mut Run<'_>) -> Result<Option<(Forest, (f64, usize))>> {
        let Some(bytes) = run.store.load()? else { return Ok(None) };
        let artifact = Artifact::from_bytes(&bytes)?;
        if artifact.header["fingerprint"] != self.fingerprint {
            let reason = "it belongs to another training (other options, seed or events)".to_owned();
            return Err(Error::Checkpoint { reason });
        }
        let loss = artifact.header["best"].as_f64().unwrap_or(f64::INFINITY);
        let round = artifact.header["best_round"].as_u64().unwrap_or(0) as usize;
        Ok(Some((Forest::from_artifact(&artifact)?, (loss, round))))
    }

    /// Stores a checkpoint if it is time to, or if the run has been asked to stop, which is an error then unless this
    /// was the last round.
    pub(crate) fn keep(
        &self,
        is_last: bool,
        round: usize,
        forest: impl Fn() -> Forest,
        best: Option<(f64, usize)>,
        run: &mut Run<'_>,
    ) -> Result<()> {
        let stop = (run.stop)() && !is_last;
        if stop || run.store.is_due() {
            let mut header = json!({"fingerprint": self.fingerprint});
            if let Some((loss, round)) = best {
                header["best_round"] = json!(round);
                if loss.is_finite() {
                    header["best"] = json!(loss);
                }
            }
            run.store.save(&forest().artifact(header).to_bytes()?)?;
        }
        if stop { Err(Error::Stopped { epoch: round }) } else { Ok(()) }
    }
}

/// The errors in training and validation, and the accuracy there.
pub(crate) type Told = (f64, Option<f64>, Option<f64>);

/// Tells the run of [round, rounds, events] and, twenty times in all, how good the forest is.
pub(crate) fn tell([round, rounds, events]: [usize; 3], lr: f64, run: &mut Run<'_>, errors: impl FnOnce() -> Told) {
    (run.tick)(round, 1.0);
    if round == rounds || round % (rounds / 20).max(1) == 0 {
        let (loss, watched, accuracy) = errors();
        (run.report)(&Progress {
            epoch: round,
            epochs: rounds,
            loss,
            validation_loss: watched,
            validation_accuracy: accuracy,
            lr,
            events: round * events,
        });
    }
}

/// Uniform in [0, 1), from an identity and a key.
pub(crate) fn uniform(identity: u64, key: u64) -> f64 {
    let mut x = identity ^ key.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x = (x ^ x >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((x ^ x >> 31) >> 11) as f64 / 9_007_199_254_740_992.0
}

/// Where a boosting stands.
struct State {
    forest: Forest,
    /// Outputs of the training rows, a column for each output.
    outputs: Vec<Vec<f32>>,
    /// Outputs of the validation rows.
    watched: Vec<Vec<f32>>,
    gradients: Vec<Pair>,
    best: (f64, usize),
}

impl State {
    /// At the beginning, or where a checkpoint left off.
    fn begin(
        objective: &dyn Objective,
        train: Set<'_>,
        validation: Option<Set<'_>>,
        checkpoint: &Checkpoint,
        run: &mut Run<'_>,
    ) -> Result<Self> {
        let (forest, best) = if let Some(stored) = checkpoint.load(run)? {
            stored
        } else {
            let forest = Forest {
                features: train.binned.scales.len(),
                base: if train.start.is_empty() {
                    objective.base(train.events)
                } else {
                    vec![0.0; objective.outputs()]
                },
                trees: Vec::new(),
                link: objective.link(),
                single: true,
            };
            (forest, (f64::INFINITY, 0))
        };
        let begin = |set: Option<Set<'_>>| match set {
            Some(set) if !set.start.is_empty() => set.start.to_vec(),
            _ => {
                let column = |&base: &f64| vec![base as f32; set.map_or(0, |set| set.events.len())];
                forest.base.iter().map(column).collect::<Vec<_>>()
            }
        };
        let (mut outputs, mut watched) = (begin(Some(train)), begin(validation));
        for tree in &forest.trees {
            add_routed(&mut outputs[tree.output], train.binned, tree, run);
            if let Some(set) = validation {
                add_routed(&mut watched[tree.output], set.binned, tree, run);
            }
        }
        Ok(Self { forest, outputs, watched, gradients: Vec::new(), best })
    }

    fn rounds(&self) -> usize {
        self.forest.trees.len() / self.forest.outputs()
    }

    /// Gradients of all rows with respect to output `k`, in memory that is to be given back.
    fn gradients(
        &mut self,
        objective: &dyn Objective,
        k: usize,
        train: Set<'_>,
        options: &Options,
        number: u64,
        run: &Run<'_>,
    ) -> Vec<Pair> {
        let mut gradients = std::mem::take(&mut self.gradients);
        gradients.resize(train.events.len(), [0.0; 2]);
        let tasks: Vec<_> = pieces(gradients.len(), PIECE).zip(gradients.chunks_mut(PIECE)).collect();
        let (columns, seed) = (&self.outputs, run.seed);
        map(run.workers, tasks, |(range, out)| {
            let outputs: Vec<&[f32]> = columns.iter().map(|c| &c[range.clone()]).collect();
            objective.gradients(k, range.start, &outputs, train.events.of(k, range.clone()), out);
            if options.bagging_temperature > 0.0 {
                for (out, &id) in out.iter_mut().zip(&train.identity[range]) {
                    let u = 1.0 - uniform(id, number ^ seed.rotate_left(29));
                    let factor = (-u.ln()).powf(options.bagging_temperature).min(1e6) as f32;
                    *out = [out[0] * factor, out[1] * factor];
                }
            }
        });
        gradients
    }

    /// Adds a tree to the forest and to all outputs; `leaves` holds the training rows of each leaf, where it has seen all.
    fn add(&mut self, tree: Tree, leaves: Option<Leaves<'_>>, sets: [Option<Set<'_>>; 2], run: &Run<'_>) {
        let [train, validation] = sets;
        let outputs = &mut self.outputs[tree.output];
        match (leaves, train) {
            (Some((order, leaves)), _) => add_leaves(outputs, order, leaves, &tree, run.workers),
            (None, Some(set)) => add_routed(outputs, set.binned, &tree, run),
            (None, None) => {}
        }
        if let Some(set) = validation {
            add_routed(&mut self.watched[tree.output], set.binned, &tree, run);
        }
        self.forest.trees.push(tree);
    }
}

/// Rows leaf by leaf, and (node, range of them) of each leaf.
type Leaves<'a> = (&'a [u32], &'a [(usize, std::ops::Range<usize>)]);

/// Leaves take a quantile of the residuals of their rows.
fn refit(grown: &mut Grown, order: &[u32], outputs: &[f32], events: Targets<'_>, alpha: f64, run: &Run<'_>) {
    let value = |(node, range): (usize, std::ops::Range<usize>)| {
        let residual = |&row: &u32| {
            let row = row as usize;
            (events.targets[row] - outputs[row], events.weights[row])
        };
        let mut residuals: Vec<(f32, f32)> = order[range].iter().map(residual).collect();
        let [low, high] = grown.bounds[node];
        (node, quantile(&mut residuals, alpha).clamp(low, high))
    };
    for (node, value) in map(run.workers, grown.leaves.clone(), value) {
        grown.tree.nodes[node].value = value;
    }
}

/// (block, lane, children, bins that go left) of an inner node.
type Route = (usize, usize, [u32; 2], Box<[bool; BINS]>);

/// A tree that asks for bins.
pub(crate) struct Routes {
    nodes: Vec<Route>,
    /// Which of these a node is; leaves have none.
    index: Vec<Option<usize>>,
}

impl Routes {
    pub(crate) fn new(tree: &Tree, binned: &Binned) -> Self {
        let mut routes = Self { nodes: Vec::new(), index: Vec::new() };
        for node in &tree.nodes {
            routes.index.push((!node.is_leaf()).then_some(routes.nodes.len()));
            if node.is_leaf() {
                continue;
            }
            let feature = node.feature as usize;
            let mut left = Box::new([false; BINS]);
            left[0] = node.missing_left;
            match (&node.test, &binned.scales[feature]) {
                (Test::Below(cut), crate::bins::Scale::Cuts(cuts)) => {
                    let last = 1 + cuts.partition_point(|&c| f64::from(c) < *cut);
                    left[1..=last.min(BINS - 1)].fill(true);
                }
                (Test::OneOf(set), crate::bins::Scale::Categories(all)) => {
                    for (bin, category) in all.iter().enumerate() {
                        left[bin + 1] = set.binary_search(category).is_ok();
                    }
                }
                _ => {}
            }
            routes.nodes.push((feature / LANES, feature % LANES, [node.left, node.right], left));
        }
        routes
    }

    /// The leaves of all rows.
    fn leaves(&self, binned: &Binned, run: &Run<'_>) -> Vec<u32> {
        let leaves =
            |range: std::ops::Range<usize>| range.map(|row| self.leaf(binned, row) as u32).collect::<Vec<u32>>();
        map(run.workers, pieces(binned.rows, PIECE).collect(), leaves).concat()
    }

    /// The leaf of a row.
    pub(crate) fn leaf(&self, binned: &Binned, row: usize) -> usize {
        let mut at = 0;
        while let Some(inner) = self.index[at] {
            let (block, lane, children, left) = &self.nodes[inner];
            let bin = binned.blocks[*block][row][*lane];
            at = children[usize::from(!left[usize::from(bin)])] as usize;
        }
        at
    }
}

/// Adds the leaf values of a tree to the outputs of all rows of a sample.
pub(crate) fn add_routed(outputs: &mut [f32], binned: &Binned, tree: &Tree, run: &Run<'_>) {
    let routes = Routes::new(tree, binned);
    let tasks: Vec<_> = pieces(outputs.len(), PIECE).zip(outputs.chunks_mut(PIECE)).collect();
    map(run.workers, tasks, |(range, outputs)| {
        for (row, output) in range.zip(outputs) {
            *output += tree.nodes[routes.leaf(binned, row)].value as f32;
        }
    });
}

/// Mean loss over the events, and the share whose class is told right, where there are classes; both weighted. Of more
/// than `most` events only every so many are looked at.
fn mean_loss(
    objective: &dyn Objective,
    outputs: &[Vec<f32>],
    set: Set<'_>,
    most: usize,
    run: &Run<'_>,
) -> (f64, Option<f64>) {
    let n = set.events.len();
    let (width, classes) = (set.events.width(), !matches!(objective.link(), Link::Identity | Link::Exp));
    let columns: Vec<&[f32]> = (0..width).map(|k| set.events.column(k)).collect();
    let step = n.div_ceil(most).max(1);
    let parts = map(run.workers, pieces(n, PIECE).collect(), |range| {
        let mut sums = [0.0; 3];
        let (mut f, mut y) = (vec![0.0; outputs.len()], vec![0.0; width]);
        for row in range.step_by(step) {
            f.iter_mut().zip(outputs).for_each(|(f, column)| *f = column[row]);
            y.iter_mut().zip(&columns).for_each(|(y, column)| *y = column[row]);
            let weight = f64::from(set.events.weights[row]);
            let class = match f.len() {
                1 => f32::from(f[0] > 0.0),
                _ => (0..f.len()).fold(0, |best, k| if f[k] > f[best] { k } else { best }) as f32,
            };
            sums[0] += weight;
            sums[1] += weight * objective.loss(&f, &y);
            sums[2] += weight * f64::from(u8::from(class == y[0]));
        }
        sums
    });
    let sums = parts.into_iter().fold([0.0; 3], |a, b| [a[0] + b[0], a[1] + b[1], a[2] + b[2]]);
    (sums[1] / sums[0], classes.then(|| sums[2] / sums[0]))
}
