//! One file per Kafka API, named by its key: plan the request, finish the response. No I/O.
//!
//! The registry is the only list of what this broker serves: ApiVersions answers from it, and `docs/PROTOCOL.md`
//! is made from it.

mod admin;
mod context;
mod fetch_session;
mod group;
mod k00_produce;
mod k01_fetch;
mod k02_list_offsets;
mod k03_metadata;
mod k18_api_versions;
mod k21_delete_records;
mod k23_offset_for_leader_epoch;
#[cfg(test)]
mod led;
mod plan;
mod registry;
#[cfg(test)]
mod testing;
mod txn;

pub use context::{Context, NodeInfo, ProducerIdBlock, RequestHeader};
pub use fetch_session::FetchSessions;
pub use plan::{FetchPlan, FetchThen, Plan, Then};
pub use registry::{API_TABLE, Api, name_of, plan, protocol_table};

use crate::base::{ErrorCode, PartitionIndex, TopicId, TopicPartition};
use crate::cluster::Topic;
use crate::wire::Str;

/// Finds a partition by the topic's name or, where the request's version has ids, by its id.
///
/// # Errors
/// Error 3 for an unknown name or partition, 100 for an unknown id.
fn resolve<'a>(
    context: &Context<'a>,
    name: &str,
    id: TopicId,
    by_id: bool,
    index: PartitionIndex,
) -> Result<(&'a Topic, TopicPartition), ErrorCode> {
    let topic = if by_id {
        context.cluster.topic_by_id(id).ok_or(ErrorCode::UnknownTopicId)?
    } else {
        context.cluster.topic(name).ok_or(ErrorCode::UnknownTopicOrPartition)?
    };
    let known = usize::try_from(index.0).is_ok_and(|index| index < topic.partitions.len());
    if !known {
        return Err(ErrorCode::UnknownTopicOrPartition);
    }
    Ok((topic, TopicPartition { topic: topic.id, partition: index }))
}

/// Finds a partition that this broker leads.
///
/// # Errors
/// As `resolve`; 6 where another broker leads it, or nobody does.
fn led<'a>(
    context: &Context<'a>,
    name: &str,
    id: TopicId,
    by_id: bool,
    index: PartitionIndex,
) -> Result<(&'a Topic, TopicPartition), ErrorCode> {
    let (topic, key) = resolve(context, name, id, by_id, index)?;
    if leads(context, topic, index) { Ok((topic, key)) } else { Err(ErrorCode::NotLeaderOrFollower) }
}

/// Whether this broker leads a topic's partition.
fn leads(context: &Context<'_>, topic: &Topic, index: PartitionIndex) -> bool {
    let entry = usize::try_from(index.0).ok().and_then(|index| topic.partitions.get(index));
    entry.is_some_and(|entry| entry.leader == context.this())
}

/// Finds a partition that this broker leads by the topic's name.
fn led_name(context: &Context<'_>, name: &Str, index: PartitionIndex) -> Result<TopicPartition, ErrorCode> {
    led(context, name, TopicId::ZERO, false, index).map(|(_, key)| key)
}

/// Finds a partition by the topic's name.
fn resolve_name(
    context: &Context<'_>,
    name: &Str,
    index: PartitionIndex,
) -> Result<TopicPartition, ErrorCode> {
    resolve(context, name, TopicId::ZERO, false, index).map(|(_, key)| key)
}
