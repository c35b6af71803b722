//! FindCoordinator (key 10), versions 0 to 6: which broker has the coordinator of a group or of a
//! transactional id.
//!
//! Deviations: the first request creates `__consumer_offsets` or `__transaction_state` and is answered when the topic
//! is there, where Apache Kafka answers error 15 and lets the client ask again. Key types 2 (share groups) and unknown
//! ones: error 42. More than `limits::COORDINATOR_KEYS_MAX` keys in one request end its connection.

use super::{Api, Context, Plan, home_of};
use crate::api::admin::k19_create_topics::command;
use crate::api::txn;
use crate::base::limits::COORDINATOR_KEYS_MAX;
use crate::base::{ErrorCode, TopicPartition};
use crate::cluster::{Command, NewTopic};
use crate::group::OFFSETS_TOPIC;
use crate::txn::TRANSACTIONS_TOPIC;
use crate::wire::generated::find_coordinator_response::Coordinator;
use crate::wire::generated::{FindCoordinatorRequest, FindCoordinatorResponse};
use crate::wire::{Decode, DecodeError, Reader, Str};
use std::collections::BTreeMap;

/// The API's entry in the registry.
pub(in crate::api) const API: Api =
    Api { key: 10, name: "FindCoordinator", min: 0, served_min: 0, max: 6, plan };

/// Kinds of keys.
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

/// First version with a list of keys.
const LIST_FROM: i16 = 4;

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let request = FindCoordinatorRequest::decode(&mut body, context.header.version)?;
    if request.coordinator_keys.len() > COORDINATOR_KEYS_MAX {
        return Err(DecodeError::Elements);
    }
    let absent = |topic: &str| context.cluster.topic(topic).is_none();
    let create = match request.key_type {
        GROUP if absent(OFFSETS_TOPIC) => create_topic(context),
        TRANSACTION if absent(TRANSACTIONS_TOPIC) => txn::create_topic(context),
        _ => return Ok(answer(context, request)),
    };
    Ok(Plan::Cluster(vec![create], Box::new(move |context, _| answer(context, request))))
}

/// Creates the topic that keeps groups and offsets, with Apache Kafka's settings.
pub(in crate::api) fn create_topic(context: &Context<'_>) -> Command {
    let conf = &context.conf.groups;
    let configs = BTreeMap::from([
        ("cleanup.policy".to_owned(), "compact".to_owned()),
        ("compression.type".to_owned(), "producer".to_owned()),
        ("segment.bytes".to_owned(), conf.topic_segment_bytes.to_string()),
    ]);
    let topic = NewTopic {
        name: OFFSETS_TOPIC.into(),
        id: context.new_topic_id(),
        partitions: conf.topic_partitions,
        replication_factor: context.internal_factor(conf.topic_replication_factor),
        assignment: BTreeMap::new(),
        configs,
    };
    command(topic, false)
}

fn answer(context: &Context<'_>, request: FindCoordinatorRequest) -> Plan {
    let kind = request.key_type;
    if context.header.version >= LIST_FROM {
        let keys = request.coordinator_keys.into_iter();
        let coordinators = keys.map(|key| find(context, kind, key)).collect();
        return context.respond(&FindCoordinatorResponse { coordinators, ..Default::default() });
    }
    let Coordinator { node_id, host, port, error_code, error_message, .. } = find(context, kind, request.key);
    // Kafka's text where all is well.
    let error_message = if error_code == 0 { Some(Str::from_static("NONE")) } else { error_message };
    context.respond(&FindCoordinatorResponse {
        error_code,
        error_message,
        node_id,
        host,
        port,
        ..Default::default()
    })
}

fn find(context: &Context<'_>, kind: i8, key: Str) -> Coordinator {
    let found = match kind {
        GROUP => leader(context, home_of(context, &key)).ok_or(ErrorCode::CoordinatorNotAvailable),
        TRANSACTION => leader(context, txn::home(context, &key)).ok_or(ErrorCode::CoordinatorNotAvailable),
        _ => Err(ErrorCode::InvalidRequest),
    };
    match found {
        Ok((node_id, host, port)) => {
            Coordinator { key, node_id, host, port, error_code: 0, error_message: Some(Str::EMPTY) }
        }
        Err(error) => Coordinator {
            key,
            node_id: -1,
            port: -1,
            error_code: error.code(),
            error_message: Some(message(error)),
            ..Default::default()
        },
    }
}

/// What to tell a person.
fn message(error: ErrorCode) -> Str {
    Str::from_static(match error {
        ErrorCode::InvalidRequest => {
            "This most likely occurs because of a request being malformed by the client library or the message was \
             sent to an incompatible broker. See the broker logs for more details."
        }
        _ => "The coordinator is not available.",
    })
}

/// The broker that leads a coordinator's partition.
fn leader(context: &Context<'_>, home: Result<TopicPartition, ErrorCode>) -> Option<(i32, Str, i32)> {
    let (id, broker) = context.leader_of(context.cluster.partition(home.ok()?)?)?;
    Some((id.0, broker.host.clone(), i32::from(broker.port)))
}
