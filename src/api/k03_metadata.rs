//! Metadata (key 3), versions 0 to 13: brokers, topics, partitions, leaders.
//!
//! Rules: protocol rows 12 to 19. Deviation: a topic that is created on request is there at the next call, where
//! Apache Kafka may need another second; the first answer is error 3 in both.

use super::k19_create_topics::command;
use super::{Api, Context, Plan};
use crate::base::{ErrorCode, NodeId};
use crate::cluster::{Command, NewTopic, Topic, check_topic_name, is_internal_topic};
use crate::wire::generated::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use crate::wire::generated::{MetadataRequest, MetadataResponse};
use crate::wire::{Decode, DecodeError, Reader, Str};
use std::collections::BTreeMap;

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
    let mut create = Vec::new();
    let topics = if all {
        context.cluster.topics().map(|topic| described(topic, &request)).collect()
    } else {
        let asked = request.topics.iter().flatten();
        let answer =
            asked.map(|asked| answer(context, asked.topic_id, asked.name.as_ref(), &request, &mut create));
        answer.collect()
    };
    let operations =
        if request.include_cluster_authorized_operations { CLUSTER_OPERATIONS } else { OPERATIONS_UNASKED };
    let response = MetadataResponse {
        brokers: brokers(context),
        cluster_id: Some(context.cluster.cluster_id().into()),
        controller_id: context.node.id,
        topics,
        cluster_authorized_operations: operations,
        ..Default::default()
    };
    if create.is_empty() {
        return Ok(context.respond(&response));
    }
    Ok(Plan::Cluster(create, Box::new(move |context, _| context.respond(&response))))
}

fn brokers(context: &Context<'_>) -> Vec<MetadataResponseBroker> {
    let broker = |(id, broker): (NodeId, &crate::cluster::BrokerEntry)| MetadataResponseBroker {
        node_id: id.0,
        host: broker.host.clone(),
        port: i32::from(broker.port),
        rack: broker.rack.clone(),
    };
    context.cluster.brokers().map(broker).collect()
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
        // Before version 12 a name can't be null.
        name: name.cloned().or((version < 12).then_some(Str::EMPTY)),
        topic_id: id,
        topic_authorized_operations: OPERATIONS_UNASKED,
        is_internal: name.is_some_and(|name| is_internal_topic(name)),
        ..Default::default()
    };
    let Some(name) = name else {
        return match context.cluster.topic_by_id(id) {
            _ if version < 12 => failed(ErrorCode::InvalidRequest, None),
            Some(topic) => described(topic, request),
            None => failed(ErrorCode::UnknownTopicId, None),
        };
    };
    if !id.is_zero() && version < 12 {
        return failed(ErrorCode::InvalidRequest, Some(name));
    }
    if let Some(topic) = context.cluster.topic(name) {
        return described(topic, request);
    }
    if check_topic_name(name).is_err() {
        return failed(ErrorCode::InvalidTopicException, Some(name));
    }
    let wanted = version < 4 || request.allow_auto_topic_creation;
    if wanted && context.conf.topics.auto_create && !is_internal_topic(name) {
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

fn described(topic: &Topic, request: &MetadataRequest) -> MetadataResponseTopic {
    let ids = |nodes: &[NodeId]| nodes.iter().map(|node| node.0).collect();
    let partition = |(index, entry): (i32, &crate::cluster::PartitionEntry)| MetadataResponsePartition {
        error_code: 0,
        partition_index: index,
        leader_id: entry.leader.0,
        leader_epoch: entry.leader_epoch.0,
        replica_nodes: ids(&entry.replicas),
        isr_nodes: ids(&entry.isr),
        offline_replicas: Vec::new(),
    };
    let asked = request.include_topic_authorized_operations;
    MetadataResponseTopic {
        error_code: 0,
        name: Some(topic.name.clone()),
        topic_id: topic.id,
        is_internal: is_internal_topic(&topic.name),
        partitions: (0i32..).zip(&topic.partitions).map(partition).collect(),
        topic_authorized_operations: if asked { TOPIC_OPERATIONS } else { OPERATIONS_UNASKED },
    }
}
