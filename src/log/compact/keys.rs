//! The last offset of each key, by the key's digest: a table with open addressing, since there are millions of entries
//! and their memory has a bound.

use crate::base::Offset;

/// Slots of the smallest table.
const SLOTS_MIN: usize = 1024;
/// Three quarters of the slots are filled at most.
const FULL: (usize, usize) = (3, 4);

#[derive(Clone, Copy, Debug)]
struct Slot {
    digest: [u64; 2],
    /// -1: free.
    offset: Offset,
}

const FREE: Slot = Slot { digest: [0, 0], offset: -1 };

/// Digests with offsets.
#[derive(Debug)]
pub struct KeyMap {
    slots: Vec<Slot>,
    len: usize,
    slots_max: usize,
}

impl KeyMap {
    /// An empty map that takes at most about so many bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        // While a table grows the one before is there too, half as large.
        let wanted = bytes_max / (size_of::<Slot>() * 3 / 2);
        let slots_max = if wanted < SLOTS_MIN { SLOTS_MIN } else { 1 << wanted.ilog2() };
        KeyMap { slots: Vec::new(), len: 0, slots_max }
    }

    /// Keys in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Keys that it can take at most.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.slots_max / FULL.1 * FULL.0
    }

    /// Notes a key's offset, if it is later than the one that is known. False if there is no room for a new key.
    pub fn put(&mut self, digest: u128, offset: Offset) -> bool {
        if self.slots.is_empty() || self.len >= self.slots.len() / FULL.1 * FULL.0 {
            if let Some(slot) = self.find(digest).filter(|slot| self.slots[*slot].offset >= 0) {
                self.slots[slot].offset = self.slots[slot].offset.max(offset);
                return true;
            }
            if self.slots.len() >= self.slots_max {
                return false;
            }
            self.grow();
        }
        let slot = self.find(digest).expect("a table that isn't full has a free slot");
        let slot = &mut self.slots[slot];
        self.len += usize::from(slot.offset < 0);
        *slot = Slot { digest: halves(digest), offset: slot.offset.max(offset) };
        true
    }

    /// The last offset of a key; `None` if it isn't in the map.
    #[must_use]
    pub fn get(&self, digest: u128) -> Option<Offset> {
        self.find(digest).map(|slot| self.slots[slot].offset).filter(|offset| *offset >= 0)
    }

    /// The slot that has a digest, or the free one where it would go.
    fn find(&self, digest: u128) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        let halves = halves(digest);
        let mut at = usize::try_from(halves[1]).unwrap_or(usize::MAX) & mask;
        loop {
            let slot = &self.slots[at];
            if slot.offset < 0 || slot.digest == halves {
                return Some(at);
            }
            at = (at + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let slots = (self.slots.len() * 2).max(SLOTS_MIN);
        let old = std::mem::replace(&mut self.slots, vec![FREE; slots]);
        for slot in old.into_iter().filter(|slot| slot.offset >= 0) {
            let [high, low] = slot.digest;
            let digest = u128::from(high) << 64 | u128::from(low);
            let at = self.find(digest).expect("a table twice as large has room");
            self.slots[at] = slot;
        }
    }
}

fn halves(digest: u128) -> [u64; 2] {
    let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).expect("64 bits");
    [half(digest >> 64), half(digest)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;
    use std::collections::BTreeMap;

    #[test]
    fn it_is_a_map_of_last_offsets_within_its_bound() {
        let mut random = Random::new(1);
        // Few low bits, so that slots collide.
        let digests: Vec<u128> =
            (0..5000).map(|_| u128::from(random.next_u64()) << 64 | u128::from(random.below(700))).collect();
        let mut map = KeyMap::new(2048 * 36);
        let mut model: BTreeMap<u128, Offset> = BTreeMap::new();
        let mut refused = 0;
        for offset in 0..20_000 {
            let digest = digests[usize::try_from(random.below(5000)).unwrap()];
            if map.put(digest, offset) {
                model.insert(digest, offset);
            } else {
                refused += 1;
                assert!(!model.contains_key(&digest), "a key that is known is always taken");
            }
        }
        assert_eq!((map.len(), map.capacity(), model.len()), (1536, 1536, 1536));
        assert!(refused > 0);
        assert!(digests.iter().all(|digest| map.get(*digest) == model.get(digest).copied()));
        assert!(map.put(digests[0], 1) == model.contains_key(&digests[0]));
        assert_eq!(map.get(digests[0]), model.get(&digests[0]).copied(), "an earlier offset changes nothing");
    }
}
