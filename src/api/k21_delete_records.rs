//! DeleteRecords (key 21), versions 0 to 2: moves a partition's log start offset up.
//!
//! -1 means to the high watermark. Beyond the high watermark: error 1. Compacted-only topics: 44. Internal topics: 17
//! (row 99). The answer comes once the new start survives a restart. No deviations.

use super::{Api, Context, Plan, led_name};
use crate::base::{ErrorCode, PartitionIndex};
use crate::cluster::is_internal_topic;
use crate::replica::call::{PartitionCall, PartitionOp, PartitionReply};
use crate::wire::generated::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use crate::wire::generated::{DeleteRecordsRequest, DeleteRecordsResponse};
use crate::wire::{Decode, DecodeError, Reader};

/// The API's entry in the registry.
pub(super) const API: Api = Api { key: 21, name: "DeleteRecords", min: 0, served_min: 0, max: 2, plan };

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let request = DeleteRecordsRequest::decode(&mut body, context.header.version)?;
    let mut calls = Vec::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in topic.partitions {
            let found = led_name(context, &topic.name, PartitionIndex(asked.partition_index));
            let found = match found {
                Ok(_) if is_internal_topic(&topic.name) => Err(ErrorCode::InvalidTopicException),
                found => found,
            };
            let pending = found.map(|partition| {
                calls.push(PartitionCall {
                    partition,
                    op: PartitionOp::DeleteRecords { before: asked.offset },
                });
                calls.len() - 1
            });
            partitions.push((asked.partition_index, pending));
        }
        topics.push((topic.name, partitions));
    }
    Ok(Plan::Partitions(
        calls,
        Box::new(move |context, replies| {
            let fill = |(partition_index, pending): (i32, Result<usize, ErrorCode>)| {
                let (error, low_watermark) = match pending.map(|call| replies.get(call)) {
                    Ok(Some(PartitionReply::Deleted { error, low_watermark })) => (*error, *low_watermark),
                    Ok(_) => (ErrorCode::UnknownServerError, -1),
                    Err(error) => (error, -1),
                };
                DeleteRecordsPartitionResult { partition_index, low_watermark, error_code: error.code() }
            };
            let topics = topics.into_iter().map(|(name, partitions)| DeleteRecordsTopicResult {
                name,
                partitions: partitions.into_iter().map(fill).collect(),
            });
            let response = DeleteRecordsResponse { topics: topics.collect(), ..Default::default() };
            context.respond(&response)
        }),
    ))
}
