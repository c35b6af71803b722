//! What the metadata journal holds: the committed changes, one by one.
//!
//! Encoding: a type byte, then the fields in Kafka's flexible primitives. A field is never reordered or dropped; a
//! new one gets a new type byte. Types 1, 3 and 4 are those of builds that knew one broker only: they are read, and 1
//! and 3 are written as what took their place.

use super::codec::{
    Decoded, broker, list, map, node, nodes, partition, put_broker, put_list, put_map, put_node,
    put_partition, put_voter, text, voter,
};
use super::entry::{BrokerEntry, PartitionEntry, VoterEntry};
use crate::base::{BrokerEpoch, LeaderEpoch, NodeId, PartitionIndex, TopicId, TopicPartition};
use crate::wire::{DecodeError, Reader, Str, Writer};
use std::collections::BTreeMap;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A broker registered.
    Broker {
        /// Its id.
        id: NodeId,
        /// All of it.
        entry: BrokerEntry,
    },
    /// A broker is to be relied on again, or no longer.
    BrokerState {
        /// Its id.
        id: NodeId,
        /// Whether it is fenced.
        fenced: bool,
        /// Whether it is about to stop.
        shutting_down: bool,
    },
    /// A broker is gone for good.
    RemoveBroker {
        /// Its id.
        id: NodeId,
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
    /// A partition has another leader, other replicas in sync, or other replicas.
    PartitionChange {
        /// The topic.
        topic: TopicId,
        /// The partition.
        partition: PartitionIndex,
        /// All of it anew.
        entry: PartitionEntry,
    },
    /// A partition has another leader, or the same one in a new term: what older builds wrote.
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
    /// Other nodes coordinate than those of the configuration. Made from what the quorum's own log says of its members,
    /// for those who only follow.
    Voters {
        /// All of them.
        voters: Vec<VoterEntry>,
    },
}

impl Record {
    /// The topic whose partitions may have to follow.
    #[must_use]
    pub fn topic(&self) -> Option<TopicId> {
        match self {
            Record::Topic { id, .. } => Some(*id),
            Record::Partition { topic, .. }
            | Record::PartitionChange { topic, .. }
            | Record::Leader { topic, .. }
            | Record::TopicConfigs { topic, .. }
            | Record::RemoveTopic { topic } => Some(*topic),
            Record::Broker { .. }
            | Record::BrokerState { .. }
            | Record::RemoveBroker { .. }
            | Record::BrokerConfigs { .. }
            | Record::NodeConfigs { .. }
            | Record::Voters { .. }
            | Record::ProducerIds { .. } => None,
        }
    }

    /// The broker that may be relied on again, or no longer; leaders follow that.
    #[must_use]
    pub fn broker(&self) -> Option<NodeId> {
        match self {
            Record::Broker { id, .. } | Record::BrokerState { id, .. } | Record::RemoveBroker { id } => {
                Some(*id)
            }
            _ => None,
        }
    }

    /// The one partition that it changes, if it is one.
    #[must_use]
    pub fn partition(&self) -> Option<TopicPartition> {
        match self {
            Record::PartitionChange { topic, partition, .. } | Record::Leader { topic, partition, .. } => {
                Some(TopicPartition { topic: *topic, partition: *partition })
            }
            _ => None,
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
            Record::Broker { id, entry } => {
                w.i8(10);
                put_node(w, id);
                put_broker(w, entry);
            }
            Record::BrokerState { id, fenced, shutting_down } => {
                w.i8(11);
                put_node(w, id);
                w.bool(*fenced);
                w.bool(*shutting_down);
            }
            Record::RemoveBroker { id } => {
                w.i8(12);
                put_node(w, id);
            }
            Record::Topic { id, name, configs } => {
                w.i8(2);
                w.uuid(&id.0);
                w.string(name, true);
                put_map(w, configs);
            }
            Record::Partition { topic, entry } => {
                w.i8(13);
                w.uuid(&topic.0);
                put_partition(w, entry);
            }
            Record::PartitionChange { topic, partition, entry } => {
                w.i8(14);
                w.uuid(&topic.0);
                w.i32(partition.0);
                put_partition(w, entry);
            }
            Record::Leader { topic, partition, leader, epoch } => {
                w.i8(4);
                w.uuid(&topic.0);
                w.i32(partition.0);
                put_node(w, leader);
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
            Record::Voters { voters } => {
                w.i8(15);
                put_list(w, voters, put_voter);
            }
            Record::NodeConfigs { id, configs } => {
                w.i8(9);
                put_node(w, id);
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
            1 => lone_broker(r)?,
            2 => Record::Topic { id: TopicId(r.uuid()?), name: text(r)?, configs: map(r)? },
            3 => simple_partition(r)?,
            4 => Record::Leader {
                topic: TopicId(r.uuid()?),
                partition: PartitionIndex(r.i32()?),
                leader: node(r)?,
                epoch: LeaderEpoch(r.i32()?),
            },
            5 => Record::TopicConfigs { topic: TopicId(r.uuid()?), configs: map(r)? },
            6 => Record::BrokerConfigs { configs: map(r)? },
            7 => Record::RemoveTopic { topic: TopicId(r.uuid()?) },
            8 => Record::ProducerIds { next: r.i64()? },
            9 => Record::NodeConfigs { id: node(r)?, configs: map(r)? },
            10 => Record::Broker { id: node(r)?, entry: broker(r)? },
            11 => Record::BrokerState { id: node(r)?, fenced: r.bool()?, shutting_down: r.bool()? },
            12 => Record::RemoveBroker { id: node(r)? },
            13 => Record::Partition { topic: TopicId(r.uuid()?), entry: partition(r)? },
            14 => Record::PartitionChange {
                topic: TopicId(r.uuid()?),
                partition: PartitionIndex(r.i32()?),
                entry: partition(r)?,
            },
            15 => Record::Voters { voters: list(r, voter)? },
            _ => return Err(DecodeError::Value),
        })
    }
}

/// Type 1: the only broker of its cluster.
fn lone_broker(r: &mut Reader) -> Decoded<Record> {
    let id = node(r)?;
    let entry = BrokerEntry {
        epoch: BrokerEpoch(-1),
        incarnation: [0; 16],
        host: text(r)?,
        port: r.u16()?,
        peer: Str::EMPTY,
        rack: r.nullable_string(true)?.map(|rack| rack.detached()),
        shards: 0,
        fenced: false,
        shutting_down: false,
        resumed: None,
    };
    Ok(Record::Broker { id, entry })
}

/// Type 3: a partition whose replicas are what they were at first.
fn simple_partition(r: &mut Reader) -> Decoded<Record> {
    let topic = TopicId(r.uuid()?);
    let (leader, leader_epoch) = (node(r)?, LeaderEpoch(r.i32()?));
    let (replicas, isr) = (nodes(r)?, nodes(r)?);
    let entry = PartitionEntry { leader, leader_epoch, ..PartitionEntry::new(replicas, isr) };
    Ok(Record::Partition { topic, entry })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::PartitionEpoch;
    use bytes::Bytes;

    fn samples() -> Vec<Record> {
        let configs = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), String::new())]);
        let topic = TopicId([3; 16]);
        let node = NodeId;
        let entry = PartitionEntry {
            leader: node(1),
            leader_epoch: LeaderEpoch(4),
            partition_epoch: PartitionEpoch(9),
            replicas: vec![node(1), node(2), node(3)],
            isr: vec![node(1)],
            elr: vec![node(2)],
            last_known_elr: vec![node(3)],
            adding: vec![node(3)],
            removing: vec![node(2)],
        };
        let broker = BrokerEntry {
            epoch: BrokerEpoch(17),
            incarnation: [5; 16],
            host: "h".into(),
            port: 9092,
            peer: "h:9192".into(),
            rack: Some("r".into()),
            shards: 2,
            fenced: true,
            shutting_down: false,
            resumed: Some(BrokerEpoch(3)),
        };
        let other =
            BrokerEntry { rack: None, resumed: None, peer: Str::EMPTY, fenced: false, ..broker.clone() };
        let partition = PartitionIndex(0);
        vec![
            Record::Broker { id: node(1), entry: broker },
            Record::Broker { id: node(2), entry: other },
            Record::BrokerState { id: node(1), fenced: false, shutting_down: true },
            Record::RemoveBroker { id: node(1) },
            Record::Topic { id: topic, name: "t".into(), configs: configs.clone() },
            Record::Partition { topic, entry: entry.clone() },
            Record::PartitionChange { topic, partition, entry },
            Record::Leader { topic, partition, leader: node(1), epoch: LeaderEpoch(5) },
            Record::TopicConfigs { topic, configs: configs.clone() },
            Record::BrokerConfigs { configs: configs.clone() },
            Record::NodeConfigs { id: node(1), configs },
            Record::RemoveTopic { topic },
            Record::ProducerIds { next: 1000 },
            Record::Voters {
                voters: vec![
                    VoterEntry { id: node(1), peer: "h:9192".into(), votes: true },
                    VoterEntry { id: node(2), peer: Str::EMPTY, votes: false },
                ],
            },
        ]
    }

    #[test]
    fn records_round_trip_and_every_truncation_is_refused() {
        for record in samples() {
            let mut writer = Writer::new();
            record.encode(&mut writer);
            let bytes: Bytes = writer.into_pieces().concat().into();
            let mut reader = Reader::new(bytes.clone());
            assert_eq!(Record::decode(&mut reader), Ok(record));
            assert_eq!(reader.finish(), Ok(()));
            for end in 0..bytes.len() {
                assert!(Record::decode(&mut Reader::new(bytes.slice(..end))).is_err());
            }
        }
    }

    #[test]
    fn what_older_builds_wrote_is_read() {
        let read = |write: &dyn Fn(&mut Writer)| {
            let mut writer = Writer::new();
            write(&mut writer);
            let mut reader = Reader::new(writer.into_pieces().concat().into());
            let record = Record::decode(&mut reader).unwrap();
            assert_eq!(reader.finish(), Ok(()));
            record
        };
        let broker = read(&|w| {
            w.i8(1);
            w.i32(7);
            w.string("h", true);
            w.u16(9092);
            w.nullable_string(None, true);
        });
        let Record::Broker { id: NodeId(7), entry } = broker else { panic!("{broker:?}") };
        assert!(entry.is_active() && entry.is_alone() && entry.port == 9092);
        let partition = read(&|w| {
            w.i8(3);
            w.uuid(&[3; 16]);
            w.i32(7);
            w.i32(2);
            crate::cluster::codec::put_nodes(w, &[NodeId(7)]);
            crate::cluster::codec::put_nodes(w, &[NodeId(7)]);
        });
        let (list, leader_epoch) = (vec![NodeId(7)], LeaderEpoch(2));
        let entry = PartitionEntry { leader_epoch, ..PartitionEntry::new(list.clone(), list) };
        assert_eq!(partition, Record::Partition { topic: TopicId([3; 16]), entry });
    }
}
