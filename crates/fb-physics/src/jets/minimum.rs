//! The smallest of many numbers that change one at a time.

use pulp::Simd;

use super::engine::lanes;

/// Children of a node.
const FAN: usize = 16;

/// A tree of minima with sixteen children a node. Of equal numbers the first is the smallest. A change costs one look at the
/// parent unless it touches the minimum of its block; finding the smallest costs log₁₆ N blocks.
pub(super) struct Minimum<S> {
    simd: S,
    /// Numbers first, then minima of blocks, up to one block; padded with ∞.
    levels: Vec<Vec<[f64; FAN]>>,
}

impl<S: Simd> Minimum<S> {
    /// `n` places, all ∞.
    pub fn new(simd: S, n: usize) -> Self {
        let mut levels = Vec::new();
        let mut blocks = n.div_ceil(FAN).max(1);
        levels.push(vec![[f64::INFINITY; FAN]; blocks]);
        while blocks > 1 {
            blocks = blocks.div_ceil(FAN);
            levels.push(vec![[f64::INFINITY; FAN]; blocks]);
        }
        Self { simd, levels }
    }

    /// Puts `value` at `place`.
    #[inline(always)]
    pub fn set(&mut self, place: usize, value: f64) {
        let (mut place, mut value) = (place, value);
        let mut old = std::mem::replace(&mut self.levels[0][place / FAN][place % FAN], value);
        for level in 1..self.levels.len() {
            let (below, above) = self.levels.split_at_mut(level);
            place /= FAN;
            let parent = &mut above[0][place / FAN][place % FAN];
            if value >= *parent {
                if old != *parent {
                    return;
                }
                value = smallest(self.simd, &below[level - 1][place]);
            }
            old = std::mem::replace(parent, value);
            if old == value {
                return;
            }
        }
    }

    /// The place of the smallest number, and the number.
    #[inline(always)]
    pub fn first(&self) -> (usize, f64) {
        let top = self.levels.len() - 1;
        let value = smallest(self.simd, &self.levels[top][0]);
        let mut place = 0;
        for level in self.levels.iter().rev() {
            place = place * FAN + position(self.simd, &level[place], value);
        }
        (place, value)
    }
}

#[inline(always)]
fn smallest<S: Simd>(simd: S, block: &[f64; FAN]) -> f64 {
    let (vectors, _) = S::as_simd_f64s(block);
    simd.reduce_min_f64s(vectors.iter().fold(simd.splat_f64s(f64::INFINITY), |least, &x| simd.min_f64s(x, least)))
}

/// Where a number is first found.
#[inline(always)]
fn position<S: Simd>(simd: S, block: &[f64; FAN], value: f64) -> usize {
    let value = simd.splat_f64s(value);
    let mut found = 0;
    for (i, &x) in S::as_simd_f64s(block).0.iter().enumerate() {
        found |= lanes(simd, simd.equal_f64s(x, value)).0 << (i * S::F64_LANES);
    }
    (found.trailing_zeros() as usize).min(FAN - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_a_scan_finds() {
        let mut random = fb_core::Philox::new(5, 0, 0);
        for n in [1, 15, 16, 17, 300, 5000] {
            let (mut tree, mut plain) = (Minimum::new(pulp::Scalar::new(), n), vec![f64::INFINITY; n]);
            for _ in 0..2000 {
                let (place, value) = (random.below(n), f64::from(random.next_u32() % 50));
                tree.set(place, value);
                plain[place] = value;
                let least = plain.iter().copied().fold(f64::INFINITY, f64::min);
                let first = plain.iter().position(|&x| x == least).unwrap();
                assert_eq!(tree.first(), (first, least));
            }
        }
    }
}
