//! A consumer group as records, and back.

use super::{ConsumerGroup, Held, Member, Share, State};
use crate::base::TopicId;
use crate::group::migration::ClassicSide;
use crate::group::record::{GroupRecord, value, written};
use crate::wire::generated::consumer_group_current_member_assignment_value::TopicPartitions;
use crate::wire::generated::consumer_group_member_metadata_value::{ClassicMemberMetadata, ClassicProtocol};
use crate::wire::generated::consumer_group_target_assignment_member_value::TopicPartition;
use crate::wire::generated::{
    ConsumerGroupCurrentMemberAssignmentKey, ConsumerGroupCurrentMemberAssignmentValue,
    ConsumerGroupMemberMetadataKey, ConsumerGroupMemberMetadataValue, ConsumerGroupMetadataKey,
    ConsumerGroupMetadataValue, ConsumerGroupRegularExpressionKey, ConsumerGroupRegularExpressionValue,
    ConsumerGroupTargetAssignmentMemberKey, ConsumerGroupTargetAssignmentMemberValue,
    ConsumerGroupTargetAssignmentMetadataKey, ConsumerGroupTargetAssignmentMetadataValue,
};
use crate::wire::{Decode, DecodeError, Reader, Str};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// What a key says a record is (the schemas' `apiKey`).
const EPOCH: i16 = 3;
const MEMBER: i16 = 5;
const TARGET_EPOCH: i16 = 6;
const TARGET: i16 = 7;
const CURRENT: i16 = 8;
const REGEX: i16 = 16;

/// A record that was read back.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::group) enum Kept {
    Epoch(Str, Option<ConsumerGroupMetadataValue>),
    Member(Str, Str, Option<ConsumerGroupMemberMetadataValue>),
    TargetEpoch(Str, Option<ConsumerGroupTargetAssignmentMetadataValue>),
    Target(Str, Str, Option<ConsumerGroupTargetAssignmentMemberValue>),
    Current(Str, Str, Option<ConsumerGroupCurrentMemberAssignmentValue>),
    Regex(Str, Str, Option<ConsumerGroupRegularExpressionValue>),
}

impl Kept {
    /// The group that it is of, and whether it can only be the end of something.
    pub(in crate::group) fn group(&self) -> (&Str, bool) {
        match self {
            Kept::Epoch(group, value) => (group, value.is_none()),
            Kept::Member(group, _, value) => (group, value.is_none()),
            Kept::TargetEpoch(group, value) => (group, value.is_none()),
            Kept::Target(group, _, value) => (group, value.is_none()),
            Kept::Current(group, _, value) => (group, value.is_none()),
            Kept::Regex(group, _, value) => (group, value.is_none()),
        }
    }
}

/// Reads a record of a consumer group; `None` if the key is of another kind.
///
/// # Errors
/// It isn't what its key says.
pub(in crate::group) fn read(
    kind: i16,
    key: &mut Reader,
    bytes: Option<Bytes>,
) -> Result<Option<Kept>, DecodeError> {
    Ok(Some(match kind {
        EPOCH => Kept::Epoch(ConsumerGroupMetadataKey::decode(key, 0)?.group_id, value(bytes)?),
        MEMBER => {
            let ConsumerGroupMemberMetadataKey { group_id, member_id } = Decode::decode(key, 0)?;
            Kept::Member(group_id, member_id, value(bytes)?)
        }
        TARGET_EPOCH => {
            let ConsumerGroupTargetAssignmentMetadataKey { group_id } = Decode::decode(key, 0)?;
            Kept::TargetEpoch(group_id, value(bytes)?)
        }
        TARGET => {
            let ConsumerGroupTargetAssignmentMemberKey { group_id, member_id } = Decode::decode(key, 0)?;
            Kept::Target(group_id, member_id, value(bytes)?)
        }
        CURRENT => {
            let ConsumerGroupCurrentMemberAssignmentKey { group_id, member_id } = Decode::decode(key, 0)?;
            Kept::Current(group_id, member_id, value(bytes)?)
        }
        REGEX => {
            let ConsumerGroupRegularExpressionKey { group_id, regular_expression } = Decode::decode(key, 0)?;
            Kept::Regex(group_id, regular_expression, value(bytes)?)
        }
        _ => return Ok(None),
    }))
}

fn current_key(group: &Str, member: &Str) -> Bytes {
    let key = ConsumerGroupCurrentMemberAssignmentKey { group_id: group.clone(), member_id: member.clone() };
    written(CURRENT, &key, 0)
}

fn target_key(group: &Str, member: &Str) -> Bytes {
    let key = ConsumerGroupTargetAssignmentMemberKey { group_id: group.clone(), member_id: member.clone() };
    written(TARGET, &key, 0)
}

fn member_key(group: &Str, member: &Str) -> Bytes {
    let key = ConsumerGroupMemberMetadataKey { group_id: group.clone(), member_id: member.clone() };
    written(MEMBER, &key, 0)
}

fn regex_key(group: &Str, regex: &Str) -> Bytes {
    let key =
        ConsumerGroupRegularExpressionKey { group_id: group.clone(), regular_expression: regex.clone() };
    written(REGEX, &key, 0)
}

fn epoch_key(group: &Str) -> Bytes {
    written(EPOCH, &ConsumerGroupMetadataKey { group_id: group.clone() }, 0)
}

fn target_epoch_key(group: &Str) -> Bytes {
    written(TARGET_EPOCH, &ConsumerGroupTargetAssignmentMetadataKey { group_id: group.clone() }, 0)
}

/// The end of a member, in Kafka's order.
pub(in crate::group) fn tombstones(group: &Str, member: &Str) -> [GroupRecord; 3] {
    [current_key(group, member), target_key(group, member), member_key(group, member)]
        .map(|key| GroupRecord { key, value: None })
}

impl ConsumerGroup {
    pub(super) fn epoch_record(&self) -> GroupRecord {
        let kept = ConsumerGroupMetadataValue { epoch: self.epoch, metadata_hash: self.metadata_hash };
        GroupRecord { key: epoch_key(&self.id), value: Some(written(0, &kept, 0)) }
    }

    pub(super) fn assignment_epoch_record(&self, wall_ms: i64) -> GroupRecord {
        let kept = ConsumerGroupTargetAssignmentMetadataValue {
            assignment_epoch: self.assignment_epoch,
            assignment_timestamp: wall_ms,
        };
        GroupRecord { key: target_epoch_key(&self.id), value: Some(written(0, &kept, 0)) }
    }

    pub(super) fn member_record(&self, member: &Member) -> GroupRecord {
        let kept = ConsumerGroupMemberMetadataValue {
            instance_id: member.instance.clone(),
            rack_id: member.rack.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            subscribed_topic_names: member.names.iter().cloned().collect(),
            subscribed_topic_regex: member.regex.clone(),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            server_assignor: member.assignor.clone(),
            classic_member_metadata: member.classic.as_ref().map(classic_metadata),
        };
        GroupRecord { key: member_key(&self.id, &member.id), value: Some(written(0, &kept, 0)) }
    }

    pub(super) fn target_record(&self, member: &Str, share: &Share) -> GroupRecord {
        let topic = |(id, own): (&TopicId, &BTreeSet<i32>)| TopicPartition {
            topic_id: *id,
            partitions: own.iter().copied().collect(),
        };
        let kept =
            ConsumerGroupTargetAssignmentMemberValue { topic_partitions: share.iter().map(topic).collect() };
        GroupRecord { key: target_key(&self.id, member), value: Some(written(0, &kept, 0)) }
    }

    pub(super) fn current_record(&self, member: &Member) -> GroupRecord {
        let share = |held: &Held| {
            let topic = |(id, own): (&TopicId, &BTreeMap<i32, i32>)| TopicPartitions {
                topic_id: *id,
                partitions: own.keys().copied().collect(),
                assignment_epochs: Some(own.values().copied().collect()),
            };
            held.iter().map(topic).collect()
        };
        let kept = ConsumerGroupCurrentMemberAssignmentValue {
            member_epoch: member.epoch,
            previous_member_epoch: member.previous_epoch,
            state: member.state.number(),
            assigned_partitions: share(&member.assigned),
            partitions_pending_revocation: share(&member.revoking),
        };
        GroupRecord { key: current_key(&self.id, &member.id), value: Some(written(0, &kept, 0)) }
    }

    pub(super) fn regex_record(&self, regex: &Str, topics: &BTreeSet<Str>, wall_ms: i64) -> GroupRecord {
        let kept = ConsumerGroupRegularExpressionValue {
            topics: topics.iter().cloned().collect(),
            version: 0,
            timestamp: wall_ms,
        };
        GroupRecord { key: regex_key(&self.id, regex), value: Some(written(0, &kept, 0)) }
    }

    pub(super) fn regex_tombstone(&self, regex: &Str) -> GroupRecord {
        GroupRecord { key: regex_key(&self.id, regex), value: None }
    }

    /// All of the group, for a log that doesn't know it.
    pub(super) fn all_records(&self, wall_ms: i64) -> Vec<GroupRecord> {
        let mut list: Vec<GroupRecord> =
            self.members.values().map(|member| self.member_record(member)).collect();
        list.push(self.epoch_record());
        list.extend(self.targets.iter().map(|(id, share)| self.target_record(id, share)));
        list.push(self.assignment_epoch_record(wall_ms));
        list.extend(self.members.values().map(|member| self.current_record(member)));
        list
    }

    /// The end of the group.
    pub(in crate::group) fn end_records(&self) -> Vec<GroupRecord> {
        let mut list: Vec<GroupRecord> =
            self.members.keys().flat_map(|member| tombstones(&self.id, member)).collect();
        let regexes = self.matches.keys().map(|regex| regex_key(&self.id, regex));
        let rest = regexes.chain([target_epoch_key(&self.id), epoch_key(&self.id)]);
        list.extend(rest.map(|key| GroupRecord { key, value: None }));
        list
    }

    fn known(&mut self, id: &Str) -> &mut Member {
        let id = id.detached();
        self.members.entry(id.clone()).or_insert_with(|| Member::new(id))
    }

    /// Takes a record of its log; false if it is the group's end.
    pub(in crate::group) fn replay(&mut self, kept: Kept) -> bool {
        match kept {
            Kept::Epoch(_, None) => return false,
            Kept::Epoch(_, Some(value)) => {
                (self.epoch, self.metadata_hash) = (value.epoch, value.metadata_hash);
            }
            Kept::Member(_, id, None) => {
                let gone = self.members.remove(&id);
                if let Some(instance) = gone.and_then(|member| member.instance)
                    && self.instances.get(&instance) == Some(&id)
                {
                    self.instances.remove(&instance);
                }
            }
            Kept::Member(_, id, Some(value)) => self.replay_member(&id, value),
            Kept::TargetEpoch(_, value) => {
                self.assignment_epoch = value.map_or(-1, |value| value.assignment_epoch)
            }
            Kept::Target(_, id, None) => drop(self.targets.remove(&id)),
            Kept::Target(_, id, Some(value)) => {
                let topics = value.topic_partitions.into_iter();
                let share = topics.map(|own| (own.topic_id, own.partitions.into_iter().collect()));
                self.targets.insert(id.detached(), share.collect());
            }
            Kept::Current(_, id, None) => {
                if let Some(member) = self.members.get_mut(&id) {
                    (member.epoch, member.previous_epoch) = (-1, -1);
                    (member.assigned, member.revoking) = (Held::new(), Held::new());
                }
            }
            Kept::Current(_, id, Some(value)) => {
                let member = self.known(&id);
                (member.epoch, member.previous_epoch) = (value.member_epoch, value.previous_member_epoch);
                member.state = State::of(value.state);
                member.assigned = held_of(value.assigned_partitions, value.member_epoch);
                member.revoking = held_of(value.partitions_pending_revocation, value.member_epoch);
            }
            Kept::Regex(_, regex, None) => drop(self.matches.remove(&regex)),
            Kept::Regex(_, regex, Some(value)) => {
                let topics = value.topics.iter().map(Str::detached).collect();
                self.matches.insert(regex.detached(), topics);
            }
        }
        true
    }

    fn replay_member(&mut self, id: &Str, value: ConsumerGroupMemberMetadataValue) {
        let text = |text: &Option<Str>| text.as_ref().map(Str::detached);
        let member = self.known(id);
        member.instance = text(&value.instance_id);
        member.rack = text(&value.rack_id);
        member.client_id = value.client_id.detached();
        member.client_host = value.client_host.detached();
        member.names = value.subscribed_topic_names.iter().map(Str::detached).collect();
        member.regex = text(&value.subscribed_topic_regex).filter(|regex| !regex.is_empty());
        member.rebalance_timeout_ms = value.rebalance_timeout_ms;
        member.assignor = text(&value.server_assignor);
        member.classic = value.classic_member_metadata.as_ref().map(|kept| ClassicSide {
            session_timeout_ms: kept.session_timeout_ms,
            protocols: kept
                .supported_protocols
                .iter()
                .map(|protocol| (protocol.name.detached(), Bytes::copy_from_slice(&protocol.metadata)))
                .collect(),
        });
        let (instance, id) = (member.instance.clone(), member.id.clone());
        if let Some(instance) = instance {
            self.instances.insert(instance, id);
        }
    }
}

/// What a member has. Records from before Kafka 4.4 don't say since when: it counts from the member's epoch on.
fn held_of(list: Vec<TopicPartitions>, epoch: i32) -> Held {
    let topic = |own: TopicPartitions| {
        let epochs = own.assignment_epochs.unwrap_or_default();
        let since = epochs.into_iter().chain(std::iter::repeat(epoch));
        (own.topic_id, own.partitions.into_iter().zip(since).collect())
    };
    list.into_iter().map(topic).collect()
}

fn classic_metadata(side: &ClassicSide) -> ClassicMemberMetadata {
    let protocol =
        |(name, metadata): &(Str, Bytes)| ClassicProtocol { name: name.clone(), metadata: metadata.clone() };
    ClassicMemberMetadata {
        session_timeout_ms: side.session_timeout_ms,
        supported_protocols: side.protocols.iter().map(protocol).collect(),
    }
}
