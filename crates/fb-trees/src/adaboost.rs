//! AdaBoost: trees on reweighted events, which vote (Freund, Schapire 1997; physics/0703039, §8.13.2), and uBoost, which
//! reweights for a flat efficiency too (arXiv:1305.7248).
//!
//! err = Σ_wrong w / Σ w; α = ((1 − err)/err)^β; wrong events are multiplied by α, and all weights are brought back to
//! their sum. A negative weight is multiplied by 1/α instead: wrong events gain weight whatever their sign would take away.
//! The score is Σ ln α·h / Σ ln α with h = ±1 (the majority of a leaf) or 2p − 1 (its purity).

use fb_core::{Result, Run};

use crate::boost::{Checkpoint, Options, Set, add_routed, tell};
use crate::forest::{Forest, Link, Tree};
use crate::groups::Neighbours;
use crate::histogram::Pair;

/// Options of AdaBoost.
#[derive(Debug, Clone, PartialEq)]
pub struct AdaBoost {
    /// Number and shape of the trees; `min_child_weight` is a share of the sum of weights.
    pub trees: Options,
    /// β.
    pub beta: f64,
    /// Whether leaves vote ±1; else with their purity.
    pub votes: bool,
    /// Flatness among neighbours: uBoost.
    pub uniform: Option<Uniform>,
}

/// Where the efficiency of a class is to be flat, and how fast it is made so (arXiv:1305.7248).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Uniform {
    /// Share of the class whose score is above the cut.
    pub efficiency: f64,
    /// Whether it is the signal; else the background.
    pub is_signal: bool,
    /// ρ.
    pub rate: f64,
}

/// No tree is believed more than this, should it be right for all events.
const LEAST_ERROR: f64 = 1e-10;

/// Trains AdaBoost. `neighbours` are those of the events whose efficiency is to be flat.
///
/// # Errors
/// [`fb_core::Error::Stopped`] with a checkpoint if the run asks to stop.
pub fn adaboost(
    options: &AdaBoost,
    neighbours: Option<&Neighbours>,
    train: Set<'_>,
    validation: Option<Set<'_>>,
    run: &mut Run<'_>,
) -> Result<Forest> {
    let n = train.events.len();
    let sign = |y: f32| if y == 1.0 { 1.0f32 } else { -1.0 };
    let mut weights: Vec<f64> = train.events.weights.iter().map(|&w| f64::from(w)).collect();
    let total: f64 = weights.iter().sum();
    let mut trees = options.trees.clone();
    trees.min_child_weight *= total;
    let empty = Forest {
        features: train.binned.scales.len(),
        base: vec![0.0],
        trees: Vec::new(),
        link: Link::Votes,
        single: true,
    };
    let checkpoint = Checkpoint::new(&format!("{options:?}"), train, run.seed);
    let stored = checkpoint.load(run)?.map_or(empty.clone(), |(forest, _)| forest);
    let mut grower = trees.grower(train.binned, run.seed, run.workers);
    let mut gradients: Vec<Pair> = vec![[0.0; 2]; n];
    // Trees as they were grown, the weight of each, and the votes so far.
    let (mut grown, mut alphas) = (Vec::<Tree>::new(), Vec::new());
    let (mut votes, mut watched) = (vec![0.0f32; n], vec![0.0f32; validation.map_or(0, |v| v.events.len())]);
    for round in 0..trees.trees {
        let tree = if let Some(tree) = stored.trees.get(round) {
            tree.clone()
        } else {
            for ((g, &w), &y) in gradients.iter_mut().zip(&weights).zip(train.events.targets) {
                *g = [-(w as f32) * sign(y), w as f32];
            }
            let mut tree = grower.grow(&gradients, train.identity, round as u64, None).tree;
            if options.votes {
                tree.nodes.iter_mut().for_each(|node| node.value = if node.value >= 0.0 { 1.0 } else { -1.0 });
            }
            tree
        };
        let mut says = vec![0.0f32; n];
        add_routed(&mut says, train.binned, &tree, run);
        let is_wrong = |i: usize| (says[i] >= 0.0) != (train.events.targets[i] == 1.0);
        let (all, wrong) = (0..n)
            .fold((0.0, 0.0), |(all, wrong), i| (all + weights[i], wrong + if is_wrong(i) { weights[i] } else { 0.0 }));
        let err = (wrong / all).clamp(LEAST_ERROR, 1.0 - LEAST_ERROR);
        if err >= 0.5 && !grown.is_empty() {
            // A tree that is no better than a coin has no vote, and nor would the next one.
            break;
        }
        let alpha = ((1.0 - err) / err).powf(options.beta);
        let log = alpha.ln();
        for i in (0..n).filter(|&i| is_wrong(i)) {
            weights[i] *= if weights[i] >= 0.0 { alpha } else { 1.0 / alpha };
        }
        votes.iter_mut().zip(&says).for_each(|(vote, says)| *vote += log as f32 * says);
        if let (Some(uniform), Some(neighbours)) = (options.uniform, neighbours) {
            flatten(uniform, neighbours, &votes, train.events.weights, &mut weights);
        }
        let factor = total / weights.iter().sum::<f64>();
        for w in &mut weights {
            *w *= factor;
        }
        if let Some(set) = validation {
            let mut says = vec![0.0f32; watched.len()];
            add_routed(&mut says, set.binned, &tree, run);
            watched.iter_mut().zip(says).for_each(|(vote, says)| *vote += log as f32 * says);
        }
        grown.push(tree);
        alphas.push(log);
        if round >= stored.trees.len() {
            let last = round + 1 == trees.trees;
            let whole = || Forest { trees: grown.clone(), ..empty.clone() };
            tell([round + 1, trees.trees, n], options.beta, run, || {
                let wrong = validation.map(|set| share_wrong(&watched, set));
                (share_wrong(&votes, train), wrong, wrong.map(|wrong| 1.0 - wrong))
            });
            checkpoint.keep(last, round + 1, whole, None, run)?;
        }
        if err <= LEAST_ERROR {
            break;
        }
    }
    let sum: f64 = alphas.iter().sum();
    for (tree, alpha) in grown.iter_mut().zip(&alphas) {
        let share = if sum > 0.0 { alpha / sum } else { 1.0 / alphas.len() as f64 };
        tree.nodes.iter_mut().for_each(|node| node.value *= share);
    }
    Ok(Forest { trees: grown, ..empty })
}

/// Weighted share of the events whose class is told wrong.
fn share_wrong(votes: &[f32], set: Set<'_>) -> f64 {
    let events = votes.iter().zip(set.events.targets).zip(set.events.weights);
    let sums = events.fold([0.0; 2], |sums, ((&vote, &y), &w)| {
        let w = f64::from(w);
        [sums[0] + w, sums[1] + if (vote >= 0.0) == (y == 1.0) { 0.0 } else { w }]
    });
    sums[1] / sums[0]
}

/// Events among whose neighbours too few are on the right side of the cut gain weight, the others lose
/// (arXiv:1305.7248, Eqs. 3 to 5). More weight takes signal up and background down.
fn flatten(uniform: Uniform, neighbours: &Neighbours, votes: &[f32], initial: &[f32], weights: &mut [f64]) {
    let sign = if uniform.is_signal { 1.0 } else { -1.0 };
    let efficiency = if uniform.is_signal { uniform.efficiency } else { 1.0 - uniform.efficiency };
    let members: Vec<(f32, f32)> =
        neighbours.events.iter().map(|&i| (sign * votes[i as usize], initial[i as usize])).collect();
    let cut = crate::loss::quantile(&mut members.clone(), 1.0 - efficiency) as f32;
    let local = |near: &Vec<u32>| {
        let sums = near.iter().fold([0.0f64; 2], |sums, &i| {
            let w = f64::from(initial[i as usize]);
            [sums[0] + w, sums[1] + if sign * votes[i as usize] > cut { w } else { 0.0 }]
        });
        if sums[0] > 0.0 { (sums[1] / sums[0]).clamp(0.0, 1.0) } else { efficiency }
    };
    let local: Vec<f64> = neighbours.near.iter().map(local).collect();
    let sums = neighbours.events.iter().zip(&local).fold([0.0f64; 2], |sums, (&i, local)| {
        let w = weights[i as usize].abs();
        [sums[0] + w, sums[1] + w * (local - efficiency).abs()]
    });
    let error = (sums[1] / sums[0]).clamp(LEAST_ERROR, 1.0);
    let beta = (1.0 / error).ln();
    let before: f64 = neighbours.events.iter().map(|&i| weights[i as usize]).sum();
    for (&i, local) in neighbours.events.iter().zip(&local) {
        weights[i as usize] *= ((efficiency - local) * beta * uniform.rate).exp();
    }
    let factor = before / neighbours.events.iter().map(|&i| weights[i as usize]).sum::<f64>();
    neighbours.events.iter().for_each(|&i| weights[i as usize] *= factor);
}
