//! OffsetDelete (key 47), version 0: single offsets of a group go, where no member reads the topic. Rules: row 111. No
//! deviations.

use super::{Api, Context, Plan, ask_one, failure};
use crate::api::resolve_name;
use crate::base::{ErrorCode, PartitionIndex};
use crate::group::call::{GroupOp, GroupReply};
use crate::wire::generated::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use crate::wire::generated::{OffsetDeleteRequest, OffsetDeleteResponse};
use crate::wire::{Decode, DecodeError, Reader, Str};

/// The API's entry in the registry.
pub(in crate::api) const API: Api =
    Api { key: 47, name: "OffsetDelete", min: 0, served_min: 0, max: 0, plan };

/// A topic's partitions, each with an error that is known without asking.
type Asked = (Str, Vec<(i32, ErrorCode)>);

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let mut request = OffsetDeleteRequest::decode(&mut body, context.header.version)?;
    let mut topics: Vec<Asked> = Vec::with_capacity(request.topics.len());
    for topic in &mut request.topics {
        let name = &topic.name;
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        topic.partitions.retain(|partition| {
            let index = partition.partition_index;
            let error = resolve_name(context, name, PartitionIndex(index)).err().unwrap_or_default();
            partitions.push((index, error));
            error.is_ok()
        });
        topics.push((topic.name.clone(), partitions));
    }
    request.topics.retain(|topic| !topic.partitions.is_empty());
    let group = request.group_id.clone();
    Ok(ask_one(context, &group, GroupOp::DeleteOffsets(request), move |context, reply| match reply {
        GroupReply::OffsetsDeleted(response) if response.error_code == 0 => {
            let flat = response.topics.into_iter().flat_map(|topic| topic.partitions);
            let mut told = flat.map(|partition| partition.error_code);
            let mut partition = |(partition_index, error): (i32, ErrorCode)| {
                let told = if error.is_ok() { told.next() } else { None };
                OffsetDeleteResponsePartition { partition_index, error_code: told.unwrap_or(error.code()) }
            };
            let topic = |(name, partitions): Asked| OffsetDeleteResponseTopic {
                name,
                partitions: partitions.into_iter().map(&mut partition).collect(),
            };
            let topics = topics.into_iter().map(topic).collect();
            context.respond(&OffsetDeleteResponse { topics, ..Default::default() })
        }
        GroupReply::OffsetsDeleted(response) => context.respond(&response),
        other => {
            let error_code = failure(&other).code();
            context.respond(&OffsetDeleteResponse { error_code, ..Default::default() })
        }
    }))
}
