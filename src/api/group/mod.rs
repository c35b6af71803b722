//! The APIs of groups: members, committed offsets, and what tools ask about both.
//!
//! Every request goes to the coordinator that has the group's partition of `__consumer_offsets`; what it can't look at
//! is answered here: 16 where nobody has the partition, 14 while its log is being read.

pub(super) mod k08_offset_commit;
pub(super) mod k09_offset_fetch;
pub(super) mod k10_find_coordinator;
pub(super) mod k11_join_group;
pub(super) mod k12_heartbeat;
pub(super) mod k13_leave_group;
pub(super) mod k14_sync_group;
pub(super) mod k15_describe_groups;
pub(super) mod k16_list_groups;
pub(super) mod k42_delete_groups;
pub(super) mod k47_offset_delete;
pub(super) mod k68_consumer_group_heartbeat;
pub(super) mod k69_consumer_group_describe;
#[cfg(test)]
mod tests;

pub(in crate::api) use k10_find_coordinator::create_topic;

use super::{Api, Context, Plan};
use crate::base::{ErrorCode, PartitionIndex, TopicPartition};
use crate::cluster::Topic;
use crate::group::call::{GroupCall, GroupOp, GroupReply};
use crate::group::{OFFSETS_TOPIC, partition_of};

/// The partition of `__consumer_offsets` that has this group, if the topic is there.
fn home(topic: &Topic, group: &str) -> TopicPartition {
    let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
    TopicPartition { topic: topic.id, partition: PartitionIndex(partition_of(group, count)) }
}

/// The partition of `__consumer_offsets` that has this group.
///
/// # Errors
/// 16: nothing keeps groups yet, so there is nothing to know of this one.
pub(in crate::api) fn home_of(context: &Context<'_>, group: &str) -> Result<TopicPartition, ErrorCode> {
    let topic = context.cluster.topic(OFFSETS_TOPIC).ok_or(ErrorCode::NotCoordinator)?;
    Ok(home(topic, group))
}

/// The partition of `__consumer_offsets` that has this group, if this broker leads it.
///
/// # Errors
/// 16: another broker has the coordinator, or none.
pub(in crate::api) fn home_here(context: &Context<'_>, group: &str) -> Result<TopicPartition, ErrorCode> {
    home_of(context, group)
        .and_then(|home| if context.leads(home) { Ok(home) } else { Err(ErrorCode::NotCoordinator) })
}

/// The call that takes a question to a group's coordinator.
fn call(context: &Context<'_>, group: &str, op: GroupOp) -> Result<GroupCall, ErrorCode> {
    Ok(GroupCall { partition: home_here(context, group)?, op })
}

/// Asks one coordinator; `finish` makes an answer of its reply.
fn ask_one(
    context: &Context<'_>,
    group: &str,
    op: GroupOp,
    finish: impl FnOnce(&Context<'_>, GroupReply) -> Plan + 'static,
) -> Plan {
    match call(context, group, op) {
        Err(error) => finish(context, GroupReply::Failed(error)),
        Ok(call) => Plan::Groups(
            vec![call],
            Box::new(move |context, replies| {
                let reply = replies.into_iter().next();
                finish(context, reply.unwrap_or(GroupReply::Failed(ErrorCode::UnknownServerError)))
            }),
        ),
    }
}

/// Asks the coordinators of several groups; each question has its answer, in order, or an error.
fn ask_each(
    context: &Context<'_>,
    questions: Vec<(crate::wire::Str, GroupOp)>,
    finish: impl FnOnce(&Context<'_>, Vec<GroupReply>) -> Plan + 'static,
) -> Plan {
    let mut calls = Vec::new();
    let mut places = Vec::with_capacity(questions.len());
    for (group, op) in questions {
        places.push(call(context, &group, op).map(|call| {
            calls.push(call);
        }));
    }
    Plan::Groups(
        calls,
        Box::new(move |context, replies| {
            let mut replies = replies.into_iter();
            let replies = places.into_iter().map(|place| match place {
                Err(error) => GroupReply::Failed(error),
                Ok(()) => replies.next().unwrap_or(GroupReply::Failed(ErrorCode::UnknownServerError)),
            });
            let replies = replies.collect();
            finish(context, replies)
        }),
    )
}

/// The error of a reply that isn't the one asked for.
fn failure(reply: &GroupReply) -> ErrorCode {
    match reply {
        GroupReply::Failed(error) => *error,
        _ => ErrorCode::UnknownServerError,
    }
}
