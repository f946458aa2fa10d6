//! Growing one tree on gradients: depth-wise, leaf-wise or oblivious.

use fb_core::{Philox, Workers};

use crate::bins::{BINS, Binned, LANES, Scale};
use crate::forest::{Node, Test, Tree};
use crate::histogram::{BLOCK, Histogram, Packed, Pair, Rows, build, largest, subtract};
use crate::parallel::{map, pieces};
use crate::split::{Bounds, Rules, Seen, Split, best, best_for_all};

/// The order in which nodes are parted, and where it ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    /// Level after level, to this depth.
    Depth(usize),
    /// The node with the largest gain first, to so many leaves and no deeper than this.
    Leaves(usize, usize),
    /// One cut for all nodes of a level, to this depth. `noise` is added to scores as a share of them.
    Oblivious(usize),
}

/// Shares of the features that are looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sampling {
    pub(crate) tree: f64,
    pub(crate) level: f64,
    pub(crate) node: f64,
}

/// A node while the tree grows.
struct Growing {
    /// Its rows, in the grower's order.
    range: std::ops::Range<usize>,
    depth: usize,
    bounds: Bounds,
    split: Option<Split>,
    children: Option<[usize; 2]>,
    histogram: Option<Histogram>,
}

/// Grows trees; keeps its memory from tree to tree.
pub(crate) struct Grower<'a> {
    binned: &'a Binned,
    pub(crate) rules: Rules,
    pub(crate) shape: Shape,
    pub(crate) sampling: Sampling,
    /// Standard deviation of the noise on scores of oblivious trees, as a share of them.
    pub(crate) noise: f64,
    pub(crate) seed: u64,
    workers: &'a dyn Workers,
    order: Vec<u32>,
    scratch: Vec<u32>,
    pool: Vec<Histogram>,
    /// What one unit in the histograms of this tree stands for.
    units: [f64; 2],
}

/// A grown tree with the rows of each leaf.
pub(crate) struct Grown {
    /// With leaf values that are the best ones for the objective, not yet shrunk.
    pub(crate) tree: Tree,
    /// Rows of each leaf (node, range in `order`), rising.
    pub(crate) leaves: Vec<(usize, std::ops::Range<usize>)>,
    /// Bounds of the value of each node.
    pub(crate) bounds: Vec<Bounds>,
}

const FREE: Bounds = [f64::NEG_INFINITY, f64::INFINITY];
/// Rows that are parted in one piece.
const PIECE: usize = 1 << 15;

impl<'a> Grower<'a> {
    pub(crate) fn new(
        binned: &'a Binned,
        rules: Rules,
        shape: Shape,
        sampling: Sampling,
        workers: &'a dyn Workers,
    ) -> Self {
        Self {
            binned,
            rules,
            shape,
            sampling,
            noise: 0.0,
            seed: 0,
            workers,
            order: Vec::new(),
            scratch: Vec::new(),
            pool: Vec::new(),
            units: [1.0; 2],
        }
    }

    /// The rows of the last tree, leaf by leaf.
    pub(crate) fn order(&self) -> &[u32] {
        &self.order
    }

    /// Grows a tree on the rows that `keep` tells, or on all. Features with one bin are passed over.
    pub(crate) fn grow(
        &mut self,
        gradients: &[Pair],
        identity: &[u64],
        number: u64,
        keep: Option<&(dyn Fn(usize) -> bool + Sync)>,
    ) -> Grown {
        let packed = Packed::new(gradients, identity, number ^ self.seed.rotate_left(32), self.workers);
        self.units = packed.units;
        self.order.clear();
        match keep {
            None => self.order.extend(0..gradients.len() as u32),
            Some(keep) => self.order.extend((0..gradients.len() as u32).filter(|&i| keep(i as usize))),
        }
        self.scratch.resize(self.order.len(), 0);
        let all = (0..self.binned.scales.len()).filter(|&f| self.binned.scales[f].bins() > 1).collect::<Vec<_>>();
        let of_tree = self.choose(&all, self.sampling.tree, number, 0);
        let mut nodes = vec![Growing {
            range: 0..self.order.len(),
            depth: 0,
            bounds: FREE,
            split: None,
            children: None,
            histogram: None,
        }];
        let (deepest, most) = match self.shape {
            Shape::Depth(depth) | Shape::Oblivious(depth) => (depth, usize::MAX),
            Shape::Leaves(leaves, depth) => (depth, leaves),
        };
        if deepest > 0 && most > 1 && !self.order.is_empty() {
            let mut histogram = self.histogram();
            let rows = if keep.is_none() { Rows::All(self.order.len()) } else { Rows::List(&self.order) };
            build(self.binned, &packed, &[rows], std::slice::from_mut(&mut histogram), self.workers);
            nodes[0].histogram = Some(histogram);
            self.find(&mut nodes, &[0], &packed, &of_tree, number);
        }
        let mut leaves = 1;
        loop {
            let batch = self.next(&nodes);
            if batch.is_empty() || leaves >= most {
                break;
            }
            leaves += batch.len();
            let depth = nodes[batch[0]].depth + 1;
            let children = self.part(&mut nodes, &batch);
            if depth < deepest && leaves < most {
                self.histograms(&mut nodes, &batch, &packed);
                self.find(&mut nodes, &children, &packed, &of_tree, number);
            }
        }
        self.finish(nodes, gradients)
    }

    fn histogram(&mut self) -> Histogram {
        let mut histogram = self.pool.pop().unwrap_or_default();
        histogram.clear();
        histogram.resize(self.binned.blocks.len() * BLOCK, [0; 2]);
        histogram
    }

    /// The nodes that are parted next.
    fn next(&self, nodes: &[Growing]) -> Vec<usize> {
        let open = nodes.iter().enumerate().filter(|(_, n)| n.split.is_some() && n.children.is_none());
        match self.shape {
            Shape::Depth(_) | Shape::Oblivious(_) => open.map(|(i, _)| i).collect(),
            Shape::Leaves(..) => {
                let gain = |n: &Growing| n.split.as_ref().map_or(0.0, |s| s.gain);
                // The first of equals.
                let largest = open.reduce(|a, b| if gain(b.1) > gain(a.1) { b } else { a });
                largest.map(|(i, _)| i).into_iter().collect()
            }
        }
    }

    /// Some of these features, drawn by (tree, place).
    fn choose(&self, from: &[usize], share: f64, tree: u64, place: u64) -> Vec<usize> {
        if share >= 1.0 {
            return from.to_vec();
        }
        let count = ((from.len() as f64 * share).round() as usize).clamp(1.min(from.len()), from.len());
        let mut random = Philox::new(self.seed, tree, place);
        let mut chosen: Vec<usize> = random.permutation(from.len()).into_iter().take(count).map(|i| from[i]).collect();
        chosen.sort_unstable();
        chosen
    }

    /// Finds the best splits of these nodes.
    fn find(&mut self, nodes: &mut [Growing], these: &[usize], packed: &Packed, features: &[usize], tree: u64) {
        let level = nodes[these[0]].depth as u64;
        let of_level = self.choose(features, self.sampling.level, tree, 1 + level);
        let seen = |i: usize| {
            let histogram = nodes[i].histogram.as_deref()?;
            Some(Seen { histogram, units: packed.units, bounds: nodes[i].bounds })
        };
        if let Shape::Oblivious(_) = self.shape {
            let all: Vec<Seen<'_>> = these.iter().filter_map(|&i| seen(i)).collect();
            let noise = |feature: usize, bin: usize| {
                if self.noise == 0.0 {
                    return 0.0;
                }
                let place = 1 << 40 | level << 32 | (feature as u64) << 8 | bin as u64;
                self.noise * Philox::new(self.seed, tree, place).normal()
            };
            // In pieces of features, the best of which is the best of all.
            let noise: &(dyn Fn(usize, usize) -> f64 + Sync) = &noise;
            let parts: Vec<_> = of_level.chunks(LANES).collect();
            let found =
                map(self.workers, parts, |part| best_for_all(&all, &self.binned.scales, part, &self.rules, noise));
            let split = found.into_iter().flatten().reduce(|a, b| if b.gain > a.gain { b } else { a });
            for &i in these {
                nodes[i].split.clone_from(&split);
            }
            return;
        }
        let of_node = |i: usize| self.choose(&of_level, self.sampling.node, tree, 1 << 20 | i as u64);
        let found = map(self.workers, these.to_vec(), |i| {
            let seen = seen(i)?;
            best(seen, &self.binned.scales, &of_node(i), &self.rules)
        });
        for (&i, split) in these.iter().zip(found) {
            if split.is_none() {
                self.pool.extend(nodes[i].histogram.take());
            }
            nodes[i].split = split;
        }
    }

    /// Sorts the rows of these nodes into their children, which are appended.
    fn part(&mut self, nodes: &mut Vec<Growing>, batch: &[usize]) -> Vec<usize> {
        let binned = self.binned;
        // Pieces of rows: left ones move to the front in place, right ones into the scratch.
        let mut tasks = Vec::new();
        let (mut order, mut scratch, mut at) = (&mut self.order[..], &mut self.scratch[..], 0);
        let mut sorted = batch.to_vec();
        sorted.sort_by_key(|&i| nodes[i].range.start);
        for &i in &sorted {
            let Some(split) = &nodes[i].split else { continue };
            let range = nodes[i].range.clone();
            let (skip, length) = (range.start - at, range.len());
            (order, scratch) = (&mut order[skip..], &mut scratch[skip..]);
            let (o, s);
            (o, order) = order.split_at_mut(length);
            (s, scratch) = scratch.split_at_mut(length);
            at = range.end;
            tasks.extend(o.chunks_mut(PIECE).zip(s.chunks_mut(PIECE)).map(|(o, s)| (i, split, o, s)));
        }
        let counts = map(self.workers, tasks, |(i, split, rows, right)| {
            let (block, lane) = (&binned.blocks[split.feature / LANES], split.feature % LANES);
            let (mut l, mut r) = (0, 0);
            for at in 0..rows.len() {
                let row = rows[at];
                let left = split.left[usize::from(block[row as usize][lane])];
                rows[l] = row;
                right[r] = row;
                l += usize::from(left);
                r += usize::from(!left);
            }
            (i, l)
        });
        let mut lefts = vec![Vec::new(); nodes.len()];
        for (i, count) in counts {
            lefts[i].push(count);
        }
        let mut children = Vec::new();
        for &i in batch {
            let (range, depth) = (nodes[i].range.clone(), nodes[i].depth + 1);
            // Left ones of all pieces move together, then the right ones come back behind them.
            let mut end = range.start;
            for (piece, &count) in pieces(range.len(), PIECE).zip(&lefts[i]) {
                let from = range.start + piece.start;
                if from != end {
                    self.order.copy_within(from..from + count, end);
                }
                end += count;
            }
            let middle = end;
            for (piece, &count) in pieces(range.len(), PIECE).zip(&lefts[i]) {
                let (from, count) = (range.start + piece.start, piece.len() - count);
                self.order[end..end + count].copy_from_slice(&self.scratch[from..from + count]);
                end += count;
            }
            let bounds = self.child_bounds(&nodes[i]);
            nodes[i].children = Some([nodes.len(), nodes.len() + 1]);
            for (range, bounds) in [range.start..middle, middle..range.end].into_iter().zip(bounds) {
                children.push(nodes.len());
                nodes.push(Growing { range, depth, bounds, split: None, children: None, histogram: None });
            }
        }
        children
    }

    /// Bounds of the children: where leaves must rise with the feature, the middle of the two values parts them.
    fn child_bounds(&self, node: &Growing) -> [Bounds; 2] {
        let (Some(split), Some(histogram)) = (&node.split, &node.histogram) else { return [node.bounds; 2] };
        let sign = self.rules.monotone.get(split.feature).copied().unwrap_or(0);
        if sign == 0 {
            return [node.bounds; 2];
        }
        let mut sides = [[0i64; 2]; 2];
        for (sum, &left) in histogram[split.feature * BINS..(split.feature + 1) * BINS].iter().zip(&split.left[..]) {
            let side = &mut sides[usize::from(!left)];
            *side = [side[0] + sum[0], side[1] + sum[1]];
        }
        let [g, h] = self.units;
        let value = |side: [i64; 2]| self.rules.value([side[0] as f64 * g, side[1] as f64 * h], node.bounds);
        let middle = 0.5 * (value(sides[0]) + value(sides[1]));
        let (low, high) = ([node.bounds[0], middle], [middle, node.bounds[1]]);
        if sign > 0 { [low, high] } else { [high, low] }
    }

    /// Histograms of the children: the smaller one is summed up, the other is what is left of the parent's.
    fn histograms(&mut self, nodes: &mut [Growing], batch: &[usize], packed: &Packed) {
        let mut small = Vec::new();
        for &i in batch {
            let Some([a, b]) = nodes[i].children else { continue };
            let a_is_small = nodes[a].range.len() <= nodes[b].range.len();
            small.push(if a_is_small { (i, a, b) } else { (i, b, a) });
        }
        let mut built: Vec<Histogram> = small.iter().map(|_| self.histogram()).collect();
        let rows: Vec<Rows<'_>> =
            small.iter().map(|&(_, s, _)| Rows::List(&self.order[nodes[s].range.clone()])).collect();
        build(self.binned, packed, &rows, &mut built, self.workers);
        let tasks: Vec<_> = small
            .iter()
            .zip(built)
            .map(|(&(i, s, l), built)| (s, l, built, nodes[i].histogram.take().unwrap_or_default()))
            .collect();
        for (s, l, built, rest) in map(self.workers, tasks, |(s, l, built, mut rest)| {
            subtract(&mut rest, &built);
            (s, l, built, rest)
        }) {
            nodes[s].histogram = Some(built);
            nodes[l].histogram = Some(rest);
        }
    }

    /// Gives the leaves of a grown tree the values of other gradients.
    pub(crate) fn refit(&self, grown: &mut Grown, gradients: &[Pair]) {
        let sums = leaf_sums(&self.order, &grown.leaves, gradients, self.workers);
        let mut all = vec![[0.0; 2]; grown.tree.nodes.len()];
        for (sum, (i, _)) in sums.into_iter().zip(&grown.leaves) {
            all[*i] = sum;
        }
        for i in (0..all.len()).rev() {
            let node = &mut grown.tree.nodes[i];
            if !node.is_leaf() {
                let [a, b] = [node.left, node.right].map(|child| all[child as usize]);
                all[i] = [a[0] + b[0], a[1] + b[1]];
            }
            (node.value, node.cover) = (self.rules.value(all[i], grown.bounds[i]), all[i][1]);
        }
    }

    /// The tree, with exact sums in its leaves.
    fn finish(&mut self, mut nodes: Vec<Growing>, gradients: &[Pair]) -> Grown {
        self.pool.extend(nodes.iter_mut().filter_map(|n| n.histogram.take()));
        let leaves: Vec<(usize, std::ops::Range<usize>)> =
            nodes.iter().enumerate().filter(|(_, n)| n.children.is_none()).map(|(i, n)| (i, n.range.clone())).collect();
        let node = |n: &Growing| match (n.children, &n.split) {
            (Some([a, b]), Some(split)) => Node {
                feature: split.feature as u32,
                test: test(split, &self.binned.scales[split.feature]),
                missing_left: split.left[0],
                left: a as u32,
                right: b as u32,
                gain: split.gain,
                ..Node::leaf(0.0, 0.0)
            },
            _ => Node::leaf(0.0, 0.0),
        };
        let bounds = nodes.iter().map(|n| n.bounds).collect();
        let tree = Tree { output: 0, nodes: nodes.iter().map(node).collect() };
        let mut grown = Grown { tree, leaves, bounds };
        self.refit(&mut grown, gradients);
        grown
    }
}

/// What a split asks, in values.
fn test(split: &Split, scale: &Scale) -> Test {
    match scale {
        Scale::Cuts(cuts) => {
            let last = split.last.unwrap_or(0);
            // Behind the last bin: all values go left, and only what is missing goes right.
            Test::Below(cuts.get(last - 1).map_or(f64::INFINITY, |&cut| f64::from(cut)))
        }
        Scale::Categories(all) => {
            Test::OneOf(all.iter().enumerate().filter(|(i, _)| split.left[i + 1]).map(|(_, &c)| c).collect())
        }
    }
}

/// Sums of gradients and hessians over the rows of leaves, in whole numbers of 2⁻ᵏ, so that no order matters.
pub(crate) fn leaf_sums(
    order: &[u32],
    leaves: &[(usize, std::ops::Range<usize>)],
    gradients: &[Pair],
    workers: &dyn Workers,
) -> Vec<[f64; 2]> {
    let bits = 61 - (gradients.len().max(1) as f64).log2().ceil() as i32;
    let scales = largest(gradients, workers)
        .map(|x| if x > 0.0 { f64::from(bits - f64::from(x).log2().ceil() as i32).exp2() } else { 1.0 });
    let tasks = leaves.iter().enumerate().flat_map(|(l, (_, range))| {
        pieces(range.len(), PIECE).map(move |p| (l, range.start + p.start..range.start + p.end))
    });
    let parts = map(workers, tasks.collect(), |(l, range)| {
        let mut sum = [0i64; 2];
        for &row in &order[range] {
            let g = gradients[row as usize];
            sum[0] += (f64::from(g[0]) * scales[0]) as i64;
            sum[1] += (f64::from(g[1]) * scales[1]) as i64;
        }
        (l, sum)
    });
    let mut sums = vec![[0i64; 2]; leaves.len()];
    for (l, sum) in parts {
        sums[l] = [sums[l][0] + sum[0], sums[l][1] + sum[1]];
    }
    sums.into_iter().map(|s| [s[0] as f64 / scales[0], s[1] as f64 / scales[1]]).collect()
}

/// Adds the leaf values of a tree to the outputs of the rows it was grown on (all of `outputs`, or those of the leaves).
pub(crate) fn add_leaves(
    outputs: &mut [f32],
    order: &[u32],
    leaves: &[(usize, std::ops::Range<usize>)],
    tree: &Tree,
    workers: &dyn Workers,
) {
    let tasks: Vec<_> = pieces(outputs.len(), PIECE).zip(outputs.chunks_mut(PIECE)).collect();
    map(workers, tasks, |(range, outputs)| {
        for (node, leaf) in leaves {
            let rows = &order[leaf.clone()];
            let value = tree.nodes[*node].value as f32;
            // The rows of a leaf rise, so those of this piece stand together.
            let from = rows.partition_point(|&r| (r as usize) < range.start);
            let to = from + rows[from..].partition_point(|&r| (r as usize) < range.end);
            for &row in &rows[from..to] {
                outputs[row as usize - range.start] += value;
            }
        }
    });
}
