//! Random forests (Breiman 2001): trees on samples that are drawn with replacement, each node looking at some of the
//! features only, averaged.

use fb_core::{Philox, Result, Run};

use crate::boost::{Checkpoint, Options, Set, add_routed, tell};
use crate::forest::{Forest, Link};
use crate::histogram::Pair;
use crate::loss::{Loss, Objective as _, Residual};

/// What a random forest tells of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Its class, of so many: one tree a round for two classes (voting with 2p − 1), else one for each class.
    Classes(usize),
    /// Its targets: one tree a round for each, on squared residuals.
    Targets,
}

impl Asked {
    fn outputs(self, train: Set<'_>) -> usize {
        match self {
            Self::Classes(2) => 1,
            Self::Classes(classes) => classes,
            Self::Targets => train.events.width(),
        }
    }

    fn link(self) -> Link {
        match self {
            Self::Classes(2) => Link::Votes,
            Self::Classes(_) => Link::Shares,
            Self::Targets => Link::Identity,
        }
    }

    /// What leaves hold the mean of.
    fn value(self, k: usize, y: f32, base: f64) -> f32 {
        match self {
            Self::Classes(2) => 2.0 * y - 1.0,
            Self::Classes(_) => f32::from(y == k as f32),
            Self::Targets => y - base as f32,
        }
    }
}

/// Sums of what trees say of events, and of how many trees.
struct Sums {
    outputs: Vec<Vec<f32>>,
    trees: Vec<f32>,
}

impl Sums {
    fn new(outputs: usize, events: usize) -> Self {
        Self { outputs: vec![vec![0.0; events]; outputs], trees: vec![0.0; events] }
    }

    /// Weighted share of the events whose class is told wrong, or the weighted root mean square of the distances between
    /// targets and predictions; among the events that are told at all.
    fn error(&self, asked: Asked, base: &[f64], set: Set<'_>) -> f64 {
        let mut sums = [0.0; 2];
        for (row, &w) in set.events.weights.iter().enumerate().filter(|(row, _)| self.trees[*row] > 0.0) {
            let said = |k: usize| self.outputs[k][row];
            let outputs = 0..self.outputs.len();
            let error = if asked == Asked::Targets {
                let residual = |k: usize| {
                    f64::from(asked.value(k, set.events.column(k)[row], base[k]) - said(k) / self.trees[row])
                };
                outputs.map(|k| residual(k).powi(2)).sum()
            } else {
                let class = if outputs.len() == 1 {
                    usize::from(said(0) > 0.0)
                } else {
                    outputs.fold(0, |best, k| if said(k) > said(best) { k } else { best })
                };
                f64::from(u8::from(class as f32 != set.events.targets[row]))
            };
            sums[0] += f64::from(w);
            sums[1] += f64::from(w) * error;
        }
        let mean = sums[1] / sums[0];
        if asked == Asked::Targets { mean.sqrt() } else { mean }
    }
}

/// Trains a random forest. Each event enters a tree as often as a Poisson number says that is drawn by its identity.
///
/// The training tells its error out of bag, by the trees that have not seen an event: the weighted share of events that
/// are told wrong, or the root mean square of the residuals.
///
/// # Errors
/// [`fb_core::Error::Stopped`] with a checkpoint if the run asks to stop.
pub fn forest(
    options: &Options,
    asked: Asked,
    train: Set<'_>,
    validation: Option<Set<'_>>,
    run: &mut Run<'_>,
) -> Result<Forest> {
    let (n, outputs) = (train.events.len(), asked.outputs(train));
    let base = match asked {
        Asked::Classes(_) => vec![0.0; outputs],
        Asked::Targets => Loss::Regression(Residual::Squared, outputs).base(train.events),
    };
    let features = train.binned.scales.len();
    let mut whole = Forest { features, base: vec![0.0; outputs], trees: Vec::new(), link: asked.link(), single: true };
    let checkpoint = Checkpoint::new(&format!("{options:?} {asked:?}"), train, run.seed);
    if let Some((stored, _)) = checkpoint.load(run)? {
        whole = stored;
    }
    let known = whole.trees.len() / outputs;
    let mut grower = options.grower(train.binned, run.seed, run.workers);
    let mut gradients: Vec<Pair> = vec![[0.0; 2]; n];
    let mut unseen = Sums::new(outputs, n);
    let mut watched = Sums::new(outputs, validation.map_or(0, |v| v.events.len()));
    for round in 0..options.trees {
        let times: Vec<f32> = train.identity.iter().map(|&id| poisson(run.seed, round as u64, id)).collect();
        for (k, &base) in base.iter().enumerate() {
            let number = round * outputs + k;
            if round >= known {
                let events = times.iter().zip(train.events.column(k)).zip(train.events.weights);
                for (g, ((times, &y), &w)) in gradients.iter_mut().zip(events) {
                    let w = times * w;
                    *g = [-w * asked.value(k, y, base), w];
                }
                let keep = |row: usize| times[row] > 0.0;
                let mut tree = grower.grow(&gradients, train.identity, number as u64, Some(&keep)).tree;
                tree.output = k;
                whole.trees.push(tree);
            }
            let tree = &whole.trees[number];
            let mut says = vec![0.0f32; n];
            add_routed(&mut says, train.binned, tree, run);
            for ((sum, says), &times) in unseen.outputs[k].iter_mut().zip(says).zip(&times) {
                *sum += if times == 0.0 { says } else { 0.0 };
            }
            if let Some(set) = validation {
                add_routed(&mut watched.outputs[k], set.binned, tree, run);
            }
        }
        unseen.trees.iter_mut().zip(&times).for_each(|(trees, &times)| *trees += f32::from(times == 0.0));
        watched.trees.iter_mut().for_each(|trees| *trees += 1.0);
        if round < known {
            continue;
        }
        tell([round + 1, options.trees, n], 1.0, run, || {
            let error = validation.map(|set| watched.error(asked, &base, set));
            let accuracy = error.filter(|_| asked != Asked::Targets).map(|error| 1.0 - error);
            (unseen.error(asked, &base, train), error, accuracy)
        });
        checkpoint.keep(round + 1 == options.trees, round + 1, || whole.clone(), None, run)?;
    }
    whole.scale(1.0 / options.trees as f64);
    whole.base = base;
    Ok(whole)
}

/// A Poisson number with mean one.
fn poisson(seed: u64, round: u64, identity: u64) -> f32 {
    let u = Philox::new(seed, 1 << 50 | round, identity).uniform();
    let (mut k, mut term, mut sum) = (0.0f32, (-1.0f64).exp(), (-1.0f64).exp());
    while u > sum && k < 20.0 {
        k += 1.0;
        term /= f64::from(k);
        sum += term;
    }
    k
}
