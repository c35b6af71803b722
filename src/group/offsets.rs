//! Committed offsets.

use super::lag::Pace;
use super::pending::Pending;
use crate::base::{Offset, ProducerId, TopicId};
use crate::wire::Str;
use crate::wire::generated::OffsetCommitValue;
use std::collections::{BTreeMap, BTreeSet};

/// One committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Committed {
    pub(super) offset: Offset,
    pub(super) leader_epoch: i32,
    pub(super) metadata: Str,
    pub(super) commit_ms: i64,
    /// When it expires, where the client said so.
    pub(super) expire_ms: Option<i64>,
    pub(super) topic_id: TopicId,
    pub(super) pace: Pace,
    /// Counts commits in the order in which the log has them.
    pub(super) number: u64,
}

impl From<&OffsetCommitValue> for Committed {
    fn from(value: &OffsetCommitValue) -> Self {
        Committed {
            offset: value.offset,
            leader_epoch: value.leader_epoch,
            metadata: value.metadata.detached(),
            commit_ms: value.commit_timestamp,
            expire_ms: (value.expire_timestamp != -1).then_some(value.expire_timestamp),
            topic_id: value.topic_id,
            pace: Pace::default(),
            number: 0,
        }
    }
}

impl From<&Committed> for OffsetCommitValue {
    fn from(committed: &Committed) -> Self {
        OffsetCommitValue {
            offset: committed.offset,
            leader_epoch: committed.leader_epoch,
            metadata: committed.metadata.clone(),
            commit_timestamp: committed.commit_ms,
            expire_timestamp: committed.expire_ms.unwrap_or(-1),
            topic_id: committed.topic_id,
        }
    }
}

type Topics = BTreeMap<Str, BTreeMap<i32, Committed>>;

/// The offsets of all groups of a coordinator.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Offsets {
    groups: BTreeMap<Str, Topics>,
    count: usize,
    pub(super) pending: Pending,
    /// Commits so far.
    commits: u64,
}

impl Offsets {
    /// How many there are, those of open transactions too.
    pub(super) fn len(&self) -> usize {
        self.count + self.pending.len()
    }

    /// Whether a group has none, and no open transaction has any for it.
    pub(super) fn is_empty(&self, group: &str) -> bool {
        !self.groups.contains_key(group) && !self.pending.has_group(group)
    }

    pub(super) fn get(&self, group: &str, topic: &str, partition: i32) -> Option<&Committed> {
        self.groups.get(group)?.get(topic)?.get(&partition)
    }

    /// Groups that have any.
    pub(super) fn groups(&self) -> impl Iterator<Item = &Str> {
        self.groups.keys()
    }

    /// A group's offsets, by topic.
    pub(super) fn topics(&self, group: &str) -> impl Iterator<Item = (&Str, &BTreeMap<i32, Committed>)> {
        self.groups.get(group).into_iter().flatten()
    }

    pub(super) fn put(&mut self, group: &Str, topic: &Str, partition: i32, mut committed: Committed) {
        self.commits += 1;
        committed.number = self.commits;
        self.place(group, topic, partition, committed);
    }

    /// Keeps one until the transaction of its producer is over.
    pub(super) fn put_pending(
        &mut self,
        producer: ProducerId,
        (group, topic, partition): (&Str, &Str, i32),
        mut committed: Committed,
    ) {
        self.commits += 1;
        committed.number = self.commits;
        let key = (group.detached(), topic.detached(), partition);
        self.pending.put(producer, key, committed);
    }

    /// A producer's transaction is over: its offsets count, unless a later commit came in between; or they go. Says in
    /// which groups there are some now.
    pub(super) fn end_transaction(&mut self, producer: ProducerId, committed: bool) -> BTreeSet<Str> {
        let mut groups = BTreeSet::new();
        for ((group, topic, partition), pending) in self.pending.take(producer) {
            if !committed {
                continue;
            }
            let newer = self.get(&group, &topic, partition).is_none_or(|known| known.number < pending.number);
            if newer {
                self.place(&group, &topic, partition, pending);
            }
            groups.insert(group);
        }
        groups
    }

    fn place(&mut self, group: &Str, topic: &Str, partition: i32, committed: Committed) {
        if !self.groups.contains_key(group) {
            self.groups.insert(group.detached(), Topics::new());
        }
        let topics = self.groups.get_mut(group).expect("it was put there");
        if !topics.contains_key(topic) {
            topics.insert(topic.detached(), BTreeMap::new());
        }
        let partitions = topics.get_mut(topic).expect("it was put there");
        self.count += usize::from(partitions.insert(partition, committed).is_none());
    }

    /// Removes one, those of open transactions too; false if there was none.
    pub(super) fn remove(&mut self, group: &str, topic: &str, partition: i32) -> bool {
        let pending = self.pending.forget(group, topic, partition);
        self.remove_committed(group, topic, partition) || pending
    }

    fn remove_committed(&mut self, group: &str, topic: &str, partition: i32) -> bool {
        let Some(topics) = self.groups.get_mut(group) else { return false };
        let Some(partitions) = topics.get_mut(topic) else { return false };
        let removed = partitions.remove(&partition).is_some();
        if partitions.is_empty() {
            topics.remove(topic);
        }
        if topics.is_empty() {
            self.groups.remove(group);
        }
        self.count -= usize::from(removed);
        removed
    }

    /// Removes a group's; says which there were.
    pub(super) fn remove_group(&mut self, group: &str) -> Vec<(Str, i32)> {
        let topics = self.groups.remove(group).unwrap_or_default();
        let gone = topics
            .into_iter()
            .flat_map(|(topic, partitions)| partitions.into_keys().map(move |index| (topic.clone(), index)));
        let mut gone: BTreeSet<_> = gone.collect();
        self.count -= gone.len();
        gone.extend(self.pending.forget_group(group));
        gone.into_iter().collect()
    }

    /// Removes those in some topics; says which there were.
    pub(super) fn remove_topics(&mut self, topics: &[Str]) -> Vec<(Str, Str, i32)> {
        let mut gone = Vec::new();
        for (group, by_topic) in &self.groups {
            for topic in topics {
                let indexes = by_topic.get(topic).into_iter().flat_map(BTreeMap::keys);
                gone.extend(indexes.map(|index| (group.clone(), topic.clone(), *index)));
            }
        }
        gone.extend(self.pending.of_topics(topics));
        gone.sort_unstable();
        gone.dedup();
        for (group, topic, index) in &gone {
            self.remove(group, topic, *index);
        }
        gone
    }
}
