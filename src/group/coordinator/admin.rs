//! What tools ask: DescribeGroups, ListGroups, DeleteGroups, OffsetDelete.

use super::Coordinator;
use crate::base::ErrorCode;
use crate::group::call::{Asker, GroupReply};
use crate::group::record;
use crate::wire::Str;
use crate::wire::generated::delete_groups_response::DeletableGroupResult;
use crate::wire::generated::describe_groups_response::DescribedGroup;
use crate::wire::generated::list_groups_response::ListedGroup;
use crate::wire::generated::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use crate::wire::generated::{OffsetDeleteRequest, OffsetDeleteResponse};

/// First version in which an unknown group is an error (KIP-1043).
const UNKNOWN_IS_AN_ERROR_FROM: i16 = 6;

/// Kafka's name for the type of these groups.
const CLASSIC: &str = "classic";

impl Coordinator {
    pub(super) fn describe(&mut self, asker: Asker, id: &Str, version: i16) {
        let described = match self.groups.get(id) {
            Some(group) => group.describe(),
            None => {
                let told = version >= UNKNOWN_IS_AN_ERROR_FROM;
                let error = if told { ErrorCode::GroupIdNotFound } else { ErrorCode::None };
                DescribedGroup {
                    error_code: error.code(),
                    error_message: told.then(|| format!("Group {id} not found.").into()),
                    group_id: id.clone(),
                    group_state: Str::from_static("Dead"),
                    ..Default::default()
                }
            }
        };
        self.answer(asker, GroupReply::Described(described));
    }

    pub(super) fn list(&mut self, asker: Asker, states: &[Str], types: &[Str]) {
        let wanted = |filter: &[Str], name: &str| {
            filter.is_empty() || filter.iter().any(|one| one.eq_ignore_ascii_case(name))
        };
        let groups = self.groups.values();
        let listed = groups
            .filter(|group| wanted(states, group.state().name()) && wanted(types, CLASSIC))
            .map(|group| ListedGroup {
                group_id: group.id.clone(),
                protocol_type: group.protocol_type(),
                group_state: Str::from_static(group.state().name()),
                group_type: Str::from_static(CLASSIC),
            });
        let listed = listed.collect();
        self.answer(asker, GroupReply::Listed(listed));
    }

    pub(super) fn delete(&mut self, asker: Asker, id: &Str) {
        let checked = match self.groups.get(id) {
            None => Err(ErrorCode::GroupIdNotFound),
            Some(group) => group.check_delete(),
        };
        if checked.is_ok() {
            let gone = self.offsets.remove_group(id);
            let tombstones = gone.iter().map(|(topic, index)| record::offset_tombstone(id, topic, *index));
            self.output.records.extend(tombstones);
            self.output.records.push(record::group_tombstone(id));
            self.remove_group(id);
        }
        let error_code = checked.err().unwrap_or_default().code();
        let result = DeletableGroupResult { group_id: id.clone(), error_code, ..Default::default() };
        self.answer(asker, GroupReply::Deleted(result));
    }

    pub(super) fn delete_offsets(&mut self, asker: Asker, request: &OffsetDeleteRequest) {
        let id = &request.group_id;
        let group = self.groups.get(id);
        let checked = match group {
            _ if id.is_empty() => Err(ErrorCode::InvalidGroupId),
            None => Err(ErrorCode::GroupIdNotFound),
            Some(group) => group.check_offset_delete().map(|()| group),
        };
        let mut reply = OffsetDeleteResponse::default();
        match checked {
            Err(error) => reply.error_code = error.code(),
            Ok(group) => {
                for topic in &request.topics {
                    let read = group.is_subscribed(&topic.name);
                    let error = if read { ErrorCode::GroupSubscribedToTopic } else { ErrorCode::None };
                    let mut partitions = Vec::with_capacity(topic.partitions.len());
                    for partition in &topic.partitions {
                        let partition_index = partition.partition_index;
                        if !read && self.offsets.remove(id, &topic.name, partition_index) {
                            let tombstone = record::offset_tombstone(id, &topic.name, partition_index);
                            self.output.records.push(tombstone);
                        }
                        let error_code = error.code();
                        partitions.push(OffsetDeleteResponsePartition { partition_index, error_code });
                    }
                    reply.topics.push(OffsetDeleteResponseTopic { name: topic.name.clone(), partitions });
                }
            }
        }
        self.answer(asker, GroupReply::OffsetsDeleted(reply));
    }
}
