//! OffsetCommit (key 8), versions 2 to 10: keeps how far a group has read. Rules: row 108. No deviations.

use super::{Api, Context, Plan, ask_one, failure};
use crate::base::{ErrorCode, PartitionIndex};
use crate::group::call::{GroupOp, GroupReply};
use crate::wire::generated::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use crate::wire::generated::{OffsetCommitRequest, OffsetCommitResponse};
use crate::wire::{Decode, DecodeError, Reader};

/// The API's entry in the registry.
pub(in crate::api) const API: Api =
    Api { key: 8, name: "OffsetCommit", min: 2, served_min: 2, max: 10, plan };

/// First version that names topics by their ids.
const IDS_FROM: i16 = 10;

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let version = context.header.version;
    let mut request = OffsetCommitRequest::decode(&mut body, version)?;
    // Where each asked partition ends up: an error known here, or the coordinator's answer.
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &mut request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        let mut name = topic.name.clone();
        topic.partitions.retain(|partition| {
            let index = PartitionIndex(partition.partition_index);
            let found = crate::api::resolve(context, &topic.name, topic.topic_id, version >= IDS_FROM, index);
            let error = match found {
                Ok((found, _)) => {
                    name = found.name.clone();
                    ErrorCode::None
                }
                Err(error) => error,
            };
            partitions.push((partition.partition_index, error));
            error.is_ok()
        });
        topics.push((topic.name.clone(), topic.topic_id, partitions));
        topic.name = name;
    }
    request.topics.retain(|topic| !topic.partitions.is_empty());
    if request.topics.is_empty() {
        return Ok(answer(context, topics, None));
    }
    let group = request.group_id.clone();
    let op = GroupOp::Commit { request, version };
    Ok(ask_one(context, &group, op, |context, reply| answer(context, topics, Some(reply))))
}

type Asked = (crate::wire::Str, crate::base::TopicId, Vec<(i32, ErrorCode)>);

/// Every partition in the order of the request, with the coordinator's answer where it was asked.
fn answer(context: &Context<'_>, topics: Vec<Asked>, reply: Option<GroupReply>) -> Plan {
    let (mut told, whole) = match reply {
        Some(GroupReply::Commit(response)) => {
            let flat = response.topics.into_iter().flat_map(|topic| topic.partitions);
            (flat.map(|partition| partition.error_code).collect::<Vec<_>>().into_iter(), ErrorCode::None)
        }
        Some(other) => (Vec::new().into_iter(), failure(&other)),
        None => (Vec::new().into_iter(), ErrorCode::None),
    };
    let mut partition = |(partition_index, error): (i32, ErrorCode)| {
        let error_code = match error {
            ErrorCode::None => told.next().unwrap_or(whole.code()),
            error => error.code(),
        };
        OffsetCommitResponsePartition { partition_index, error_code }
    };
    let topic = |(name, topic_id, partitions): Asked| OffsetCommitResponseTopic {
        name,
        topic_id,
        partitions: partitions.into_iter().map(&mut partition).collect(),
    };
    let topics = topics.into_iter().map(topic).collect();
    context.respond(&OffsetCommitResponse { topics, ..Default::default() })
}
