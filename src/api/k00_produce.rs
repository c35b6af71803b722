//! Produce (key 0), versions 3 to 13 (0 to 2 are advertised and refused, as in Kafka: KAFKA-18659).
//!
//! Each partition's batch is validated here, on the shard where it arrived, and appended on the shard that owns the
//! partition. The record bytes are not copied on the way. Rules: protocol rows 32 to 58.
//!
//! Deviations: damaged compressed data is error 87 instead of -1, records must have consecutive offset deltas under
//! every codec, and a batch that unpacks to more than a frame may hold is error 10. Refusals that Kafka sends without
//! a text have one.

mod as_kept;

use super::{Api, Context, Plan, resolve};
use crate::base::{ErrorCode, PartitionIndex, TopicId};
use crate::cluster::is_internal_topic;
use crate::replica::call::{
    Membership, PartitionCall, PartitionOp, PartitionReply, ProduceOp, Produced, Unmet,
};
use crate::wire::batch::{BatchError, BatchMeta, ClientRules, Fault, validate_client_batch};
use crate::wire::generated::produce_request::TopicProduceData;
use crate::wire::generated::produce_response::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse, TopicProduceResponse,
};
use crate::wire::generated::{ProduceRequest, ProduceResponse};
use crate::wire::{Decode, DecodeError, Reader, Str};
use as_kept::as_kept;
use bytes::Bytes;

/// The API's entry in the registry.
pub(super) const API: Api = Api { key: 0, name: "Produce", min: 0, served_min: 3, max: 13, plan };

/// Why a batch isn't appended, decided before the log was asked.
type Refusal = (ErrorCode, Option<Str>);

/// What a request says of all its batches.
struct Terms {
    acks: i16,
    timeout_ms: i32,
    transactional_id: Option<Str>,
}

/// A partition's answer: there already, or that of a call.
enum Pending {
    Refused(Refusal),
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
    let terms = Terms {
        acks: request.acks,
        timeout_ms: request.timeout_ms,
        transactional_id: request.transactional_id.filter(|id| !id.is_empty()),
    };
    let acks = terms.acks;
    // Only who says its transactional id may write as part of its transaction (row 66). Kafka refuses such a request
    // whole.
    let transactional = request.topic_data.iter().any(has_transactional_batch);
    let nameless = transactional && terms.transactional_id.is_none();
    let mut calls = Vec::new();
    let mut topics = Vec::with_capacity(request.topic_data.len());
    for topic in request.topic_data {
        let mut partitions = Vec::with_capacity(topic.partition_data.len());
        for data in topic.partition_data {
            let index = PartitionIndex(data.index);
            let records = data.records.and_then(|records| records.0.into_iter().next());
            let pending = if nameless {
                Pending::Refused((ErrorCode::TransactionalIdAuthorizationFailed, None))
            } else {
                match check(context, (&topic.name, topic.topic_id), index, records, &terms) {
                    Ok((call, refusal)) => {
                        calls.push(call);
                        Pending::Call(calls.len() - 1, refusal)
                    }
                    Err(refusal) => Pending::Refused(refusal),
                }
            };
            partitions.push((index, pending));
        }
        topics.push(TopicPart { name: topic.name, id: topic.topic_id, partitions });
    }
    Ok(Plan::Partitions(calls, Box::new(move |context, replies| answer(context, topics, &replies, acks))))
}

/// What a transaction's coordinator has to be asked before a batch may begin the transaction in its partition.
///
/// # Errors
/// Nothing keeps transactions yet; the client finds out when it looks for its coordinator.
fn membership(context: &Context<'_>, id: &Str, topic: &Str) -> Result<Box<Membership>, ErrorCode> {
    let home = super::txn::home(context, id);
    Ok(Box::new(Membership {
        transactional_id: id.clone(),
        coordinator: home.map_err(|_| ErrorCode::NotEnoughReplicas)?,
        topic: topic.clone(),
        version: context.header.version,
    }))
}

fn has_transactional_batch(topic: &TopicProduceData) -> bool {
    let batches = topic.partition_data.iter().filter_map(|data| data.records.as_ref()?.0.first());
    batches.filter_map(|bytes| BatchMeta::read(bytes)).any(|meta| meta.magic == 2 && meta.is_transactional())
}

/// The call that appends a batch; or the one that asks for the log start, which an answer with this refusal names.
fn check(
    context: &Context<'_>,
    (name, id): (&Str, TopicId),
    index: PartitionIndex,
    records: Option<Bytes>,
    terms: &Terms,
) -> Result<(PartitionCall, Option<Refusal>), Refusal> {
    let version = context.header.version;
    let (topic, partition) =
        resolve(context, name, id, version >= 13, index).map_err(|error| (error, None))?;
    let Terms { acks, timeout_ms, transactional_id } = terms;
    let (acks, timeout_ms) = (*acks, *timeout_ms);
    if !(-1..=1).contains(&acks) {
        return Err((ErrorCode::InvalidRequiredAcks, None));
    }
    if is_internal_topic(&topic.name) && context.header.client_id.as_deref() != Some("__admin_client") {
        let why = "only the broker writes to internal topics";
        return Err((ErrorCode::InvalidTopicException, Some(Str::from_static(why))));
    }
    let bytes = records.unwrap_or_default();
    let refused = |error: BatchError| (error.error_code(), Some(Str::from(error.message())));
    match validate_client_batch(&bytes, &ClientRules { zstd_allowed: version >= 7 }) {
        Ok(valid) => {
            let (batch, meta) = as_kept(context, topic, &bytes, valid.meta).map_err(refused)?;
            let id = transactional_id.as_ref().filter(|_| valid.meta.is_transactional());
            let membership = id.map(|id| membership(context, id, &topic.name)).transpose();
            let membership = membership.map_err(|error| (error, None))?;
            let op = ProduceOp { meta, contents: valid.contents, batch, acks, timeout_ms, membership };
            Ok((PartitionCall { partition, op: PartitionOp::Produce(op) }, None))
        }
        Err(error) if error.names_log_start() => {
            Ok((PartitionCall { partition, op: PartitionOp::Describe }, Some(refused(error))))
        }
        Err(error) => Err(refused(error)),
    }
}

fn answer(context: &Context<'_>, topics: Vec<TopicPart>, replies: &[PartitionReply], acks: i16) -> Plan {
    let mut failed = false;
    let mut hint = false;
    let topics: Vec<TopicProduceResponse> = topics
        .into_iter()
        .map(|TopicPart { name, id, partitions }| {
            let fill = |(index, pending)| {
                let response = response(context, (&name, id), index, pending, replies);
                failed |= response.error_code != 0;
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

/// What became of a partition's batch, and what to tell a person.
fn outcome(pending: Pending, replies: &[PartitionReply]) -> (Produced, Option<Str>) {
    let failed = |error| Produced::refused(error, None);
    match pending {
        Pending::Refused((error, message)) => (failed(error), message),
        Pending::Call(call, refusal) => match (replies.get(call), refusal) {
            (Some(PartitionReply::Produced(produced)), _) => {
                (produced.clone(), produced.message.map(Str::from_static))
            }
            // The partition may be gone by now; that tells the client more than what was wrong with the batch.
            (Some(PartitionReply::Described { error, .. }), Some(_)) if !error.is_ok() => {
                (failed(*error), None)
            }
            (Some(PartitionReply::Described { log_start_offset, .. }), Some((error, message))) => {
                (Produced { log_start_offset: *log_start_offset, ..failed(error) }, message)
            }
            _ => (failed(ErrorCode::UnknownServerError), None),
        },
    }
}

fn response(
    context: &Context<'_>,
    (name, id): (&Str, TopicId),
    index: PartitionIndex,
    pending: Pending,
    replies: &[PartitionReply],
) -> PartitionProduceResponse {
    let (produced, mut message) = outcome(pending, replies);
    let find = || resolve(context, name, id, context.header.version >= 13, index).ok();
    let leader = || {
        let (topic, _) = find()?;
        let partition = topic.partitions.get(usize::try_from(index.0).ok()?)?;
        Some(LeaderIdAndEpoch { leader_id: partition.leader.0, leader_epoch: partition.leader_epoch.0 })
    };
    let mut record_errors = Vec::new();
    if let Some(unmet) = &produced.unmet {
        let partition = format!("{}-{index}", find().map_or("", |(topic, _)| &topic.name));
        record_errors = unmet.records.iter().map(|fault| record_error(unmet, fault, &partition)).collect();
        if produced.error == ErrorCode::InvalidRecord {
            message = Some(summary(unmet, &record_errors).into());
        }
    }
    let not_leader = produced.error == ErrorCode::NotLeaderOrFollower;
    PartitionProduceResponse {
        index: index.0,
        error_code: produced.error.code(),
        base_offset: produced.base_offset,
        log_append_time_ms: produced.log_append_time_ms,
        log_start_offset: produced.log_start_offset,
        record_errors,
        error_message: message,
        current_leader: if not_leader { leader() } else { None }.unwrap_or_default(),
    }
}

/// One refused record, in Kafka's words (KIP-467).
fn record_error(unmet: &Unmet, fault: &Fault, partition: &str) -> BatchIndexAndErrorMessage {
    let (from, upto) = unmet.demands.within.unwrap_or((i64::MIN, i64::MAX));
    let message = match fault.timestamp {
        None => format!("Compacted topic cannot accept message without key in topic partition {partition}"),
        Some(timestamp) => format!(
            "Timestamp {timestamp} of message with offset {} is out of range. The timestamp should be within [{from}, \
             {upto}]",
            fault.index
        ),
    };
    BatchIndexAndErrorMessage { batch_index: fault.index, batch_index_error_message: Some(message.into()) }
}

/// The refusal of a batch for its records, in Kafka's words.
fn summary(unmet: &Unmet, errors: &[BatchIndexAndErrorMessage]) -> String {
    let shown = errors.iter().take(3).map(|error| {
        let message = error.batch_index_error_message.as_deref().unwrap_or_default();
        format!("RecordError(batchIndex={}, message='{message}')", error.batch_index)
    });
    format!(
        "One or more records have been rejected due to {} record errors in total, and only showing the first three \
         errors at most: [{}]",
        unmet.count,
        shown.collect::<Vec<_>>().join(", ")
    )
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

#[cfg(test)]
mod tests;
