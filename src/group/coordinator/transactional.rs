//! TxnOffsetCommit, and the ends of transactions: their offsets count from the marker on (rows 68, 74 and 75).

use super::Coordinator;
use super::commit::Asked;
use crate::base::mutant::{Mutant, planted};
use crate::base::{ErrorCode, Offset, ProducerId};
use crate::group::call::{Asker, GroupReply};
use crate::group::classic::ClassicGroup;
use crate::group::offsets::Committed;
use crate::group::record::{Replayed, replayed};
use crate::group::settings::Now;
use crate::wire::generated::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use crate::wire::generated::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use crate::wire::generated::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};
use crate::wire::{DecodeError, Str};
use bytes::Bytes;

/// First version whose clients know that a group isn't known, and that an epoch is stale (KIP-1319).
const PRECISE_FROM: i16 = 6;

/// A refusal as a client of that version knows it.
fn told(error: ErrorCode, version: i16) -> ErrorCode {
    match error {
        ErrorCode::GroupIdNotFound | ErrorCode::StaleMemberEpoch if version < PRECISE_FROM => {
            ErrorCode::IllegalGeneration
        }
        error => error,
    }
}

impl Coordinator {
    /// Takes offsets of a transaction. The records that this step returns belong into a batch of the producer's
    /// transaction.
    pub(super) fn commit_in_transaction(
        &mut self,
        asker: Asker,
        request: &TxnOffsetCommitRequest,
        version: i16,
        now: Now,
    ) {
        let checked = self.check_commit_in_transaction(request, now).map_err(|error| told(error, version));
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in &request.topics {
            let partition = |partition: &TxnOffsetCommitRequestPartition| {
                let outcome =
                    checked.and_then(|()| self.commit_one_in_transaction(request, topic, partition, now));
                let (partition_index, error) = (partition.partition_index, outcome.err().unwrap_or_default());
                TxnOffsetCommitResponsePartition { partition_index, error_code: error.code() }
            };
            let partitions = topic.partitions.iter().map(partition).collect();
            let (name, topic_id) = (topic.name.clone(), topic.topic_id);
            topics.push(TxnOffsetCommitResponseTopic { name, topic_id, partitions });
        }
        let response = TxnOffsetCommitResponse { topics, ..Default::default() };
        self.answer(asker, GroupReply::CommitInTransaction(response));
    }

    fn check_commit_in_transaction(
        &mut self,
        request: &TxnOffsetCommitRequest,
        now: Now,
    ) -> Result<(), ErrorCode> {
        let (id, generation) = (&request.group_id, request.generation_id_or_member_epoch);
        if let Some(group) = self.consumers.get(id) {
            let instance = request.group_instance_id.as_deref();
            let commits = group.check_commit_in_transaction(&request.member_id, instance, generation)?;
            return commits.check_all(request.topics.iter().flat_map(|topic| {
                let id = self.topic_id(&topic.name, topic.topic_id);
                topic.partitions.iter().map(move |partition| (id, partition.partition_index))
            }));
        }
        self.keep_group(id, generation, ErrorCode::GroupIdNotFound, now)?;
        let instance = request.group_instance_id.as_deref();
        let check = self.with_group(id, now, |group, turn| {
            group.check_commit_in_transaction(&request.member_id, instance, generation, turn)
        });
        check.unwrap_or(Err(ErrorCode::GroupIdNotFound))
    }

    fn commit_one_in_transaction(
        &mut self,
        request: &TxnOffsetCommitRequest,
        topic: &TxnOffsetCommitRequestTopic,
        partition: &TxnOffsetCommitRequestPartition,
        now: Now,
    ) -> Result<(), ErrorCode> {
        let place = (&request.group_id, &topic.name, partition.partition_index);
        let asked = Asked {
            offset: partition.committed_offset,
            leader_epoch: partition.committed_leader_epoch,
            metadata: partition.committed_metadata.as_ref(),
            topic_id: self.topic_id(&topic.name, topic.topic_id),
            expire_ms: None,
        };
        let committed = self.record_offset(place, &asked, now)?;
        self.take_pending(ProducerId(request.producer_id), place, committed);
        Ok(())
    }

    fn take_pending(&mut self, producer: ProducerId, key: (&Str, &Str, i32), committed: Committed) {
        if planted(Mutant::OffsetsFirst) {
            return self.offsets.put(key.0, key.1, key.2, committed);
        }
        self.offsets.put_pending(producer, key, committed);
    }

    /// A marker of a producer's transaction is in the log and ends before `end`.
    pub fn transaction_ended(&mut self, producer: ProducerId, committed: bool, end: Offset, wall_ms: i64) {
        assert!(end >= self.appended, "a log only grows");
        // What is asked from now on rests on the marker: it is answered once that is durable.
        self.appended = end;
        self.end_transaction(producer, committed, wall_ms);
    }

    fn end_transaction(&mut self, producer: ProducerId, committed: bool, wall_ms: i64) {
        for group in self.offsets.end_transaction(producer, committed) {
            if !self.groups.contains_key(&group) && !self.consumers.contains_key(&group) {
                self.put(ClassicGroup::new(group, wall_ms));
            }
        }
    }

    /// Takes one record of a transaction's batch, in order.
    ///
    /// # Errors
    /// The record isn't what its key says.
    pub fn replay_in_transaction(
        &mut self,
        producer: ProducerId,
        key: Bytes,
        value: Option<Bytes>,
    ) -> Result<(), DecodeError> {
        if let Replayed::Offset { group, topic, partition, value: Some(value) } = replayed(key, value)? {
            if !self.groups.contains_key(&group) && !self.consumers.contains_key(&group) {
                self.put(ClassicGroup::new(group.detached(), value.commit_timestamp));
            }
            self.take_pending(producer, (&group, &topic, partition), (&value).into());
        }
        Ok(())
    }

    /// Takes the marker of a transaction, in order.
    pub fn replay_marker(&mut self, producer: ProducerId, committed: bool, wall_ms: i64) {
        self.end_transaction(producer, committed, wall_ms);
    }
}
