//! DeleteTopics (key 20), versions 1 to 6: by name, or from version 6 on by id.
//!
//! Rules: row 23. No deviations.

use super::{Api, Context, Plan};
use crate::base::{ErrorCode, TopicId};
use crate::cluster::{Command, Outcome};
use crate::wire::generated::delete_topics_request::DeleteTopicState;
use crate::wire::generated::delete_topics_response::DeletableTopicResult;
use crate::wire::generated::{DeleteTopicsRequest, DeleteTopicsResponse};
use crate::wire::{Decode, DecodeError, Reader, Str};

/// The API's entry in the registry.
pub(super) const API: Api = Api { key: 20, name: "DeleteTopics", min: 1, served_min: 1, max: 6, plan };

struct Item {
    name: Option<Str>,
    id: TopicId,
    error: ErrorCode,
}

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let request = DeleteTopicsRequest::decode(&mut body, context.header.version)?;
    let by_name = request
        .topic_names
        .into_iter()
        .map(|name| DeleteTopicState { name: Some(name), ..Default::default() });
    let mut items: Vec<Item> = Vec::new();
    for asked in by_name.chain(request.topics) {
        let item = find(context, asked);
        if items.iter().all(|other| other.id.is_zero() || other.id != item.id) {
            items.push(item);
        }
    }
    let found = items.iter().filter(|item| item.error.is_ok());
    let commands = found.map(|item| Command::DeleteTopic { topic: item.id }).collect();
    Ok(Plan::Cluster(
        commands,
        Box::new(move |context, outcomes| {
            let mut outcomes = outcomes.into_iter();
            let responses = items.into_iter().map(|item| {
                let outcome = if item.error.is_ok() { outcomes.next() } else { None };
                let error = match outcome {
                    Some(Outcome::Refused((error, _))) => error,
                    _ => item.error,
                };
                DeletableTopicResult {
                    name: item.name,
                    topic_id: item.id,
                    error_code: error.code(),
                    error_message: None,
                }
            });
            context.respond(&DeleteTopicsResponse { throttle_time_ms: 0, responses: responses.collect() })
        }),
    ))
}

fn find(context: &Context<'_>, asked: DeleteTopicState) -> Item {
    let DeleteTopicState { name, topic_id } = asked;
    let (topic, error) = match &name {
        Some(_) if !topic_id.is_zero() => (None, ErrorCode::InvalidRequest),
        Some(name) => (context.cluster.topic(name), ErrorCode::UnknownTopicOrPartition),
        None if topic_id.is_zero() => (None, ErrorCode::InvalidRequest),
        None => (context.cluster.topic_by_id(topic_id), ErrorCode::UnknownTopicId),
    };
    match topic {
        Some(topic) => Item { name: Some(topic.name.clone()), id: topic.id, error: ErrorCode::None },
        None => Item { name, id: topic_id, error },
    }
}
