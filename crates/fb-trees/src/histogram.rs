//! Sums of gradients in the bins of each feature.
//!
//! Gradient and hessian of an event are rounded to whole numbers and packed into one word, so that an event costs one
//! addition per feature. Whole numbers have the same sum in any order, hence on any number of threads, and the histogram
//! of a child is exactly that of its parent less that of its sibling. The rounding is random with the right mean, keyed by
//! the event's identity: its error stays below the statistical one of the sums for any spread of the weights.

use fb_core::Workers;

use crate::bins::{BINS, Binned, LANES};
use crate::parallel::{map, pieces};

/// Gradient and hessian of an event, or of many.
pub type Pair = [f32; 2];
/// The same, summed in whole numbers.
pub(crate) type Sum = [i64; 2];

/// Rows that are rounded in one piece.
const PIECE: usize = 1 << 14;

/// The packed gradients of a sample.
pub(crate) struct Packed {
    /// Gradient in the upper and hessian in the lower half, both signed.
    words: Vec<i64>,
    /// Rows that are summed up before a half could overflow.
    chunk: usize,
    /// What one unit of gradient and of hessian stands for.
    pub(crate) units: [f64; 2],
}

/// 2ᵏ with |largest|·2ᵏ below 2^bits.
fn power(largest: f32, bits: i32) -> f64 {
    if largest > 0.0 && largest.is_finite() {
        f64::from(bits - 1 - f64::from(largest).log2().floor() as i32).exp2()
    } else {
        1.0
    }
}

/// Uniform in [0, 1), from an identity and the number of the tree.
fn dither(identity: u64, tree: u64) -> f32 {
    let mut x = identity ^ tree.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x = (x ^ x >> 32).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    x ^= x >> 32;
    (x >> 40) as f32 / 16_777_216.0
}

/// The largest whole number that is not above `x`; numbers here are far from the bounds of the type.
fn floor(x: f32) -> i32 {
    let towards_zero = x as i32;
    towards_zero - i32::from(towards_zero as f32 > x)
}

impl Packed {
    /// Rounds gradients for tree number `tree`.
    pub(crate) fn new(gradients: &[Pair], identity: &[u64], tree: u64, workers: &dyn Workers) -> Self {
        // Fine steps for few events; for many, chunks that are long enough to make up for their flush.
        let chunk = if gradients.len() <= 1 << 13 { 1 << 8 } else { 1 << 15 };
        let bits = 30 - (chunk as f64).log2() as i32;
        let scales = largest(gradients, workers).map(|x| power(x, bits));
        let [sg, sh] = scales.map(|s| s as f32);
        let mut words = vec![0i64; gradients.len()];
        let tasks: Vec<_> = pieces(gradients.len(), PIECE).zip(words.chunks_mut(PIECE)).collect();
        map(workers, tasks, |(range, out)| {
            for ((word, g), &id) in out.iter_mut().zip(&gradients[range.clone()]).zip(&identity[range]) {
                let shift = dither(id, tree);
                let (gradient, hessian) = (floor(g[0] * sg + shift), floor(g[1] * sh + shift));
                *word = (i64::from(gradient) << 32) + i64::from(hessian);
            }
        });
        Self { words, chunk, units: scales.map(|s| 1.0 / s) }
    }
}

/// Sizes of the largest gradient and of the largest hessian.
pub(crate) fn largest(gradients: &[Pair], workers: &dyn Workers) -> [f32; 2] {
    let most = |a: [f32; 2], b: &Pair| [a[0].max(b[0].abs()), a[1].max(b[1].abs())];
    let each =
        map(workers, pieces(gradients.len(), PIECE).collect(), |range| gradients[range].iter().fold([0.0; 2], most));
    each.iter().fold([0.0; 2], most)
}

/// Sums per feature and bin of a node.
pub(crate) type Histogram = Vec<Sum>;

/// Entries of a block of features.
pub(crate) const BLOCK: usize = LANES * BINS;

/// Adds a chunk of rows to packed sums of `W` features.
fn add<const W: usize>(sums: &mut [[i64; BINS]; LANES], rows: impl Iterator<Item = ([u8; LANES], i64)>) {
    for (bins, word) in rows {
        let bins = u64::from_le_bytes(bins);
        for (lane, sums) in sums.iter_mut().take(W).enumerate() {
            let sum = &mut sums[usize::from((bins >> (8 * lane)) as u8)];
            *sum = sum.wrapping_add(word);
        }
    }
}

/// Adds rows in chunks to the sums of a block.
fn add_chunks(
    out: &mut [Sum],
    lanes: usize,
    chunk: usize,
    count: usize,
    mut add_range: impl FnMut(&mut [[i64; BINS]; LANES], std::ops::Range<usize>),
) {
    let mut sums = Box::new([[0i64; BINS]; LANES]);
    for range in pieces(count, chunk) {
        add_range(&mut sums, range);
        for (out, sums) in out.chunks_exact_mut(BINS).zip(sums.iter_mut()).take(lanes) {
            for (out, sum) in out.iter_mut().zip(sums) {
                let word = std::mem::take(sum);
                let hessian = i64::from(word as i32);
                out[0] += (word - hessian) >> 32;
                out[1] += hessian;
            }
        }
    }
}

/// Rows of a node: those of a list, or the first ones of the sample.
#[derive(Clone, Copy)]
pub(crate) enum Rows<'a> {
    All(usize),
    List(&'a [u32]),
}

impl Rows<'_> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::All(n) => *n,
            Self::List(list) => list.len(),
        }
    }

    fn part(&self, range: std::ops::Range<usize>) -> (usize, Option<&[u32]>) {
        match self {
            Self::All(_) => (range.start, None),
            Self::List(list) => (range.start, Some(&list[range])),
        }
    }
}

fn add_rows(
    out: &mut [Sum],
    block: &[[u8; LANES]],
    lanes: usize,
    rows: Rows<'_>,
    range: std::ops::Range<usize>,
    packed: &Packed,
) {
    let (start, list) = rows.part(range.clone());
    let words = &packed.words;
    macro_rules! run {
        ($w:literal) => {
            match list {
                None => add_chunks(out, lanes, packed.chunk, range.len(), |sums, r| {
                    let r = start + r.start..start + r.end;
                    add::<$w>(sums, block[r.clone()].iter().copied().zip(words[r].iter().copied()));
                }),
                Some(list) => add_chunks(out, lanes, packed.chunk, range.len(), |sums, r| {
                    add::<$w>(sums, list[r].iter().map(|&i| (block[i as usize], words[i as usize])));
                }),
            }
        };
    }
    match lanes {
        1 => run!(1),
        2 => run!(2),
        3 => run!(3),
        4 => run!(4),
        5 => run!(5),
        6 => run!(6),
        7 => run!(7),
        _ => run!(8),
    }
}

/// The histograms of several nodes, written into `out`, which must be zero.
pub(crate) fn build(
    binned: &Binned,
    packed: &Packed,
    nodes: &[Rows<'_>],
    out: &mut [Histogram],
    workers: &dyn Workers,
) {
    let blocks = binned.blocks.len();
    let lanes = |block: usize| (binned.scales.len() - block * LANES).min(LANES);
    // Rows are split too where there are fewer blocks than threads could take.
    let wanted = 2 * workers.count();
    let tasks = blocks * nodes.len();
    let parts = if workers.count() == 1 || tasks == 0 { 1 } else { wanted.div_ceil(tasks) };
    let mut all = Vec::new();
    for (rows, histogram) in nodes.iter().zip(out.iter_mut()) {
        let part = if rows.len() < 1 << 13 { rows.len() } else { rows.len().div_ceil(parts) }.max(1);
        for (block, sums) in histogram.chunks_mut(BLOCK).enumerate() {
            let mut sums = Some(sums);
            for range in pieces(rows.len(), part) {
                // The first part writes in place, the others are added afterwards.
                all.push((block, *rows, range, sums.take()));
            }
        }
    }
    let others = map(workers, all, |(block, rows, range, sums)| {
        let mut more = if sums.is_none() { vec![[0; 2]; BLOCK] } else { Vec::new() };
        let out = sums.unwrap_or(&mut more);
        add_rows(out, &binned.blocks[block], lanes(block), rows, range, packed);
        more
    });
    let mut others = others.into_iter();
    for (rows, histogram) in nodes.iter().zip(out.iter_mut()) {
        let part = if rows.len() < 1 << 13 { rows.len() } else { rows.len().div_ceil(parts) }.max(1);
        for sums in histogram.chunks_mut(BLOCK) {
            for _ in pieces(rows.len(), part) {
                // Nothing where the part has been written in place.
                add_to(sums, &others.next().unwrap_or_default());
            }
        }
    }
}

fn add_to(sums: &mut [Sum], more: &[Sum]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum = [sum[0] + more[0], sum[1] + more[1]];
    }
}

/// Takes the histogram of one child from that of the parent, which leaves that of the other child.
pub(crate) fn subtract(parent: &mut [Sum], child: &[Sum]) {
    for (sum, less) in parent.iter_mut().zip(child) {
        *sum = [sum[0] - less[0], sum[1] - less[1]];
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fall over")]
mod tests {
    use fb_core::Philox;
    use fb_core::run::Alone;

    use super::*;

    struct Two;

    impl Workers for Two {
        fn for_each(&self, n: usize, task: &(dyn Fn(usize) + Sync)) {
            std::thread::scope(|scope| {
                scope.spawn(|| (0..n).step_by(2).for_each(task));
                (1..n).step_by(2).for_each(task);
            });
        }

        fn count(&self) -> usize {
            2
        }
    }

    #[test]
    fn sums_are_those_of_the_events() {
        for (n, features) in [(3000, 3), (40_000, 11)] {
            let mut random = Philox::new(1, 2, 3);
            let columns: Vec<Vec<f32>> =
                (0..features).map(|_| (0..n).map(|_| random.normal() as f32).collect()).collect();
            let identity: Vec<u64> = (0..n as u64).map(|i| fb_core::philox::hash(7, i)).collect();
            let binned = Binned::fit(&columns[..], &vec![1.0; n], &identity, 255, &[], &Alone).unwrap();
            // Signed, and of very different sizes.
            let gradients: Vec<Pair> = (0..n)
                .map(|_| [random.normal().powi(3) as f32, (random.uniform() * 2.0 - 0.5).powi(3) as f32])
                .collect();
            let packed = Packed::new(&gradients, &identity, 3, &Alone);
            let list: Vec<u32> = (0..n as u32).filter(|i| i % 3 > 0).collect();
            let zero = || vec![vec![[0i64; 2]; binned.blocks.len() * BLOCK]; 2];
            let nodes = [Rows::All(n), Rows::List(&list)];
            let (mut one, mut two) = (zero(), zero());
            build(&binned, &packed, &nodes, &mut one, &Alone);
            build(&binned, &packed, &nodes, &mut two, &Two);
            assert_eq!(one, two);
            for feature in 0..features {
                let mut exact = vec![[0.0f64; 3]; BINS];
                for &row in &list {
                    let g = gradients[row as usize];
                    let sum = &mut exact[binned.bin(feature, row as usize) as usize];
                    *sum = [sum[0] + f64::from(g[0]), sum[1] + f64::from(g[1]), sum[2] + 1.0];
                }
                for (bin, [g, h, count]) in exact.into_iter().enumerate() {
                    let sum = one[1][feature / LANES * BLOCK + feature % LANES * BINS + bin];
                    let found = [sum[0] as f64 * packed.units[0], sum[1] as f64 * packed.units[1]];
                    // A step of rounding per event, of random sign.
                    for (found, exact, unit) in [(found[0], g, packed.units[0]), (found[1], h, packed.units[1])] {
                        assert!((found - exact).abs() <= 5.0 * unit * (count + 1.0).sqrt(), "{found} {exact}");
                    }
                }
            }
            let [mut rest, listed] = <[_; 2]>::try_from(one).unwrap();
            subtract(&mut rest, &listed);
            let mut others = vec![vec![[0i64; 2]; binned.blocks.len() * BLOCK]];
            let list: Vec<u32> = (0..n as u32).filter(|i| i % 3 == 0).collect();
            build(&binned, &packed, &[Rows::List(&list)], &mut others, &Alone);
            assert_eq!(rest, others[0]);
        }
    }
}
