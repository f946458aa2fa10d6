//! The best way to part a node, from its histogram.
//!
//! gain = ½ [S(G_L, H_L) + S(G_R, H_R) − S(G, H)] − γ with S(G, H) = soft(G, α)² / (H + λ) (arXiv:1603.02754, Eq. 7;
//! α is the L1 term), where G and H are sums of gradients and hessians.

use crate::bins::{BINS, Scale};
use crate::histogram::Sum;

/// What a split has to fulfil.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// λ.
    pub(crate) l2: f64,
    /// α.
    pub(crate) l1: f64,
    /// γ.
    pub(crate) min_gain: f64,
    /// Least sum of hessians of a child.
    pub(crate) min_child_weight: f64,
    /// For each feature: leaves rise with it (1), fall (−1), or neither (0). Empty where no feature is bound.
    pub(crate) monotone: Vec<i8>,
}

/// Where categories with little weight are drawn to when they are ordered.
const CATEGORY_SMOOTHING: f64 = 10.0;

/// A way to part a node: bins with their flag set go left.
#[derive(Debug, Clone)]
pub(crate) struct Split {
    pub(crate) gain: f64,
    pub(crate) feature: usize,
    pub(crate) left: Box<[bool; BINS]>,
    /// The last bin that goes left, for splits by a cut.
    pub(crate) last: Option<usize>,
}

/// Bounds on the values of leaves below a node.
pub(crate) type Bounds = [f64; 2];

impl Rules {
    fn soft(&self, g: f64) -> f64 {
        if self.l1 == 0.0 { g } else { g.signum() * (g.abs() - self.l1).max(0.0) }
    }

    /// The best value of a leaf.
    pub(crate) fn value(&self, [g, h]: [f64; 2], bounds: Bounds) -> f64 {
        let h = h + self.l2;
        if h > 0.0 { (-self.soft(g) / h).clamp(bounds[0], bounds[1]) } else { 0.0_f64.clamp(bounds[0], bounds[1]) }
    }

    /// Twice what a leaf with its best value takes from the objective.
    pub(crate) fn score(&self, [g, h]: [f64; 2], bounds: Bounds) -> f64 {
        if self.monotone.is_empty() {
            let g = self.soft(g);
            return g * g / (h + self.l2);
        }
        let value = self.value([g, h], bounds);
        -(2.0 * g * value + (h + self.l2) * value * value + 2.0 * self.l1 * value.abs())
    }
}

/// What is known of a node before it is parted.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    /// Sums of all bins of all features, [`BINS`] for each.
    pub(crate) histogram: &'a [Sum],
    pub(crate) units: [f64; 2],
    pub(crate) bounds: Bounds,
}

impl Seen<'_> {
    pub(crate) fn bins(&self, feature: usize) -> &[Sum] {
        &self.histogram[feature * BINS..(feature + 1) * BINS]
    }

    fn real(&self, sum: Sum) -> [f64; 2] {
        [sum[0] as f64 * self.units[0], sum[1] as f64 * self.units[1]]
    }
}

pub(crate) fn total(bins: &[Sum]) -> Sum {
    bins.iter().fold([0; 2], |a, b| plus(a, *b))
}

fn plus(a: Sum, b: Sum) -> Sum {
    [a[0] + b[0], a[1] + b[1]]
}

fn less(a: Sum, b: Sum) -> Sum {
    [a[0] - b[0], a[1] - b[1]]
}

/// The best split of a node over these features; the first of equals.
pub(crate) fn best(seen: Seen<'_>, scales: &[Scale], features: &[usize], rules: &Rules) -> Option<Split> {
    let mut found: Option<Split> = None;
    let parent = features.first().map(|&f| rules.score(seen.real(total(seen.bins(f))), seen.bounds))?;
    let mut least = 1e-9 * parent.abs();
    for &feature in features {
        let split = match &scales[feature] {
            Scale::Cuts(cuts) => by_cut(seen, feature, cuts.len() + 1, parent, least, rules),
            Scale::Categories(all) => by_category(seen, feature, all.len(), parent, least, rules),
        };
        if let Some(split) = split {
            least = split.gain;
            found = Some(split);
        }
    }
    found
}

/// Gain of a pair of children; none where the rules refuse it.
fn gain(seen: Seen<'_>, rules: &Rules, feature: usize, left: Sum, right: Sum) -> Option<f64> {
    let (left, right) = (seen.real(left), seen.real(right));
    let least = rules.min_child_weight.max(f64::MIN_POSITIVE);
    if left[1] < least || right[1] < least {
        return None;
    }
    match rules.monotone.get(feature) {
        Some(&sign) if sign != 0 => {
            let [a, b] = [left, right].map(|side| rules.value(side, seen.bounds));
            if f64::from(sign) * (b - a) < 0.0 {
                return None;
            }
        }
        _ => {}
    }
    Some(rules.score(left, seen.bounds) + rules.score(right, seen.bounds))
}

/// Which bins go left of a cut behind the bin `last`.
fn below(last: usize, missing_left: bool) -> Box<[bool; BINS]> {
    let mut left = Box::new([false; BINS]);
    left[1..=last].fill(true);
    left[0] = missing_left;
    left
}

/// Scores of all cuts of a feature, for rules without L1 term and bounds: with one division each and no branch, so that
/// several are computed at once.
fn plain_scores(left: &[[f64; 2]], all: [f64; 2], rules: &Rules, scores: &mut [f64]) {
    let least = rules.min_child_weight.max(f64::MIN_POSITIVE);
    for (score, &[g, h]) in scores.iter_mut().zip(left) {
        let [rest_g, rest_h] = [all[0] - g, all[1] - h];
        let (a, b) = (h + rules.l2, rest_h + rules.l2);
        let value = (g * g * b + rest_g * rest_g * a) / (a * b);
        *score = if h.min(rest_h) >= least { value } else { f64::NEG_INFINITY };
    }
}

fn by_cut(seen: Seen<'_>, feature: usize, n: usize, parent: f64, least: f64, rules: &Rules) -> Option<Split> {
    let bins = &seen.bins(feature)[..=n];
    let (missing, all) = (bins[0], total(bins));
    let has_missing = missing != [0; 2];
    let mut best = 2.0 * (least + rules.min_gain) + parent;
    let mut at = None;
    // What lies left of the cut behind each bin.
    let mut sums = [[0i64; 2]; BINS];
    let mut left = [0; 2];
    for (sum, &bin) in sums[1..=n].iter_mut().zip(&bins[1..]) {
        left = plus(left, bin);
        *sum = left;
    }
    let is_plain = rules.monotone.is_empty() && rules.l1 == 0.0;
    let (mut real, mut scores) = ([[0.0; 2]; BINS], [f64::NEG_INFINITY; BINS]);
    for missing_left in [false, true] {
        // Behind the last bin only what is missing is left to go right.
        let last = if missing_left { n } else { n + 1 };
        if missing_left && !has_missing {
            continue;
        }
        if is_plain {
            let more = if missing_left { missing } else { [0; 2] };
            for (real, &sum) in real[1..last].iter_mut().zip(&sums[1..last]) {
                *real = seen.real(plus(sum, more));
            }
            plain_scores(&real[1..last], seen.real(all), rules, &mut scores[1..last]);
        } else {
            for bin in 1..last {
                let side = if missing_left { plus(sums[bin], missing) } else { sums[bin] };
                scores[bin] = gain(seen, rules, feature, side, less(all, side)).unwrap_or(f64::NEG_INFINITY);
            }
        }
        for (bin, &score) in scores.iter().enumerate().take(last).skip(1) {
            if score > best {
                best = score;
                at = Some((bin, missing_left));
            }
        }
    }
    let (last, missing_left) = at?;
    // Events without a value that come later go to the heavier child, where training had none.
    let missing_left = if has_missing { missing_left } else { 2 * sums[last][1] > all[1] };
    let gain = 0.5 * (best - parent) - rules.min_gain;
    Some(Split { gain, feature, left: below(last, missing_left), last: Some(last) })
}

/// Categories in the order of their mean gradient, then as by a cut (Fisher 1958: the best of all subsets is among these).
fn by_category(seen: Seen<'_>, feature: usize, n: usize, parent: f64, least: f64, rules: &Rules) -> Option<Split> {
    let bins = seen.bins(feature);
    let mut order: Vec<(f64, usize)> = (0..=n)
        .filter(|&bin| bins[bin] != [0; 2])
        .map(|bin| {
            let [g, h] = seen.real(bins[bin]);
            (g / (h.max(0.0) + CATEGORY_SMOOTHING), bin)
        })
        .collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let all = total(&bins[..=n]);
    let mut best = 2.0 * (least + rules.min_gain) + parent;
    let (mut at, mut side) = (None, [0; 2]);
    for (i, (_, bin)) in order.iter().enumerate() {
        side = plus(side, bins[*bin]);
        if let Some(gain) = gain(seen, rules, usize::MAX, side, less(all, side))
            && gain > best
        {
            (best, at) = (gain, Some(i));
        }
    }
    let mut left = Box::new([false; BINS]);
    order[..=at?].iter().for_each(|(_, bin)| left[*bin] = true);
    Some(Split { gain: 0.5 * (best - parent) - rules.min_gain, feature, left, last: None })
}

/// The best cut for all nodes of a level together (oblivious trees): the sum of their scores decides.
pub(crate) fn best_for_all(
    nodes: &[Seen<'_>],
    scales: &[Scale],
    features: &[usize],
    rules: &Rules,
    noise: &dyn Fn(usize, usize) -> f64,
) -> Option<Split> {
    let mut found: Option<(f64, usize, usize, bool)> = None;
    for &feature in features {
        let Scale::Cuts(cuts) = &scales[feature] else { continue };
        let n = cuts.len() + 1;
        // Scores of all candidates with what is missing on the right, then on the left.
        let mut scores = vec![[0.0f64; 2]; n + 1];
        let mut any_missing = false;
        for node in nodes {
            let bins = &node.bins(feature)[..=n];
            let (missing, all) = (bins[0], total(bins));
            any_missing |= missing != [0; 2];
            let mut left = [0; 2];
            for (score, &sum) in scores.iter_mut().zip(bins).skip(1) {
                left = plus(left, sum);
                for (score, side) in score.iter_mut().zip([left, plus(left, missing)]) {
                    for part in [side, less(all, side)] {
                        let part = node.real(part);
                        if part[1] > 0.0 {
                            *score += rules.score(part, node.bounds);
                        }
                    }
                }
            }
        }
        for (last, both) in scores.iter().enumerate().take(n).skip(1) {
            for missing_left in [false, true] {
                let score = both[usize::from(missing_left)] * (1.0 + noise(feature, last));
                if (any_missing || !missing_left) && found.is_none_or(|(best, ..)| score > best) {
                    found = Some((score, feature, last, missing_left));
                }
            }
        }
    }
    let (best, feature, last, missing_left) = found?;
    let parent: f64 = nodes
        .iter()
        .map(|node| node.real(total(node.bins(feature))))
        .zip(nodes)
        .filter(|(sum, _)| sum[1] > 0.0)
        .map(|(sum, node)| rules.score(sum, node.bounds))
        .sum();
    let gain = 0.5 * (best - parent) - rules.min_gain;
    let least = 1e-9 * parent.abs();
    (gain > least).then(|| Split { gain, feature, left: below(last, missing_left), last: Some(last) })
}
