//! The smallest of many numbers that change one at a time.

/// Children of a node: two vectors of eight.
const FAN: usize = 16;

/// A tree of minima with sixteen children a node. Of equal numbers the first is the smallest. A change costs one look at the
/// parent unless it touches the minimum of its block; finding the smallest costs log₁₆ N blocks.
pub(super) struct Minimum {
    /// Numbers first, then minima of blocks, up to one block; padded with ∞.
    levels: Vec<Vec<[f64; FAN]>>,
}

impl Minimum {
    /// `n` places, all ∞.
    pub fn new(n: usize) -> Self {
        let mut levels = Vec::new();
        let mut blocks = n.div_ceil(FAN).max(1);
        levels.push(vec![[f64::INFINITY; FAN]; blocks]);
        while blocks > 1 {
            blocks = blocks.div_ceil(FAN);
            levels.push(vec![[f64::INFINITY; FAN]; blocks]);
        }
        Self { levels }
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
                value = smallest(&below[level - 1][place]);
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
        let value = smallest(&self.levels[top][0]);
        let mut place = 0;
        for level in self.levels.iter().rev() {
            place = place * FAN + position(&level[place], value);
        }
        (place, value)
    }
}

#[inline(always)]
fn smallest(block: &[f64; FAN]) -> f64 {
    let mut lanes = [f64::INFINITY; 8];
    for (i, lane) in lanes.iter_mut().enumerate() {
        *lane = if block[i] < block[i + 8] { block[i] } else { block[i + 8] };
    }
    smallest_of_eight(&lanes)
}

/// By halves, which vectors do well.
#[inline(always)]
fn smallest_of_eight(lanes: &[f64; 8]) -> f64 {
    let least = |a: f64, b: f64| if a < b { a } else { b };
    let half: [f64; 4] = std::array::from_fn(|i| least(lanes[i], lanes[i + 4]));
    least(least(half[0], half[2]), least(half[1], half[3]))
}

#[inline(always)]
fn position(block: &[f64; FAN], value: f64) -> usize {
    let mut bits = 0u32;
    for (i, &x) in block.iter().enumerate() {
        bits |= u32::from(x == value) << i;
    }
    (bits.trailing_zeros() as usize).min(FAN - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_a_scan_finds() {
        let mut random = fb_core::Philox::new(5, 0, 0);
        for n in [1, 15, 16, 17, 300, 5000] {
            let (mut tree, mut plain) = (Minimum::new(n), vec![f64::INFINITY; n]);
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
