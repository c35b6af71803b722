//! Produce (key 0), versions 3 to 13 (0 to 2 are advertised and refused, as in Kafka: KAFKA-18659).
//!
//! Each partition's batch is validated here, on the shard where it arrived, and appended on the shard that owns the
//! partition. The record bytes are not copied on the way. Rules: protocol rows 32 to 58.
//!
//! Deviations: a compressed batch isn't decompressed to look at its records; its codec's signature and its CRC
//! are checked.

use super::{Api, Context, Plan, resolve};
use crate::base::{ErrorCode, PartitionIndex, TopicId};
use crate::cluster::is_internal_topic;
use crate::replica::call::{PartitionCall, PartitionOp, PartitionReply, ProduceOp, Produced};
use crate::wire::batch::{ClientRules, validate_client_batch};
use crate::wire::generated::produce_response::{
    LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse, TopicProduceResponse,
};
use crate::wire::generated::{ProduceRequest, ProduceResponse};
use crate::wire::{Decode, DecodeError, Reader, Str};
use bytes::Bytes;

/// The API's entry in the registry.
pub(super) const API: Api = Api { key: 0, name: "Produce", min: 0, served_min: 3, max: 13, plan };

/// A partition's answer: there already, or that of a call.
enum Pending {
    Refused(ErrorCode, Option<&'static str>),
    /// Where a refusal stands with it, the call only asks for the log start.
    Call(usize, Option<Refusal>),
}

struct TopicPart {
    name: Str,
    id: TopicId,
    partitions: Vec<(PartitionIndex, Pending)>,
}

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let request = ProduceRequest::decode(&mut body, context.header.version)?;
    let (acks, timeout_ms) = (request.acks, request.timeout_ms);
    let valid_acks = (-1..=1).contains(&acks);
    let mut calls = Vec::new();
    let mut topics = Vec::with_capacity(request.topic_data.len());
    for topic in request.topic_data {
        let mut partitions = Vec::with_capacity(topic.partition_data.len());
        for data in topic.partition_data {
            let index = PartitionIndex(data.index);
            let records = data.records.and_then(|records| records.0.into_iter().next());
            let checked = if valid_acks {
                check(context, (&topic.name, topic.topic_id), index, records, (acks, timeout_ms))
            } else {
                Err((ErrorCode::InvalidRequiredAcks, None))
            };
            let pending = match checked {
                Ok((call, refusal)) => {
                    calls.push(call);
                    Pending::Call(calls.len() - 1, refusal)
                }
                Err((error, message)) => Pending::Refused(error, message),
            };
            partitions.push((index, pending));
        }
        topics.push(TopicPart { name: topic.name, id: topic.topic_id, partitions });
    }
    Ok(Plan::Partitions(calls, Box::new(move |context, replies| answer(context, topics, &replies, acks))))
}

type Refusal = (ErrorCode, Option<&'static str>);

fn check(
    context: &Context<'_>,
    (name, id): (&Str, TopicId),
    index: PartitionIndex,
    records: Option<Bytes>,
    (acks, timeout_ms): (i16, i32),
) -> Result<(PartitionCall, Option<Refusal>), Refusal> {
    let version = context.header.version;
    let (topic, partition) =
        resolve(context, name, id, version >= 13, index).map_err(|error| (error, None))?;
    if is_internal_topic(&topic.name) && context.header.client_id.as_deref() != Some("__admin_client") {
        return Err((ErrorCode::InvalidTopicException, Some("only the broker writes to internal topics")));
    }
    let batch = records.unwrap_or_default();
    let rules = ClientRules { zstd_allowed: version >= 7 };
    let valid =
        validate_client_batch(&batch, &rules).map_err(|error| (error.error_code(), Some(error.message())))?;
    if valid.meta.is_transactional() {
        // Transactions come with the transaction coordinator; a batch of one can't be appended without it (row 66).
        return Err((
            ErrorCode::TransactionalIdAuthorizationFailed,
            Some("this broker has no transactions yet"),
        ));
    }
    let op = ProduceOp { meta: valid.meta, keyless: valid.has_null_key, batch, acks, timeout_ms };
    Ok((PartitionCall { partition, op: PartitionOp::Produce(op) }, None))
}

fn answer(context: &Context<'_>, topics: Vec<TopicPart>, replies: &[PartitionReply], acks: i16) -> Plan {
    let mut failed = false;
    let mut hint = false;
    let topics: Vec<TopicProduceResponse> = topics
        .into_iter()
        .map(|TopicPart { name, id, partitions }| {
            let fill = |(index, pending)| {
                let produced = outcome(pending, replies);
                failed |= !produced.error.is_ok();
                let response = response(context, (&name, id), index, &produced);
                hint |= response.current_leader.leader_id >= 0;
                response
            };
            let partitions = partitions.into_iter().map(fill).collect();
            TopicProduceResponse { name: name.clone(), topic_id: id, partition_responses: partitions }
        })
        .collect();
    match acks {
        // The client waits for no answer: the only way to tell it of a failure is to end the connection (row 37).
        0 if failed => Plan::Close("a produce request with acks=0 failed"),
        0 => Plan::NoResponse,
        _ => {
            let node_endpoints = if hint { vec![endpoint(context)] } else { Vec::new() };
            let response = ProduceResponse { responses: topics, throttle_time_ms: 0, node_endpoints };
            context.respond(&response)
        }
    }
}

fn outcome(pending: Pending, replies: &[PartitionReply]) -> Produced {
    let failed = |error, message| Produced {
        error,
        base_offset: -1,
        log_append_time_ms: -1,
        log_start_offset: -1,
        message,
    };
    match pending {
        Pending::Refused(error, message) => failed(error, message),
        Pending::Call(call, refusal) => match (replies.get(call), refusal) {
            (Some(PartitionReply::Produced(produced)), _) => produced.clone(),
            (Some(PartitionReply::Described { log_start_offset, .. }), Some((error, message))) => {
                Produced { log_start_offset: *log_start_offset, ..failed(error, message) }
            }
            _ => failed(ErrorCode::UnknownServerError, None),
        },
    }
}

fn response(
    context: &Context<'_>,
    (name, id): (&Str, TopicId),
    index: PartitionIndex,
    produced: &Produced,
) -> PartitionProduceResponse {
    let not_leader = produced.error == ErrorCode::NotLeaderOrFollower;
    let leader = || {
        let (topic, _) = resolve(context, name, id, context.header.version >= 13, index).ok()?;
        let partition = topic.partitions.get(usize::try_from(index.0).ok()?)?;
        Some(LeaderIdAndEpoch { leader_id: partition.leader.0, leader_epoch: partition.leader_epoch.0 })
    };
    PartitionProduceResponse {
        index: index.0,
        error_code: produced.error.code(),
        base_offset: produced.base_offset,
        log_append_time_ms: produced.log_append_time_ms,
        log_start_offset: produced.log_start_offset,
        record_errors: Vec::new(),
        error_message: produced.message.map(Str::from_static),
        current_leader: if not_leader { leader() } else { None }.unwrap_or_default(),
    }
}

fn endpoint(context: &Context<'_>) -> NodeEndpoint {
    let node = context.node;
    NodeEndpoint {
        node_id: node.id,
        host: node.host.clone(),
        port: i32::from(node.port),
        rack: node.rack.clone(),
    }
}
