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
use std::collections::BTreeMap;

/// The API's entry in the registry.
pub(in crate::api) const API: Api =
    Api { key: 20, name: "DeleteTopics", min: 1, served_min: 1, max: 6, plan };

/// One answer: of a topic to delete, or of what can't be one.
struct Item {
    by_id: bool,
    name: Option<Str>,
    id: TopicId,
    refusal: Option<(ErrorCode, &'static str)>,
}

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let request = DeleteTopicsRequest::decode(&mut body, context.header.version)?;
    let by_name = request
        .topic_names
        .into_iter()
        .map(|name| DeleteTopicState { name: Some(name), ..Default::default() });
    let items = once(by_name.chain(request.topics).map(|asked| find(context, asked)).collect());
    let found = items.iter().filter(|item| item.refusal.is_none());
    let commands = found.map(|item| Command::DeleteTopic { topic: item.id }).collect();
    Ok(Plan::Cluster(
        commands,
        Box::new(move |context, outcomes| {
            let mut outcomes = outcomes.into_iter();
            let responses = items.into_iter().map(|item| {
                let refusal = match item.refusal {
                    Some((error, why)) => Some((error, Str::from_static(why))),
                    None => match outcomes.next() {
                        Some(Outcome::Refused((error, why))) => Some((error, why.into())),
                        _ => None,
                    },
                };
                let (error, error_message) =
                    refusal.map_or((ErrorCode::None, None), |(error, why)| (error, Some(why)));
                DeletableTopicResult {
                    name: item.name,
                    topic_id: item.id,
                    error_code: error.code(),
                    error_message,
                }
            });
            context.respond(&DeleteTopicsResponse { throttle_time_ms: 0, responses: responses.collect() })
        }),
    ))
}

fn find(context: &Context<'_>, DeleteTopicState { name, topic_id }: DeleteTopicState) -> Item {
    let by_id = name.is_none();
    let refused = |name, id, error, why| Item { by_id, name, id, refusal: Some((error, why)) };
    let found = match &name {
        Some(_) if !topic_id.is_zero() => {
            let why = "You may not specify both topic name and topic id.";
            return refused(name, topic_id, ErrorCode::InvalidRequest, why);
        }
        None if topic_id.is_zero() => {
            let why = "Neither topic name nor id were specified.";
            return refused(name, topic_id, ErrorCode::InvalidRequest, why);
        }
        Some(name) => context.cluster.topic(name),
        None => context.cluster.topic_by_id(topic_id),
    };
    match (found, &name) {
        (Some(topic), _) => Item { by_id, name: Some(topic.name.clone()), id: topic.id, refusal: None },
        (None, Some(_)) => {
            let why = "This server does not host this topic-partition.";
            refused(name, topic_id, ErrorCode::UnknownTopicOrPartition, why)
        }
        (None, None) => {
            refused(None, topic_id, ErrorCode::UnknownTopicId, "This server does not host this topic ID.")
        }
    }
}

/// Answers what is named twice once, with an error: Kafka deletes nothing that it isn't sure of.
fn once(items: Vec<Item>) -> Vec<Item> {
    let mut seen: BTreeMap<(Option<Str>, TopicId), usize> = BTreeMap::new();
    let mut list: Vec<Item> = Vec::new();
    for item in items {
        if item.refusal.is_some_and(|(error, _)| error == ErrorCode::InvalidRequest) {
            list.push(item);
            continue;
        }
        // A topic that is there has one key, however it is named.
        let key = if item.id.is_zero() { (item.name.clone(), item.id) } else { (None, item.id) };
        let Some(&at) = seen.get(&key) else {
            seen.insert(key, list.len());
            list.push(item);
            continue;
        };
        let first = &mut list[at];
        let (id, why) = match (first.by_id, item.by_id) {
            (false, false) => (TopicId::ZERO, "Duplicate topic name."),
            (true, true) => (first.id, "Duplicate topic id."),
            _ => (first.id, "The provided topic name maps to an ID that was already supplied."),
        };
        (first.id, first.refusal) = (id, Some((ErrorCode::InvalidRequest, why)));
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(by_id: bool, name: Option<&str>, id: u8, error: ErrorCode) -> Item {
        let refusal = (!error.is_ok()).then_some((error, ""));
        Item { by_id, name: name.map(Str::from), id: TopicId([id; 16]), refusal }
    }

    fn messages(items: Vec<Item>) -> Vec<&'static str> {
        once(items).into_iter().map(|item| item.refusal.map_or("deleted", |(_, why)| why)).collect()
    }

    #[test]
    fn what_is_named_twice_is_not_deleted() {
        let there = |by_id| item(by_id, Some("a"), 1, ErrorCode::None);
        let unknown = |id| item(true, None, id, ErrorCode::UnknownTopicId);
        let nowhere = || item(false, Some("b"), 0, ErrorCode::UnknownTopicOrPartition);
        assert_eq!(messages(vec![there(false), nowhere(), unknown(2), unknown(3)]), ["deleted", "", "", ""]);
        assert_eq!(messages(vec![there(false), there(false)]), ["Duplicate topic name."]);
        assert_eq!(messages(vec![nowhere(), nowhere()]), ["Duplicate topic name."]);
        assert_eq!(messages(vec![there(true), there(true)]), ["Duplicate topic id."]);
        assert_eq!(messages(vec![unknown(2), unknown(2)]), ["Duplicate topic id."]);
        let why = "The provided topic name maps to an ID that was already supplied.";
        assert_eq!(messages(vec![there(true), there(false)]), [why]);
    }
}
