//! Seeded randomness: SplitMix64 (Steele, Lea, Flood 2014). Not for secrets.

/// A small generator whose whole state is one word: the same seed gives the same draws on every machine.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// A generator for this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Random { state: seed }
    }

    /// A generator of its own for one purpose, so that a new draw in one stream doesn't shift another.
    #[must_use]
    pub fn stream(seed: u64, salt: u64) -> Self {
        let mut root = Random::new(seed ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Random::new(root.next_u64())
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A draw from `0..bound`. `bound` must not be 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "a draw needs a non-empty range");
        // Multiply-shift (Lemire 2019); the bias below 2^-32 for our bounds doesn't matter to a simulator.
        u64::try_from((u128::from(self.next_u64()) * u128::from(bound)) >> 64).unwrap_or(0)
    }

    /// True in `percent` of 100 draws.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn same_seed_same_draws() {
        let (mut a, mut b) = (Random::new(7), Random::new(7));
        assert!((0..100).all(|_| a.next_u64() == b.next_u64()));
        assert_ne!(Random::stream(7, 1).next_u64(), Random::stream(7, 2).next_u64());
    }

    #[test]
    fn draws_stay_below_their_bound() {
        let mut random = Random::new(1);
        assert!((1..1000).all(|bound| random.below(bound) < bound));
    }
}
