//! What replicas are: leaders or followers, as the metadata says; and coordinators, which go with leadership.

use crate::base::{BrokerEpoch, LeaderEpoch, NodeId, Offset, TopicPartition};
use crate::cluster::{ClusterState, NO_LEADER, PartitionEntry};
use crate::metrics::ReplicasSeen;
use crate::replica::{Assignment, Event, Member};
use crate::seam::World;
use crate::shard::owner::Outbox;
use crate::shard::partition::PartitionState;
use crate::shard::{Broker, Shard};

/// What the metadata says of a partition. A shard begins with a state that knows this very process.
fn assignment(state: &ClusterState, entry: &PartitionEntry) -> Assignment {
    let member = |id: &NodeId| {
        let broker = state.broker(*id);
        let broker_epoch = broker.map_or(BrokerEpoch(-1), |broker| broker.epoch);
        Member { id: *id, broker_epoch, able: state.is_active(*id) }
    };
    Assignment {
        leader: Some(entry.leader).filter(|leader| *leader != NO_LEADER),
        leader_epoch: entry.leader_epoch,
        partition_epoch: entry.partition_epoch,
        replicas: entry.replicas.iter().map(member).collect(),
        isr: entry.isr.clone(),
        registered: true,
    }
}

/// How one replica fares, for whoever watches a cluster from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaFacts {
    /// Its partition.
    pub partition: TopicPartition,
    /// It leads, under this epoch.
    pub leads: Option<LeaderEpoch>,
    /// Where its log ends.
    pub end: Offset,
    /// Where what survives a loss of power ends.
    pub durable: Offset,
    /// End of what it knows to be committed.
    pub high_watermark: Offset,
    /// What the metadata says of the partition, as far as this node knows.
    pub entry: Option<PartitionEntry>,
}

impl<B: Broker> Shard<B> {
    /// How this shard's replicas fare.
    #[must_use]
    pub fn replicas(&self) -> Vec<ReplicaFacts> {
        let (owner, view) = (self.owner().borrow(), self.0.view.borrow());
        let online =
            owner.partitions.iter().filter(|(_, partition)| partition.state == PartitionState::Online);
        let facts = online.map(|(key, partition)| {
            let replica = &partition.replica;
            ReplicaFacts {
                partition: *key,
                leads: replica.is_leading().then(|| replica.epoch()),
                end: replica.log_end(),
                durable: replica.durable(),
                high_watermark: replica.high_watermark(),
                entry: view.partition(*key).cloned(),
            }
        });
        facts.collect()
    }

    /// This node's id.
    pub(in crate::shard) fn me(&self) -> NodeId {
        NodeId(self.0.node.id)
    }

    /// Lets a replica follow what the metadata says of it; coordinators come and go with leadership.
    pub(in crate::shard) fn assign(&self, key: TopicPartition) {
        let found = {
            let view = self.0.view.borrow();
            let name = view.topic_by_id(key.topic).map(|topic| topic.name.clone());
            name.zip(view.partition(key).map(|entry| assignment(&view, entry)))
        };
        let Some((name, assignment)) = found else { return };
        tracing::debug!(node = self.me().0, partition = %key, ?assignment, "a replica is told its role");
        let leader = assignment.leader;
        let (led_before, in_sync_before) = (self.leads(key), self.in_sync(key));
        let mut outbox = Outbox::default();
        let event = Event::Assigned { assignment: Box::new(assignment), now_ms: self.world().wall_ms() };
        self.owner().borrow_mut().step(key, event, &mut outbox);
        self.deliver(outbox);
        let leads_now = self.leads(key);
        if led_before.is_some() && led_before != leads_now {
            self.resign_groups(|other| *other == key);
            self.resign_txns(|other| *other == key);
        }
        if led_before.is_some() && led_before == leads_now {
            let (before, now) = (in_sync_before, self.in_sync(key));
            self.metrics().isr_changed(before.saturating_sub(now) as u64, now.saturating_sub(before) as u64);
        }
        if let Some(epoch) = leads_now.filter(|_| led_before != leads_now) {
            self.host_groups(key, &name, epoch);
            self.host_txns(key, &name, epoch);
        }
        if let Some(leader) = leader.filter(|leader| *leader != self.me()) {
            self.fetch_from(leader, key);
        }
        self.0.replication.moved.notify();
    }

    /// Under which epoch the replica here leads, if it does.
    pub(in crate::shard) fn leads(&self, key: TopicPartition) -> Option<LeaderEpoch> {
        let owner = self.owner().borrow();
        let replica = &owner.partitions.get(&key)?.replica;
        replica.is_leading().then(|| replica.epoch())
    }

    fn in_sync(&self, key: TopicPartition) -> usize {
        self.owner().borrow().partitions.get(&key).map_or(0, |partition| partition.replica.in_sync())
    }

    /// A shard's log directory failed. The broker is of no use to its cluster until it is started again: it asks to be
    /// fenced, so that others lead what it led.
    pub(in crate::shard) fn note_failed_log_dir(&self) {
        self.0.replication.log_dir_failed.set(true);
    }

    /// Whether a log directory of this broker failed (`Heartbeat::wants_fence`). Known on shard 0.
    pub(in crate::shard) fn has_failed_log_dir(&self) -> bool {
        self.0.replication.log_dir_failed.get()
    }

    /// How the replicas here fare.
    pub(in crate::shard) fn look_at_replicas(&self) {
        let mut seen = ReplicasSeen::default();
        for partition in self.owner().borrow().partitions.values() {
            let replica = &partition.replica;
            seen.leaderless += usize::from(!replica.has_leader());
            if !replica.is_leading() {
                continue;
            }
            seen.led += 1;
            seen.under_min_isr += usize::from(!replica.has_enough());
            seen.under_replicated += usize::from(replica.followers().any(|follower| !follower.in_sync));
            let lag = replica.followers().filter_map(|follower| follower.lag).max().unwrap_or(0);
            seen.lag_max = seen.lag_max.max(usize::try_from(lag).unwrap_or(0));
        }
        self.metrics().replicas_seen(seen);
    }

    /// Waits until it is known what a leader's predecessors have committed; false if it isn't the leader under this
    /// epoch any more.
    pub(in crate::shard) async fn established(&self, key: TopicPartition, epoch: LeaderEpoch) -> bool {
        let settled = || {
            let owner = self.owner().borrow();
            let replica = owner.partitions.get(&key).map(|partition| &partition.replica);
            replica.is_none_or(|replica| {
                replica.epoch() != epoch || !replica.is_leading() || replica.is_established()
            })
        };
        self.0.replication.moved.until(settled).await;
        self.leads(key) == Some(epoch)
    }
}
