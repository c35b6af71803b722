//! What a partition knows of the producers that write to it (KIP-98): the last five batches of each, to tell a retry
//! from a new batch and a gap from both. Rules: protocol rows 51 to 58.

use super::compact::LastOf;
use crate::base::limits::PRODUCER_BATCHES_KEPT;
use crate::base::{ErrorCode, Offset, ProducerEpoch, ProducerId};
use crate::wire::batch::BatchMeta;
use crate::wire::{DecodeError, Reader, Writer};
use std::collections::{BTreeMap, VecDeque};

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
}

/// All producers of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerStates {
    producers: BTreeMap<ProducerId, Producer>,
}

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
            _ => Verdict::Append,
        }
    }

    /// Notes a batch that is in the log at `base_offset`. `now_ms` is the broker's clock: records may carry timestamps
    /// of long ago, and a producer of those must not be forgotten while it retries.
    pub fn apply(&mut self, meta: &BatchMeta, base_offset: Offset, now_ms: i64) {
        if !meta.is_idempotent() || meta.is_control() {
            return;
        }
        let fresh = || Producer { epoch: meta.producer_epoch, batches: VecDeque::new(), seen_ms: 0 };
        let producer = self.producers.entry(meta.producer_id).or_insert_with(fresh);
        if producer.epoch != meta.producer_epoch {
            (producer.epoch, producer.batches) = (meta.producer_epoch, VecDeque::new());
        }
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
    }

    /// Forgets producers that wrote nothing for `expiry_ms`.
    pub fn expire(&mut self, now_ms: i64, expiry_ms: i64) {
        self.producers.retain(|_, producer| now_ms.saturating_sub(producer.seen_ms) < expiry_ms);
    }

    /// What is known without batches at or beyond an offset, which may yet be lost: a producer that is told its batch
    /// is a duplicate never sends it again.
    #[must_use]
    pub fn as_of(&self, offset: Offset) -> Self {
        let mut states = self.clone();
        states.producers.retain(|_, producer| {
            producer.batches.retain(|batch| batch.base_offset < offset);
            !producer.batches.is_empty()
        });
        states
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

    /// Appends all state, for a checkpoint.
    pub fn encode(&self, w: &mut Writer) {
        w.array_len(Some(self.producers.len()), true);
        for (id, producer) in &self.producers {
            w.i64(id.0);
            w.i16(producer.epoch.0);
            w.i64(producer.seen_ms);
            w.array_len(Some(producer.batches.len()), true);
            for batch in &producer.batches {
                w.i32(batch.first_sequence);
                w.i32(batch.last_sequence);
                w.i64(batch.base_offset);
                w.i64(batch.timestamp);
            }
        }
    }

    /// Reads what `encode` wrote.
    ///
    /// # Errors
    /// The bytes are something else, or a producer has more batches than are ever kept.
    pub fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let mut states = ProducerStates::default();
        for _ in 0..r.array_len(true)?.ok_or(DecodeError::Length)? {
            let id = ProducerId(r.i64()?);
            let (epoch, seen_ms) = (ProducerEpoch(r.i16()?), r.i64()?);
            let mut batches = VecDeque::new();
            let count = r.array_len(true)?.ok_or(DecodeError::Length)?;
            if count > PRODUCER_BATCHES_KEPT {
                return Err(DecodeError::Value);
            }
            for _ in 0..count {
                let (first_sequence, last_sequence) = (r.i32()?, r.i32()?);
                batches.push_back(Batch {
                    first_sequence,
                    last_sequence,
                    base_offset: r.i64()?,
                    timestamp: r.i64()?,
                });
            }
            states.producers.insert(id, Producer { epoch, batches, seen_ms });
        }
        Ok(states)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::batch::{BatchBuilder, Codec};

    fn meta(id: i64, epoch: i16, sequence: i32) -> BatchMeta {
        let batch =
            BatchBuilder::new(Codec::None, 5).producer(id, epoch, sequence).record(5, None, None).build();
        BatchMeta::read(&batch).unwrap()
    }

    fn appended(states: &mut ProducerStates, meta: BatchMeta, offset: Offset) -> Verdict {
        let verdict = states.check(&meta);
        if verdict == Verdict::Append {
            states.apply(&meta, offset, 5);
        }
        verdict
    }

    const GAP: Verdict = Verdict::Refuse(ErrorCode::OutOfOrderSequenceNumber);

    #[test]
    fn sequences_follow_as_kafka_measured() {
        let mut states = ProducerStates::default();
        assert_eq!(appended(&mut states, meta(1, 0, 0), 10), Verdict::Append);
        assert_eq!(states.check(&meta(1, 0, 0)), Verdict::Duplicate { base_offset: 10, timestamp: 5 });
        assert_eq!(states.check(&meta(1, 0, 5)), GAP);
        assert_eq!(appended(&mut states, meta(1, 0, 1), 11), Verdict::Append);
        assert_eq!(states.check(&meta(1, 1, 3)), GAP);
        assert_eq!(appended(&mut states, meta(1, 1, 0), 12), Verdict::Append);
        assert_eq!(states.check(&meta(1, 0, 2)), Verdict::Refuse(ErrorCode::InvalidProducerEpoch));
        assert_eq!(states.check(&meta(2, 0, 9)), Verdict::Append);
        for sequence in 1..8 {
            assert_eq!(
                appended(&mut states, meta(1, 1, sequence), 12 + i64::from(sequence)),
                Verdict::Append
            );
        }
        assert_eq!(states.check(&meta(1, 1, 1)), GAP);
        assert_eq!(states.check(&meta(1, 1, 4)), Verdict::Duplicate { base_offset: 16, timestamp: 5 });
    }

    #[test]
    fn a_snapshot_leaves_out_what_may_be_lost() {
        let mut states = ProducerStates::default();
        for (offset, sequence) in (10..14).zip(0..) {
            appended(&mut states, meta(1, 0, sequence), offset);
        }
        appended(&mut states, meta(2, 0, 0), 14);
        let kept = states.as_of(12);
        assert_eq!(kept.check(&meta(1, 0, 1)), Verdict::Duplicate { base_offset: 11, timestamp: 5 });
        assert_eq!(kept.check(&meta(1, 0, 2)), Verdict::Append);
        assert_eq!((kept.len(), states.len()), (1, 2));
    }

    #[test]
    fn sequences_wrap() {
        let mut states = ProducerStates::default();
        assert_eq!(appended(&mut states, meta(1, 0, i32::MAX), 0), Verdict::Append);
        assert_eq!(appended(&mut states, meta(1, 0, 0), 1), Verdict::Append);
    }

    #[test]
    fn state_round_trips_and_expires() {
        let mut states = ProducerStates::default();
        states.apply(&meta(1, 0, 0), 0, 1000);
        states.apply(&meta(2, 3, 0), 1, 1000);
        let mut writer = Writer::new();
        states.encode(&mut writer);
        let mut reader = Reader::new(writer.into_pieces().concat().into());
        assert_eq!(ProducerStates::decode(&mut reader), Ok(states.clone()));
        states.expire(1000 + 99, 100);
        assert_eq!(states.len(), 2, "records of long ago don't make it older");
        states.expire(1000 + 100, 100);
        assert!(states.is_empty());
    }
}
