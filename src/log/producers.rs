//! What a partition knows of the producers that write to it (KIP-98): the last five batches of each, to tell a retry
//! from a new batch and a gap from both, and the transaction that it has open. Rules: protocol rows 51 to 58 and 65
//! to 77.

use super::compact::LastOf;
use super::transactions::Transactions;
use crate::base::limits::PRODUCER_BATCHES_KEPT;
use crate::base::mutant::{Mutant, planted};
use crate::base::{ErrorCode, Guard, Offset, ProducerEpoch, ProducerId};
use crate::wire::batch::{BatchMeta, EndMarker};
use std::collections::{BTreeMap, VecDeque};

mod snapshot;

/// What to do with an idempotent producer's batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is new.
    Append,
    /// It is in the log already.
    Duplicate {
        /// Where.
        base_offset: Offset,
        /// With which largest timestamp.
        timestamp: i64,
    },
    /// It doesn't follow.
    Refuse(ErrorCode),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Batch {
    first_sequence: i32,
    last_sequence: i32,
    base_offset: Offset,
    timestamp: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Producer {
    epoch: ProducerEpoch,
    /// The last few, oldest first.
    batches: VecDeque<Batch>,
    seen_ms: i64,
    /// First record of its open transaction.
    open: Option<Offset>,
    /// Its last marker.
    marker: Option<Offset>,
    /// Term of the coordinator that wrote it; -1 if there is none.
    coordinator_epoch: i32,
}

impl Producer {
    fn new(epoch: ProducerEpoch) -> Self {
        let (batches, seen_ms) = (VecDeque::new(), 0);
        Producer { epoch, batches, seen_ms, open: None, marker: None, coordinator_epoch: -1 }
    }

    /// What it wrote under an older epoch is of no more use.
    fn rise_to(&mut self, epoch: ProducerEpoch) {
        if self.epoch != epoch {
            (self.epoch, self.batches) = (epoch, VecDeque::new());
        }
    }
}

/// What DescribeProducers tells of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerFacts {
    /// Its id.
    pub id: ProducerId,
    /// Its epoch.
    pub epoch: ProducerEpoch,
    /// Sequence number of its last record; -1 if none is known.
    pub last_sequence: i32,
    /// Timestamp of its last batch, or when it was last heard of.
    pub last_timestamp: i64,
    /// Term of the coordinator of its last marker; -1 if there is none.
    pub coordinator_epoch: i32,
    /// First record of its open transaction; -1 if it has none.
    pub open_offset: Offset,
}

/// What a producer was before an offset that may yet be lost.
#[derive(Clone, Debug)]
struct Before {
    at: Offset,
    id: ProducerId,
    producer: Option<Producer>,
}

/// All producers of one partition.
#[derive(Clone, Debug, Default)]
pub struct ProducerStates {
    producers: BTreeMap<ProducerId, Producer>,
    transactions: Transactions,
    /// Changes, other than one more batch of a known producer, that may yet be lost; in order.
    unsettled: VecDeque<Before>,
}

impl PartialEq for ProducerStates {
    fn eq(&self, other: &Self) -> bool {
        (&self.producers, &self.transactions) == (&other.producers, &other.transactions)
    }
}

impl Eq for ProducerStates {}

/// The sequence number after this one; wraps from 2^31-1 to 0 (row 55).
fn next_sequence(sequence: i32) -> i32 {
    sequence.wrapping_add(1) & i32::MAX
}

impl ProducerStates {
    /// Decides whether a batch follows.
    #[must_use]
    pub fn check(&self, meta: &BatchMeta) -> Verdict {
        if !meta.is_idempotent() {
            return Verdict::Append;
        }
        // An unknown producer may start anywhere: its state may have expired (row 54).
        let Some(producer) = self.producers.get(&meta.producer_id) else { return Verdict::Append };
        if meta.producer_epoch < producer.epoch {
            return Verdict::Refuse(ErrorCode::InvalidProducerEpoch);
        }
        if meta.producer_epoch > producer.epoch {
            let starts = meta.base_sequence == 0;
            return if starts {
                Verdict::Append
            } else {
                Verdict::Refuse(ErrorCode::OutOfOrderSequenceNumber)
            };
        }
        let same = |batch: &&Batch| {
            batch.first_sequence == meta.base_sequence && batch.last_sequence == meta.last_sequence()
        };
        if let Some(batch) = producer.batches.iter().find(same) {
            return Verdict::Duplicate { base_offset: batch.base_offset, timestamp: batch.timestamp };
        }
        match producer.batches.back() {
            Some(last) if next_sequence(last.last_sequence) != meta.base_sequence => {
                Verdict::Refuse(ErrorCode::OutOfOrderSequenceNumber)
            }
            // A marker that raised the epoch left no batch behind it.
            None if producer.marker.is_some() && meta.base_sequence != 0 => {
                Verdict::Refuse(ErrorCode::OutOfOrderSequenceNumber)
            }
            _ => Verdict::Append,
        }
    }

    /// Decides whether a group's coordinator may write for a producer: its batches have no sequence of their own.
    ///
    /// # Errors
    /// The producer was fenced.
    pub fn check_epoch(&self, id: ProducerId, epoch: ProducerEpoch) -> Result<(), ErrorCode> {
        match self.producers.get(&id) {
            Some(producer) if epoch < producer.epoch => Err(ErrorCode::InvalidProducerEpoch),
            _ => Ok(()),
        }
    }

    /// Whether the batch's producer has a transaction open here under this epoch.
    #[must_use]
    pub fn is_open(&self, id: ProducerId, epoch: ProducerEpoch) -> bool {
        self.producers.get(&id).is_some_and(|producer| producer.open.is_some() && producer.epoch == epoch)
    }

    /// Whether a producer has a transaction open here, under whatever epoch.
    #[must_use]
    pub fn has_open(&self, id: ProducerId) -> bool {
        self.producers.get(&id).is_some_and(|producer| producer.open.is_some())
    }

    /// Whether nothing that a producer wrote is known.
    #[must_use]
    pub fn wrote_nothing(&self, id: ProducerId) -> bool {
        self.producers.get(&id).is_none_or(|producer| producer.batches.is_empty())
    }

    /// What has to be unchanged when a transaction of this producer begins.
    #[must_use]
    pub fn guard(&self, id: ProducerId) -> Guard {
        Guard(self.producers.get(&id).and_then(|producer| producer.marker))
    }

    /// Decides whether a marker may be written. `strictly`: the coordinator raised the epoch for it, so that of an open
    /// transaction must be lower; one that is written again finds none open (row 77).
    ///
    /// # Errors
    /// It comes from a coordinator of an older term, or is of an older epoch than the producer's.
    pub fn check_marker(
        &self,
        id: ProducerId,
        epoch: ProducerEpoch,
        coordinator_epoch: i32,
        strictly: bool,
    ) -> Result<(), ErrorCode> {
        let Some(producer) = self.producers.get(&id) else { return Ok(()) };
        let equal = producer.epoch == epoch && producer.open.is_some();
        if producer.coordinator_epoch > coordinator_epoch {
            return Err(ErrorCode::TransactionCoordinatorFenced);
        }
        if epoch < producer.epoch || strictly && equal {
            return Err(ErrorCode::InvalidProducerEpoch);
        }
        Ok(())
    }

    /// Notes a batch that is in the log at `base_offset`. `now_ms` is the broker's clock: records may carry timestamps
    /// of long ago, and a producer of those must not be forgotten while it retries.
    pub fn apply(&mut self, meta: &BatchMeta, base_offset: Offset, now_ms: i64) {
        if !meta.is_idempotent() || meta.is_control() {
            return;
        }
        let known = self.producers.get(&meta.producer_id);
        let begins = meta.is_transactional() && known.is_none_or(|producer| producer.open.is_none());
        if begins || known.is_none_or(|producer| producer.epoch != meta.producer_epoch) {
            self.remember(base_offset, meta.producer_id);
        }
        let fresh = || Producer::new(meta.producer_epoch);
        let producer = self.producers.entry(meta.producer_id).or_insert_with(fresh);
        producer.rise_to(meta.producer_epoch);
        if producer.batches.len() == PRODUCER_BATCHES_KEPT {
            producer.batches.pop_front();
        }
        producer.seen_ms = now_ms;
        producer.batches.push_back(Batch {
            first_sequence: meta.base_sequence,
            last_sequence: meta.last_sequence(),
            base_offset,
            timestamp: meta.max_timestamp,
        });
        if begins {
            producer.open = Some(base_offset);
            self.transactions.begin(base_offset);
        }
    }

    /// Notes a marker that is in the log at `offset`. A later batch of its producer must be of its epoch or a newer
    /// one.
    pub fn apply_marker(&mut self, meta: &BatchMeta, marker: EndMarker, offset: Offset, now_ms: i64) {
        let id = meta.producer_id;
        self.remember(offset, id);
        let producer = self.producers.entry(id).or_insert_with(|| Producer::new(meta.producer_epoch));
        producer.rise_to(meta.producer_epoch);
        producer.seen_ms = now_ms;
        producer.marker = Some(offset);
        producer.coordinator_epoch = marker.coordinator_epoch;
        if let Some(first) = producer.open.take() {
            self.transactions.end(id, first, offset, marker.committed);
        }
    }

    fn remember(&mut self, at: Offset, id: ProducerId) {
        let producer = self.producers.get(&id).cloned();
        self.unsettled.push_back(Before { at, id, producer });
    }

    /// Everything below an offset survives a crash.
    pub fn settle(&mut self, upto: Offset) {
        while self.unsettled.front().is_some_and(|before| before.at < upto) {
            self.unsettled.pop_front();
        }
        self.transactions.settle(upto);
    }

    /// Records from an offset on are gone: all is as it was before them. Nothing below is settled any less.
    pub fn truncate_end(&mut self, offset: Offset) {
        while let Some(before) = self.unsettled.pop_back_if(|before| before.at >= offset) {
            match before.producer {
                Some(producer) => drop(self.producers.insert(before.id, producer)),
                None => drop(self.producers.remove(&before.id)),
            }
        }
        for producer in self.producers.values_mut() {
            producer.batches.retain(|batch| batch.base_offset < offset);
        }
        let open = self.producers.values().filter_map(|producer| producer.open).collect();
        self.transactions.truncate_end(offset, open);
    }

    /// The transactions in the partition.
    #[must_use]
    pub fn transactions(&self) -> &Transactions {
        &self.transactions
    }

    /// Records below an offset are gone.
    pub fn truncate_start(&mut self, log_start: Offset) {
        self.transactions.truncate_start(log_start);
    }

    /// Forgets producers that wrote nothing for `expiry_ms`, but for those with an open transaction.
    pub fn expire(&mut self, now_ms: i64, expiry_ms: i64) {
        let recent = |producer: &Producer| now_ms.saturating_sub(producer.seen_ms) < expiry_ms;
        self.producers.retain(|_, producer| producer.open.is_some() || recent(producer));
    }

    /// What is known of every producer.
    pub fn facts(&self) -> impl Iterator<Item = ProducerFacts> {
        self.producers.iter().map(|(id, producer)| {
            let last = producer.batches.back();
            ProducerFacts {
                id: *id,
                epoch: producer.epoch,
                last_sequence: last.map_or(-1, |batch| batch.last_sequence),
                last_timestamp: last.map_or(producer.seen_ms, |batch| batch.timestamp),
                coordinator_epoch: producer.coordinator_epoch,
                open_offset: producer.open.unwrap_or(-1),
            }
        })
    }

    /// Whether anything of a producer is known.
    #[must_use]
    pub fn knows(&self, producer: ProducerId) -> bool {
        self.producers.contains_key(&producer)
    }

    /// Each producer's last batch, which compaction keeps.
    #[must_use]
    pub fn last_batches(&self) -> BTreeMap<ProducerId, LastOf> {
        let last = |producer: &Producer| LastOf {
            epoch: producer.epoch,
            base_offset: producer.batches.back().map(|batch| batch.base_offset),
        };
        self.producers.iter().map(|(id, producer)| (*id, last(producer))).collect()
    }

    /// Producers known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.producers.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }
}

#[cfg(test)]
mod tests;
