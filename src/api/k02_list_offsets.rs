//! ListOffsets (key 2), versions 1 to 11: the offset for a timestamp, or for a special timestamp.
//!
//! -1 latest, -2 earliest, -3 (v7) largest timestamp, -4 (v8) earliest local, -5 (v9) latest tiered, -6 (v11)
//! earliest pending upload. A special timestamp below its version is error 35 for that partition (row 94).

use super::{Api, Context, Plan, led_name, resolve_name};
use crate::base::{ErrorCode, LeaderEpoch, PartitionIndex};
use crate::replica::call::{PartitionCall, PartitionOp, PartitionReply};
use crate::wire::generated::list_offsets_request::ListOffsetsPartition;
use crate::wire::generated::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use crate::wire::generated::{ListOffsetsRequest, ListOffsetsResponse};
use crate::wire::{Decode, DecodeError, Reader};
use std::collections::BTreeSet;

/// The API's entry in the registry.
pub(super) const API: Api = Api { key: 2, name: "ListOffsets", min: 1, served_min: 1, max: 11, plan };

/// "Whatever this replica has."
const DEBUGGING: i32 = -2;

/// Lowest version that knows a special timestamp; timestamps are known to all.
fn known_from(timestamp: i64) -> i16 {
    match timestamp {
        -3 => 7,
        -4 => 8,
        -5 => 9,
        -6 => 11,
        other if other < -6 => i16::MAX,
        _ => 1,
    }
}

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let version = context.header.version;
    let request = ListOffsetsRequest::decode(&mut body, version)?;
    let read_committed = request.isolation_level == 1;
    // Tools that look into one replica may ask any (Kafka: `DEBUGGING_REPLICA_ID`).
    let find = if request.replica_id == DEBUGGING { resolve_name } else { led_name };
    let mut calls = Vec::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        let twice = repeated(&topic.partitions);
        let mut answered = BTreeSet::new();
        for asked in topic.partitions {
            let mut answer = unanswered(asked.partition_index);
            if twice.contains(&asked.partition_index) {
                // Kafka answers a partition that is named twice once, with an error.
                if answered.insert(asked.partition_index) {
                    answer.error_code = ErrorCode::InvalidRequest.code();
                    partitions.push((answer, None));
                }
                continue;
            }
            let found = find(context, &topic.name, PartitionIndex(asked.partition_index));
            let call = match found {
                Err(error) => {
                    answer.error_code = error.code();
                    None
                }
                Ok(_) if version < known_from(asked.timestamp) => {
                    answer.error_code = ErrorCode::UnsupportedVersion.code();
                    None
                }
                Ok(partition) => {
                    let current_leader_epoch = LeaderEpoch(asked.current_leader_epoch);
                    let timestamp = asked.timestamp;
                    let op = PartitionOp::ListOffset { current_leader_epoch, timestamp, read_committed };
                    calls.push(PartitionCall { partition, op });
                    Some(calls.len() - 1)
                }
            };
            partitions.push((answer, call));
        }
        topics.push((topic.name, partitions));
    }
    Ok(Plan::Partitions(
        calls,
        Box::new(move |context, replies| {
            let fill = |(mut answer, call): (ListOffsetsPartitionResponse, Option<usize>)| {
                if let Some(PartitionReply::Offset { error, timestamp, offset, leader_epoch }) =
                    call.and_then(|call| replies.get(call))
                {
                    answer.error_code = error.code();
                    (answer.timestamp, answer.offset) = (*timestamp, *offset);
                    answer.leader_epoch = if context.header.version >= 4 { leader_epoch.0 } else { -1 };
                }
                answer
            };
            let topics = topics.into_iter().map(|(name, partitions)| ListOffsetsTopicResponse {
                name,
                partitions: partitions.into_iter().map(fill).collect(),
            });
            let response = ListOffsetsResponse { topics: topics.collect(), ..Default::default() };
            context.respond(&response)
        }),
    ))
}

/// Partitions that a topic names more than once.
fn repeated(asked: &[ListOffsetsPartition]) -> BTreeSet<i32> {
    let mut seen = BTreeSet::new();
    asked.iter().map(|one| one.partition_index).filter(|index| !seen.insert(*index)).collect()
}

fn unanswered(partition_index: i32) -> ListOffsetsPartitionResponse {
    ListOffsetsPartitionResponse {
        partition_index,
        error_code: 0,
        timestamp: -1,
        offset: -1,
        leader_epoch: -1,
    }
}
