//! Random forests (Breiman 2001): trees on samples that are drawn with replacement, each node looking at some of the
//! features only, averaged.

use fb_core::{Philox, Result, Run};

use crate::boost::{Checkpoint, Options, Set, add_routed, tell};
use crate::forest::{Forest, Link};
use crate::histogram::Pair;

/// Trains a random forest: one tree a round for two classes (voting with 2p − 1), else one for each class.
/// Each event enters a tree as often as a Poisson number says that is drawn by its identity.
///
/// Gives the forest and the share of events that the trees which have not seen them tell wrong (out of bag), weighted.
///
/// # Errors
/// [`fb_core::Error::Stopped`] with a checkpoint if the run asks to stop.
pub fn forest(
    options: &Options,
    classes: usize,
    train: Set<'_>,
    validation: Option<Set<'_>>,
    run: &mut Run<'_>,
) -> Result<(Forest, f64)> {
    let n = train.events.targets.len();
    let outputs = if classes == 2 { 1 } else { classes };
    let link = if classes == 2 { Link::Votes } else { Link::Shares };
    let target = |k: usize, y: f32| match outputs {
        1 => 2.0 * y - 1.0,
        _ => f32::from(y == k as f32),
    };
    let mut whole =
        Forest { features: train.binned.scales.len(), base: vec![0.0; outputs], trees: Vec::new(), link, single: true };
    let checkpoint = Checkpoint::new(&format!("{options:?} {classes}"), train, run.seed);
    if let Some((stored, _)) = checkpoint.load(run)? {
        whole = stored;
    }
    let known = whole.trees.len() / outputs;
    let mut grower = options.grower(train.binned, run.seed, run.workers);
    let mut gradients: Vec<Pair> = vec![[0.0; 2]; n];
    let mut unseen = vec![vec![0.0f32; n]; outputs];
    let mut watched = vec![vec![0.0f32; validation.map_or(0, |v| v.events.targets.len())]; outputs];
    let mut wrong = f64::NAN;
    for round in 0..options.trees {
        let times: Vec<f32> = train.identity.iter().map(|&id| poisson(run.seed, round as u64, id)).collect();
        for k in 0..outputs {
            let number = round * outputs + k;
            if round >= known {
                let events = times.iter().zip(train.events.targets).zip(train.events.weights);
                for (g, ((times, &y), &w)) in gradients.iter_mut().zip(events) {
                    let w = times * w;
                    *g = [-w * target(k, y), w];
                }
                let keep = |row: usize| times[row] > 0.0;
                let mut tree = grower.grow(&gradients, train.identity, number as u64, Some(&keep)).tree;
                tree.output = k;
                whole.trees.push(tree);
            }
            let tree = &whole.trees[number];
            let mut says = vec![0.0f32; n];
            add_routed(&mut says, train.binned, tree, run);
            for ((sum, says), &times) in unseen[k].iter_mut().zip(says).zip(&times) {
                *sum += if times == 0.0 { says } else { 0.0 };
            }
            if let Some(set) = validation {
                add_routed(&mut watched[k], set.binned, tree, run);
            }
        }
        wrong = share_wrong(&unseen, train);
        if round < known {
            continue;
        }
        let validation = validation.map_or(f64::NAN, |set| share_wrong(&watched, set));
        tell([round + 1, options.trees, n], [wrong, validation], 1.0, run);
        checkpoint.keep(round + 1 == options.trees, round + 1, || whole.clone(), None, run)?;
    }
    whole.scale(1.0 / options.trees as f64);
    Ok((whole, wrong))
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

/// Weighted share of the events whose class is told wrong, among those that are told at all.
fn share_wrong(outputs: &[Vec<f32>], set: Set<'_>) -> f64 {
    let mut sums = [0.0; 2];
    for (row, (&y, &w)) in set.events.targets.iter().zip(set.events.weights).enumerate() {
        if outputs.iter().all(|o| o[row] == 0.0) {
            continue;
        }
        let class = match outputs {
            [one] => f32::from(one[row] > 0.0),
            all => (0..all.len()).fold(0, |best, k| if all[k][row] > all[best][row] { k } else { best }) as f32,
        };
        sums[0] += f64::from(w);
        sums[1] += if class == y { 0.0 } else { f64::from(w) };
    }
    sums[1] / sums[0]
}
