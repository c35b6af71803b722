//! What brokers ask each other about transactions: a partition, its transaction's coordinator and its group's live on
//! whichever brokers lead them.

use super::reply::error;
use crate::base::{ErrorCode, PartitionIndex, ProducerEpoch, ProducerId, TopicId, TopicPartition};
use crate::wire::collections::array;
use crate::wire::{DecodeError, Reader, Str, Writer};

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Are these partitions part of the producer's transaction? Answered for each.
    Vouch {
        /// The partition of `__transaction_state` whose coordinator knows.
        coordinator: TopicPartition,
        /// Of which transactional id.
        transactional_id: Str,
        /// Whose.
        producer_id: ProducerId,
        /// Under which epoch.
        producer_epoch: ProducerEpoch,
        /// By their topics' names.
        partitions: Vec<(Str, i32)>,
        /// Add those that aren't (KIP-890).
        implicit: bool,
    },
    /// End the producer's transaction in a partition. Answered once it is durable there.
    Mark {
        /// Where.
        partition: TopicPartition,
        /// Whose.
        producer_id: ProducerId,
        /// The epoch that the marker carries.
        producer_epoch: ProducerEpoch,
        /// Commit, or abort.
        committed: bool,
        /// Term of the coordinator that decided.
        coordinator_epoch: i32,
        /// The epoch was raised above the transaction's (KIP-890).
        raised: bool,
    },
}

/// The answer to one question: a code for each partition that it names.
pub type Told = Vec<ErrorCode>;

impl Ask {
    /// How many partitions it names.
    #[must_use]
    pub fn partitions(&self) -> usize {
        match self {
            Ask::Vouch { partitions, .. } => partitions.len(),
            Ask::Mark { .. } => 1,
        }
    }

    pub(super) fn encode(&self, w: &mut Writer) {
        match self {
            Ask::Vouch {
                coordinator,
                transactional_id,
                producer_id,
                producer_epoch,
                partitions,
                implicit,
            } => {
                w.i8(1);
                put_key(w, *coordinator);
                w.string(transactional_id, true);
                w.i64(producer_id.0);
                w.i16(producer_epoch.0);
                w.array_len(Some(partitions.len()), true);
                for (topic, index) in partitions {
                    w.string(topic, true);
                    w.i32(*index);
                }
                w.bool(*implicit);
            }
            Ask::Mark { partition, producer_id, producer_epoch, committed, coordinator_epoch, raised } => {
                w.i8(2);
                put_key(w, *partition);
                w.i64(producer_id.0);
                w.i16(producer_epoch.0);
                w.bool(*committed);
                w.i32(*coordinator_epoch);
                w.bool(*raised);
            }
        }
    }

    pub(super) fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match r.i8()? {
            1 => Ask::Vouch {
                coordinator: key(r)?,
                transactional_id: r.string(true)?.detached(),
                producer_id: ProducerId(r.i64()?),
                producer_epoch: ProducerEpoch(r.i16()?),
                partitions: array(r, true, |r| Ok((r.string(true)?.detached(), r.i32()?)))?,
                implicit: r.bool()?,
            },
            2 => Ask::Mark {
                partition: key(r)?,
                producer_id: ProducerId(r.i64()?),
                producer_epoch: ProducerEpoch(r.i16()?),
                committed: r.bool()?,
                coordinator_epoch: r.i32()?,
                raised: r.bool()?,
            },
            _ => return Err(DecodeError::Value),
        })
    }
}

pub(super) fn encode_told(told: &[Told], w: &mut Writer) {
    w.array_len(Some(told.len()), true);
    for codes in told {
        w.array_len(Some(codes.len()), true);
        codes.iter().for_each(|code| w.i16(code.code()));
    }
}

pub(super) fn decode_told(r: &mut Reader) -> Result<Vec<Told>, DecodeError> {
    array(r, true, |r| array(r, true, error))
}

fn put_key(w: &mut Writer, key: TopicPartition) {
    w.uuid(&key.topic.0);
    w.i32(key.partition.0);
}

fn key(r: &mut Reader) -> Result<TopicPartition, DecodeError> {
    Ok(TopicPartition { topic: TopicId(r.uuid()?), partition: PartitionIndex(r.i32()?) })
}
