//! Topics made and deleted, offsets, producer ids, and what a cluster says of itself.

use super::cluster::{PartitionKey, Topology, bootstrap};
use super::error::ClientError;
use super::versions::{Api, api};
use super::wire::{Dial, Wire};
use crate::base::ErrorCode;
use crate::rt::World;
use crate::wire::Str;
use crate::wire::generated::create_topics_request::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use crate::wire::generated::describe_configs_request::{DescribeConfigsRequest, DescribeConfigsResource};
use crate::wire::generated::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use crate::wire::generated::{
    CreateTopicsResponse, DeleteTopicsRequest, DeleteTopicsResponse, DescribeConfigsResponse,
    FindCoordinatorRequest, FindCoordinatorResponse, InitProducerIdRequest, InitProducerIdResponse,
    ListOffsetsResponse,
};
use std::collections::BTreeMap;

/// How long a broker may take to make or delete a topic, in ms.
const TOPIC_TIMEOUT_MS: i32 = 60_000;

/// Makes a topic, on whichever broker of the cluster may. True if it wasn't there before.
///
/// # Errors
/// No broker can.
pub async fn create_topic(
    world: &World,
    dial: &Dial,
    topology: &Topology,
    topic: &CreatableTopic,
) -> Result<bool, ClientError> {
    let request = CreateTopicsRequest {
        topics: vec![topic.clone()],
        timeout_ms: TOPIC_TIMEOUT_MS,
        ..CreateTopicsRequest::default()
    };
    let mut last = None;
    for broker in controllers(topology) {
        let attempt = async {
            let mut wire = Wire::open(world, broker, dial).await?;
            let answer: CreateTopicsResponse = wire.call(api::CREATE_TOPICS, &request).await?;
            let (code, message) = answer.topics.first().map_or((-1, None), |topic| {
                (topic.error_code, topic.error_message.as_ref().map(ToString::to_string))
            });
            match ErrorCode::from_code(code) {
                Some(ErrorCode::None) => Ok(true),
                Some(ErrorCode::TopicAlreadyExists) => Ok(false),
                _ => Err(wire.refused(api::CREATE_TOPICS, &topic.name, code, message.as_deref())),
            }
        };
        match attempt.await {
            Ok(new) => return Ok(new),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(no_broker))
}

/// Brokers in the order in which a controller's work is tried: the controller, then the others.
fn controllers(topology: &Topology) -> impl Iterator<Item = &String> {
    let first = topology.brokers.get(&topology.controller);
    let others =
        topology.brokers.iter().filter(|(id, _)| **id != topology.controller).map(|(_, broker)| broker);
    first.into_iter().chain(others)
}

fn no_broker() -> ClientError {
    ClientError::Unreachable { broker: "(none)".to_owned(), why: "the cluster names no brokers".to_owned() }
}

/// A topic to make.
#[must_use]
pub fn topic(name: &str, partitions: i32, replication: i16, configs: &[(String, String)]) -> CreatableTopic {
    let config = |(name, value): &(String, String)| CreatableTopicConfig {
        name: name.as_str().into(),
        value: Some(value.as_str().into()),
    };
    CreatableTopic {
        name: name.into(),
        num_partitions: partitions,
        replication_factor: replication,
        configs: configs.iter().map(config).collect(),
        ..CreatableTopic::default()
    }
}

/// Deletes a topic, on whichever broker of the cluster may.
///
/// # Errors
/// No broker can.
pub async fn delete_topic(
    world: &World,
    dial: &Dial,
    topology: &Topology,
    name: &str,
) -> Result<(), ClientError> {
    let request = DeleteTopicsRequest {
        topic_names: vec![name.into()],
        timeout_ms: TOPIC_TIMEOUT_MS,
        ..DeleteTopicsRequest::default()
    };
    let mut last = None;
    for broker in controllers(topology) {
        let attempt = async {
            let mut wire = Wire::open(world, broker, dial).await?;
            let answer: DeleteTopicsResponse = wire.call(api::DELETE_TOPICS, &request).await?;
            let code = answer.responses.first().map_or(-1, |topic| topic.error_code);
            match ErrorCode::from_code(code) {
                Some(ErrorCode::None | ErrorCode::UnknownTopicOrPartition) => Ok(()),
                _ => Err(wire.refused(api::DELETE_TOPICS, name, code, None)),
            }
        };
        match attempt.await {
            Ok(()) => return Ok(()),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(no_broker))
}

/// An end of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// The first record that is there.
    First,
    /// Behind the last one that consumers may see.
    Next,
}

/// Offsets by partition.
pub type Offsets = BTreeMap<PartitionKey, i64>;

/// Asks a leader for offsets of some partitions; what it refuses is left out. `names` are the run's topics.
///
/// # Errors
/// No answer.
pub async fn offsets(
    wire: &mut Wire,
    names: &[String],
    partitions: &[PartitionKey],
    edge: Edge,
) -> Result<Offsets, ClientError> {
    let timestamp = match edge {
        Edge::First => -2,
        Edge::Next => -1,
    };
    let mut topics: Vec<ListOffsetsTopic> = Vec::new();
    for (nth, name) in names.iter().enumerate() {
        let own = partitions.iter().filter(|(topic, _)| *topic as usize == nth);
        let list: Vec<ListOffsetsPartition> = own
            .map(|(_, partition)| ListOffsetsPartition {
                partition_index: *partition,
                timestamp,
                ..ListOffsetsPartition::default()
            })
            .collect();
        if !list.is_empty() {
            topics.push(ListOffsetsTopic { name: name.as_str().into(), partitions: list });
        }
    }
    let request = ListOffsetsRequest { replica_id: -1, topics, ..ListOffsetsRequest::default() };
    let answer: ListOffsetsResponse = wire.call(api::LIST_OFFSETS, &request).await?;
    let mut found = Offsets::new();
    for topic in &answer.topics {
        let Some(nth) = names.iter().position(|name| topic.name == name.as_str()) else { continue };
        for partition in topic.partitions.iter().filter(|partition| partition.error_code == 0) {
            found.insert(
                (u32::try_from(nth).unwrap_or(0), partition.partition_index),
                partition.offset.max(0),
            );
        }
    }
    Ok(found)
}

/// Asks for a producer id and epoch, of the coordinator where it is for a transactional id.
///
/// # Errors
/// The broker gives none.
pub async fn producer_id(wire: &mut Wire, transactional: Option<&Str>) -> Result<(i64, i16), ClientError> {
    let request = InitProducerIdRequest {
        transactional_id: transactional.cloned(),
        transaction_timeout_ms: 60_000,
        producer_id: -1,
        producer_epoch: -1,
        ..InitProducerIdRequest::default()
    };
    let answer: InitProducerIdResponse = wire.call(api::INIT_PRODUCER_ID, &request).await?;
    match answer.error_code {
        0 => Ok((answer.producer_id, answer.producer_epoch)),
        code => Err(wire.refused(api::INIT_PRODUCER_ID, "an idempotent producer", code, None)),
    }
}

/// What a coordinator coordinates (the key type of FindCoordinator).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoordinatorOf {
    /// A consumer group.
    Group = 0,
    /// A transactional id.
    Transactions = 1,
}

/// Connects to the coordinator of a group or of a transactional id.
///
/// # Errors
/// There is none, or nobody says who it is.
pub async fn coordinator(
    world: &World,
    dial: &Dial,
    brokers: &[String],
    (name, of): (&Str, CoordinatorOf),
) -> Result<Wire, ClientError> {
    let mut wire = bootstrap(world, dial, brokers).await?;
    let request =
        FindCoordinatorRequest { key: name.clone(), key_type: of as i8, ..FindCoordinatorRequest::default() };
    let answer: FindCoordinatorResponse = wire.call(api::FIND_COORDINATOR, &request).await?;
    if answer.error_code != 0 {
        let message = answer.error_message.as_deref();
        return Err(wire.refused(api::FIND_COORDINATOR, name, answer.error_code, message));
    }
    let address = format!("{}:{}", answer.host, answer.port);
    wire.close();
    Wire::open(world, &address, dial).await
}

/// What a cluster says of itself, for reports.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// Its id.
    pub cluster_id: String,
    /// HOST:PORT of its brokers by node id.
    pub brokers: BTreeMap<i32, String>,
    /// Versions of each API, as (key, oldest, newest).
    pub versions: Vec<(i16, i16, i16)>,
    /// Settings of the first broker that aren't defaults.
    pub config: Vec<(String, String)>,
    /// Why some of it is missing.
    pub notes: Vec<String>,
}

/// Asks a cluster what there is to say. What it doesn't answer is a note, never an error.
pub async fn about(wire: &mut Wire, topology: &Topology) -> About {
    let mut about = About {
        cluster_id: topology.cluster_id.clone().unwrap_or_default(),
        brokers: topology.brokers.clone(),
        versions: wire.versions().iter().collect(),
        ..About::default()
    };
    let node = topology.brokers.iter().find(|(_, broker)| broker.as_str() == wire.broker());
    let node = node.or(topology.brokers.iter().next()).map_or(0, |(id, _)| *id);
    match broker_config(wire, node).await {
        Ok(config) => about.config = config,
        Err(error) => about.notes.push(error.to_string()),
    }
    about
}

/// Settings of a broker that aren't defaults.
async fn broker_config(wire: &mut Wire, node: i32) -> Result<Vec<(String, String)>, ClientError> {
    /// The kind of resource that is a broker, and the source that says "default".
    const BROKER: i8 = 4;
    const DEFAULT: i8 = 5;
    let what: Api = api::DESCRIBE_CONFIGS;
    let resource = DescribeConfigsResource {
        resource_type: BROKER,
        resource_name: Str::from(node.to_string()),
        configuration_keys: None,
    };
    let request = DescribeConfigsRequest { resources: vec![resource], ..DescribeConfigsRequest::default() };
    let answer: DescribeConfigsResponse = wire.call(what, &request).await?;
    let Some(result) = answer.results.first() else { return Ok(Vec::new()) };
    if result.error_code != 0 {
        let message = result.error_message.as_deref();
        return Err(wire.refused(what, &format!("broker {node}"), result.error_code, message));
    }
    let changed = result.configs.iter().filter(|config| config.config_source != DEFAULT);
    let value =
        |value: &Option<Str>| value.as_ref().map_or_else(|| "(hidden)".to_owned(), ToString::to_string);
    Ok(changed.map(|config| (config.name.to_string(), value(&config.value))).collect())
}
