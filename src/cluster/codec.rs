//! Lists, maps and entries in Kafka's flexible primitives, for records and commands.

use super::entry::{BrokerEntry, PartitionEntry, Topic, VoterEntry};
use crate::base::{
    BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, PartitionEpoch, PartitionIndex, TopicId, TopicPartition,
};
use crate::wire::{DecodeError, Reader, Str, Writer};
use std::collections::BTreeMap;

/// What reading gives.
pub(super) type Decoded<T> = Result<T, DecodeError>;

pub(super) fn put_list<T>(w: &mut Writer, list: &[T], put: impl Fn(&mut Writer, &T)) {
    w.array_len(Some(list.len()), true);
    list.iter().for_each(|item| put(w, item));
}

/// Reads a list. Memory grows with what is there, never with what a length claims.
pub(super) fn list<T>(r: &mut Reader, read: impl Fn(&mut Reader) -> Decoded<T>) -> Decoded<Vec<T>> {
    let count = r.array_len(true)?.ok_or(DecodeError::Length)?;
    let mut list = Vec::new();
    for _ in 0..count {
        r.element(size_of::<T>())?;
        list.push(read(r)?);
    }
    Ok(list)
}

pub(super) fn put_option<T>(w: &mut Writer, value: Option<&T>, put: impl Fn(&mut Writer, &T)) {
    w.bool(value.is_some());
    if let Some(value) = value {
        put(w, value);
    }
}

pub(super) fn option<T>(r: &mut Reader, read: impl Fn(&mut Reader) -> Decoded<T>) -> Decoded<Option<T>> {
    if r.bool()? { read(r).map(Some) } else { Ok(None) }
}

pub(super) fn put_map(w: &mut Writer, map: &BTreeMap<String, String>) {
    w.array_len(Some(map.len()), true);
    for (key, value) in map {
        w.string(key, true);
        w.string(value, true);
    }
}

pub(super) fn map(r: &mut Reader) -> Decoded<BTreeMap<String, String>> {
    let count = r.array_len(true)?.ok_or(DecodeError::Length)?;
    let mut map = BTreeMap::new();
    for _ in 0..count {
        r.element(2 * size_of::<String>())?;
        let key = r.string(true)?.to_string();
        map.insert(key, r.string(true)?.to_string());
    }
    Ok(map)
}

pub(super) fn text(r: &mut Reader) -> Decoded<Str> {
    Ok(r.string(true)?.detached())
}

pub(super) fn put_node(w: &mut Writer, node: &NodeId) {
    w.i32(node.0);
}

pub(super) fn node(r: &mut Reader) -> Decoded<NodeId> {
    r.i32().map(NodeId)
}

pub(super) fn put_nodes(w: &mut Writer, nodes: &[NodeId]) {
    put_list(w, nodes, put_node);
}

pub(super) fn nodes(r: &mut Reader) -> Decoded<Vec<NodeId>> {
    list(r, node)
}

pub(super) fn broker_epoch(r: &mut Reader) -> Decoded<BrokerEpoch> {
    r.i64().map(BrokerEpoch)
}

pub(super) fn put_key(w: &mut Writer, key: &TopicPartition) {
    w.uuid(&key.topic.0);
    w.i32(key.partition.0);
}

pub(super) fn key(r: &mut Reader) -> Decoded<TopicPartition> {
    Ok(TopicPartition { topic: TopicId(r.uuid()?), partition: PartitionIndex(r.i32()?) })
}

pub(super) fn put_error(w: &mut Writer, error: ErrorCode) {
    w.i16(error.code());
}

pub(super) fn error(r: &mut Reader) -> Decoded<ErrorCode> {
    ErrorCode::from_code(r.i16()?).ok_or(DecodeError::Value)
}

pub(super) fn put_partition(w: &mut Writer, entry: &PartitionEntry) {
    let PartitionEntry { leader, leader_epoch, partition_epoch, replicas, isr, .. } = entry;
    w.i32(leader.0);
    w.i32(leader_epoch.0);
    w.i32(partition_epoch.0);
    for nodes in [replicas, isr, &entry.elr, &entry.last_known_elr, &entry.adding, &entry.removing] {
        put_nodes(w, nodes);
    }
}

pub(super) fn partition(r: &mut Reader) -> Decoded<PartitionEntry> {
    Ok(PartitionEntry {
        leader: node(r)?,
        leader_epoch: LeaderEpoch(r.i32()?),
        partition_epoch: PartitionEpoch(r.i32()?),
        replicas: nodes(r)?,
        isr: nodes(r)?,
        elr: nodes(r)?,
        last_known_elr: nodes(r)?,
        adding: nodes(r)?,
        removing: nodes(r)?,
    })
}

pub(super) fn put_broker(w: &mut Writer, entry: &BrokerEntry) {
    w.i64(entry.epoch.0);
    w.uuid(&entry.incarnation);
    w.string(&entry.host, true);
    w.u16(entry.port);
    w.string(&entry.peer, true);
    w.nullable_string(entry.rack.as_deref(), true);
    w.u16(entry.shards);
    w.bool(entry.fenced);
    w.bool(entry.shutting_down);
    put_option(w, entry.resumed.as_ref(), |w, epoch| w.i64(epoch.0));
}

pub(super) fn broker(r: &mut Reader) -> Decoded<BrokerEntry> {
    Ok(BrokerEntry {
        epoch: broker_epoch(r)?,
        incarnation: r.uuid()?,
        host: text(r)?,
        port: r.u16()?,
        peer: text(r)?,
        rack: r.nullable_string(true)?.map(|rack| rack.detached()),
        shards: r.u16()?,
        fenced: r.bool()?,
        shutting_down: r.bool()?,
        resumed: option(r, broker_epoch)?,
    })
}

pub(super) fn put_voter(w: &mut Writer, voter: &VoterEntry) {
    put_node(w, &voter.id);
    w.string(&voter.peer, true);
    w.bool(voter.votes);
}

pub(super) fn voter(r: &mut Reader) -> Decoded<VoterEntry> {
    Ok(VoterEntry { id: node(r)?, peer: text(r)?, votes: r.bool()? })
}

pub(super) fn put_topic(w: &mut Writer, topic: &Topic) {
    w.string(&topic.name, true);
    w.uuid(&topic.id.0);
    put_map(w, &topic.configs);
    put_list(w, &topic.partitions, put_partition);
}

pub(super) fn topic(r: &mut Reader) -> Decoded<Topic> {
    Ok(Topic { name: text(r)?, id: TopicId(r.uuid()?), configs: map(r)?, partitions: list(r, partition)? })
}
