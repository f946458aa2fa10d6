//! Features as whole numbers: at most 255 bins of equal weight each, and bin 0 for what is missing.

use fb_core::{Result, Workers};

use crate::parallel::{map, pieces};

/// Features that stand beside each other in memory.
pub(crate) const LANES: usize = 8;
/// Bins of a feature, with the one for what is missing.
pub(crate) const BINS: usize = 256;
/// Most bins of values.
pub const MOST_BINS: usize = BINS - 1;
/// Rows that cuts are found on.
const SAMPLE: usize = 1 << 18;

/// Where the bins of a feature end.
#[derive(Debug, Clone, PartialEq)]
pub enum Scale {
    /// Value x is in bin 1 + (number of cuts ≤ x).
    Cuts(Vec<f32>),
    /// Category c is in bin 1 + (its place among these, sorted); one that is not among them is missing.
    Categories(Vec<u32>),
}

impl Scale {
    /// Bins of values; bin 0 is not counted.
    pub fn bins(&self) -> usize {
        match self {
            Self::Cuts(cuts) => cuts.len() + 1,
            Self::Categories(categories) => categories.len(),
        }
    }

    /// The bin of a value.
    pub fn bin(&self, x: f32) -> u8 {
        match self {
            _ if x.is_nan() => 0,
            Self::Cuts(cuts) => 1 + cuts.partition_point(|&cut| cut <= x) as u8,
            Self::Categories(categories) => {
                if x < 0.0 || x.fract() != 0.0 {
                    return 0;
                }
                categories.binary_search(&(x as u32)).map_or(0, |at| 1 + at as u8)
            }
        }
    }

    /// The bins of many values: a search in steps that do not depend on what is found, so that they overlap.
    fn bins_of(&self, values: &[f32], out: &mut [[u8; LANES]], lane: usize) {
        let Self::Cuts(cuts) = self else {
            out.iter_mut().zip(values).for_each(|(row, &x)| row[lane] = self.bin(x));
            return;
        };
        let mut padded = [f32::INFINITY; BINS];
        padded[..cuts.len()].copy_from_slice(cuts);
        // The steps needed for this many cuts, for sixteen values at a time and without a branch.
        let steps = usize::BITS - cuts.len().leading_zeros();
        let most = cuts.len() as u32;
        for (rows, values) in out.chunks_mut(16).zip(values.chunks(16)) {
            let (mut x, mut at) = ([f32::NAN; 16], [0u32; 16]);
            x[..values.len()].copy_from_slice(values);
            for step in (0..steps).rev() {
                for (at, &x) in at.iter_mut().zip(&x) {
                    let next = *at as usize + (1 << step) - 1;
                    *at += u32::from(padded[next & (BINS - 1)] <= x) << step;
                }
            }
            for ((row, at), x) in rows.iter_mut().zip(at).zip(x) {
                row[lane] = if x.is_nan() { 0 } else { at.min(most) as u8 + 1 };
            }
        }
    }
}

/// Where the columns of a sample come from.
pub trait Columns: Sync {
    /// Number of events.
    fn rows(&self) -> usize;
    /// Number of features.
    fn features(&self) -> usize;
    /// All values of a feature; NaN where one is missing.
    fn column(&self, feature: usize) -> Result<Vec<f32>>;
}

/// Columns that are in memory.
impl Columns for [Vec<f32>] {
    fn rows(&self) -> usize {
        self.first().map_or(0, Vec::len)
    }

    fn features(&self) -> usize {
        self.len()
    }

    fn column(&self, feature: usize) -> Result<Vec<f32>> {
        Ok(self[feature].clone())
    }
}

/// A sample in bins: blocks of eight features, in each of them row after row.
#[derive(Debug)]
pub struct Binned {
    pub(crate) rows: usize,
    pub(crate) scales: Vec<Scale>,
    pub(crate) blocks: Vec<Vec<[u8; LANES]>>,
}

impl Binned {
    /// Finds scales with at most `bins` bins of equal weight and sorts the sample into them. Weights count with their
    /// size; `identity` chooses the rows that cuts are found on, where there are more than 2¹⁸.
    pub fn fit(
        columns: &(impl Columns + ?Sized),
        weights: &[f32],
        identity: &[u64],
        bins: usize,
        categorical: &[bool],
        workers: &dyn Workers,
    ) -> Result<Self> {
        let rows = columns.rows();
        let sampled = sample(identity, weights);
        let shares = shares(weights, &sampled);
        let bins = bins.clamp(2, MOST_BINS);
        Self::build(columns, rows, workers, &|feature, values| {
            if categorical.get(feature).copied().unwrap_or(false) {
                categories(values, &sampled, &shares, bins)
            } else {
                Scale::Cuts(cuts(values, &sampled, &shares, bins))
            }
        })
    }

    /// Sorts another sample into the bins of these scales.
    pub fn with(columns: &(impl Columns + ?Sized), scales: &[Scale], workers: &dyn Workers) -> Result<Self> {
        Self::build(columns, columns.rows(), workers, &|feature, _| scales[feature].clone())
    }

    fn build(
        columns: &(impl Columns + ?Sized),
        rows: usize,
        workers: &dyn Workers,
        scale: &(dyn Fn(usize, &[f32]) -> Scale + Sync),
    ) -> Result<Self> {
        let features = columns.features();
        let mut binned = Self { rows, scales: Vec::new(), blocks: Vec::new() };
        for block in pieces(features, LANES) {
            let read = |feature: usize| -> Result<(Scale, Vec<f32>)> {
                let values = columns.column(feature)?;
                Ok((scale(feature, &values), values))
            };
            let fitted = map(workers, block.collect(), read).into_iter().collect::<Result<Vec<_>>>()?;
            let mut out = vec![[0u8; LANES]; rows];
            let tasks: Vec<_> = pieces(rows, 1 << 14).zip(out.chunks_mut(1 << 14)).collect();
            map(workers, tasks, |(range, out)| {
                for (lane, (scale, values)) in fitted.iter().enumerate() {
                    scale.bins_of(&values[range.clone()], out, lane);
                }
            });
            binned.blocks.push(out);
            binned.scales.extend(fitted.into_iter().map(|(scale, _)| scale));
        }
        Ok(binned)
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The scales of all features.
    pub fn scales(&self) -> &[Scale] {
        &self.scales
    }

    /// The bin of a feature in a row.
    #[cfg(test)]
    pub(crate) fn bin(&self, feature: usize, row: usize) -> u8 {
        self.blocks[feature / LANES][row][feature % LANES]
    }
}

/// The rows that cuts are found on: those with the smallest hashes of their identity, so that their order in the file
/// does not matter.
fn sample(identity: &[u64], weights: &[f32]) -> Vec<u32> {
    let n = identity.len();
    let keep = |i: &u32| {
        let hash = identity[*i as usize].wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        weights[*i as usize] != 0.0 && (n <= SAMPLE || hash * (n as u64) < (SAMPLE as u64) << 32)
    };
    (0..n as u32).filter(keep).collect()
}

/// Sizes of the weights of these rows as whole numbers, whose sums do not depend on their order.
fn shares(weights: &[f32], rows: &[u32]) -> Vec<u32> {
    let size = |&i: &u32| weights[i as usize].abs();
    let largest = rows.iter().map(size).fold(0.0, f32::max);
    // A power of two, so that twice the weight is twice the share.
    let scale = (24.0 - f64::from(largest).log2().ceil()).exp2();
    let scale = if scale.is_finite() { scale } else { 1.0 };
    rows.iter().map(|i| (f64::from(size(i)) * scale).round().max(1.0) as u32).collect()
}

/// A whole number that is ordered like the float.
fn key(x: f32) -> u32 {
    // Both zeros are one value.
    let bits = (x + 0.0).to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

fn value(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 1 { key & !(1 << 31) } else { !key })
}

/// Sorts by the upper half, eleven bits at a time.
fn radix_sort(keys: &mut Vec<u64>) {
    let mut other = vec![0; keys.len()];
    for shift in [32, 43, 54] {
        let digit = |k: u64| (k >> shift) as usize & 0x7ff;
        let mut starts = [0u32; 2048];
        for &k in keys.iter() {
            starts[digit(k)] += 1;
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += std::mem::replace(start, sum);
        }
        for &k in keys.iter() {
            let start = &mut starts[digit(k)];
            other[*start as usize] = k;
            *start += 1;
        }
        std::mem::swap(keys, &mut other);
    }
}

/// Distinct values with the sums of their shares, in order.
fn distinct(values: &[f32], rows: &[u32], shares: &[u32]) -> Vec<(f32, u64)> {
    let mut keys: Vec<u64> = rows
        .iter()
        .zip(shares)
        .filter(|(i, _)| !values[**i as usize].is_nan())
        .map(|(&i, &share)| u64::from(key(values[i as usize])) << 32 | u64::from(share))
        .collect();
    radix_sort(&mut keys);
    let mut distinct: Vec<(f32, u64)> = Vec::new();
    for k in keys {
        let (x, share) = (value((k >> 32) as u32), k & 0xffff_ffff);
        match distinct.last_mut() {
            Some((last, sum)) if *last == x => *sum += share,
            _ => distinct.push((x, share)),
        }
    }
    distinct
}

/// Between two values: a is below it, b is not.
fn between(a: f32, b: f32) -> f32 {
    let middle = (f64::from(a) * 0.5 + f64::from(b) * 0.5) as f32;
    if middle > a && middle <= b { middle } else { b }
}

/// Cuts between bins of equal weight. Values that weigh more than a bin have one of their own.
fn cuts(values: &[f32], rows: &[u32], shares: &[u32], bins: usize) -> Vec<f32> {
    let distinct = distinct(values, rows, shares);
    let pairs = || distinct.windows(2).map(|p| between(p[0].0, p[1].0));
    if distinct.len() <= bins {
        return pairs().collect();
    }
    let total: u64 = distinct.iter().map(|d| d.1).sum();
    let mean = total as f64 / bins as f64;
    let heavy = |i: usize| distinct.get(i).is_some_and(|d| d.1 as f64 >= mean);
    let (mut left_bins, mut left) = (bins, total);
    for i in (0..distinct.len()).filter(|&i| heavy(i)) {
        (left_bins, left) = (left_bins - 1, left - distinct[i].1);
    }
    let mut cuts = Vec::with_capacity(bins - 1);
    let mut sum = 0;
    for (i, cut) in pairs().enumerate() {
        sum += distinct[i].1;
        let target = left as f64 / left_bins.max(1) as f64;
        let full = sum as f64 >= target || (heavy(i + 1) && sum as f64 >= 0.5 * target);
        if (heavy(i) || full) && cuts.len() + 1 < bins {
            if !heavy(i) {
                (left_bins, left) = (left_bins.saturating_sub(1), left.saturating_sub(sum));
            }
            cuts.push(cut);
            sum = 0;
        }
    }
    cuts
}

/// The categories of the largest weight.
fn categories(values: &[f32], rows: &[u32], shares: &[u32], bins: usize) -> Scale {
    let mut found = distinct(values, rows, shares);
    found.retain(|(x, _)| *x >= 0.0 && x.fract() == 0.0 && *x < 16_777_216.0);
    found.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.total_cmp(&b.0)));
    found.truncate(bins);
    let mut categories: Vec<u32> = found.into_iter().map(|(x, _)| x as u32).collect();
    categories.sort_unstable();
    Scale::Categories(categories)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fall over")]
mod tests {
    use fb_core::Philox;
    use fb_core::run::Alone;

    use super::*;

    fn fit(values: Vec<f32>, weights: &[f32], bins: usize) -> Binned {
        let identity: Vec<u64> = (0..values.len() as u64).map(|i| fb_core::philox::hash(1, i)).collect();
        Binned::fit(&[values][..], weights, &identity, bins, &[false], &Alone).unwrap()
    }

    #[test]
    fn few_values_have_a_bin_each() {
        let binned = fit(vec![3.0, -1.0, f32::NAN, 3.0, 0.5], &[1.0; 5], 255);
        assert_eq!(binned.scales, [Scale::Cuts(vec![-0.25, 1.75])]);
        let bins: Vec<u8> = (0..5).map(|row| binned.bin(0, row)).collect();
        assert_eq!(bins, [3, 1, 0, 3, 2]);
        assert_eq!(fit(vec![7.0; 4], &[1.0; 4], 255).scales, [Scale::Cuts(vec![])], "a constant has no cut");
        assert_eq!(fit(vec![f32::NAN; 4], &[1.0; 4], 255).scales, [Scale::Cuts(vec![])]);
        let ends = fit(vec![f32::NEG_INFINITY, 0.0, f32::INFINITY], &[1.0; 3], 255);
        assert_eq!((ends.bin(0, 0), ends.bin(0, 2)), (1, 3));
    }

    #[test]
    fn bins_have_equal_weight() {
        let mut random = Philox::new(1, 2, 3);
        let values: Vec<f32> = (0..50_000).map(|_| random.normal() as f32).collect();
        let weights: Vec<f32> = values.iter().map(|x| if *x < 0.0 { 3.0 } else { -1.0 }).collect();
        let binned = fit(values.clone(), &weights, 100);
        let mut sums = [0.0; 256];
        (0..values.len()).for_each(|row| sums[binned.bin(0, row) as usize] += weights[row].abs());
        let total: f32 = sums.iter().sum();
        assert!(sums[1..=100].iter().all(|s| (s / total * 100.0 - 1.0).abs() < 0.02), "{sums:?}");
        let scale = &binned.scales[0];
        assert!((0..values.len()).all(|row| scale.bin(values[row]) == binned.bin(0, row)));
    }

    #[test]
    fn heavy_values_have_their_own_bin() {
        let values: Vec<f32> = (0..10_000).map(|i| if i % 2 == 0 { 0.0 } else { i as f32 }).collect();
        let binned = fit(values, &vec![1.0; 10_000], 64);
        let Scale::Cuts(cuts) = &binned.scales[0] else { panic!("no cuts") };
        assert_eq!((cuts.len(), cuts[0]), (63, 0.5));
    }

    #[test]
    fn an_event_twice_is_one_of_twice_the_weight() {
        let mut random = Philox::new(5, 2, 3);
        let values: Vec<f32> = (0..3000).map(|_| random.normal() as f32).collect();
        let twice: Vec<f32> = values.iter().chain(&values).copied().collect();
        let (one, two) = (fit(values.clone(), &vec![2.0; 3000], 50), fit(twice, &vec![1.0; 6000], 50));
        assert_eq!(one.scales, two.scales);
        let with_absent: Vec<f32> = values.iter().copied().chain([1e9; 10]).collect();
        let weights: Vec<f32> = (0..3010).map(|i| if i < 3000 { 1.0 } else { 0.0 }).collect();
        assert_eq!(fit(with_absent, &weights, 50).scales, one.scales, "weight zero is absent");
    }

    #[test]
    fn categories_keep_the_heaviest() {
        let values = vec![5.0, 5.0, 2.0, 9.0, 9.0, 9.0, 2.5, -1.0];
        let identity: Vec<u64> = (0..8).collect();
        let binned = Binned::fit(&[values][..], &[1.0; 8], &identity, 2, &[true], &Alone).unwrap();
        assert_eq!(binned.scales, [Scale::Categories(vec![5, 9])]);
        let bins: Vec<u8> = (0..8).map(|row| binned.bin(0, row)).collect();
        assert_eq!(bins, [1, 1, 0, 2, 2, 2, 0, 0]);
    }
}
