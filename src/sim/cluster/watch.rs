//! What holds of a cluster at every moment, whatever befalls it (`replication-and-durability` 3, I1 to I4): looked at
//! again and again while it runs, for much that is wrong heals before anybody reads.

use super::Cluster;
use crate::base::{LeaderEpoch, NodeId, Offset, TopicPartition};
use crate::cluster::PartitionEntry;
use std::collections::BTreeMap;
use std::rc::Rc;

/// What was seen of a run's replicas.
#[derive(Debug, Default)]
struct Watch {
    /// Who led, by partition and epoch.
    leaders: BTreeMap<(TopicPartition, LeaderEpoch), i32>,
    /// How far leaders have said that a partition is committed, and the latest epoch in which one did.
    committed: BTreeMap<TopicPartition, (Offset, LeaderEpoch)>,
    /// What each replica keeps whose node serves now: of others nobody knows how far they came.
    durable: BTreeMap<(TopicPartition, i32), Offset>,
    /// Each partition in the latest version of the metadata that a node has.
    entries: BTreeMap<TopicPartition, PartitionEntry>,
}

/// Watches until the run ends.
pub(super) async fn over(cluster: Rc<Cluster>) {
    let mut watch = Watch::default();
    loop {
        watch.look(&cluster);
        cluster.exec.sleep(cluster.exec.micros(0, 8_000)).await;
    }
}

impl Watch {
    fn look(&mut self, cluster: &Cluster) {
        let mut leading = Vec::new();
        self.durable.clear();
        for node in &cluster.nodes {
            for facts in node.replicas() {
                self.durable.insert((facts.partition, node.id()), facts.durable);
                self.note_entry(facts.partition, facts.entry.clone());
                if let Some(epoch) = facts.leads {
                    leading.push((node.id(), epoch, facts));
                }
            }
        }
        for (node, epoch, facts) in &leading {
            let key = facts.partition;
            let first = *self.leaders.entry((key, *epoch)).or_insert(*node);
            assert_eq!(first, *node, "{key} has two leaders in {epoch:?}");
            let (committed, since) = *self.committed.entry(key).or_insert((0, *epoch));
            assert!(
                *epoch < since || facts.end >= committed,
                "{key}: node {node} leads in {epoch:?} and has {}, but {committed} is committed",
                facts.end
            );
            if facts.high_watermark > committed {
                self.committed.insert(key, (facts.high_watermark, (*epoch).max(since)));
            }
        }
        for (_, _, facts) in &leading {
            self.judge_copies(cluster, facts.partition);
        }
    }

    fn note_entry(&mut self, key: TopicPartition, entry: Option<PartitionEntry>) {
        let Some(entry) = entry else { return };
        let before = self.entries.get(&key).map(|before| before.partition_epoch);
        if before.is_none_or(|before| before < entry.partition_epoch) {
            self.entries.insert(key, entry);
        }
    }

    /// What is committed is kept by all that are in sync, and by as many replicas as min.insync.replicas demands.
    fn judge_copies(&self, cluster: &Cluster, key: TopicPartition) {
        let (committed, _) = self.committed[&key];
        if committed == 0 {
            return;
        }
        let entry = &self.entries[&key];
        let lacks = |id: &&NodeId| self.durable.get(&(key, id.0)).is_some_and(|durable| *durable < committed);
        let needed = usize::try_from(cluster.shape.min_isr).expect("small");
        let lacking = entry.replicas.iter().filter(lacks).count();
        assert!(
            entry.replicas.len() - lacking >= needed,
            "{key}: {committed} is committed, {needed} replicas are to keep it, and {lacking} of {:?} don't",
            entry.replicas
        );
        let behind = entry.isr.iter().find(lacks);
        assert!(behind.is_none(), "{key}: {committed} is committed, and {behind:?} is in sync and lacks it");
    }
}
