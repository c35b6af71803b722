//! 128-bit digests of bytes, under a key: two rounds of SipHash (Aumasson, Bernstein 2012), as the standard library
//! has it. Two different texts share a digest once in 2^128, and nobody can look for such a pair who doesn't know the
//! key. Good for one process only: another build may compute others.

use std::hash::{DefaultHasher, Hasher};

/// What digests are made with.
#[derive(Clone, Copy, Debug)]
pub struct DigestKey {
    words: [u64; 2],
}

impl DigestKey {
    /// A key of random words.
    #[must_use]
    pub const fn new(words: [u64; 2]) -> Self {
        DigestKey { words }
    }

    /// Begins a digest.
    #[must_use]
    pub fn begin(&self) -> Digest {
        let lane = |salt: u64| {
            let mut lane = DefaultHasher::new();
            lane.write(&self.words[0].to_le_bytes());
            lane.write(&self.words[1].to_le_bytes());
            lane.write(&salt.to_le_bytes());
            lane
        };
        Digest { lanes: [lane(0), lane(1)] }
    }

    /// The digest of bytes that are all there.
    #[must_use]
    pub fn of(&self, bytes: &[u8]) -> u128 {
        let mut digest = self.begin();
        digest.update(bytes);
        digest.end()
    }
}

/// A digest under way.
#[derive(Clone, Debug)]
pub struct Digest {
    lanes: [DefaultHasher; 2],
}

impl Digest {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.lanes.iter_mut().for_each(|lane| lane.write(bytes));
    }

    /// The digest.
    #[must_use]
    pub fn end(&self) -> u128 {
        let [high, low] = &self.lanes;
        u128::from(high.finish()) << 64 | u128::from(low.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_give_what_the_whole_gives() {
        let key = DigestKey::new([1, 2]);
        let bytes: Vec<u8> = (0..100).collect();
        for piece in [1, 3, 7, 8, 9, 64, 100] {
            let mut digest = key.begin();
            bytes.chunks(piece).for_each(|chunk| digest.update(chunk));
            assert_eq!(digest.end(), key.of(&bytes), "{piece}");
        }
    }

    #[test]
    fn texts_keys_and_lanes_differ() {
        let key = DigestKey::new([1, 2]);
        let digests = [key.of(b""), key.of(b"a"), key.of(b"b"), DigestKey::new([1, 3]).of(b"a")];
        for (nth, digest) in digests.iter().enumerate() {
            assert!(digests[..nth].iter().all(|other| other != digest));
            assert_ne!(digest >> 64, digest & u128::from(u64::MAX), "a lane is not the other's copy");
        }
    }
}
