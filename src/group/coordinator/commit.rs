//! OffsetCommit.

use super::Coordinator;
use crate::base::limits::OFFSETS_PER_COORDINATOR_MAX;
use crate::base::{ErrorCode, Offset, TopicId};
use crate::group::call::{Asker, GroupReply};
use crate::group::classic::ClassicGroup;
use crate::group::lag::Pace;
use crate::group::offsets::Committed;
use crate::group::record;
use crate::group::settings::Now;
use crate::wire::Str;
use crate::wire::generated::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use crate::wire::generated::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use crate::wire::generated::{OffsetCommitRequest, OffsetCommitResponse};

/// First version in which an unknown group is told as such.
const UNKNOWN_GROUP_FROM: i16 = 9;

/// An offset that a request asks to keep.
pub(super) struct Asked<'a> {
    pub(super) offset: i64,
    pub(super) leader_epoch: i32,
    pub(super) metadata: Option<&'a Str>,
    pub(super) topic_id: TopicId,
    /// When it expires, where the request says so.
    pub(super) expire_ms: Option<i64>,
}

impl Coordinator {
    pub(super) fn commit(&mut self, asker: Asker, request: &OffsetCommitRequest, version: i16, now: Now) {
        let checked = self.check_commit(request, version, now);
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in &request.topics {
            let partition = |partition: &OffsetCommitRequestPartition| {
                let outcome = checked.and_then(|()| self.commit_one(request, topic, partition, now));
                let error = outcome.err().unwrap_or_default();
                OffsetCommitResponsePartition {
                    partition_index: partition.partition_index,
                    error_code: error.code(),
                }
            };
            let partitions = topic.partitions.iter().map(partition).collect();
            let (name, topic_id) = (topic.name.clone(), topic.topic_id);
            topics.push(OffsetCommitResponseTopic { name, topic_id, partitions });
        }
        self.answer(asker, GroupReply::Commit(OffsetCommitResponse { topics, ..Default::default() }));
    }

    /// Whether who asks may commit all of it.
    fn check_commit(
        &mut self,
        request: &OffsetCommitRequest,
        version: i16,
        now: Now,
    ) -> Result<(), ErrorCode> {
        let Some(group) = self.consumers.get(&request.group_id) else {
            return self.check_classic(request, version, now);
        };
        let epoch = request.generation_id_or_member_epoch;
        let commits = group.check_commit(&request.member_id, epoch, version)?;
        commits.check_all(request.topics.iter().flat_map(|topic| {
            let id = self.topic_id(&topic.name, topic.topic_id);
            topic.partitions.iter().map(move |partition| (id, partition.partition_index))
        }))
    }

    /// A topic's id, which older requests don't say.
    pub(super) fn topic_id(&self, name: &Str, told: TopicId) -> TopicId {
        let known = || self.topics.get(name).map(|(id, _)| *id).unwrap_or_default();
        if told == TopicId::ZERO { known() } else { told }
    }

    fn check_classic(
        &mut self,
        request: &OffsetCommitRequest,
        version: i16,
        now: Now,
    ) -> Result<(), ErrorCode> {
        let (id, generation) = (&request.group_id, request.generation_id_or_member_epoch);
        let since = version >= UNKNOWN_GROUP_FROM;
        let unknown = if since { ErrorCode::GroupIdNotFound } else { ErrorCode::IllegalGeneration };
        self.keep_group(id, generation, unknown, now)?;
        let instance = request.group_instance_id.as_deref();
        let check = self.with_group(id, now, |group, turn| {
            group.check_commit(&request.member_id, instance, generation, turn)
        });
        check.unwrap_or(Err(ErrorCode::GroupIdNotFound))
    }

    fn commit_one(
        &mut self,
        request: &OffsetCommitRequest,
        topic: &OffsetCommitRequestTopic,
        partition: &OffsetCommitRequestPartition,
        now: Now,
    ) -> Result<(), ErrorCode> {
        let kept = request.retention_time_ms;
        let place = (&request.group_id, &topic.name, partition.partition_index);
        let asked = Asked {
            offset: partition.committed_offset,
            leader_epoch: partition.committed_leader_epoch,
            metadata: partition.committed_metadata.as_ref(),
            topic_id: self.topic_id(&topic.name, topic.topic_id),
            expire_ms: (kept != -1).then(|| now.wall_ms.saturating_add(kept)),
        };
        let committed = self.record_offset(place, &asked, now)?;
        self.offsets.put(place.0, place.1, place.2, committed);
        Ok(())
    }

    /// Makes sure of a group that is asked to keep an offset for a member of this generation: a consumer that takes its
    /// partitions itself, or a tool, has none, and its group only keeps offsets.
    pub(super) fn keep_group(
        &mut self,
        id: &Str,
        generation: i32,
        unknown: ErrorCode,
        now: Now,
    ) -> Result<(), ErrorCode> {
        if self.groups.contains_key(id) {
            return Ok(());
        }
        if generation >= 0 {
            return Err(unknown);
        }
        if !self.has_room(true) {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        self.put(ClassicGroup::new(id.detached(), now.wall_ms));
        Ok(())
    }

    /// Checks an offset and has it written down; the caller says from when on it counts.
    pub(super) fn record_offset(
        &mut self,
        (group, topic, index): (&Str, &Str, i32),
        asked: &Asked<'_>,
        now: Now,
    ) -> Result<Committed, ErrorCode> {
        self.check_metadata(asked.metadata)?;
        if self.offsets.len() >= OFFSETS_PER_COORDINATOR_MAX {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        let committed = Committed {
            offset: asked.offset,
            leader_epoch: asked.leader_epoch,
            metadata: asked.metadata.map(Str::detached).unwrap_or_default(),
            commit_ms: now.wall_ms,
            expire_ms: asked.expire_ms,
            topic_id: asked.topic_id,
            pace: self.pace((group, topic, index), asked.offset, now),
            number: 0,
        };
        self.output.records.push(record::offset(group, topic, index, &(&committed).into()));
        Ok(committed)
    }

    /// How fast a group commits with this offset.
    pub(super) fn pace(&self, (group, topic, index): (&Str, &Str, i32), offset: Offset, now: Now) -> Pace {
        let before = self.offsets.get(group, topic, index).map(|before| before.pace);
        before.unwrap_or_default().with(now.mono_ms, offset)
    }

    pub(super) fn check_metadata(&self, metadata: Option<&Str>) -> Result<(), ErrorCode> {
        // Kafka counts Java characters.
        let length = metadata.map_or(0, |text| text.encode_utf16().count());
        if length > self.settings.offset_metadata_max {
            return Err(ErrorCode::OffsetMetadataTooLarge);
        }
        Ok(())
    }
}
