//! OffsetForLeaderEpoch (key 23), versions 2 to 4: where a leader epoch ends.
//!
//! The latest epoch ends at the log's end; an older one where the next begins; a larger one or -1 is unknown: (-1,
//! -1) without an error (row 98). No deviations.

use super::{Api, Context, Plan, led_name};
use crate::base::{ErrorCode, LeaderEpoch, PartitionIndex};
use crate::replica::call::{PartitionCall, PartitionOp, PartitionReply};
use crate::wire::generated::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use crate::wire::generated::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};
use crate::wire::{Decode, DecodeError, Reader};

/// The API's entry in the registry.
pub(super) const API: Api =
    Api { key: 23, name: "OffsetForLeaderEpoch", min: 2, served_min: 2, max: 4, plan };

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let request = OffsetForLeaderEpochRequest::decode(&mut body, context.header.version)?;
    let mut calls = Vec::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in topic.partitions {
            let found = led_name(context, &topic.topic, PartitionIndex(asked.partition));
            let pending = found.map(|partition| {
                let current_leader_epoch = LeaderEpoch(asked.current_leader_epoch);
                let op =
                    PartitionOp::EpochEnd { current_leader_epoch, epoch: LeaderEpoch(asked.leader_epoch) };
                calls.push(PartitionCall { partition, op });
                calls.len() - 1
            });
            partitions.push((asked.partition, pending));
        }
        topics.push((topic.topic, partitions));
    }
    Ok(Plan::Partitions(
        calls,
        Box::new(move |context, replies| {
            let fill = |(partition, pending): (i32, Result<usize, ErrorCode>)| {
                let (error, epoch, end) = match pending.map(|call| replies.get(call)) {
                    Ok(Some(PartitionReply::EpochEnd { error, epoch, end_offset })) => {
                        (*error, epoch.0, *end_offset)
                    }
                    Ok(_) => (ErrorCode::UnknownServerError, -1, -1),
                    Err(error) => (error, -1, -1),
                };
                EpochEndOffset { partition, error_code: error.code(), leader_epoch: epoch, end_offset: end }
            };
            let topics = topics.into_iter().map(|(topic, partitions)| OffsetForLeaderTopicResult {
                topic,
                partitions: partitions.into_iter().map(fill).collect(),
            });
            let response = OffsetForLeaderEpochResponse { topics: topics.collect(), ..Default::default() };
            context.respond(&response)
        }),
    ))
}
