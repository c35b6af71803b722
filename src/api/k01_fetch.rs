//! Fetch (key 1), versions 4 to 18: batches as they lie in the log, with sessions (KIP-227), topic ids (KIP-516) and
//! a wait for `min_bytes` without polling.
//!
//! Rules: protocol rows 78 to 93. Followers (replica id >= 0) come with replication; until then nobody is a replica.
//!
//! Deviations: batches are whole where Kafka cuts the last one at the limit; negative limits count as 0; a session's
//! topic that was deleted is error 100 where it is asked for by id; a partition named twice is answered twice.

use super::fetch_session::{Ask, Begun, PartitionKey, Told, TopicKey, Want};
use super::{Api, Context, FetchPlan, Plan, resolve};
use crate::base::{ErrorCode, LeaderEpoch, PartitionIndex, TopicId, TopicPartition};
use crate::replica::call::{ReadOp, ReadReply};
use crate::wire::generated::fetch_response::{
    AbortedTransaction, EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use crate::wire::generated::{FetchRequest, FetchResponse};
use crate::wire::{Decode, DecodeError, Reader, Records, Str};

/// The API's entry in the registry.
pub(super) const API: Api = Api { key: 1, name: "Fetch", min: 4, served_min: 4, max: 18, plan };

/// A partition's answer: there already, or that of a read.
enum Pending {
    Refused(ErrorCode),
    Read(usize),
}

/// What an answer needs to know of the request once the reads are done.
struct Answering {
    session_id: i32,
    full: bool,
    items: Vec<(PartitionKey, Pending)>,
}

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let request = FetchRequest::decode(&mut body, context.header.version)?;
    let follower = request.replica_id >= 0 || request.replica_state.replica_id >= 0;
    let read_committed = request.isolation_level == 1;
    let (min_bytes, max_bytes) = (at_least_zero(request.min_bytes), fetch_max(context, request.max_bytes));
    let max_wait_ms = request.max_wait_ms.max(0);
    let ask = ask(context, request);
    let begun = context.sessions.borrow_mut().begin(ask, context.now_ms, context.draw);
    let Begun { session_id, full, wants } = match begun {
        Ok(begun) => begun,
        Err(error) => return Ok(top_level(context, error)),
    };
    let mut reads: Vec<(TopicPartition, ReadOp)> = Vec::with_capacity(wants.len());
    let mut items: Vec<(PartitionKey, Pending)> = Vec::with_capacity(wants.len());
    // Kafka answers what it refuses after what it reads.
    let mut failed = Vec::new();
    for (key, want) in wants {
        match find(context, &key) {
            Ok(_) if follower => failed.push((key, Pending::Refused(ErrorCode::NotLeaderOrFollower))),
            Ok(partition) => {
                items.push((key, Pending::Read(reads.len())));
                reads.push((partition, read(want, read_committed)));
            }
            Err(error) => failed.push((key, Pending::Refused(error))),
        }
    }
    let refused = !failed.is_empty();
    items.append(&mut failed);
    let answering = Answering { session_id, full, items };
    Ok(Plan::Fetch(Box::new(FetchPlan {
        reads,
        // An error is told at once (row 83).
        max_wait_ms: if refused { 0 } else { max_wait_ms },
        min_bytes,
        max_bytes,
        then: Box::new(move |context, replies| answer(context, answering, replies)),
    })))
}

fn at_least_zero(bytes: i32) -> usize {
    usize::try_from(bytes).unwrap_or(0)
}

fn fetch_max(context: &Context<'_>, asked: i32) -> usize {
    at_least_zero(asked).min(context.conf.net.fetch_bytes_max)
}

fn ask(context: &Context<'_>, request: FetchRequest) -> Ask {
    let by_id = context.header.version >= 13;
    let key = |name: &Str, id: TopicId, partition: PartitionIndex| {
        (if by_id { TopicKey::Id(id) } else { TopicKey::Name(name.clone()) }, partition)
    };
    let mut wants = Vec::new();
    for topic in &request.topics {
        for partition in &topic.partitions {
            let want = Want {
                current_leader_epoch: LeaderEpoch(partition.current_leader_epoch.max(-1)),
                offset: partition.fetch_offset,
                last_fetched_epoch: LeaderEpoch(partition.last_fetched_epoch),
                max_bytes: at_least_zero(partition.partition_max_bytes),
            };
            wants.push((key(&topic.topic, topic.topic_id, PartitionIndex(partition.partition)), want));
        }
    }
    let mut forgotten = Vec::new();
    for topic in &request.forgotten_topics_data {
        let partitions = topic.partitions.iter().map(|partition| PartitionIndex(*partition));
        forgotten.extend(partitions.map(|partition| key(&topic.topic, topic.topic_id, partition)));
    }
    Ask { session_id: request.session_id, session_epoch: request.session_epoch, by_id, wants, forgotten }
}

fn find(context: &Context<'_>, (topic, partition): &PartitionKey) -> Result<TopicPartition, ErrorCode> {
    let found = match topic {
        TopicKey::Id(id) => resolve(context, &Str::EMPTY, *id, true, *partition),
        TopicKey::Name(name) => resolve(context, name, TopicId::ZERO, false, *partition),
    };
    found.map(|(_, key)| key)
}

fn read(want: Want, read_committed: bool) -> ReadOp {
    ReadOp {
        current_leader_epoch: want.current_leader_epoch,
        offset: want.offset,
        last_fetched_epoch: want.last_fetched_epoch,
        max_bytes: want.max_bytes,
        first_whole: false,
        read_committed,
        follower: None,
    }
}

fn top_level(context: &Context<'_>, error: ErrorCode) -> Plan {
    context.respond(&FetchResponse { error_code: error.code(), session_id: 0, ..FetchResponse::default() })
}

fn answer(context: &Context<'_>, answering: Answering, replies: Vec<ReadReply>) -> Plan {
    let Answering { session_id, full, items } = answering;
    let mut replies: Vec<Option<ReadReply>> = replies.into_iter().map(Some).collect();
    let mut sessions = context.sessions.borrow_mut();
    let mut topics: Vec<FetchableTopicResponse> = Vec::new();
    let mut hint = false;
    for (key, pending) in items {
        let reply = match pending {
            Pending::Refused(error) if error == ErrorCode::NotLeaderOrFollower => ReadReply::failed(error),
            Pending::Refused(error) => ReadReply { aborted: Some(Vec::new()), ..ReadReply::failed(error) },
            Pending::Read(index) => replies[index].take().expect("a read is answered once"),
        };
        let told = Told {
            high_watermark: reply.high_watermark,
            log_start_offset: reply.log_start_offset,
            failed: !reply.error.is_ok() || reply.diverging.is_some(),
        };
        let changed = session_id == 0 || sessions.tell(session_id, &key, told, !reply.records.is_empty());
        if full || changed {
            let leader = leader(context, &key, reply.error);
            hint |= leader.is_some();
            add(&mut topics, key, reply, (context.header.version, leader));
        }
    }
    drop(sessions);
    let node_endpoints = if hint { vec![endpoint(context)] } else { Vec::new() };
    context.respond(&FetchResponse {
        session_id,
        responses: topics,
        node_endpoints,
        ..FetchResponse::default()
    })
}

/// Who leads, where the client is told that it has the wrong leader or an old one (KIP-951).
fn leader(context: &Context<'_>, key: &PartitionKey, error: ErrorCode) -> Option<LeaderIdAndEpoch> {
    let wrong = matches!(error, ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch);
    if !wrong || context.header.version < 16 {
        return None;
    }
    let partition = find(context, key).ok()?;
    let topic = context.cluster.topic_by_id(partition.topic)?;
    let entry = topic.partitions.get(usize::try_from(partition.partition.0).ok()?)?;
    Some(LeaderIdAndEpoch { leader_id: entry.leader.0, leader_epoch: entry.leader_epoch.0 })
}

fn endpoint(context: &Context<'_>) -> NodeEndpoint {
    let node = context.node;
    let (host, port) = (node.host.clone(), i32::from(node.port));
    NodeEndpoint { node_id: node.id, host, port, rack: node.rack.clone() }
}

/// Adds a partition, to the topic before it if that is the same.
fn add(
    topics: &mut Vec<FetchableTopicResponse>,
    (topic, index): PartitionKey,
    reply: ReadReply,
    (version, leader): (i16, Option<LeaderIdAndEpoch>),
) {
    let mut data = partition_data(index, reply, version);
    data.current_leader = leader.unwrap_or_default();
    let (name, id) = match topic {
        TopicKey::Id(id) => (Str::EMPTY, id),
        TopicKey::Name(name) => (name, TopicId::ZERO),
    };
    match topics.last_mut().filter(|last| last.topic == name && last.topic_id == id) {
        Some(last) => last.partitions.push(data),
        None => topics.push(FetchableTopicResponse { topic: name, topic_id: id, partitions: vec![data] }),
    }
}

fn partition_data(index: PartitionIndex, reply: ReadReply, version: i16) -> PartitionData {
    // Old clients know no storage error in Fetch; they refresh metadata and come back on this one (row 88).
    let error = match reply.error {
        ErrorCode::KafkaStorageError if version <= 5 => ErrorCode::NotLeaderOrFollower,
        error => error,
    };
    let aborted = |list: Vec<(i64, i64)>| {
        list.into_iter()
            .map(|(producer_id, first_offset)| AbortedTransaction { producer_id, first_offset })
            .collect()
    };
    let diverging =
        reply.diverging.map(|(LeaderEpoch(epoch), end_offset)| EpochEndOffset { epoch, end_offset });
    PartitionData {
        partition_index: index.0,
        error_code: error.code(),
        high_watermark: reply.high_watermark,
        last_stable_offset: reply.last_stable_offset,
        log_start_offset: reply.log_start_offset,
        aborted_transactions: reply.aborted.map(aborted),
        preferred_read_replica: -1,
        diverging_epoch: diverging.unwrap_or_default(),
        // Without data the set is empty, not null (row 93).
        records: Some(Records(reply.records)),
        ..Default::default()
    }
}
