//! Offsets that were committed in transactions which aren't over.

use super::offsets::Committed;
use crate::base::ProducerId;
use crate::wire::Str;
use std::collections::BTreeMap;

/// Group, topic, partition.
pub(super) type Key = (Str, Str, i32);

/// Offsets of open transactions, by producer; and how many transactions have one for a partition.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pending {
    producers: BTreeMap<ProducerId, BTreeMap<Key, Committed>>,
    uses: BTreeMap<Key, usize>,
    count: usize,
}

impl Pending {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Whether an open transaction has an offset for this partition: what is committed may change any moment.
    pub(super) fn has(&self, group: &Str, topic: &Str, partition: i32) -> bool {
        !self.uses.is_empty() && self.uses.contains_key(&(group.clone(), topic.clone(), partition))
    }

    /// Whether an open transaction has an offset for this group.
    pub(super) fn has_group(&self, group: &str) -> bool {
        self.of_group(group).next().is_some()
    }

    /// The partitions of a group for which open transactions have offsets.
    pub(super) fn of_group(&self, group: &str) -> impl Iterator<Item = &Key> {
        let from = (Str::from(group), Str::EMPTY, i32::MIN);
        let group = group.to_owned();
        self.uses.range(from..).map(|(key, _)| key).take_while(move |key| key.0.as_str() == group)
    }

    /// Those in some topics.
    pub(super) fn of_topics<'a>(&'a self, topics: &'a [Str]) -> impl Iterator<Item = Key> + 'a {
        self.uses.keys().filter(|key| topics.contains(&key.1)).cloned()
    }

    pub(super) fn put(&mut self, producer: ProducerId, key: Key, committed: Committed) {
        let offsets = self.producers.entry(producer).or_default();
        if offsets.insert(key.clone(), committed).is_none() {
            *self.uses.entry(key).or_default() += 1;
            self.count += 1;
        }
    }

    /// Takes out what a producer's transaction has.
    pub(super) fn take(&mut self, producer: ProducerId) -> BTreeMap<Key, Committed> {
        let taken = self.producers.remove(&producer).unwrap_or_default();
        taken.keys().for_each(|key| self.unuse(key));
        taken
    }

    /// Drops what open transactions have for a partition; false if there is nothing.
    pub(super) fn forget(&mut self, group: &str, topic: &str, partition: i32) -> bool {
        let key = (Str::from(group), Str::from(topic), partition);
        if !self.uses.contains_key(&key) {
            return false;
        }
        let having = self.producers.values_mut().filter_map(|offsets| offsets.remove(&key)).count();
        self.producers.retain(|_, offsets| !offsets.is_empty());
        (0..having).for_each(|_| self.unuse(&key));
        true
    }

    /// Drops what open transactions have for a group; says for which partitions.
    pub(super) fn forget_group(&mut self, group: &str) -> Vec<(Str, i32)> {
        let keys: Vec<Key> = self.of_group(group).cloned().collect();
        for (_, topic, partition) in &keys {
            self.forget(group, topic, *partition);
        }
        keys.into_iter().map(|(_, topic, partition)| (topic, partition)).collect()
    }

    fn unuse(&mut self, key: &Key) {
        self.count -= 1;
        if let Some(uses) = self.uses.get_mut(key) {
            *uses -= 1;
            if *uses == 0 {
                self.uses.remove(key);
            }
        }
    }
}
