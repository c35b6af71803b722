//! DescribeTopicPartitions (key 75), version 0: topics by name, in pages (KIP-966; row 29).

use super::k03_metadata::{OPERATIONS_UNASKED, TOPIC_OPERATIONS, offline, shown_leader};
use super::{Api, Context, Plan};
use crate::base::{ErrorCode, NodeId};
use crate::cluster::{Topic, check_topic_name, is_internal_topic};
use crate::wire::generated::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use crate::wire::generated::{DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse};
use crate::wire::{Decode, DecodeError, Reader, Str};

/// The API's entry in the registry.
pub(in crate::api) const API: Api =
    Api { key: 75, name: "DescribeTopicPartitions", min: 0, served_min: 0, max: 0, plan };

/// Partitions in one answer at most, whatever the client asks for (Kafka: `max.request.partition.size.limit`).
const PAGE_MAX: usize = 2000;

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let request = DescribeTopicPartitionsRequest::decode(&mut body, context.header.version)?;
    let mut names: Vec<Str> = request.topics.into_iter().map(|topic| topic.name).collect();
    let named = !names.is_empty();
    if !named {
        names = context.cluster.topics().map(|topic| topic.name.clone()).collect();
    }
    names.sort_unstable();
    names.dedup();
    if let Some(cursor) = &request.cursor
        && (cursor.partition_index < 0 || named && !names.contains(&cursor.topic_name))
    {
        return Ok(context.respond(&refused(names)));
    }
    let (from, mut start) = request.cursor.map_or((Str::EMPTY, 0), |c| (c.topic_name, c.partition_index));
    let mut room = usize::try_from(request.response_partition_limit).unwrap_or(0).clamp(1, PAGE_MAX);
    let mut response = DescribeTopicPartitionsResponse::default();
    for name in names.into_iter().filter(|name| *name >= from) {
        if name != from {
            start = 0;
        }
        if room == 0 {
            response.next_cursor = Some(Cursor { topic_name: name, partition_index: start });
            break;
        }
        let Some(topic) = context.cluster.topic(&name) else {
            response.topics.push(unknown(name));
            continue;
        };
        let (described, next) = page(context, topic, start, room);
        room -= described.partitions.len();
        response.topics.push(described);
        if let Some(partition_index) = next {
            response.next_cursor = Some(Cursor { topic_name: name, partition_index });
            break;
        }
    }
    Ok(context.respond(&response))
}

/// The answer to a cursor that can't be: error 42 for every topic.
fn refused(names: Vec<Str>) -> DescribeTopicPartitionsResponse {
    let topic = |name| DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode::InvalidRequest.code(),
        name: Some(name),
        topic_authorized_operations: OPERATIONS_UNASKED,
        ..Default::default()
    };
    DescribeTopicPartitionsResponse { topics: names.into_iter().map(topic).collect(), ..Default::default() }
}

fn unknown(name: Str) -> DescribeTopicPartitionsResponseTopic {
    let valid = check_topic_name(&name).is_ok();
    let error = if valid { ErrorCode::UnknownTopicOrPartition } else { ErrorCode::InvalidTopicException };
    DescribeTopicPartitionsResponseTopic {
        error_code: error.code(),
        is_internal: is_internal_topic(&name),
        name: Some(name),
        topic_authorized_operations: TOPIC_OPERATIONS,
        ..Default::default()
    }
}

/// Partitions of a topic from `start` on, at most `room`; and where the next page begins, if there is one.
fn page(
    context: &Context<'_>,
    topic: &Topic,
    start: i32,
    room: usize,
) -> (DescribeTopicPartitionsResponseTopic, Option<i32>) {
    let ids = |nodes: &[NodeId]| nodes.iter().map(|node| node.0).collect();
    let skipped = usize::try_from(start).unwrap_or(0);
    let entries = (0i32..).zip(&topic.partitions).skip(skipped).take(room);
    let partitions = entries.map(|(index, entry)| {
        let (leader, error) = shown_leader(context, entry);
        DescribeTopicPartitionsResponsePartition {
            error_code: error.code(),
            partition_index: index,
            leader_id: leader.0,
            leader_epoch: entry.leader_epoch.0,
            replica_nodes: ids(&entry.replicas),
            isr_nodes: ids(&entry.isr),
            eligible_leader_replicas: Some(ids(&entry.elr)),
            last_known_elr: Some(ids(&entry.last_known_elr)),
            offline_replicas: offline(context, entry),
        }
    });
    let partitions: Vec<_> = partitions.collect();
    let end = skipped + partitions.len();
    let next = (end < topic.partitions.len()).then(|| i32::try_from(end).unwrap_or(i32::MAX));
    let described = DescribeTopicPartitionsResponseTopic {
        error_code: 0,
        name: Some(topic.name.clone()),
        topic_id: topic.id,
        is_internal: is_internal_topic(&topic.name),
        partitions,
        topic_authorized_operations: TOPIC_OPERATIONS,
    };
    (described, next)
}
