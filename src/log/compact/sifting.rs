//! The second half of a round: what becomes of each batch and record (`Cleaner.cleanInto` and
//! `CleanedTransactionMetadata` of Apache Kafka).

use super::mapping::Mapped;
use crate::base::mutant::{Mutant, planted};
use crate::base::{Offset, ProducerEpoch, ProducerId};
use crate::wire::batch::{BatchMeta, Keyed};
use std::collections::{BTreeMap, BTreeSet};

/// A producer's last batch: it stays, were it empty, since it tells of the last sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastOf {
    /// The producer's epoch.
    pub epoch: ProducerEpoch,
    /// First offset of its last batch; `None` if that was a marker.
    pub base_offset: Option<Offset>,
}

/// What becomes of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It stays as it is.
    Stay,
    /// It goes.
    Go,
    /// Its records go, its header stays.
    Empty,
    /// It stays with a delete horizon.
    Mark {
        /// When it may go, in ms.
        horizon: i64,
    },
    /// Its records decide: `Sieve::record`, then `Sieve::sifted`.
    Sift,
}

/// What becomes of a batch whose records were looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sifted {
    /// As `Fate` says, but never `Sift`.
    Whole(Fate),
    /// These records stay.
    Some {
        /// Which, in order.
        keep: Vec<bool>,
        /// A delete horizon that it gets, in ms.
        horizon: Option<i64>,
    },
}

/// The decisions over one round's batches, which come in order from the start of the log.
#[derive(Debug)]
pub struct Sieve {
    mapped: Mapped,
    /// The round ends here: its last batch stays, so that the last offset is known.
    upto: Offset,
    last_of: BTreeMap<ProducerId, LastOf>,
    /// Producers with a batch since their last marker.
    open: BTreeSet<ProducerId>,
    now_ms: i64,
    delete_retention_ms: i64,
    /// Of the batch that is being sifted.
    keep: Vec<bool>,
    tombstones: bool,
}

impl Sieve {
    /// Begins a round's second half.
    #[must_use]
    pub fn new(
        mapped: Mapped,
        upto: Offset,
        last_of: BTreeMap<ProducerId, LastOf>,
        now_ms: i64,
        delete_retention_ms: i64,
    ) -> Self {
        Sieve {
            mapped,
            upto,
            last_of,
            open: BTreeSet::new(),
            now_ms,
            delete_retention_ms,
            keep: Vec::new(),
            tombstones: false,
        }
    }

    /// Offset up to which the log is clean once the round is through.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.mapped.end
    }

    /// Decides over the next batch. `ends_transaction` says of a control batch whether it is a transaction's marker.
    pub fn fate(&mut self, meta: &BatchMeta, ends_transaction: bool) -> Fate {
        if meta.is_control() {
            return self.fate_of_marker(meta, ends_transaction);
        }
        if meta.is_transactional() {
            self.open.insert(meta.producer_id);
        }
        if meta.count == 0 || self.is_aborted(meta) {
            return self.without_records(meta);
        }
        if meta.base_offset >= self.mapped.end {
            return Fate::Stay;
        }
        self.keep.clear();
        self.tombstones = false;
        Fate::Sift
    }

    fn fate_of_marker(&mut self, meta: &BatchMeta, ends_transaction: bool) -> Fate {
        if meta.count == 0 {
            return self.without_records(meta);
        }
        if !ends_transaction {
            return Fate::Stay;
        }
        // As long as a batch of its transaction is left, a reader needs it.
        if self.open.remove(&meta.producer_id) && !planted(Mutant::DropMarkersEarly) {
            return Fate::Stay;
        }
        match meta.delete_horizon_ms() {
            Some(horizon) if horizon <= self.now_ms => self.without_records(meta),
            Some(_) => Fate::Stay,
            None => Fate::Mark { horizon: self.horizon() },
        }
    }

    fn horizon(&self) -> i64 {
        self.now_ms.saturating_add(self.delete_retention_ms)
    }

    /// A batch of which no record stays.
    fn without_records(&self, meta: &BatchMeta) -> Fate {
        let last = self.last_of.get(&meta.producer_id).is_some_and(|last| match last.base_offset {
            Some(base_offset) => meta.base_offset == base_offset,
            None => meta.is_control() && meta.producer_epoch == last.epoch,
        });
        let last = last && meta.is_idempotent() && !planted(Mutant::ForgetLastSequence);
        let ends_round = meta.last_offset() + 1 == self.upto;
        match last || ends_round {
            true if meta.count == 0 => Fate::Stay,
            true => Fate::Empty,
            false => Fate::Go,
        }
    }

    fn is_aborted(&self, meta: &BatchMeta) -> bool {
        let of_producer = self.mapped.aborted.get(&meta.producer_id).filter(|_| meta.is_transactional());
        of_producer.is_some_and(|list| {
            let next = list.partition_point(|(first, _)| *first <= meta.base_offset);
            next.checked_sub(1).is_some_and(|at| meta.base_offset <= list[at].1)
        }) && !planted(Mutant::KeepAborted)
    }

    /// Takes the next record of a batch that is sifted.
    pub fn record(&mut self, meta: &BatchMeta, keyed: &Keyed) {
        let stays = self.stays(meta, keyed);
        self.tombstones |= stays && !keyed.has_value;
        self.keep.push(stays);
    }

    fn stays(&self, meta: &BatchMeta, keyed: &Keyed) -> bool {
        if keyed.offset >= self.mapped.end {
            return true;
        }
        // A record without a key is of the time before the topic was compacted.
        let Some(key) = keyed.key else { return false };
        let latest = self.mapped.map.get(key).is_none_or(|latest| keyed.offset >= latest);
        let expired = meta.delete_horizon_ms().is_some_and(|horizon| horizon <= self.now_ms);
        let expired = expired || planted(Mutant::DropTombstonesAtOnce);
        latest && (keyed.has_value || !expired)
    }

    /// Decides over a batch whose records were all taken.
    pub fn sifted(&mut self, meta: &BatchMeta) -> Sifted {
        let keep = std::mem::take(&mut self.keep);
        if !keep.contains(&true) {
            return Sifted::Whole(self.without_records(meta));
        }
        let horizon = (self.tombstones && meta.delete_horizon_ms().is_none()).then(|| self.horizon());
        match horizon {
            None if !keep.contains(&false) => Sifted::Whole(Fate::Stay),
            Some(horizon) if !keep.contains(&false) => Sifted::Whole(Fate::Mark { horizon }),
            horizon => Sifted::Some { keep, horizon },
        }
    }
}
