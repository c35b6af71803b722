//! ListPartitionReassignments (key 46), version 0: the reassignments that are under way (KIP-455).
//!
//! What isn't being moved, or isn't there, is left out (row 29). No deviations.

use super::{Api, Context, Plan};
use crate::base::NodeId;
use crate::cluster::{PartitionEntry, Topic};
use crate::wire::generated::list_partition_reassignments_request::ListPartitionReassignmentsTopics;
use crate::wire::generated::list_partition_reassignments_response::{
    OngoingPartitionReassignment, OngoingTopicReassignment,
};
use crate::wire::generated::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};
use crate::wire::{Decode, DecodeError, Reader};
use std::collections::BTreeSet;

/// The API's entry in the registry.
pub(in crate::api) const API: Api =
    Api { key: 46, name: "ListPartitionReassignments", min: 0, served_min: 0, max: 0, plan };

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let request = ListPartitionReassignmentsRequest::decode(&mut body, context.header.version)?;
    let topics: Vec<OngoingTopicReassignment> = match request.topics {
        None => context.cluster.topics().filter_map(|topic| ongoing(topic, None)).collect(),
        Some(asked) => asked.iter().filter_map(|asked| ongoing_of(context, asked)).collect(),
    };
    Ok(context.respond(&ListPartitionReassignmentsResponse {
        error_message: None,
        topics,
        ..Default::default()
    }))
}

fn ongoing_of(
    context: &Context<'_>,
    asked: &ListPartitionReassignmentsTopics,
) -> Option<OngoingTopicReassignment> {
    let only = asked.partition_indexes.iter().copied().collect();
    ongoing(context.cluster.topic(&asked.name)?, Some(&only))
}

/// A topic's partitions that are being moved, if there are any.
fn ongoing(topic: &Topic, only: Option<&BTreeSet<i32>>) -> Option<OngoingTopicReassignment> {
    let ids = |nodes: &[NodeId]| nodes.iter().map(|node| node.0).collect();
    let wanted = |(index, entry): &(i32, &PartitionEntry)| {
        entry.is_reassigning() && only.is_none_or(|only| only.contains(index))
    };
    let moving = (0i32..).zip(&topic.partitions).filter(wanted);
    let partitions: Vec<OngoingPartitionReassignment> = moving
        .map(|(partition_index, entry)| OngoingPartitionReassignment {
            partition_index,
            replicas: ids(&entry.replicas),
            adding_replicas: ids(&entry.adding),
            removing_replicas: ids(&entry.removing),
        })
        .collect();
    (!partitions.is_empty()).then(|| OngoingTopicReassignment { name: topic.name.clone(), partitions })
}
