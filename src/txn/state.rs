//! One transactional id: who its producer is, and where its transaction stands.

use super::call::{Identity, NamedPartition, Protocol};
use crate::base::{ErrorCode, ProducerEpoch, ProducerId};
use crate::wire::Str;
use crate::wire::generated::TransactionLogValue;
use crate::wire::generated::transaction_log_value::PartitionsSchema;
use std::collections::BTreeSet;

/// Where a transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// There was none yet under the producer's epoch.
    Empty,
    /// It is open.
    Ongoing,
    /// It is decided that it is committed; markers are being written.
    PrepareCommit,
    /// It is decided that it is aborted; markers are being written.
    PrepareAbort,
    /// All partitions have their markers.
    CompleteCommit,
    /// As above.
    CompleteAbort,
}

impl State {
    pub(super) const ALL: &'static [State] = &[
        State::Empty,
        State::Ongoing,
        State::PrepareCommit,
        State::PrepareAbort,
        State::CompleteCommit,
        State::CompleteAbort,
    ];

    /// Kafka's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::Ongoing => "Ongoing",
            State::PrepareCommit => "PrepareCommit",
            State::PrepareAbort => "PrepareAbort",
            State::CompleteCommit => "CompleteCommit",
            State::CompleteAbort => "CompleteAbort",
        }
    }

    /// Kafka's number, as records have it: the place in `ALL`.
    fn number(self) -> i8 {
        self as i8
    }

    /// Whether markers are being written.
    pub(super) fn is_decided(self) -> bool {
        matches!(self, State::PrepareCommit | State::PrepareAbort)
    }
}

/// What a transactional id stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Txn {
    pub(super) id: Str,
    pub(super) producer: ProducerId,
    /// The producer's id before this one; -1 if there was none.
    pub(super) previous: ProducerId,
    /// The producer's id once the transaction is over, where this one's epochs are used up; else -1.
    pub(super) next: ProducerId,
    pub(super) epoch: ProducerEpoch,
    /// The epoch before the last InitProducerId by a producer that said who it was; -1 where nobody may repeat that.
    /// Not kept in records, as in Kafka.
    pub(super) last_epoch: ProducerEpoch,
    pub(super) timeout_ms: i32,
    pub(super) state: State,
    pub(super) partitions: BTreeSet<NamedPartition>,
    /// Wall clock; -1 if no transaction began.
    pub(super) started_ms: i64,
    pub(super) updated_ms: i64,
    /// The protocol of the client that began the transaction.
    pub(super) protocol: Protocol,
}

/// "No epoch."
const NO_EPOCH: ProducerEpoch = ProducerEpoch(-1);

/// The last epoch that a producer is ever given: the one after it is for fencing it (`isEpochExhausted`).
pub(super) const LAST_EPOCH: ProducerEpoch = ProducerEpoch(i16::MAX - 1);

impl Txn {
    /// A transactional id that nobody has used.
    pub(super) fn new(id: Str, producer: ProducerId, timeout_ms: i32) -> Self {
        Txn {
            id,
            producer,
            previous: ProducerId::NONE,
            next: ProducerId::NONE,
            epoch: ProducerEpoch(0),
            last_epoch: NO_EPOCH,
            timeout_ms,
            state: State::Empty,
            partitions: BTreeSet::new(),
            started_ms: -1,
            updated_ms: -1,
            protocol: Protocol::V1,
        }
    }

    /// As a record tells it; `None` if it is over and done with, or in a state that only Kafka has.
    pub(super) fn replayed(id: Str, value: TransactionLogValue) -> Option<Self> {
        let state = *State::ALL.get(usize::try_from(value.transaction_status).ok()?)?;
        let partitions = value.transaction_partitions.unwrap_or_default().into_iter().flat_map(|topic| {
            let name = topic.topic.detached();
            topic.partition_ids.into_iter().map(move |index| (name.clone(), index))
        });
        Some(Txn {
            id: id.detached(),
            producer: ProducerId(value.producer_id),
            previous: ProducerId(value.previous_producer_id),
            next: ProducerId(value.next_producer_id),
            epoch: ProducerEpoch(value.producer_epoch),
            last_epoch: NO_EPOCH,
            timeout_ms: value.transaction_timeout_ms,
            state,
            partitions: partitions.collect(),
            started_ms: value.transaction_start_timestamp_ms,
            updated_ms: value.transaction_last_update_timestamp_ms,
            protocol: if value.client_transaction_version >= 2 { Protocol::V2 } else { Protocol::V1 },
        })
    }

    /// What its record says.
    pub(super) fn value(&self) -> TransactionLogValue {
        let mut topics: Vec<PartitionsSchema> = Vec::new();
        for (topic, index) in &self.partitions {
            match topics.last_mut().filter(|last| last.topic == *topic) {
                Some(last) => last.partition_ids.push(*index),
                None => topics.push(PartitionsSchema { topic: topic.clone(), partition_ids: vec![*index] }),
            }
        }
        TransactionLogValue {
            producer_id: self.producer.0,
            previous_producer_id: self.previous.0,
            next_producer_id: self.next.0,
            producer_epoch: self.epoch.0,
            transaction_timeout_ms: self.timeout_ms,
            transaction_status: self.state.number(),
            // Kafka writes no list where there can be no partition.
            transaction_partitions: (self.state != State::Empty).then_some(topics),
            transaction_last_update_timestamp_ms: self.updated_ms,
            transaction_start_timestamp_ms: self.started_ms,
            client_transaction_version: if self.protocol == Protocol::V2 { 2 } else { 0 },
            ..Default::default()
        }
    }

    pub(super) fn identity(&self) -> Identity {
        Identity { id: self.producer, epoch: self.epoch }
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        let partitions: usize = self.partitions.iter().map(|(topic, _)| topic.len() + 64).sum();
        self.id.len() + partitions + 256
    }

    /// Whether a producer may begin anew as the one that it says it was (KIP-360): it is the current one, or the one
    /// before it, which used up its epochs and repeats the request that gave it its new id.
    pub(super) fn may_go_on(&self, expected: Identity) -> bool {
        let repeats = expected.id == self.previous && expected.epoch >= LAST_EPOCH;
        expected.id == self.producer || repeats
    }

    /// A producer begins anew: whoever was it before is fenced.
    ///
    /// # Errors
    /// It isn't who it says.
    pub(super) fn begin_anew(
        &mut self,
        (timeout_ms, now_ms): (i32, i64),
        expected: Option<Identity>,
        fresh: ProducerId,
    ) -> Result<(), ErrorCode> {
        let exhausted = self.epoch >= LAST_EPOCH;
        match expected {
            Some(expected) if !self.may_go_on(expected) => return Err(ErrorCode::ProducerFenced),
            _ if exhausted && expected.is_none_or(|expected| expected.epoch == self.epoch) => {
                self.last_epoch = if expected.is_some() { self.epoch } else { NO_EPOCH };
                (self.previous, self.producer, self.epoch) = (self.producer, fresh, ProducerEpoch(0));
            }
            None => {
                (self.last_epoch, self.epoch) = (NO_EPOCH, ProducerEpoch(self.epoch.0 + 1));
            }
            Some(expected) if expected.epoch == self.epoch => {
                (self.last_epoch, self.epoch) = (self.epoch, ProducerEpoch(self.epoch.0 + 1));
            }
            // It repeats a request whose answer was lost. Had another producer come since, there would be no last
            // epoch.
            Some(expected) if expected.epoch == self.last_epoch => {}
            Some(_) => return Err(ErrorCode::ProducerFenced),
        }
        (self.state, self.timeout_ms) = (State::Empty, timeout_ms);
        self.partitions.clear();
        (self.started_ms, self.updated_ms) = (-1, now_ms);
        Ok(())
    }

    /// Whether a producer is the current one.
    ///
    /// # Errors
    /// Another id, or another epoch.
    pub(super) fn check(&self, producer: Identity) -> Result<(), ErrorCode> {
        if producer.id != self.producer {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        if producer.epoch != self.epoch {
            return Err(ErrorCode::ProducerFenced);
        }
        Ok(())
    }

    /// Decides how the transaction ends. Where the protocol is so, the producer's epoch rises, and a new id is set
    /// aside for one whose epochs are used up.
    pub(super) fn decide(&mut self, commit: bool, protocol: Protocol, fresh: ProducerId, now_ms: i64) {
        if self.state != State::Ongoing {
            // An abort of nothing (KIP-890): it began now.
            self.started_ms = now_ms;
        }
        if protocol == Protocol::V2 {
            self.next = if self.epoch >= LAST_EPOCH { fresh } else { ProducerId::NONE };
            (self.last_epoch, self.epoch) = (self.epoch, ProducerEpoch(self.epoch.0.saturating_add(1)));
        }
        self.protocol = protocol;
        self.state = if commit { State::PrepareCommit } else { State::PrepareAbort };
        self.updated_ms = now_ms;
    }

    /// Decides that the transaction is aborted and its producer fenced: another took its place, or it took too long.
    pub(super) fn fence(&mut self, now_ms: i64) {
        (self.last_epoch, self.epoch) = (NO_EPOCH, ProducerEpoch(self.epoch.0.saturating_add(1)));
        (self.state, self.next, self.updated_ms) = (State::PrepareAbort, ProducerId::NONE, now_ms);
    }

    /// All partitions have their markers.
    pub(super) fn complete(&mut self, now_ms: i64) {
        self.state =
            if self.state == State::PrepareCommit { State::CompleteCommit } else { State::CompleteAbort };
        if self.next != ProducerId::NONE {
            (self.previous, self.producer, self.epoch) = (self.producer, self.next, ProducerEpoch(0));
            self.next = ProducerId::NONE;
        }
        self.partitions.clear();
        self.updated_ms = now_ms;
    }

    /// Who the producer is once what is decided is carried out: what EndTxn answers.
    pub(super) fn identity_after(&self) -> Identity {
        match self.next {
            ProducerId::NONE => self.identity(),
            next => Identity { id: next, epoch: ProducerEpoch(0) },
        }
    }
}
