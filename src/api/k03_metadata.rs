//! Metadata (key 3), versions 0 to 13: brokers, topics, partitions, leaders.
//!
//! Rules: protocol rows 12 to 19. Deviations: a topic that is created on request is there at the next call, where
//! Apache Kafka may need another second (the first answer is error 3 in both); neither name nor id is error 100.

use super::admin::k19_create_topics::command;
use super::{Api, Context, Plan};
use crate::base::limits::AUTO_CREATED_PER_REQUEST_MAX;
use crate::base::{ErrorCode, NodeId};
use crate::cluster::{
    BrokerEntry, Command, NO_LEADER, NewTopic, PartitionEntry, Topic, check_topic_name, is_internal_topic,
};
use crate::wire::generated::metadata_request::MetadataRequestTopic;
use crate::wire::generated::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use crate::wire::generated::{MetadataRequest, MetadataResponse};
use crate::wire::{Decode, DecodeError, Reader, Str};
use std::collections::{BTreeMap, BTreeSet};

/// The API's entry in the registry.
pub(super) const API: Api = Api { key: 3, name: "Metadata", min: 0, served_min: 0, max: 13, plan };

/// "Not asked for."
pub(super) const OPERATIONS_UNASKED: i32 = i32::MIN;
/// All operations on a topic, as bits of Kafka's operation codes: without an authorizer everything is allowed.
pub(super) const TOPIC_OPERATIONS: i32 = 0b1101_1111_1000;
/// All operations on the cluster.
pub(super) const CLUSTER_OPERATIONS: i32 = 0b1_1111_1010_0000;

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let version = context.header.version;
    let request = MetadataRequest::decode(&mut body, version)?;
    let all = match &request.topics {
        None => true,
        Some(topics) => version == 0 && topics.is_empty(),
    };
    // Versions 10 and 11 have the fields already and can't answer them yet: the whole request is refused (row 17).
    let early = |topic: &&MetadataRequestTopic| topic.name.is_none() || !topic.topic_id.is_zero();
    if version < 12 && request.topics.iter().flatten().any(|topic| early(&topic)) {
        return Ok(context.respond(&refused_whole(&request)));
    }
    let mut create = Vec::new();
    let topics = if all {
        context.cluster.topics().map(|topic| described(context, topic, &request)).collect()
    } else {
        let asked = once(request.topics.iter().flatten());
        let answer = |asked: &MetadataRequestTopic| {
            answer(context, asked.topic_id, asked.name.as_ref(), &request, &mut create)
        };
        asked.into_iter().map(answer).collect()
    };
    let operations =
        if request.include_cluster_authorized_operations { CLUSTER_OPERATIONS } else { OPERATIONS_UNASKED };
    let response = MetadataResponse {
        brokers: brokers(context),
        cluster_id: Some(context.cluster.cluster_id().into()),
        controller_id: context.controller(),
        topics,
        cluster_authorized_operations: operations,
        ..Default::default()
    };
    if create.is_empty() {
        return Ok(context.respond(&response));
    }
    Ok(Plan::Cluster(create, Box::new(move |context, _| context.respond(&response))))
}

/// Each topic once; and where some are named by id, only those, as in Kafka.
fn once<'a>(asked: impl Iterator<Item = &'a MetadataRequestTopic>) -> Vec<&'a MetadataRequestTopic> {
    let mut seen = BTreeSet::new();
    let mut list: Vec<_> = asked.filter(|topic| seen.insert((topic.topic_id, topic.name.clone()))).collect();
    if list.iter().any(|topic| !topic.topic_id.is_zero()) {
        list.retain(|topic| !topic.topic_id.is_zero());
    }
    list
}

/// Every topic with error 42, and nothing of the cluster.
fn refused_whole(request: &MetadataRequest) -> MetadataResponse {
    let topic = |asked: &MetadataRequestTopic| MetadataResponseTopic {
        error_code: ErrorCode::InvalidRequest.code(),
        name: Some(asked.name.clone().unwrap_or_default()),
        topic_id: asked.topic_id,
        topic_authorized_operations: OPERATIONS_UNASKED,
        ..Default::default()
    };
    MetadataResponse {
        topics: request.topics.iter().flatten().map(topic).collect(),
        cluster_id: None,
        controller_id: -1,
        cluster_authorized_operations: OPERATIONS_UNASKED,
        ..Default::default()
    }
}

fn brokers(context: &Context<'_>) -> Vec<MetadataResponseBroker> {
    let broker = |(id, broker): (NodeId, &BrokerEntry)| MetadataResponseBroker {
        node_id: id.0,
        host: broker.host.clone(),
        port: i32::from(broker.port),
        rack: broker.rack.clone(),
    };
    context.cluster.brokers().filter(|(_, broker)| !broker.fenced).map(broker).collect()
}

fn answer(
    context: &Context<'_>,
    id: crate::base::TopicId,
    name: Option<&Str>,
    request: &MetadataRequest,
    create: &mut Vec<Command>,
) -> MetadataResponseTopic {
    let version = context.header.version;
    let failed = |error: ErrorCode, name: Option<&Str>| MetadataResponseTopic {
        error_code: error.code(),
        name: name.cloned(),
        topic_id: id,
        topic_authorized_operations: name.map_or(OPERATIONS_UNASKED, |_| operations(request)),
        is_internal: name.is_some_and(|name| is_internal_topic(name)),
        ..Default::default()
    };
    let Some(name) = name else {
        return match context.cluster.topic_by_id(id) {
            Some(topic) => described(context, topic, request),
            None => failed(ErrorCode::UnknownTopicId, None),
        };
    };
    if let Some(topic) = context.cluster.topic(name) {
        return described(context, topic, request);
    }
    if check_topic_name(name).is_err() {
        return failed(ErrorCode::InvalidTopicException, Some(name));
    }
    let wanted = version < 4 || request.allow_auto_topic_creation;
    let room = create.len() < AUTO_CREATED_PER_REQUEST_MAX;
    if wanted && room && context.conf.topics.auto_create && !is_internal_topic(name) {
        create.push(auto_create(context, name));
    }
    failed(ErrorCode::UnknownTopicOrPartition, Some(name))
}

fn auto_create(context: &Context<'_>, name: &Str) -> Command {
    let topics = &context.conf.topics;
    command(
        NewTopic {
            name: name.detached(),
            id: context.new_topic_id(),
            partitions: topics.partitions,
            replication_factor: topics.replication_factor,
            assignment: BTreeMap::new(),
            configs: BTreeMap::new(),
        },
        false,
    )
}

fn described(context: &Context<'_>, topic: &Topic, request: &MetadataRequest) -> MetadataResponseTopic {
    let partition = |(index, entry): (i32, &PartitionEntry)| {
        let (leader, error) = shown_leader(context, entry);
        let (replicas, isr) = (shown_nodes(context, &entry.replicas), shown_nodes(context, &entry.isr));
        let hidden = replicas.len() < entry.replicas.len() || isr.len() < entry.isr.len();
        let error = if error.is_ok() && hidden { ErrorCode::ReplicaNotAvailable } else { error };
        MetadataResponsePartition {
            error_code: error.code(),
            partition_index: index,
            leader_id: leader.0,
            leader_epoch: entry.leader_epoch.0,
            replica_nodes: replicas,
            isr_nodes: isr,
            offline_replicas: offline(context, entry),
        }
    };
    MetadataResponseTopic {
        error_code: 0,
        name: Some(topic.name.clone()),
        topic_id: topic.id,
        is_internal: is_internal_topic(&topic.name),
        partitions: (0i32..).zip(&topic.partitions).map(partition).collect(),
        topic_authorized_operations: operations(request),
    }
}

/// Who leads a partition as clients are told: where nobody does whom they could reach, that is an error.
pub(super) fn shown_leader(context: &Context<'_>, entry: &PartitionEntry) -> (NodeId, ErrorCode) {
    match context.leader_of(entry) {
        Some((leader, _)) => (leader, ErrorCode::None),
        None => (NO_LEADER, ErrorCode::LeaderNotAvailable),
    }
}

/// Replicas whose broker isn't there.
pub(super) fn offline(context: &Context<'_>, entry: &PartitionEntry) -> Vec<i32> {
    let there = |id: NodeId| context.cluster.broker(id).is_some_and(|broker| !broker.fenced);
    entry.replicas.iter().filter(|id| !there(**id)).map(|id| id.0).collect()
}

/// Clients of version 0 are told of brokers only that they can reach, as in Kafka.
fn shown_nodes(context: &Context<'_>, nodes: &[NodeId]) -> Vec<i32> {
    let shown = |id: &&NodeId| context.header.version > 0 || context.cluster.broker(**id).is_some();
    nodes.iter().filter(shown).map(|id| id.0).collect()
}

/// What the client may do with a topic, whether it is there or not.
fn operations(request: &MetadataRequest) -> i32 {
    if request.include_topic_authorized_operations { TOPIC_OPERATIONS } else { OPERATIONS_UNASKED }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::Fixture;
    use crate::base::TopicId;

    fn topic(name: Option<&str>, topic_id: TopicId) -> MetadataRequestTopic {
        MetadataRequestTopic { name: name.map(Into::into), topic_id }
    }

    fn ask(fixture: &mut Fixture, version: i16, topics: Vec<MetadataRequestTopic>) -> MetadataResponse {
        let request = MetadataRequest {
            topics: Some(topics),
            allow_auto_topic_creation: true,
            ..MetadataRequest::default()
        };
        fixture.ask(3, version, &request).message()
    }

    fn codes(response: &MetadataResponse) -> Vec<i16> {
        response.topics.iter().map(|topic| topic.error_code).collect()
    }

    #[test]
    fn a_topic_that_is_asked_for_comes_to_be() {
        for version in [1, 4, 9, 13] {
            let mut fixture = Fixture::new();
            let named = || vec![topic(Some("t"), TopicId::ZERO)];
            assert_eq!(codes(&ask(&mut fixture, version, named())), [3], "the first answer is Kafka's");
            assert_eq!(codes(&ask(&mut fixture, version, named())), [0]);
        }
        let mut fixture = Fixture::new();
        let bad = || vec![topic(Some("a b"), TopicId::ZERO)];
        assert_eq!(codes(&ask(&mut fixture, 9, bad())), [ErrorCode::InvalidTopicException.code()]);
        assert_eq!(fixture.cluster.topics().count(), 0);
    }

    #[test]
    fn versions_10_and_11_refuse_ids() {
        let mut fixture = Fixture::new();
        let id = fixture.topic("t");
        for version in [10, 11] {
            let both = vec![topic(Some("t"), TopicId::ZERO), topic(Some("t"), id)];
            let refused = ask(&mut fixture, version, both);
            assert_eq!(codes(&refused), [42, 42]);
            assert!(refused.brokers.is_empty() && refused.controller_id == -1);
        }
        let answer = ask(&mut fixture, 12, vec![topic(None, id), topic(None, TopicId([9; 16]))]);
        assert_eq!(codes(&answer), [0, ErrorCode::UnknownTopicId.code()]);
    }

    #[test]
    fn a_topic_named_twice_is_answered_once() {
        let mut fixture = Fixture::new();
        fixture.topic("t");
        let twice = vec![topic(Some("t"), TopicId::ZERO); 2];
        assert_eq!(codes(&ask(&mut fixture, 9, twice)), [0]);
    }
}
