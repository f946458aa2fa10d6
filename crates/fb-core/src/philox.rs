//! Philox4x32-10, a counter-based random number generator (Salmon et al., SC11): the same key and counter give the
//! same numbers on any thread, so nothing has to be carried along or stored.

/// A stream of random numbers addressed by a key and a position.
#[derive(Debug, Clone)]
pub struct Philox {
    key: [u32; 2],
    counter: [u32; 4],
    block: [u32; 4],
    used: usize,
}

impl Philox {
    /// The stream of `seed` at the address `(a, b)`, for example (epoch, event) or (step, layer).
    pub fn new(seed: u64, a: u64, b: u64) -> Self {
        // The address takes three words of the counter; the first counts blocks within the stream.
        let counter = [0, a as u32, b as u32, ((a >> 32) as u32).rotate_left(16) ^ (b >> 32) as u32];
        Self { key: [seed as u32, (seed >> 32) as u32], counter, block: [0; 4], used: 4 }
    }

    /// Sixteen random bytes for one key and counter: the bare function.
    pub fn block(key: [u32; 2], counter: [u32; 4]) -> [u32; 4] {
        let ([mut k0, mut k1], [mut c0, mut c1, mut c2, mut c3]) = (key, counter);
        for _ in 0..10 {
            let p0 = u64::from(c0) * 0xD251_1F53;
            let p1 = u64::from(c2) * 0xCD9E_8D57;
            (c0, c1, c2, c3) = ((p1 >> 32) as u32 ^ c1 ^ k0, p1 as u32, (p0 >> 32) as u32 ^ c3 ^ k1, p0 as u32);
            k0 = k0.wrapping_add(0x9E37_79B9);
            k1 = k1.wrapping_add(0xBB67_AE85);
        }
        [c0, c1, c2, c3]
    }

    /// The next 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        if self.used == 4 {
            self.block = Self::block(self.key, self.counter);
            self.counter[0] = self.counter[0].wrapping_add(1);
            self.used = 0;
        }
        self.used += 1;
        self.block[self.used - 1]
    }

    /// Many random words from here on. Sixteen blocks go side by side, so that a caller compiled for vector units gets
    /// vector code; the words come in another order than from [`Self::next_u32`].
    #[inline(always)]
    pub fn fill(&mut self, words: &mut [u32]) {
        const LANES: usize = 16;
        self.used = 4;
        for chunk in words.chunks_mut(4 * LANES) {
            let [mut k0, mut k1] = self.key;
            let mut c = self.counter.map(|c| [c; LANES]);
            for (lane, c) in c[0].iter_mut().enumerate() {
                *c = c.wrapping_add(lane as u32);
            }
            for _ in 0..10 {
                let [first, second, third, fourth] = &mut c;
                for (((c0, c1), c2), c3) in first.iter_mut().zip(second).zip(third).zip(fourth) {
                    let p0 = u64::from(*c0) * 0xD251_1F53;
                    let p1 = u64::from(*c2) * 0xCD9E_8D57;
                    (*c0, *c1) = ((p1 >> 32) as u32 ^ *c1 ^ k0, p1 as u32);
                    (*c2, *c3) = ((p0 >> 32) as u32 ^ *c3 ^ k1, p0 as u32);
                }
                k0 = k0.wrapping_add(0x9E37_79B9);
                k1 = k1.wrapping_add(0xBB67_AE85);
            }
            chunk.copy_from_slice(&c.as_flattened()[..chunk.len()]);
            self.counter[0] = self.counter[0].wrapping_add(LANES as u32);
        }
    }

    /// Uniform in [0, 1) with 32 random bits.
    pub fn uniform(&mut self) -> f64 {
        f64::from(self.next_u32()) / 4_294_967_296.0
    }

    /// Standard normal, by Box and Muller.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Uniform integer in `0..n`, without bias beyond 2⁻³²·n.
    pub fn below(&mut self, n: usize) -> usize {
        ((u64::from(self.next_u32()) * n as u64) >> 32) as usize
    }

    /// A permutation of `0..n` by Fisher and Yates.
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            order.swap(i, self.below(i + 1));
        }
        order
    }
}

/// A well-mixed 64-bit hash of two words; the identity of an event and its fold come from it.
pub fn hash(a: u64, b: u64) -> u64 {
    let out = Philox::block([a as u32, (a >> 32) as u32], [b as u32, (b >> 32) as u32, 0x6662, 0]);
    u64::from(out[0]) | u64::from(out[1]) << 32
}

/// [`hash`] folded over the bytes of a text.
pub fn hash_text(text: &str) -> u64 {
    text.bytes().fold(text.len() as u64, |state, byte| hash(state, u64::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers_of_random123() {
        assert_eq!(Philox::block([0; 2], [0; 4]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(
            Philox::block([0xffff_ffff; 2], [0xffff_ffff; 4]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
    }

    /// Word j of lane i in a block of 64 is word j of block i.
    #[test]
    fn words_by_the_dozen_are_those_of_the_blocks() {
        for n in [0, 1, 17, 64, 65, 300] {
            let mut many = Philox::new(7, 8, 9);
            let mut words = vec![0; n];
            many.fill(&mut words);
            for (i, &word) in words.iter().enumerate() {
                let mut one = Philox::new(7, 8, 9);
                let before = 4 * (16 * (i / 64) + i % 16) + i % 64 / 16;
                for _ in 0..before {
                    one.next_u32();
                }
                assert_eq!(word, one.next_u32(), "{i} of {n}");
            }
            let mut rest = Philox::new(7, 8, 9);
            for _ in 0..64 * n.div_ceil(64) {
                rest.next_u32();
            }
            assert_eq!(many.next_u32(), rest.next_u32(), "after {n}");
        }
    }

    #[test]
    fn normal_has_unit_moments() {
        let mut random = Philox::new(1, 2, 3);
        let draws: Vec<f64> = (0..20_000).map(|_| random.normal()).collect();
        let mean = draws.iter().sum::<f64>() / 2e4;
        let variance = draws.iter().map(|x| x * x).sum::<f64>() / 2e4;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.04, "{mean} {variance}");
    }
}
