//! Fetch (key 1), versions 4 to 18: batches as they lie in the log, with sessions (KIP-227), topic ids (KIP-516) and
//! a wait for `min_bytes` without polling.
//!
//! Rules: protocol rows 78 to 93. The brokers of a cluster copy from each other by a protocol of their own, so whoever
//! says here that it is a replica (replica id >= 0) is none. From version 11 on a consumer may read from any replica
//! (KIP-392); with the rack-aware `replica.selector.class` a leader sends it to one that stands in its rack.
//!
//! Deviations: batches are whole where Kafka cuts the last one at the limit; negative limits count as 0; a session's
//! topic that was deleted is error 100 where it is asked for by id; a partition named twice is answered twice.

use super::fetch_session::{Ask, Begun, PartitionKey, Told, TopicKey, Want};
use super::{Api, Context, FetchPlan, Plan, resolve};
use crate::base::{ErrorCode, LeaderEpoch, NodeId, PartitionIndex, TopicId, TopicPartition};
use crate::cluster::{BrokerEntry, PartitionEntry};
use crate::replica::call::{ReadOp, ReadReply};
use crate::wire::generated::fetch_response::{
    AbortedTransaction, EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use crate::wire::generated::{FetchRequest, FetchResponse};
use crate::wire::{Decode, DecodeError, Reader, Records, Str};
use std::collections::BTreeSet;

/// The API's entry in the registry.
pub(super) const API: Api = Api { key: 1, name: "Fetch", min: 4, served_min: 4, max: 18, plan };

/// First version whose consumers may read from followers (KIP-392).
const FOLLOWERS_FROM: i16 = 11;

/// A partition's answer: there already, or that of a read.
enum Pending {
    Refused(ErrorCode),
    Read(usize),
    /// Only that of a look at the partition's bounds: the consumer shall read there.
    Elsewhere(usize, NodeId),
}

/// Where a consumer reads a partition.
enum Place {
    Here,
    At(NodeId),
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
    let rack = request.rack_id.clone();
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
    let mut told = false;
    for (key, want) in wants {
        match find(context, &key).and_then(|found| Ok((found, place(context, found, follower, &rack)?))) {
            Ok((partition, Place::Here)) => {
                items.push((key, Pending::Read(reads.len())));
                reads.push((partition, read(want, read_committed)));
            }
            Ok((partition, Place::At(node))) => {
                told = true;
                items.push((key, Pending::Elsewhere(reads.len(), node)));
                reads.push((partition, read(Want { max_bytes: 0, ..want }, read_committed)));
            }
            Err(error) => failed.push((key, Pending::Refused(error))),
        }
    }
    let told = told || !failed.is_empty();
    items.append(&mut failed);
    let answering = Answering { session_id, full, items };
    Ok(Plan::Fetch(Box::new(FetchPlan {
        reads,
        // An error is told at once (row 83), and so is where to read.
        max_wait_ms: if told { 0 } else { max_wait_ms },
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

/// Where a partition is to be read.
///
/// # Errors
/// 6: not here.
fn place(context: &Context<'_>, key: TopicPartition, follower: bool, rack: &Str) -> Result<Place, ErrorCode> {
    let entry = context.cluster.partition(key).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let this = context.this();
    let consumer = !follower && context.header.version >= FOLLOWERS_FROM;
    if entry.leader == this && !follower {
        let nearer = if consumer { nearer(context, entry, rack) } else { None };
        return Ok(nearer.map_or(Place::Here, Place::At));
    }
    if consumer && entry.replicas.contains(&this) {
        Ok(Place::Here)
    } else {
        Err(ErrorCode::NotLeaderOrFollower)
    }
}

/// A replica in the consumer's rack, where the leader stands in another. Who is in sync has what consumers may see, or
/// is about to.
fn nearer(context: &Context<'_>, entry: &PartitionEntry, rack: &Str) -> Option<NodeId> {
    if rack.is_empty() || !context.conf.cluster.rack_aware_reads {
        return None;
    }
    let broker = |id: NodeId| context.cluster.broker(id).filter(|broker| broker.is_active());
    let stands_there = |broker: &BrokerEntry| broker.rack.as_ref() == Some(rack);
    if broker(entry.leader).is_some_and(stands_there) {
        return None;
    }
    entry.isr.iter().copied().find(|id| broker(*id).is_some_and(stands_there))
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
    let mut leaders = BTreeSet::new();
    for (key, pending) in items {
        let mut elsewhere = None;
        let reply = match pending {
            Pending::Refused(error) if error == ErrorCode::NotLeaderOrFollower => ReadReply::failed(error),
            Pending::Refused(error) => ReadReply { aborted: Some(Vec::new()), ..ReadReply::failed(error) },
            Pending::Read(index) => replies[index].take().expect("a read is answered once"),
            Pending::Elsewhere(index, node) => {
                let reply = replies[index].take().expect("a read is answered once");
                elsewhere = reply.error.is_ok().then_some(node);
                reply
            }
        };
        let told = Told {
            high_watermark: reply.high_watermark,
            log_start_offset: reply.log_start_offset,
            failed: !reply.error.is_ok() || reply.diverging.is_some(),
        };
        let changed = session_id == 0 || sessions.tell(session_id, &key, told, !reply.records.is_empty());
        if full || changed || elsewhere.is_some() {
            let leader = leader(context, &key, reply.error);
            leaders.extend(leader.as_ref().map(|leader| NodeId(leader.leader_id)));
            let data = PartitionData {
                current_leader: leader.unwrap_or_default(),
                preferred_read_replica: elsewhere.map_or(-1, |node| node.0),
                ..partition_data(key.1, reply, context.header.version)
            };
            add(&mut topics, key.0, data);
        }
    }
    drop(sessions);
    let node_endpoints = leaders.into_iter().filter_map(|id| endpoint(context, id)).collect();
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
    let entry = context.cluster.partition(partition)?;
    Some(LeaderIdAndEpoch { leader_id: entry.leader.0, leader_epoch: entry.leader_epoch.0 })
}

/// Where clients reach a broker.
fn endpoint(context: &Context<'_>, id: NodeId) -> Option<NodeEndpoint> {
    let broker = context.cluster.broker(id)?;
    let (host, port) = (broker.host.clone(), i32::from(broker.port));
    Some(NodeEndpoint { node_id: id.0, host, port, rack: broker.rack.clone() })
}

/// Adds a partition, to the topic before it if that is the same.
fn add(topics: &mut Vec<FetchableTopicResponse>, topic: TopicKey, data: PartitionData) {
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
