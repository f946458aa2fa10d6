//! Shapley values of the outputs of a forest: what each feature of an event adds to its output.
//!
//! The value of a set S of known features is the path-dependent expectation of arXiv:1802.03888: where a node asks
//! for a known feature, the event goes its way; elsewhere both children count with their shares of the training
//! events (their `cover`). Of one leaf with value v, whose path asks for D different features, this is
//!
//! v(S) = v · ∏_{j∈S} oⱼ · ∏_{j∉S} zⱼ,
//!
//! with oⱼ = 1 if the event goes towards the leaf at all nodes that ask for j, else 0, and zⱼ the product of the
//! shares at these nodes. As ∫₀¹ tᵏ(1−t)^(D−1−k) dt = k!(D−1−k)!/D!, the weights of Shapley (1953) turn into
//!
//! φᵢ = v (oᵢ − zᵢ) ∫₀¹ ∏_{j≠i} (oⱼt + zⱼ(1−t)) dt,
//! Φᵢⱼ = ½ v (oᵢ − zᵢ)(oⱼ − zⱼ) ∫₀¹ ∏_{k≠i,j} (oₖt + zₖ(1−t)) dt for i ≠ j, Φᵢᵢ = φᵢ − Σ_{j≠i} Φᵢⱼ.
//!
//! The integrands are polynomials in t of a degree below D, which ⌈D/2⌉ points of Gauss and Legendre integrate
//! exactly. This costs O(T L D²) as Algorithm 2 of that paper does, which gathers the same sums by extending and
//! unwinding paths; here every factor is positive, so that nothing cancels on deep trees.

use std::ops::Range;

use fb_core::Workers;

use crate::forest::{Forest, Node, Tree};
use crate::parallel;

/// Explains events by a forest, which it has taken to pieces once.
pub struct Explainer<'a> {
    forest: &'a Forest,
    leaves: Vec<Leaf>,
    parts: Vec<Part>,
    steps: Vec<Step>,
    /// Leaves of each tree.
    trees: Vec<Range<usize>>,
    /// For each number of features on a path: points in (0, 1) with their weights.
    rules: Vec<Vec<[f64; 2]>>,
    expected: Vec<f64>,
}

struct Leaf {
    value: f64,
    parts: Range<usize>,
}

/// What a path asks of one feature.
struct Part {
    feature: usize,
    /// Product of the shares of training events.
    share: f64,
    steps: Range<usize>,
}

struct Step {
    node: u32,
    left: bool,
}

/// Takes output, parts of a path, weight and ratios.
type Add<'a> = dyn FnMut(usize, &[Part], f64, &[f64]) + 'a;

/// Events that one thread explains at a time.
const PIECE: usize = 64;

impl<'a> Explainer<'a> {
    /// Takes the forest to pieces.
    pub fn new(forest: &'a Forest) -> Self {
        let mut new = Self {
            forest,
            leaves: Vec::new(),
            parts: Vec::new(),
            steps: Vec::new(),
            trees: Vec::new(),
            rules: Vec::new(),
            expected: forest.base.clone(),
        };
        for tree in &forest.trees {
            let start = new.leaves.len();
            new.dismantle(tree);
            new.trees.push(start..new.leaves.len());
            let reached =
                |leaf: &Leaf| leaf.value * new.parts[leaf.parts.clone()].iter().map(|p| p.share).product::<f64>();
            new.expected[tree.output] += new.leaves[start..].iter().map(reached).sum::<f64>();
        }
        let longest = new.leaves.iter().map(|l| l.parts.len()).max().unwrap_or(0);
        new.rules = (0..=longest).map(|d| gauss(d.div_ceil(2))).collect();
        new
    }

    /// The leaves of a tree with their paths.
    fn dismantle(&mut self, tree: &Tree) {
        let mut parents = vec![None; tree.nodes.len()];
        for (i, node) in tree.nodes.iter().enumerate().filter(|(_, n)| !n.is_leaf()) {
            parents[node.left as usize] = Some((i, true));
            parents[node.right as usize] = Some((i, false));
        }
        for (i, leaf) in tree.nodes.iter().enumerate().filter(|(_, n)| n.is_leaf()) {
            let mut path: Vec<(usize, Step, f64)> = Vec::new();
            let mut at = i;
            while let Some((above, left)) = parents[at] {
                let share = left_share(tree, &tree.nodes[above]);
                let step = Step { node: above as u32, left };
                path.push((tree.nodes[above].feature as usize, step, if left { share } else { 1.0 - share }));
                at = above;
            }
            // A node that nothing leads to is no leaf of the tree.
            if at != 0 {
                continue;
            }
            path.sort_by_key(|(feature, step, _)| (*feature, step.node));
            let first = self.parts.len();
            for (feature, step, share) in path {
                let start = self.steps.len();
                self.steps.push(step);
                match self.parts[first..].last_mut().filter(|p| p.feature == feature) {
                    Some(part) => {
                        part.share *= share;
                        part.steps.end = start + 1;
                    }
                    None => self.parts.push(Part { feature, share, steps: start..start + 1 }),
                }
            }
            self.leaves.push(Leaf { value: leaf.value, parts: first..self.parts.len() });
        }
    }

    /// Output by output, what is expected of an event of which nothing is known.
    pub fn expected(&self) -> &[f64] {
        &self.expected
    }

    /// Output by output, what each feature adds, and behind the features what is expected of any event:
    /// together the output.
    pub fn shap(&self, row: &[f64]) -> Vec<Vec<f64>> {
        let width = self.forest.features + 1;
        let mut phi: Vec<Vec<f64>> = vec![vec![0.0; width]; self.forest.outputs()];
        let mut places = Vec::new();
        self.visit(
            row,
            &|_| true,
            &mut |output, parts, weight, ratios| {
                let phi = &mut phi[output];
                parts.iter().zip(ratios).for_each(|(p, r)| phi[p.feature] += weight * r);
            },
            &mut places,
        );
        phi.iter_mut().zip(&self.expected).for_each(|(phi, expected)| phi[width - 1] = *expected);
        phi
    }

    /// Output by output, the matrix of interactions [feature, feature], row after row, with one row and one column
    /// more, whose last element is what is expected of any event. Each row sums up to the feature's Shapley value.
    pub fn interactions(&self, row: &[f64]) -> Vec<Vec<f64>> {
        let width = self.forest.features + 1;
        let mut matrices = vec![vec![0.0; width * width]; self.forest.outputs()];
        let mut places = Vec::new();
        self.visit(
            row,
            &|_| true,
            &mut |output, parts, weight, ratios| {
                let matrix = &mut matrices[output];
                for (a, (pa, ra)) in parts.iter().zip(ratios).enumerate() {
                    // What is left of the Shapley value stays on the diagonal.
                    let mut own = weight * ra;
                    for (b, (pb, rb)) in parts.iter().zip(ratios).enumerate() {
                        if a != b {
                            let pair = 0.5 * weight * ra * rb;
                            matrix[pa.feature * width + pb.feature] += pair;
                            own -= pair;
                        }
                    }
                    matrix[pa.feature * width + pa.feature] += own;
                }
            },
            &mut places,
        );
        matrices.iter_mut().zip(&self.expected).for_each(|(m, expected)| m[width * width - 1] = *expected);
        matrices
    }

    /// Shapley values of one output for events in columns: [event, feature], row after row, the same bits on any
    /// number of threads.
    pub fn of_columns(&self, columns: &[&[f64]], output: usize, workers: &dyn Workers) -> Vec<f64> {
        let rows = columns.first().map_or(0, |c| c.len());
        let explain = |range: Range<usize>| {
            let mut phi = vec![0.0; range.len() * columns.len()];
            let mut places = Vec::new();
            let mut row = Vec::new();
            for (i, phi) in range.zip(phi.chunks_exact_mut(columns.len())) {
                row.clear();
                row.extend(columns.iter().map(|c| c[i]));
                self.visit(
                    &row,
                    &|tree| tree.output == output,
                    &mut |_, parts, weight, ratios| {
                        parts.iter().zip(ratios).for_each(|(p, r)| phi[p.feature] += weight * r);
                    },
                    &mut places,
                );
            }
            phi
        };
        parallel::map(workers, parallel::pieces(rows, PIECE).collect(), explain).concat()
    }

    /// For all leaves of some trees, at all points t of the integral: calls `add` with the output, the parts of the
    /// path, v · weight of t · ∏ⱼ fⱼ and the ratios (oⱼ − zⱼ)/fⱼ, where fⱼ = oⱼt + zⱼ(1−t).
    fn visit(&self, row: &[f64], wanted: &dyn Fn(&Tree) -> bool, add: &mut Add<'_>, lefts: &mut Vec<bool>) {
        let row: Vec<f64> = row.iter().map(|&x| self.forest.rounded(x)).collect();
        let (mut goes, mut ratios) = (Vec::new(), Vec::new());
        for (tree, leaves) in self.forest.trees.iter().zip(&self.trees).filter(|(t, _)| wanted(t)) {
            lefts.clear();
            lefts.extend(tree.nodes.iter().map(|n| !n.is_leaf() && n.goes_left(row[n.feature as usize])));
            for leaf in &self.leaves[leaves.clone()] {
                let parts = &self.parts[leaf.parts.clone()];
                goes.clear();
                goes.extend(
                    parts.iter().map(|p| self.steps[p.steps.clone()].iter().all(|s| lefts[s.node as usize] == s.left)),
                );
                // Neither the event nor a training event ever goes this way: whatever is known, it adds nothing.
                if parts.iter().zip(&goes).any(|(p, &goes)| !goes && p.share <= 0.0) {
                    continue;
                }
                for &[t, weight] in &self.rules[parts.len()] {
                    let mut product = leaf.value * weight;
                    ratios.clear();
                    for (part, &goes) in parts.iter().zip(&goes) {
                        let factor = part.share * (1.0 - t) + if goes { t } else { 0.0 };
                        product *= factor;
                        // Where the event leaves the path, (0 − z)/(z(1−t)) has no z, however small.
                        ratios.push(if goes { (1.0 - part.share) / factor } else { -1.0 / (1.0 - t) });
                    }
                    add(tree.output, parts, product, &ratios);
                }
            }
        }
    }
}

/// Share of the training events of a node that went left; a half where nothing is known of them. Signed weights may
/// bring a sum below zero, which counts as none.
fn left_share(tree: &Tree, node: &Node) -> f64 {
    let [left, right] = [node.left, node.right].map(|child| tree.nodes[child as usize].cover.max(0.0));
    let all = left + right;
    if all > 0.0 && all.is_finite() { left / all } else { 0.5 }
}

/// Points and weights of Gauss and Legendre on (0, 1), exact up to degree 2n − 1: the zeros of the Legendre
/// polynomial by Newton's method.
fn gauss(n: usize) -> Vec<[f64; 2]> {
    let mut rule = Vec::with_capacity(n);
    for i in 0..n {
        let mut x = (std::f64::consts::PI * (i as f64 + 0.75) / (n as f64 + 0.5)).cos();
        let mut slope = 1.0;
        for _ in 0..20 {
            let (mut value, mut below) = (x, 1.0);
            for k in 2..=n {
                let k = k as f64;
                (value, below) = (((2.0 * k - 1.0) * x * value - (k - 1.0) * below) / k, value);
            }
            slope = n as f64 * (x * value - below) / (x * x - 1.0);
            let step = value / slope;
            x -= step;
            if step.abs() < 1e-15 {
                break;
            }
        }
        rule.push([0.5 * (1.0 - x), 1.0 / ((1.0 - x * x) * slope * slope)]);
    }
    rule
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fall over")]
mod tests {
    use fb_core::Philox;
    use fb_core::run::Alone;

    use super::*;
    use crate::forest::{Link, Test};

    /// A tree with random cuts, sets, covers and values, whose paths ask for features again and again.
    fn tree(random: &mut Philox, features: usize, output: usize) -> Tree {
        let mut nodes = vec![Node::leaf(random.normal(), 100.0)];
        let mut open = vec![0];
        while let Some(at) = open.pop() {
            if nodes.len() > 40 || random.uniform() < 0.15 && at > 0 {
                continue;
            }
            let share = if random.uniform() < 0.1 { 0.0 } else { random.uniform() };
            let (cover, left) = (nodes[at].cover, nodes.len() as u32);
            let test = if random.uniform() < 0.3 {
                Test::OneOf([0, 2].into())
            } else {
                Test::Below(random.below(4) as f64 - 0.5)
            };
            let node = &mut nodes[at];
            (node.feature, node.test, node.left, node.right) = (random.below(features) as u32, test, left, left + 1);
            node.missing_left = random.uniform() < 0.5;
            nodes.push(Node::leaf(random.normal(), cover * share));
            nodes.push(Node::leaf(random.normal(), cover * (1.0 - share)));
            open.splice(0..0, [left as usize, left as usize + 1]);
        }
        Tree { output, nodes }
    }

    fn forest(seed: u64, features: usize) -> Forest {
        let mut random = Philox::new(seed, 1, 1);
        let trees = (0..4).map(|t| tree(&mut random, features, t % 2)).collect();
        Forest { features, base: vec![0.25, -1.0], trees, link: Link::Softmax, single: false }
    }

    fn event(seed: u64, features: usize) -> Vec<f64> {
        let mut random = Philox::new(seed, 2, 2);
        (0..features).map(|_| if random.uniform() < 0.15 { f64::NAN } else { random.below(4) as f64 }).collect()
    }

    /// What is expected of an output if the features in the bits of `known` are known, from the definition.
    fn expected(forest: &Forest, output: usize, row: &[f64], known: usize) -> f64 {
        fn below(tree: &Tree, at: u32, row: &[f64], known: usize) -> f64 {
            let node = &tree.nodes[at as usize];
            if node.is_leaf() {
                return node.value;
            }
            if known >> node.feature & 1 == 1 {
                let left = node.goes_left(row[node.feature as usize]);
                return below(tree, if left { node.left } else { node.right }, row, known);
            }
            let [l, r] = [node.left, node.right].map(|c| tree.nodes[c as usize].cover);
            let share = if l + r > 0.0 { l / (l + r) } else { 0.5 };
            share * below(tree, node.left, row, known) + (1.0 - share) * below(tree, node.right, row, known)
        }
        let trees = forest.trees.iter().filter(|t| t.output == output);
        forest.base[output] + trees.map(|t| below(t, 0, row, known)).sum::<f64>()
    }

    fn factorial(n: usize) -> f64 {
        (1..=n).map(|k| k as f64).product()
    }

    /// All 2^M sets, with the weights of Shapley.
    #[test]
    fn equals_the_sum_over_all_sets() {
        for seed in 0..60 {
            let m = 1 + (seed as usize) % 6;
            let (forest, row) = (forest(seed, m), event(seed, m));
            let explainer = Explainer::new(&forest);
            let (found, pairs) = (explainer.shap(&row), explainer.interactions(&row));
            let outputs = forest.outputs_of(&row);
            for k in 0..2 {
                let value: Vec<f64> = (0..1 << m).map(|set| expected(&forest, k, &row, set)).collect();
                for i in 0..m {
                    let without = (0usize..1 << m).filter(|set| set >> i & 1 == 0);
                    let size = |set: usize| set.count_ones() as usize;
                    let weight = |set: usize| factorial(size(set)) * factorial(m - size(set) - 1) / factorial(m);
                    let phi: f64 = without.map(|set| weight(set) * (value[set | 1 << i] - value[set])).sum();
                    assert!((found[k][i] - phi).abs() < 1e-9, "seed {seed}: {} and {phi}", found[k][i]);
                    let row_sum: f64 = pairs[k][i * (m + 1)..(i + 1) * (m + 1)].iter().sum();
                    assert!((row_sum - phi).abs() < 1e-9, "seed {seed}: rows sum to {row_sum}, expected {phi}");
                    for j in (0..m).filter(|&j| j != i) {
                        let both = 1 << i | 1 << j;
                        let weight =
                            |s: usize| factorial(size(s)) * factorial(m - size(s) - 2) / factorial(m - 1) / 2.0;
                        let delta = |s: usize| value[s | both] - value[s | 1 << i] - value[s | 1 << j] + value[s];
                        let pair: f64 = (0usize..1 << m).filter(|s| s & both == 0).map(|s| weight(s) * delta(s)).sum();
                        assert!((pairs[k][i * (m + 1) + j] - pair).abs() < 1e-9, "seed {seed}: ({i}, {j})");
                    }
                }
                assert!((found[k].iter().sum::<f64>() - outputs[k]).abs() < 1e-9);
                assert!((pairs[k].iter().sum::<f64>() - outputs[k]).abs() < 1e-9);
                assert!((explainer.expected()[k] - value[0]).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn columns_are_explained_as_rows_are() {
        let forest = forest(7, 5);
        let rows: Vec<Vec<f64>> = (0..150).map(|i| event(i, 5)).collect();
        let columns: Vec<Vec<f64>> = (0..5).map(|f| rows.iter().map(|r| r[f]).collect()).collect();
        let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
        let explainer = Explainer::new(&forest);
        let all = explainer.of_columns(&columns, 1, &Alone);
        for (row, phi) in rows.iter().zip(all.chunks_exact(5)) {
            assert_eq!(phi, &explainer.shap(row)[1][..5]);
        }
    }

    /// f = x0·x1 of two switches, with the same shares: each earns the same; a third switch that no tree asks for
    /// earns nothing.
    #[test]
    fn equal_features_earn_the_same_and_idle_ones_nothing() {
        let inner = |feature, left, cover| Node {
            feature,
            test: Test::Below(0.5),
            left,
            right: left + 1,
            ..Node::leaf(0.0, cover)
        };
        let both = |a, b| Tree {
            output: 0,
            nodes: vec![
                inner(a, 1, 4.0),
                Node::leaf(0.0, 2.0),
                inner(b, 3, 2.0),
                Node::leaf(0.0, 1.0),
                Node::leaf(1.0, 1.0),
            ],
        };
        let trees = vec![both(0, 1), both(1, 0)];
        let forest = Forest { features: 3, base: vec![0.0], trees, link: Link::Identity, single: true };
        let explainer = Explainer::new(&forest);
        let phi = &explainer.shap(&[1.0, 1.0, 9.0])[0];
        assert!((phi[0] - 0.75).abs() < 1e-12 && (phi[1] - 0.75).abs() < 1e-12, "{phi:?}");
        assert_eq!((phi[2], phi[3]), (0.0, 0.5));
        let pairs = &explainer.interactions(&[1.0, 1.0, 9.0])[0];
        assert!((pairs[1] - 0.25).abs() < 1e-12 && (pairs[4] - 0.25).abs() < 1e-12, "{pairs:?}");
    }

    /// A path of sixty features in which all but nothing is certain: sums with signs would lose all digits.
    #[test]
    fn deep_paths_keep_their_digits() {
        let m = 60;
        let mut nodes = Vec::new();
        for feature in 0..m as u32 {
            let at = nodes.len() as u32;
            nodes.push(Node { feature, left: at + 1, right: at + 2, test: Test::Below(0.5), ..Node::leaf(0.0, 1.0) });
            // Left ends here, right goes on.
            nodes.push(Node::leaf(0.0, 0.01));
        }
        nodes.push(Node::leaf(1.0, 1.0));
        for i in (0..m).rev() {
            nodes[2 * i].cover = nodes[2 * i + 2].cover + nodes[2 * i + 1].cover;
        }
        let trees = vec![Tree { output: 0, nodes }];
        let forest = Forest { features: m, base: vec![0.0], trees, link: Link::Identity, single: true };
        for ones in [m, m - 1, 30] {
            let row: Vec<f64> = (0..m).map(|i| if i < ones { 1.0 } else { 0.0 }).collect();
            let phi = &Explainer::new(&forest).shap(&row)[0];
            let sum: f64 = phi.iter().sum();
            assert!((sum - forest.outputs_of(&row)[0]).abs() < 1e-12, "{sum}");
        }
    }

    #[test]
    fn rules_integrate_polynomials() {
        for n in 1usize..40 {
            for degree in 0..2 * n as i32 {
                let sum: f64 = gauss(n).iter().map(|[t, w]| w * t.powi(degree)).sum();
                assert!((sum * f64::from(degree + 1) - 1.0).abs() < 1e-11, "{n} points, degree {degree}: {sum}");
            }
        }
    }
}
