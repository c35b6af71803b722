//! The metadata itself.

use super::entry::{BrokerEntry, PartitionEntry, Topic, VoterEntry};
use super::names::collision_key;
use super::record::Record;
use crate::base::{NodeId, PartitionEpoch, PartitionIndex, TopicId, TopicPartition};
use crate::wire::{DecodeError, Reader, Str, Writer};
use bytes::Bytes;
use std::collections::BTreeMap;

/// The cluster's metadata: a shard's copy, as of some committed record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterState {
    pub(super) cluster_id: Str,
    pub(super) brokers: BTreeMap<NodeId, BrokerEntry>,
    pub(super) topics: BTreeMap<Str, Topic>,
    pub(super) names: BTreeMap<TopicId, Str>,
    /// Names by their collision key.
    pub(super) collisions: BTreeMap<String, Str>,
    pub(super) broker_configs: BTreeMap<String, String>,
    pub(super) node_configs: BTreeMap<NodeId, BTreeMap<String, String>>,
    pub(super) next_producer_id: i64,
    pub(super) voters: Vec<VoterEntry>,
    pub(super) applied: u64,
}

impl ClusterState {
    /// An empty cluster.
    #[must_use]
    pub fn new(cluster_id: &str) -> Self {
        ClusterState { cluster_id: cluster_id.into(), ..ClusterState::default() }
    }

    /// The cluster's id.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// All brokers.
    pub fn brokers(&self) -> impl Iterator<Item = (NodeId, &BrokerEntry)> {
        self.brokers.iter().map(|(id, broker)| (*id, broker))
    }

    /// One broker.
    #[must_use]
    pub fn broker(&self, id: NodeId) -> Option<&BrokerEntry> {
        self.brokers.get(&id)
    }

    /// Whether a broker may lead and be in sync.
    #[must_use]
    pub fn is_active(&self, id: NodeId) -> bool {
        self.brokers.get(&id).is_some_and(BrokerEntry::is_active)
    }

    /// All topics, by name.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.topics.values()
    }

    /// A topic by name.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.topics.get(name)
    }

    /// A topic by id.
    #[must_use]
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Topic> {
        self.topics.get(self.names.get(&id)?)
    }

    /// One partition.
    #[must_use]
    pub fn partition(&self, key: TopicPartition) -> Option<&PartitionEntry> {
        self.topic_by_id(key.topic)?.partitions.get(usize::try_from(key.partition.0).ok()?)
    }

    /// All partitions, by topic.
    pub fn partitions(&self) -> impl Iterator<Item = (&Topic, PartitionIndex, &PartitionEntry)> {
        self.topics().flat_map(|topic| {
            (0i32..).zip(&topic.partitions).map(move |(index, entry)| (topic, PartitionIndex(index), entry))
        })
    }

    /// Settings of all brokers that were changed while running.
    #[must_use]
    pub fn broker_configs(&self) -> &BTreeMap<String, String> {
        &self.broker_configs
    }

    /// Settings of one broker that were changed while running.
    #[must_use]
    pub fn node_configs(&self, id: NodeId) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.node_configs.get(&id).unwrap_or(&NONE)
    }

    /// The members of the coordinators' quorum; none as long as they are those of the configuration.
    #[must_use]
    pub fn voters(&self) -> &[VoterEntry] {
        &self.voters
    }

    /// Records applied so far: rises with every change (the "finalized features epoch" of ApiVersions).
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// Applies one committed record. Records come from `decide`, so they fit.
    pub fn apply(&mut self, record: &Record) {
        self.applied += 1;
        match record {
            Record::Broker { id, entry } => {
                self.brokers.insert(*id, entry.clone());
            }
            Record::BrokerState { id, fenced, shutting_down } => {
                let broker = self.brokers.get_mut(id).expect("a record names a broker that is there");
                (broker.fenced, broker.shutting_down) = (*fenced, *shutting_down);
                if broker.is_active() {
                    broker.resumed = None;
                }
            }
            Record::RemoveBroker { id } => {
                self.brokers.remove(id).expect("a record names a broker that is there");
            }
            Record::Topic { id, name, configs } => {
                let topic =
                    Topic { name: name.clone(), id: *id, configs: configs.clone(), partitions: Vec::new() };
                self.names.insert(*id, name.clone());
                if let Some(key) = collision_key(name) {
                    self.collisions.insert(key, name.clone());
                }
                self.topics.insert(name.clone(), topic);
            }
            Record::Partition { topic, entry } => {
                self.topic_mut(*topic).partitions.push(entry.clone());
            }
            Record::PartitionChange { topic, partition, entry } => {
                let now = self.partition_mut(*topic, *partition);
                assert!(entry.leader_epoch >= now.leader_epoch, "a leader epoch never falls");
                assert!(
                    entry.partition_epoch > now.partition_epoch,
                    "a partition's epoch rises with each change"
                );
                *now = entry.clone();
            }
            Record::Leader { topic, partition, leader, epoch } => {
                let now = self.partition_mut(*topic, *partition);
                assert!(*epoch > now.leader_epoch, "a leader epoch never falls");
                (now.leader, now.leader_epoch) = (*leader, *epoch);
                now.partition_epoch = PartitionEpoch(now.partition_epoch.0 + 1);
            }
            Record::TopicConfigs { topic, configs } => self.topic_mut(*topic).configs = configs.clone(),
            Record::BrokerConfigs { configs } => self.broker_configs = configs.clone(),
            Record::NodeConfigs { id, configs } => {
                self.node_configs.insert(*id, configs.clone());
            }
            Record::RemoveTopic { topic } => {
                let name = self.names.remove(topic).expect("a record names a topic that is there");
                self.topics.remove(&name);
                if let Some(key) = collision_key(&name) {
                    self.collisions.remove(&key);
                }
            }
            Record::ProducerIds { next } => {
                assert!(*next >= self.next_producer_id, "producer ids are never handed out twice");
                self.next_producer_id = *next;
            }
            Record::Voters { voters } => self.voters.clone_from(voters),
        }
    }

    fn topic_mut(&mut self, id: TopicId) -> &mut Topic {
        let name = self.names.get(&id).expect("a record names a topic that is there");
        self.topics.get_mut(name).expect("both maps have it")
    }

    fn partition_mut(&mut self, topic: TopicId, partition: PartitionIndex) -> &mut PartitionEntry {
        let index = usize::try_from(partition.0).expect("a partition's index isn't negative");
        &mut self.topic_mut(topic).partitions[index]
    }

    /// The records that lead to this state from an empty cluster of the same id.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        for (id, entry) in &self.brokers {
            records.push(Record::Broker { id: *id, entry: entry.clone() });
        }
        for topic in self.topics.values() {
            let Topic { name, id, configs, partitions } = topic.clone();
            records.push(Record::Topic { id, name, configs });
            records.extend(partitions.into_iter().map(|entry| Record::Partition { topic: id, entry }));
        }
        if !self.broker_configs.is_empty() {
            records.push(Record::BrokerConfigs { configs: self.broker_configs.clone() });
        }
        for (id, configs) in &self.node_configs {
            records.push(Record::NodeConfigs { id: *id, configs: configs.clone() });
        }
        if !self.voters.is_empty() {
            records.push(Record::Voters { voters: self.voters.clone() });
        }
        records.push(Record::ProducerIds { next: self.next_producer_id });
        records
    }

    /// The whole state as bytes, for a snapshot or another shard.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut writer = Writer::new();
        writer.string(&self.cluster_id, true);
        writer.i64(self.applied.cast_signed());
        let records = self.records();
        writer.array_len(Some(records.len()), true);
        for record in &records {
            record.encode(&mut writer);
        }
        writer.into_pieces().concat().into()
    }

    /// Reads what `encode` wrote.
    ///
    /// # Errors
    /// The bytes are no state of a version that this build knows.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let mut state =
            ClusterState { cluster_id: reader.string(true)?.detached(), ..ClusterState::default() };
        let applied = reader.i64()?.cast_unsigned();
        let count = reader.array_len(true)?.ok_or(DecodeError::Length)?;
        for _ in 0..count {
            state.apply(&Record::decode(&mut reader)?);
        }
        reader.finish()?;
        state.applied = applied;
        Ok(state)
    }
}
