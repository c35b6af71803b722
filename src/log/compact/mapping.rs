//! The first half of a round: each key's last offset in the dirty part.
//!
//! Records of transactions count once their marker says that they were committed. A marker may lie beyond the part that
//! is compacted, so reading goes on until the last open transaction has met its own.

use super::keys::KeyMap;
use crate::base::{Offset, ProducerId};
use crate::wire::batch::{BatchMeta, Keyed};
use std::collections::BTreeMap;

/// Aborted transactions that one round learns of, at most: what comes after them is left to the next round.
const ABORTED_MAX: usize = 100_000;

/// What to do with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Give its records to `record`.
    Records,
    /// It is a marker: tell `marker` what it says.
    Marker,
    /// Nothing.
    Past,
    /// Nothing, and nothing more is needed.
    Enough,
}

/// A transaction whose marker hasn't come.
#[derive(Debug)]
struct Open {
    first: Offset,
    keys: Vec<(u128, Offset)>,
}

/// The map while it is being made.
#[derive(Debug)]
pub struct Mapping {
    map: KeyMap,
    from: Offset,
    upto: Offset,
    /// All records below are in the map, or will be.
    reached: Offset,
    full: bool,
    open: BTreeMap<ProducerId, Open>,
    open_keys: usize,
    aborted: BTreeMap<ProducerId, Vec<(Offset, Offset)>>,
    aborted_count: usize,
}

/// What a round knows before it rewrites anything.
#[derive(Debug)]
pub struct Mapped {
    /// Last offsets of the keys of the dirty part.
    pub map: KeyMap,
    /// Records from here on aren't in it.
    pub end: Offset,
    /// Aborted transactions by producer, each from its first offset to its marker's.
    pub aborted: BTreeMap<ProducerId, Vec<(Offset, Offset)>>,
}

impl Mapping {
    /// Begins with the dirty part from `from` to below `upto`, in about so much memory.
    #[must_use]
    pub fn new(from: Offset, upto: Offset, bytes_max: usize) -> Self {
        Mapping {
            map: KeyMap::new(bytes_max),
            from,
            upto,
            reached: from,
            full: false,
            open: BTreeMap::new(),
            open_keys: 0,
            aborted: BTreeMap::new(),
            aborted_count: 0,
        }
    }

    /// Says what to do with the next batch of the log.
    pub fn look(&mut self, meta: &BatchMeta) -> Look {
        if meta.last_offset() < self.from {
            return Look::Past;
        }
        let over = self.full || meta.base_offset >= self.upto;
        if over && self.open.is_empty() {
            return Look::Enough;
        }
        if meta.is_control() {
            if !over {
                self.reached = meta.last_offset() + 1;
            }
            let awaited = !over || self.open.contains_key(&meta.producer_id);
            return if awaited && meta.count > 0 { Look::Marker } else { Look::Past };
        }
        if over {
            return Look::Past;
        }
        if meta.is_transactional() && meta.count > 0 {
            let first = meta.base_offset;
            self.open.entry(meta.producer_id).or_insert(Open { first, keys: Vec::new() });
        }
        if meta.count == 0 {
            self.reached = meta.last_offset() + 1;
            return Look::Past;
        }
        Look::Records
    }

    /// Takes a record of a batch that is looked into; false if no more fits.
    pub fn record(&mut self, meta: &BatchMeta, keyed: &Keyed) -> bool {
        if self.full {
            return false;
        }
        if keyed.offset < self.from {
            return true;
        }
        let taken = match keyed.key {
            None => true,
            Some(key) if meta.is_transactional() => {
                let room = self.map.len() + self.open_keys < self.map.capacity();
                if let Some(open) = self.open.get_mut(&meta.producer_id).filter(|_| room) {
                    open.keys.push((key, keyed.offset));
                    self.open_keys += 1;
                }
                room
            }
            // Room for what waits is kept free.
            Some(key) => {
                let room = self.map.len() + self.open_keys < self.map.capacity();
                (room || self.map.get(key).is_some()) && self.map.put(key, keyed.offset)
            }
        };
        self.full = !taken;
        if taken {
            self.reached = keyed.offset + 1;
        }
        taken
    }

    /// A batch was looked into to its end.
    pub fn passed(&mut self, meta: &BatchMeta) {
        if !self.full {
            self.reached = meta.last_offset() + 1;
        }
    }

    /// Takes a marker.
    pub fn marker(&mut self, meta: &BatchMeta, committed: bool) {
        let Some(Open { first, keys }) = self.open.remove(&meta.producer_id) else { return };
        self.open_keys -= keys.len();
        if committed {
            for (key, offset) in keys {
                assert!(self.map.put(key, offset), "room was kept for it");
            }
        } else {
            self.aborted.entry(meta.producer_id).or_default().push((first, meta.last_offset()));
            self.aborted_count += 1;
            self.full |= self.aborted_count >= ABORTED_MAX;
        }
    }

    /// The map. Transactions that met no marker shouldn't be in a part that is stable; should one be, its records and
    /// all that comes after them are left alone.
    #[must_use]
    pub fn finish(self) -> Mapped {
        // Where the part's last batches are gone there is nothing to miss.
        let reached = if self.full { self.reached } else { self.upto.max(self.reached) };
        let undecided = self.open.values().map(|open| open.first).min();
        Mapped {
            map: self.map,
            end: undecided.map_or(reached, |first| first.min(reached)),
            aborted: self.aborted,
        }
    }
}
