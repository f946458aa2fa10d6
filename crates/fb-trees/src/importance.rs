//! How much each feature of a forest gains.

use fb_core::Value;

use crate::forest::Forest;

/// Groups of trees that are left out in turn.
const GROUPS: usize = 10;

/// The gains of all splits of each feature, as a share of all gains, with errors by the jackknife.
///
/// The error is the delete-a-group jackknife over g = 10 groups of trees: every tenth tree of an output is left out,
/// θ₍ᵢ₎ is the share without group i, and σ² = (g − 1)/g · Σᵢ (θ₍ᵢ₎ − θ̄)² (Efron, Stein, Ann. Statist. 9 (1981) 586).
/// It tells how much a few trees decide; it does not tell what other training events would give. Of a single tree
/// nothing is known, so that its intervals reach from 0 to 1. Gains below zero, which signed weights may bring, keep
/// their sign.
pub fn gain_shares(forest: &Forest) -> Vec<Value> {
    let mut groups = vec![vec![0.0; forest.features]; GROUPS];
    let mut seen = vec![0; forest.outputs()];
    for tree in &forest.trees {
        // Trees of each output in turn, or else each group would hold one class of ten.
        let group = &mut groups[seen[tree.output] % GROUPS];
        seen[tree.output] += 1;
        for node in tree.nodes.iter().filter(|n| !n.is_leaf()) {
            group[node.feature as usize] += node.gain;
        }
    }
    let used = seen.iter().copied().max().unwrap_or(0).min(GROUPS);
    groups.truncate(used);
    let total = |feature: usize| groups.iter().map(|g| g[feature]).sum::<f64>();
    let totals: Vec<f64> = (0..forest.features).map(total).collect();
    let all: f64 = totals.iter().sum();
    let sums: Vec<f64> = groups.iter().map(|g| g.iter().sum()).collect();
    let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
    let value = |feature: usize| {
        let central = share(totals[feature], all);
        if used < 2 {
            return Value::new(central, 0.0, 1.0);
        }
        let without: Vec<f64> =
            groups.iter().zip(&sums).map(|(g, sum)| share(totals[feature] - g[feature], all - sum)).collect();
        let n = used as f64;
        let mean = without.iter().sum::<f64>() / n;
        let variance = (n - 1.0) / n * without.iter().map(|s| (s - mean).powi(2)).sum::<f64>();
        Value::symmetric(central, variance.sqrt())
    };
    (0..forest.features).map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forest::{Link, Node, Test, Tree};

    fn stump(feature: u32, gain: f64) -> Tree {
        let root = Node { feature, gain, left: 1, right: 2, test: Test::Below(0.0), ..Node::leaf(0.0, 2.0) };
        Tree { output: 0, nodes: vec![root, Node::leaf(1.0, 1.0), Node::leaf(-1.0, 1.0)] }
    }

    fn forest(trees: Vec<Tree>) -> Forest {
        Forest { features: 3, base: vec![0.0], trees, link: Link::Identity, single: true }
    }

    #[test]
    fn shares_sum_to_one_and_know_their_error() {
        let even = forest((0..40).flat_map(|_| [stump(0, 3.0), stump(1, 1.0)]).collect());
        let shares = gain_shares(&even);
        assert!((shares[0].central - 0.75).abs() < 1e-12 && (shares[1].central - 0.25).abs() < 1e-12);
        assert_eq!((shares[2].central, shares[2].error()), (0.0, 0.0));
        // One tree that gains more than all others together makes the share uncertain.
        let mut trees = even.trees;
        trees[7].nodes[0].gain = 300.0;
        assert!(gain_shares(&forest(trees))[1].error() > 0.3);
    }

    #[test]
    fn little_is_known_of_a_single_tree() {
        let shares = gain_shares(&forest(vec![stump(1, 2.0)]));
        assert_eq!(shares[1], Value::new(1.0, 0.0, 1.0));
        assert_eq!(gain_shares(&forest(Vec::new()))[0].central, 0.0);
    }
}
