//! What operators hear of groups: what they have committed and what they have been through.

use super::Coordinator;
use crate::base::Offset;
use crate::group::chronicle::{Chronicle, Owners, Rebalance};
use crate::wire::Str;

/// A committed offset as operators hear of it.
#[derive(Clone, Debug, PartialEq)]
pub struct CommitTold {
    /// Whose.
    pub group: Str,
    /// Of which topic.
    pub topic: Str,
    /// Of which partition.
    pub partition: i32,
    /// Where the group goes on.
    pub offset: Offset,
    /// Records read a second, by the commits.
    pub rate: f64,
    /// Who reads the partition; empty where nobody does or that isn't known.
    pub reader: Str,
}

impl Coordinator {
    /// A group's rebalances, as far as they are remembered; `None` if there is no such group.
    #[must_use]
    pub fn rebalances(&self, group: &str) -> Option<Vec<Rebalance>> {
        let known = self.groups.contains_key(group) || self.consumers.contains_key(group);
        known.then(|| self.chronicles.get(group).map(Chronicle::told).unwrap_or_default())
    }

    /// Adds what is committed, of one group or of all, until the list has so many.
    pub fn tell_commits(&self, group: Option<&str>, now_ms: u64, most: usize, told: &mut Vec<CommitTold>) {
        let groups = self.offsets.groups().filter(|id| group.is_none_or(|group| group == id.as_str()));
        for id in groups {
            // Who reads isn't wanted of all groups at once.
            let owners = group.map(|group| self.owners(group)).unwrap_or_default();
            for (topic, partitions) in self.offsets.topics(id) {
                for (partition, committed) in partitions {
                    if told.len() >= most {
                        return;
                    }
                    told.push(CommitTold {
                        group: id.clone(),
                        topic: topic.clone(),
                        partition: *partition,
                        offset: committed.offset,
                        rate: committed.pace.rate(now_ms, committed.offset),
                        reader: owners.get(&(topic.clone(), *partition)).cloned().unwrap_or_default(),
                    });
                }
            }
        }
    }

    fn owners(&self, group: &str) -> Owners {
        let classic = self.groups.get(group).and_then(|group| group.owners());
        let consumer = || self.consumers.get(group).map(|group| self.named_owners(group));
        classic.or_else(consumer).unwrap_or_default()
    }
}
