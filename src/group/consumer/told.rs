//! What tools hear of a consumer group.

use super::{ConsumerGroup, Member, Share, Topics};
use crate::base::TopicId;
use crate::wire::Str;
use crate::wire::generated::consumer_group_describe_response::{
    Assignment, DescribedGroup, Member as DescribedMember, TopicPartitions,
};

/// Kafka's numbers for the protocol that a member speaks.
const CLASSIC_MEMBER: i8 = 0;
const CONSUMER_MEMBER: i8 = 1;

impl ConsumerGroup {
    /// What ConsumerGroupDescribe tells.
    pub(in crate::group) fn describe(&self, topics: &Topics) -> DescribedGroup {
        // A topic that is gone has no name to tell.
        let own = |id: &TopicId, partitions: Vec<i32>| {
            let topic_name = topics.name(*id)?.clone();
            Some(TopicPartitions { topic_id: *id, topic_name, partitions })
        };
        let assigned = |member: &Member| {
            let told =
                member.assigned.iter().filter_map(|(id, held)| own(id, held.keys().copied().collect()));
            Assignment { topic_partitions: told.collect() }
        };
        let target = |share: &Share| {
            let told = share.iter().filter_map(|(id, set)| own(id, set.iter().copied().collect()));
            Assignment { topic_partitions: told.collect() }
        };
        let empty = Share::new();
        let member = |member: &Member| DescribedMember {
            member_id: member.id.clone(),
            instance_id: member.instance.clone(),
            rack_id: member.rack.clone(),
            member_epoch: member.epoch,
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            subscribed_topic_names: member.names.iter().cloned().collect(),
            subscribed_topic_regex: Some(member.regex.clone().unwrap_or_default()),
            assignment: assigned(member),
            target_assignment: target(self.targets.get(&member.id).unwrap_or(&empty)),
            member_type: if member.classic.is_some() { CLASSIC_MEMBER } else { CONSUMER_MEMBER },
        };
        DescribedGroup {
            group_id: self.id.clone(),
            group_state: Str::from_static(self.state()),
            group_epoch: self.epoch,
            assignment_epoch: self.assignment_epoch,
            assignor_name: Str::from_static(self.assignor()),
            members: self.members.values().map(member).collect(),
            ..Default::default()
        }
    }
}
