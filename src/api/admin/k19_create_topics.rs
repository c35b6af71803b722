//! CreateTopics (key 19), versions 2 to 7.
//!
//! The answer comes when every shard has the partitions, so a client can produce at once (row 16). Rules: rows 20
//! to 22.

use super::{Api, Context, Plan};
use crate::base::limits::RECORDS_PER_PROPOSAL_MAX;
use crate::base::{ErrorCode, NodeId};
use crate::cluster::{Command, NewTopic, Outcome, Topic, check_topic_name};
use crate::conf::TopicConf;
use crate::conf::topic::{describe, normal};
use crate::wire::generated::create_topics_request::CreatableTopic;
use crate::wire::generated::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use crate::wire::generated::{CreateTopicsRequest, CreateTopicsResponse};
use crate::wire::{Decode, DecodeError, Reader, Str};
use std::collections::BTreeMap;

/// The API's entry in the registry.
pub(in crate::api) const API: Api =
    Api { key: 19, name: "CreateTopics", min: 2, served_min: 2, max: 7, plan };

/// The coordinator's command for a topic.
pub(in crate::api) fn command(topic: NewTopic, validate_only: bool) -> Command {
    Command::CreateTopic { topic, validate_only }
}

type Refusal = (ErrorCode, String);

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let request = CreateTopicsRequest::decode(&mut body, context.header.version)?;
    let mut commands = Vec::new();
    let mut names: Vec<(Str, Result<(), Refusal>)> = Vec::new();
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    request.topics.iter().for_each(|topic| *times.entry(&topic.name).or_default() += 1);
    let excessive = request.topics.iter().map(records).sum::<usize>() > RECORDS_PER_PROPOSAL_MAX;
    for topic in &request.topics {
        let checked = match times.insert(&topic.name, 0) {
            _ if excessive => Err((ErrorCode::PolicyViolation, EXCESSIVE.to_owned())),
            // The answer names each topic once.
            Some(0) => continue,
            Some(1) => {
                new_topic(context, topic).map(|new| commands.push(command(new, request.validate_only)))
            }
            _ => Err((ErrorCode::InvalidRequest, "Duplicate topic name.".to_owned())),
        };
        names.push((topic.name.clone(), checked));
    }
    Ok(Plan::Cluster(
        commands,
        Box::new(move |context, outcomes| {
            let mut outcomes = outcomes.into_iter();
            let topics = names.into_iter().map(|(name, checked)| match checked {
                Err(refusal) => refused(name, refusal),
                Ok(()) => match outcomes.next() {
                    Some(Outcome::Created(topic)) => created(context, &topic),
                    Some(Outcome::Refused(refusal)) => refused(name, refusal),
                    _ => refused(name, (ErrorCode::UnknownServerError, String::new())),
                },
            });
            let response = CreateTopicsResponse { throttle_time_ms: 0, topics: topics.collect() };
            context.respond(&response)
        }),
    ))
}

/// Kafka's words for a request that would take more than `RECORDS_PER_PROPOSAL_MAX` records.
const EXCESSIVE: &str = "Unable to perform excessively large batch operation.";

/// Records that creating a topic takes.
fn records(topic: &CreatableTopic) -> usize {
    1 + usize::try_from(topic.num_partitions).unwrap_or(0).max(topic.assignments.len())
}

/// Checks in Kafka's order what can be checked here; the coordinator checks the rest, and the names once more.
fn new_topic(context: &Context<'_>, topic: &CreatableTopic) -> Result<NewTopic, Refusal> {
    check_topic_name(&topic.name).map_err(|why| (ErrorCode::InvalidTopicException, why))?;
    if context.cluster.topic(&topic.name).is_some() {
        return Err((ErrorCode::TopicAlreadyExists, format!("Topic '{}' already exists.", topic.name)));
    }
    let mut configs = BTreeMap::new();
    for config in &topic.configs {
        let Some(value) = &config.value else {
            let why = format!("Null value not supported for topic configs: {}", config.name);
            return Err((ErrorCode::InvalidConfig, why));
        };
        configs.insert(config.name.to_string(), normal(&config.name, value));
    }
    TopicConf::check(&configs, &context.in_force())
        .map_err(|problems| (ErrorCode::InvalidConfig, problems.join("; ")))?;
    let mut assignment = BTreeMap::new();
    for manual in &topic.assignments {
        let (index, ids) = (manual.partition_index, manual.broker_ids.iter().map(|id| NodeId(*id)).collect());
        if assignment.insert(index, ids).is_some() {
            let why = format!("Found multiple manual partition assignments for partition {index}");
            return Err((ErrorCode::InvalidReplicaAssignment, why));
        }
    }
    let defaults = &context.conf.topics;
    let by_default = assignment.is_empty();
    Ok(NewTopic {
        name: topic.name.detached(),
        id: context.new_topic_id(),
        partitions: if by_default && topic.num_partitions == -1 {
            defaults.partitions
        } else {
            topic.num_partitions
        },
        replication_factor: if by_default && topic.replication_factor == -1 {
            defaults.replication_factor
        } else {
            topic.replication_factor
        },
        assignment,
        configs,
    })
}

fn refused(name: Str, (error, message): Refusal) -> CreatableTopicResult {
    CreatableTopicResult {
        name,
        error_code: error.code(),
        error_message: Some(message.into()),
        configs: Some(Vec::new()),
        ..Default::default()
    }
}

fn created(context: &Context<'_>, topic: &Topic) -> CreatableTopicResult {
    let config = |one: crate::conf::topic::Described| CreatableTopicConfigs {
        name: Str::from_static(one.name),
        value: one.value.map(Str::from),
        read_only: one.read_only,
        config_source: one.source,
        is_sensitive: false,
    };
    CreatableTopicResult {
        name: topic.name.clone(),
        topic_id: topic.id,
        error_message: None,
        num_partitions: i32::try_from(topic.partitions.len()).unwrap_or(-1),
        replication_factor: topic
            .partitions
            .first()
            .map_or(-1, |p| i16::try_from(p.replicas.len()).unwrap_or(-1)),
        configs: Some(describe(&topic.configs, &context.in_force()).into_iter().map(config).collect()),
        ..Default::default()
    }
}
