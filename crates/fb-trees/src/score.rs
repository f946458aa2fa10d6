//! Outputs of many events: trees in a compact form, walked through for many events, or many trees, at once.
//!
//! A leaf is a node that leads to itself, so all walks through a tree have the same number of steps and none has a branch:
//! the processor works on sixteen of them at a time.

use fb_core::Workers;

use crate::forest::{Forest, Test};
use crate::parallel::{map, pieces};

/// A number that features are compared in.
trait Number: Copy + PartialOrd + Send + Sync + Default {
    const NOTHING: Self;

    fn of(x: f64) -> Self;
}

impl Number for f32 {
    const NOTHING: Self = Self::NAN;

    fn of(x: f64) -> Self {
        x as f32
    }
}

impl Number for f64 {
    const NOTHING: Self = Self::NAN;

    fn of(x: f64) -> Self {
        x
    }
}

/// A node: the next one is `next` where x < cut, else the one behind it.
#[derive(Clone, Copy)]
struct Step<T> {
    cut: T,
    feature: u32,
    /// Shifted by one; the lowest bit says that what is missing goes right. A leaf leads to itself.
    next: u32,
}

/// Trees of one output, ready to be walked through.
struct Walk<T> {
    /// The nodes of all trees; the children of a node stand beside each other.
    steps: Vec<Step<T>>,
    /// Value of each node that is a leaf.
    values: Vec<f64>,
    /// (root, depth, output) of each tree.
    trees: Vec<(u32, u32, u32)>,
}

/// Walks that are under way at once.
const TOGETHER: usize = 16;
/// Events that are brought into rows at a time.
const ROWS: usize = 256;

impl<T: Number> Walk<T> {
    /// None where a tree asks for categories.
    fn new(forest: &Forest) -> Option<Self> {
        let mut walk = Self { steps: Vec::new(), values: Vec::new(), trees: Vec::new() };
        for tree in &forest.trees {
            let root = walk.steps.len() as u32;
            walk.trees.push((root, tree.depth() as u32, tree.output as u32));
            walk.push(T::default());
            // Nodes in the order in which they get their places: (node of the tree, place).
            let mut open = vec![(0usize, root as usize)];
            while let Some((node, place)) = open.pop() {
                let node = &tree.nodes[node];
                if node.is_leaf() {
                    let here = (place as u32) << 1;
                    walk.steps[place] = Step { cut: T::NOTHING, feature: 0, next: here };
                    walk.values[place] = node.value;
                    continue;
                }
                let Test::Below(cut) = node.test else { return None };
                let next = walk.steps.len();
                walk.push(T::default());
                walk.push(T::default());
                let right = u32::from(!node.missing_left);
                walk.steps[place] = Step { cut: T::of(cut), feature: node.feature, next: (next as u32) << 1 | right };
                open.push((node.right as usize, next + 1));
                open.push((node.left as usize, next));
            }
        }
        Some(walk)
    }

    fn push(&mut self, cut: T) {
        self.steps.push(Step { cut, feature: 0, next: 0 });
        self.values.push(0.0);
    }

    /// One step from `at` with this row.
    #[inline(always)]
    fn step(&self, at: u32, row: &[T]) -> u32 {
        let step = self.steps[at as usize];
        let x = row[step.feature as usize];
        // What is missing is neither below nor above; the cut of a leaf is not a number and its bit is zero.
        let (above, below) = (x >= step.cut, x < step.cut);
        let right = u32::from(above) | (step.next & u32::from(!below));
        (step.next >> 1) + right
    }

    /// Adds the outputs of rows (each of `features` numbers) tree by tree.
    fn add(&self, rows: &[T], features: usize, outputs: usize, out: &mut [f64]) {
        for &(root, depth, output) in &self.trees {
            let groups = rows.chunks(TOGETHER * features).zip(out.chunks_mut(TOGETHER * outputs));
            for (rows, out) in groups {
                let mut at = [root; TOGETHER];
                for _ in 0..depth {
                    for (at, row) in at.iter_mut().zip(rows.chunks_exact(features)) {
                        *at = self.step(*at, row);
                    }
                }
                for (out, at) in out.chunks_exact_mut(outputs).zip(at) {
                    out[output as usize] += self.values[at as usize];
                }
            }
        }
    }

    /// The same for one row: many trees at once.
    fn add_one(&self, row: &[T], out: &mut [f64]) {
        for trees in self.trees.chunks(TOGETHER) {
            let mut at = [0; TOGETHER];
            let mut deepest = 0;
            for (at, (root, depth, _)) in at.iter_mut().zip(trees) {
                *at = *root;
                deepest = deepest.max(*depth);
            }
            for _ in 0..deepest {
                for at in &mut at[..trees.len()] {
                    *at = self.step(*at, row);
                }
            }
            for ((.., output), at) in trees.iter().zip(at) {
                out[*output as usize] += self.values[at as usize];
            }
        }
    }

    fn outputs(&self, forest: &Forest, columns: &[&[f64]], workers: &dyn Workers) -> Vec<f64> {
        let (n, outputs) = (columns.first().map_or(0, |c| c.len()), forest.outputs());
        let mut out: Vec<f64> = forest.base.iter().copied().cycle().take(n * outputs).collect();
        let features = columns.len();
        if n == 1 {
            let row: Vec<T> = columns.iter().map(|c| T::of(c[0])).collect();
            self.add_one(&row, &mut out);
            return out;
        }
        let tasks: Vec<_> = pieces(n, 16 * ROWS).zip(out.chunks_mut(16 * ROWS * outputs)).collect();
        map(workers, tasks, |(range, out)| {
            let mut rows = vec![T::default(); ROWS * features];
            for (part, out) in pieces(range.len(), ROWS).zip(out.chunks_mut(ROWS * outputs)) {
                for (feature, column) in columns.iter().enumerate() {
                    let values = &column[range.start + part.start..range.start + part.end];
                    for (row, &x) in rows.chunks_exact_mut(features).zip(values) {
                        row[feature] = T::of(x);
                    }
                }
                self.add(&rows[..part.len() * features], features, outputs, out);
            }
        });
        out
    }
}

enum Walks {
    Single(Walk<f32>),
    Double(Walk<f64>),
    /// Trees that ask for categories are walked through as they are.
    Plain,
}

/// A forest that is ready to score many events.
pub struct Scorer {
    forest: Forest,
    walks: Walks,
}

impl Scorer {
    /// Prepares a forest.
    pub fn new(forest: Forest) -> Self {
        let walks = if forest.features == 0 {
            None
        } else if forest.single {
            Walk::new(&forest).map(Walks::Single)
        } else {
            Walk::new(&forest).map(Walks::Double)
        };
        Self { forest, walks: walks.unwrap_or(Walks::Plain) }
    }

    /// The forest.
    pub fn forest(&self) -> &Forest {
        &self.forest
    }

    /// Outputs [event, output] of events whose features are these columns.
    pub fn outputs(&self, columns: &[&[f64]], workers: &dyn Workers) -> Vec<f64> {
        match &self.walks {
            Walks::Single(walk) => walk.outputs(&self.forest, columns, workers),
            Walks::Double(walk) => walk.outputs(&self.forest, columns, workers),
            Walks::Plain => {
                let n = columns.first().map_or(0, |c| c.len());
                let rows = pieces(n, ROWS).collect();
                let parts = map(workers, rows, |range| {
                    let mut out = Vec::new();
                    for i in range {
                        let row: Vec<f64> = columns.iter().map(|c| c[i]).collect();
                        out.extend(self.forest.outputs_of(&row));
                    }
                    out
                });
                parts.concat()
            }
        }
    }

    /// Scores [event, class] of events whose features are these columns.
    pub fn scores(&self, columns: &[&[f64]], workers: &dyn Workers) -> Vec<f64> {
        let outputs = self.outputs(columns, workers);
        let width = self.forest.outputs();
        let parts = map(workers, outputs.chunks(width * 4096).collect(), |outputs| {
            let mut scores = Vec::new();
            outputs.chunks_exact(width).for_each(|f| self.forest.link.apply(f, &mut scores));
            scores
        });
        parts.concat()
    }
}

#[cfg(test)]
mod tests {
    use fb_core::Philox;
    use fb_core::run::Alone;

    use super::*;
    use crate::forest::{Link, Node, Tree};

    /// A random tree over three features.
    fn tree(random: &mut Philox, output: usize) -> Tree {
        let mut nodes = vec![Node::leaf(random.normal(), 1.0)];
        for _ in 0..random.below(20) {
            let leaves: Vec<usize> = (0..nodes.len()).filter(|&i| nodes[i].is_leaf()).collect();
            let at = leaves[random.below(leaves.len())];
            let (left, right) = (nodes.len() as u32, nodes.len() as u32 + 1);
            let cut = f64::from((random.normal() * 4.0).round() as f32 / 4.0);
            let missing_left = random.below(2) == 0;
            let feature = random.below(3) as u32;
            nodes[at] = Node { feature, test: Test::Below(cut), missing_left, left, right, ..Node::leaf(0.0, 1.0) };
            nodes.push(Node::leaf(random.normal(), 1.0));
            nodes.push(Node::leaf(random.normal(), 1.0));
        }
        Tree { output, nodes }
    }

    #[test]
    fn many_events_at_once_are_the_same_as_each_alone() {
        let mut random = Philox::new(3, 1, 4);
        for single in [true, false] {
            let trees = (0..37).map(|i| tree(&mut random, i % 2)).collect();
            let forest = Forest { features: 3, base: vec![0.5, -1.0], trees, link: Link::Softmax, single };
            let mut value = || match random.below(10) {
                0 => f64::NAN,
                1 => f64::INFINITY,
                // On cuts, where it counts which side they belong to.
                2..5 => (random.normal() * 4.0).round() / 4.0,
                _ => random.normal(),
            };
            let columns: Vec<Vec<f64>> = (0..3).map(|_| (0..5000).map(|_| value()).collect()).collect();
            let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
            let scorer = Scorer::new(forest.clone());
            let (all, scores) = (scorer.outputs(&columns, &Alone), scorer.scores(&columns, &Alone));
            for i in 0..5000 {
                let row: Vec<f64> = columns.iter().map(|c| c[i]).collect();
                assert_eq!(all[2 * i..2 * i + 2], forest.outputs_of(&row)[..], "event {i}");
                assert_eq!(scores[2 * i..2 * i + 2], forest.scores_of(&row)[..]);
                if i < 100 {
                    let one: Vec<&[f64]> = columns.iter().map(|c| &c[i..=i]).collect();
                    assert_eq!(scorer.outputs(&one, &Alone), all[2 * i..2 * i + 2]);
                }
            }
        }
    }
}
