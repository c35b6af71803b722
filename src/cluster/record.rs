//! What the metadata journal holds: the committed changes, one by one.
//!
//! Encoding: a type byte, then the fields in Kafka's flexible primitives. A field is never reordered or dropped; a
//! new one gets a new type byte.

use super::state::PartitionEntry;
use crate::base::{LeaderEpoch, NodeId, PartitionIndex, TopicId};
use crate::wire::{DecodeError, Reader, Str, Writer};
use std::collections::BTreeMap;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A broker registered.
    Broker {
        /// Its id.
        id: NodeId,
        /// Where clients reach it.
        host: Str,
        /// Its port.
        port: u16,
        /// Its rack.
        rack: Option<Str>,
    },
    /// A topic came to be; its partitions follow.
    Topic {
        /// Its id.
        id: TopicId,
        /// Its name.
        name: Str,
        /// Its settings.
        configs: BTreeMap<String, String>,
    },
    /// The next partition of a topic.
    Partition {
        /// The topic.
        topic: TopicId,
        /// The partition.
        entry: PartitionEntry,
    },
    /// A partition has another leader, or the same one in a new term.
    Leader {
        /// The topic.
        topic: TopicId,
        /// The partition.
        partition: PartitionIndex,
        /// Who leads.
        leader: NodeId,
        /// The term.
        epoch: LeaderEpoch,
    },
    /// A topic's settings, all of them.
    TopicConfigs {
        /// The topic.
        topic: TopicId,
        /// The settings.
        configs: BTreeMap<String, String>,
    },
    /// Settings of all brokers that were changed while running, all of them.
    BrokerConfigs {
        /// The settings.
        configs: BTreeMap<String, String>,
    },
    /// Settings of one broker that were changed while running, all of them.
    NodeConfigs {
        /// Its id.
        id: NodeId,
        /// The settings.
        configs: BTreeMap<String, String>,
    },
    /// A topic is gone.
    RemoveTopic {
        /// The topic.
        topic: TopicId,
    },
    /// Producer ids below `next` are handed out.
    ProducerIds {
        /// The first that isn't.
        next: i64,
    },
}

impl Record {
    /// The topic whose partitions may have to follow.
    #[must_use]
    pub fn topic(&self) -> Option<TopicId> {
        match self {
            Record::Topic { id, .. } => Some(*id),
            Record::Partition { topic, .. }
            | Record::Leader { topic, .. }
            | Record::TopicConfigs { topic, .. }
            | Record::RemoveTopic { topic } => Some(*topic),
            Record::Broker { .. }
            | Record::BrokerConfigs { .. }
            | Record::NodeConfigs { .. }
            | Record::ProducerIds { .. } => None,
        }
    }

    /// Whether topics that say nothing themselves may have other settings now.
    #[must_use]
    pub fn changes_defaults(&self) -> bool {
        matches!(self, Record::BrokerConfigs { .. } | Record::NodeConfigs { .. })
    }

    /// Appends the record.
    pub fn encode(&self, w: &mut Writer) {
        match self {
            Record::Broker { id, host, port, rack } => {
                w.i8(1);
                w.i32(id.0);
                w.string(host, true);
                w.u16(*port);
                w.nullable_string(rack.as_deref(), true);
            }
            Record::Topic { id, name, configs } => {
                w.i8(2);
                w.uuid(&id.0);
                w.string(name, true);
                put_map(w, configs);
            }
            Record::Partition { topic, entry } => {
                w.i8(3);
                w.uuid(&topic.0);
                w.i32(entry.leader.0);
                w.i32(entry.leader_epoch.0);
                put_nodes(w, &entry.replicas);
                put_nodes(w, &entry.isr);
            }
            Record::Leader { topic, partition, leader, epoch } => {
                w.i8(4);
                w.uuid(&topic.0);
                w.i32(partition.0);
                w.i32(leader.0);
                w.i32(epoch.0);
            }
            Record::TopicConfigs { topic, configs } => {
                w.i8(5);
                w.uuid(&topic.0);
                put_map(w, configs);
            }
            Record::BrokerConfigs { configs } => {
                w.i8(6);
                put_map(w, configs);
            }
            Record::RemoveTopic { topic } => {
                w.i8(7);
                w.uuid(&topic.0);
            }
            Record::ProducerIds { next } => {
                w.i8(8);
                w.i64(*next);
            }
            Record::NodeConfigs { id, configs } => {
                w.i8(9);
                w.i32(id.0);
                put_map(w, configs);
            }
        }
    }

    /// Reads what `encode` wrote.
    ///
    /// # Errors
    /// The bytes are no record of a type that this build knows.
    pub fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match r.i8()? {
            1 => Record::Broker {
                id: NodeId(r.i32()?),
                host: r.string(true)?.detached(),
                port: r.u16()?,
                rack: r.nullable_string(true)?.map(|rack| rack.detached()),
            },
            2 => Record::Topic { id: TopicId(r.uuid()?), name: r.string(true)?.detached(), configs: map(r)? },
            3 => {
                let topic = TopicId(r.uuid()?);
                let (leader, leader_epoch) = (NodeId(r.i32()?), LeaderEpoch(r.i32()?));
                let (replicas, isr) = (nodes(r)?, nodes(r)?);
                Record::Partition { topic, entry: PartitionEntry { leader, leader_epoch, replicas, isr } }
            }
            4 => Record::Leader {
                topic: TopicId(r.uuid()?),
                partition: PartitionIndex(r.i32()?),
                leader: NodeId(r.i32()?),
                epoch: LeaderEpoch(r.i32()?),
            },
            5 => Record::TopicConfigs { topic: TopicId(r.uuid()?), configs: map(r)? },
            6 => Record::BrokerConfigs { configs: map(r)? },
            7 => Record::RemoveTopic { topic: TopicId(r.uuid()?) },
            8 => Record::ProducerIds { next: r.i64()? },
            9 => Record::NodeConfigs { id: NodeId(r.i32()?), configs: map(r)? },
            _ => return Err(DecodeError::Value),
        })
    }
}

fn put_map(w: &mut Writer, map: &BTreeMap<String, String>) {
    w.array_len(Some(map.len()), true);
    for (key, value) in map {
        w.string(key, true);
        w.string(value, true);
    }
}

fn map(r: &mut Reader) -> Result<BTreeMap<String, String>, DecodeError> {
    let count = r.array_len(true)?.ok_or(DecodeError::Length)?;
    let mut map = BTreeMap::new();
    for _ in 0..count {
        let key = r.string(true)?.to_string();
        map.insert(key, r.string(true)?.to_string());
    }
    Ok(map)
}

fn put_nodes(w: &mut Writer, nodes: &[NodeId]) {
    w.array_len(Some(nodes.len()), true);
    for node in nodes {
        w.i32(node.0);
    }
}

fn nodes(r: &mut Reader) -> Result<Vec<NodeId>, DecodeError> {
    let count = r.array_len(true)?.ok_or(DecodeError::Length)?;
    let mut nodes = Vec::new();
    for _ in 0..count {
        nodes.push(NodeId(r.i32()?));
    }
    Ok(nodes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Record> {
        let configs = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), String::new())]);
        let topic = TopicId([3; 16]);
        let (leader, leader_epoch) = (NodeId(1), LeaderEpoch(4));
        let entry = PartitionEntry {
            leader,
            leader_epoch,
            replicas: vec![NodeId(1), NodeId(2)],
            isr: vec![NodeId(1)],
        };
        vec![
            Record::Broker { id: NodeId(1), host: "h".into(), port: 9092, rack: None },
            Record::Broker { id: NodeId(2), host: "h".into(), port: 1, rack: Some("r".into()) },
            Record::Topic { id: topic, name: "t".into(), configs: configs.clone() },
            Record::Partition { topic, entry },
            Record::Leader { topic, partition: PartitionIndex(0), leader, epoch: LeaderEpoch(5) },
            Record::TopicConfigs { topic, configs: configs.clone() },
            Record::BrokerConfigs { configs: configs.clone() },
            Record::NodeConfigs { id: NodeId(1), configs },
            Record::RemoveTopic { topic },
            Record::ProducerIds { next: 1000 },
        ]
    }

    #[test]
    fn records_round_trip_and_every_truncation_is_refused() {
        for record in samples() {
            let mut writer = Writer::new();
            record.encode(&mut writer);
            let bytes: bytes::Bytes = writer.into_pieces().concat().into();
            let mut reader = Reader::new(bytes.clone());
            assert_eq!(Record::decode(&mut reader), Ok(record));
            assert_eq!(reader.finish(), Ok(()));
            for end in 0..bytes.len() {
                assert!(Record::decode(&mut Reader::new(bytes.slice(..end))).is_err());
            }
        }
    }
}
