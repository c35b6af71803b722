//! What a member of a group says of itself, and the requests that say it.

use super::workload::topic_name;
use crate::wire::Str;
use crate::wire::generated::join_group_request::JoinGroupRequestProtocol;
use crate::wire::generated::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use crate::wire::generated::sync_group_request::SyncGroupRequestAssignment;
use crate::wire::generated::{HeartbeatRequest, JoinGroupRequest, OffsetCommitRequest, SyncGroupRequest};
use bytes::Bytes;
use std::collections::BTreeMap;

/// How long a member may be silent, and how long a rebalance waits: less, so that a static member may miss one.
const SESSION_MS: i32 = 300;
pub(super) const REBALANCE_MS: i32 = 80;

/// The topic whose partitions groups share.
pub(super) const TOPIC: u32 = 0;

/// A member at one moment.
pub(super) struct Standing<'a> {
    pub(super) group: &'static str,
    pub(super) id: &'a Str,
    /// A static member's name.
    pub(super) instance: &'a Option<Str>,
    /// Generation, or epoch.
    pub(super) epoch: i32,
}

impl Standing<'_> {
    pub(super) fn join(&self, protocol_type: &'static str, metadata: Bytes) -> JoinGroupRequest {
        JoinGroupRequest {
            group_id: self.group.into(),
            session_timeout_ms: SESSION_MS,
            rebalance_timeout_ms: REBALANCE_MS,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
            protocol_type: protocol_type.into(),
            protocols: vec![JoinGroupRequestProtocol { name: "range".into(), metadata }],
            ..Default::default()
        }
    }

    pub(super) fn sync(&self, assignments: Vec<SyncGroupRequestAssignment>) -> SyncGroupRequest {
        SyncGroupRequest {
            group_id: self.group.into(),
            generation_id: self.epoch,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
            assignments,
            ..Default::default()
        }
    }

    pub(super) fn heartbeat(&self) -> HeartbeatRequest {
        HeartbeatRequest {
            group_id: self.group.into(),
            generation_id: self.epoch,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
        }
    }

    /// Commits the next number of each partition.
    pub(super) fn commit(&self, share: &BTreeMap<i32, i64>) -> OffsetCommitRequest {
        let partition = |(index, number): (&i32, &i64)| OffsetCommitRequestPartition {
            partition_index: *index,
            committed_offset: *number + 1,
            ..Default::default()
        };
        OffsetCommitRequest {
            group_id: self.group.into(),
            generation_id_or_member_epoch: self.epoch,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
            topics: vec![OffsetCommitRequestTopic {
                name: topic_name(TOPIC).into(),
                partitions: share.iter().map(partition).collect(),
                ..Default::default()
            }],
            ..Default::default()
        }
    }
}

/// The partitions of the member with this number of so many.
pub(super) fn dealt(partitions: i32, nth: usize, members: usize) -> impl Iterator<Item = i32> {
    (0..partitions).filter(move |partition| usize::try_from(*partition).is_ok_and(|p| p % members == nth))
}
