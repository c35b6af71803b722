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

/// Kafka's names for the types of groups.
const CLASSIC: &str = "classic";
const CONSUMER: &str = "consumer";

impl Coordinator {
    pub(super) fn describe(&mut self, asker: Asker, id: &Str, version: i16) {
        let described = match self.groups.get(id) {
            Some(group) => group.describe(),
            None => {
                let told = version >= UNKNOWN_IS_AN_ERROR_FROM;
                let error = if told { ErrorCode::GroupIdNotFound } else { ErrorCode::None };
                DescribedGroup {
                    error_code: error.code(),
                    error_message: told.then(|| {
                        let other = self.consumers.contains_key(id);
                        let what = if other { "is not a classic group" } else { "not found" };
                        format!("Group {id} {what}.").into()
                    }),
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
        let consumers = self.consumers.values();
        let consumers = consumers
            .filter(|group| wanted(states, group.state()) && wanted(types, CONSUMER))
            .map(|group| ListedGroup {
                group_id: group.id.clone(),
                protocol_type: Str::from_static(CONSUMER),
                group_state: Str::from_static(group.state()),
                group_type: Str::from_static(CONSUMER),
            });
        let listed = listed.chain(consumers).collect();
        self.answer(asker, GroupReply::Listed(listed));
    }

    pub(super) fn delete(&mut self, asker: Asker, id: &Str) {
        let consumer = self.consumers.get(id);
        let checked = match (self.groups.get(id), consumer) {
            (Some(group), _) => group.check_delete(),
            (None, Some(group)) if group.is_empty() => Ok(()),
            (None, Some(_)) => Err(ErrorCode::NonEmptyGroup),
            (None, None) => Err(ErrorCode::GroupIdNotFound),
        };
        if checked.is_ok() {
            let gone = self.offsets.remove_group(id);
            let tombstones = gone.iter().map(|(topic, index)| record::offset_tombstone(id, topic, *index));
            self.output.records.extend(tombstones);
            match self.remove_consumer(id) {
                Some(group) => self.output.records.extend(group.end_records()),
                None => self.output.records.push(record::group_tombstone(id)),
            }
            self.remove_group(id);
        }
        let error_code = checked.err().unwrap_or_default().code();
        let result = DeletableGroupResult { group_id: id.clone(), error_code, ..Default::default() };
        self.answer(asker, GroupReply::Deleted(result));
    }

    pub(super) fn delete_offsets(&mut self, asker: Asker, request: &OffsetDeleteRequest) {
        let id = &request.group_id;
        let (group, consumer) = (self.groups.get(id), self.consumers.get(id));
        let checked = match group {
            _ if id.is_empty() => Err(ErrorCode::InvalidGroupId),
            None if consumer.is_none() => Err(ErrorCode::GroupIdNotFound),
            None => Ok(()),
            Some(group) => group.check_offset_delete(),
        };
        let mut reply = OffsetDeleteResponse::default();
        match checked {
            Err(error) => reply.error_code = error.code(),
            Ok(()) => {
                for topic in &request.topics {
                    let read = group.is_some_and(|group| group.is_subscribed(&topic.name))
                        || consumer.is_some_and(|group| group.is_subscribed(&topic.name));
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
