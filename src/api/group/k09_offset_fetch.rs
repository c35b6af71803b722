//! OffsetFetch (key 9), versions 1 to 10: how far groups have read. Rules: row 109; row 75 for `require_stable`. No
//! deviations.

use super::{Api, Context, Plan, ask_each, failure};
use crate::base::ErrorCode;
use crate::group::call::{GroupOp, GroupReply};
use crate::wire::generated::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use crate::wire::generated::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use crate::wire::generated::{OffsetFetchRequest, OffsetFetchResponse};
use crate::wire::{Decode, DecodeError, Reader, Str};

/// The API's entry in the registry.
pub(in crate::api) const API: Api = Api { key: 9, name: "OffsetFetch", min: 1, served_min: 1, max: 10, plan };

/// First version with a list of groups.
const LIST_FROM: i16 = 8;
/// First version that names topics by their ids.
const IDS_FROM: i16 = 10;
/// First version with an error for the whole group.
const GROUP_ERROR_FROM: i16 = 2;

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let version = context.header.version;
    let request = OffsetFetchRequest::decode(&mut body, version)?;
    let stable = request.require_stable;
    let mut groups = if version >= LIST_FROM { request.groups } else { vec![old_form(request)] };
    if version >= IDS_FROM {
        groups.iter_mut().for_each(|group| name_topics(context, group));
    }
    let asked = groups.clone();
    let questions = groups
        .into_iter()
        .map(|request| (request.group_id.clone(), GroupOp::Fetch { request, stable }))
        .collect();
    Ok(ask_each(context, questions, move |context, replies| {
        let groups = asked.into_iter().zip(replies).map(|(asked, reply)| match reply {
            GroupReply::Fetch(mut group) => {
                if version >= IDS_FROM {
                    identify_topics(context, &asked, &mut group);
                }
                group
            }
            other => failed(asked, failure(&other)),
        });
        let groups = groups.collect();
        context.respond(&in_form_of(version, groups))
    }))
}

/// The only group of an older request.
fn old_form(request: OffsetFetchRequest) -> OffsetFetchRequestGroup {
    let topic = |topic: crate::wire::generated::offset_fetch_request::OffsetFetchRequestTopic| {
        OffsetFetchRequestTopics {
            name: topic.name,
            partition_indexes: topic.partition_indexes,
            ..Default::default()
        }
    };
    OffsetFetchRequestGroup {
        group_id: request.group_id,
        topics: request.topics.map(|topics| topics.into_iter().map(topic).collect()),
        ..Default::default()
    }
}

/// Gives topics the names that their ids stand for; an unknown id keeps none.
fn name_topics(context: &Context<'_>, group: &mut OffsetFetchRequestGroup) {
    for topic in group.topics.iter_mut().flatten() {
        let known = context.cluster.topic_by_id(topic.topic_id);
        topic.name = known.map(|topic| topic.name.clone()).unwrap_or_default();
    }
}

/// Gives topics their ids. What has none any more is told as such if it was asked for, else left out.
fn identify_topics(
    context: &Context<'_>,
    asked: &OffsetFetchRequestGroup,
    group: &mut OffsetFetchResponseGroup,
) {
    if asked.topics.is_none() {
        group.topics.retain_mut(|topic| {
            let known = context.cluster.topic(&topic.name);
            topic.topic_id = known.map(|topic| topic.id).unwrap_or_default();
            known.is_some()
        });
    }
    for topic in &mut group.topics {
        if context.cluster.topic_by_id(topic.topic_id).is_none() {
            let error_code = ErrorCode::UnknownTopicId.code();
            topic.partitions.iter_mut().for_each(|partition| {
                *partition = nothing(partition.partition_index, error_code);
            });
        }
    }
}

fn nothing(partition_index: i32, error_code: i16) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: -1,
        committed_leader_epoch: -1,
        metadata: Some(Str::EMPTY),
        error_code,
    }
}

/// A group that couldn't be asked about. The oldest clients look for the error in each partition.
fn failed(asked: OffsetFetchRequestGroup, error: ErrorCode) -> OffsetFetchResponseGroup {
    let topic = |topic: OffsetFetchRequestTopics| OffsetFetchResponseTopics {
        partitions: topic.partition_indexes.iter().map(|index| nothing(*index, error.code())).collect(),
        name: topic.name,
        topic_id: topic.topic_id,
    };
    OffsetFetchResponseGroup {
        group_id: asked.group_id,
        topics: asked.topics.into_iter().flatten().map(topic).collect(),
        error_code: error.code(),
    }
}

fn in_form_of(version: i16, mut groups: Vec<OffsetFetchResponseGroup>) -> OffsetFetchResponse {
    if version >= LIST_FROM {
        for group in groups.iter_mut().filter(|group| group.error_code != 0) {
            group.topics.clear();
        }
        return OffsetFetchResponse { groups, ..Default::default() };
    }
    let Some(group) = groups.pop() else { return OffsetFetchResponse::default() };
    let whole = version >= GROUP_ERROR_FROM && group.error_code != 0;
    let partition = |partition: OffsetFetchResponsePartitions| OffsetFetchResponsePartition {
        partition_index: partition.partition_index,
        committed_offset: partition.committed_offset,
        committed_leader_epoch: partition.committed_leader_epoch,
        metadata: partition.metadata,
        error_code: partition.error_code,
    };
    let topic = |topic: OffsetFetchResponseTopics| OffsetFetchResponseTopic {
        name: topic.name,
        partitions: topic.partitions.into_iter().map(partition).collect(),
    };
    OffsetFetchResponse {
        topics: if whole { Vec::new() } else { group.topics.into_iter().map(topic).collect() },
        error_code: if version >= GROUP_ERROR_FROM { group.error_code } else { 0 },
        ..Default::default()
    }
}
