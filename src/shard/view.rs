//! This shard's copy of the metadata, and the partitions that follow it.
//!
//! Changes are taken one after the other. A change counts as applied once the partitions that this shard owns follow
//! it: the answer to CreateTopics waits for that, so that a client can produce at once (row 16).

use super::message::Message;
use super::origin::COORDINATOR;
use super::owner::Outbox;
use super::partition::Partition;
use super::replication::is_replica;
use super::storage::{LogConf, PartitionLog, Recovered, StorageError};
use super::{Broker, FilesOf, Shard};
use crate::base::{NodeId, PartitionIndex, TopicId, TopicPartition};
use crate::cluster::{ClusterState, Record, Topic, owner_shard};
use crate::conf::{Durability as Promise, InForce, TopicConf};
use crate::log::compact::Policy;
use crate::replica::{Durability, Replica, Rules};
use crate::seam::{Files, World};
use crate::wire::Str;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

/// Partitions that are recovered at the same time at start.
const RECOVERIES_AT_ONCE: usize = 16;

/// A change that waits for its turn.
pub(super) enum Change {
    /// The whole metadata, to begin with or to begin anew with, as of an entry of its log.
    Install(u64, Bytes),
    /// Some records.
    Apply(u64, Arc<Vec<Record>>),
}

impl<B: Broker> Shard<B> {
    pub(super) fn install(&self, index: u64, state: Bytes) {
        self.queue_change(Change::Install(index, state));
    }

    pub(super) fn apply(&self, change: u64, records: Arc<Vec<Record>>) {
        self.queue_change(Change::Apply(change, records));
    }

    fn queue_change(&self, change: Change) {
        self.0.changes.borrow_mut().push_back(change);
        self.0.changes_due.notify();
    }

    /// Follows the metadata until the shard ends.
    pub(super) async fn view_task(self) {
        loop {
            self.0.changes_due.notified().await;
            loop {
                let change = self.0.changes.borrow_mut().pop_front();
                let Some(change) = change else { break };
                let number = match change {
                    Change::Install(index, state) => self.install_now(index, &state).await,
                    Change::Apply(number, records) => self.apply_now(number, &records).await,
                };
                let records = self.0.view.borrow().applied();
                self.0.followed.set(records);
                self.answer_early_calls();
                self.answer_early_group_calls();
                self.answer_early_txn_calls();
                if self.this() == COORDINATOR {
                    self.applied(self.this(), number, records);
                } else {
                    let shard = self.this();
                    self.send(COORDINATOR, Message::Applied { shard, change: number, records });
                }
            }
        }
    }

    async fn install_now(&self, index: u64, state: &Bytes) -> u64 {
        let state = ClusterState::decode(state.clone()).expect("the coordinator has read it before");
        if self.0.begun.replace(true) {
            self.begin_anew_with(state).await;
        } else {
            let owned = self.owned_by(&state);
            *self.0.view.borrow_mut() = state;
            self.recover_all(owned).await;
            self.set_strays_aside().await;
        }
        index
    }

    /// Follows a state that this shard didn't see come to be: it was told of too many changes at once.
    async fn begin_anew_with(&self, state: ClusterState) {
        let names = |state: &ClusterState| -> BTreeMap<TopicId, Str> {
            state.topics().map(|topic| (topic.id, topic.name.clone())).collect()
        };
        let after = names(&state);
        let before = names(&self.0.view.replace(state));
        let deleted: Vec<Str> =
            before.iter().filter(|(id, _)| !after.contains_key(id)).map(|(_, name)| name.clone()).collect();
        if !deleted.is_empty() {
            self.groups_forget_topics(&deleted);
        }
        self.groups_see_topics();
        let touched: BTreeSet<TopicId> = before.into_keys().chain(after.into_keys()).collect();
        for topic in touched {
            self.follow_topic(topic).await;
        }
    }

    async fn apply_now(&self, number: u64, records: &[Record]) -> u64 {
        let mut touched: Vec<TopicId> = Vec::new();
        let mut deleted: Vec<Str> = Vec::new();
        let mut changed: BTreeSet<TopicPartition> = BTreeSet::new();
        let mut brokers: BTreeSet<NodeId> = BTreeSet::new();
        {
            let mut view = self.0.view.borrow_mut();
            for record in records {
                if let Record::RemoveTopic { topic } = record {
                    deleted.extend(view.topic_by_id(*topic).map(|topic| topic.name.clone()));
                }
                view.apply(record);
                brokers.extend(record.broker());
                match record.partition() {
                    Some(key) => drop(changed.insert(key)),
                    None => touched.extend(record.topic()),
                }
            }
            if records.iter().any(Record::changes_defaults) {
                touched.extend(view.topics().map(|topic| topic.id));
            }
        }
        touched.sort_unstable();
        touched.dedup();
        if !deleted.is_empty() {
            self.groups_forget_topics(&deleted);
        }
        if !touched.is_empty() {
            self.groups_see_topics();
        }
        for topic in touched {
            self.follow_topic(topic).await;
        }
        if !brokers.is_empty() {
            changed.extend(self.replicas_beside(&brokers));
        }
        for key in changed {
            self.follow_partition(key).await;
        }
        number
    }

    fn owned_by(&self, state: &ClusterState) -> VecDeque<TopicPartition> {
        let partitions = |topic: &Topic| {
            let id = topic.id;
            (0i32..)
                .take(topic.partitions.len())
                .map(move |p| TopicPartition { topic: id, partition: PartitionIndex(p) })
        };
        let all = state.topics().flat_map(partitions);
        let mine = all.filter(|key| owner_shard(*key, self.shards()) == self.this());
        mine.filter(|key| is_replica(state, *key, self.me())).collect()
    }

    /// Partitions here that these brokers have replicas of, too.
    fn replicas_beside(&self, brokers: &BTreeSet<NodeId>) -> Vec<TopicPartition> {
        let view = self.0.view.borrow();
        let owner = self.owner().borrow();
        let beside = |key: &&TopicPartition| {
            let entry = view.partition(**key);
            entry.is_some_and(|entry| entry.replicas.iter().any(|replica| brokers.contains(replica)))
        };
        owner.partitions.keys().filter(beside).copied().collect()
    }

    async fn recover_all(&self, owned: VecDeque<TopicPartition>) {
        let queue = std::rc::Rc::new(std::cell::RefCell::new(owned));
        let left = std::rc::Rc::new(std::cell::Cell::new(RECOVERIES_AT_ONCE));
        let done = std::rc::Rc::new(super::notify::Notify::default());
        for _ in 0..RECOVERIES_AT_ONCE {
            let (shard, queue, left, done) = (self.clone(), queue.clone(), left.clone(), done.clone());
            self.world().spawn(async move {
                loop {
                    let next = queue.borrow_mut().pop_front();
                    let Some(key) = next else { break };
                    shard.open_partition(key, true).await;
                }
                left.set(left.get() - 1);
                done.notify();
            });
        }
        done.until(|| left.get() == 0).await;
    }

    /// Makes the partitions of one topic follow the metadata: missing ones are created, deleted ones go, the rest
    /// take the topic's settings.
    async fn follow_topic(&self, id: TopicId) {
        let wanted = {
            let view = self.0.view.borrow();
            view.topic_by_id(id).map(|topic| (topic.partitions.len(), self.settings(&view, topic)))
        };
        let Some((count, (rules, log_conf))) = wanted else { return self.drop_topic(id).await };
        for partition in (0i32..).take(count).map(PartitionIndex) {
            let key = TopicPartition { topic: id, partition };
            if owner_shard(key, self.shards()) != self.this() {
                continue;
            }
            let known = {
                let mut owner = self.owner().borrow_mut();
                owner.partitions.get_mut(&key).map(|partition| {
                    partition.set_rules(rules);
                    partition.log.set_conf(log_conf.clone());
                })
            };
            let here = is_replica(&self.0.view.borrow(), key, self.me());
            match known {
                Some(()) => self.follow_partition(key).await,
                None if here => self.open_partition(key, false).await,
                None => {}
            }
        }
        self.retention_due().notify();
        self.0.compaction_due.notify();
    }

    /// Makes one partition follow the metadata: it is opened where this node has got a replica of it, and removed where
    /// it has none any more.
    async fn follow_partition(&self, key: TopicPartition) {
        if owner_shard(key, self.shards()) != self.this() {
            return;
        }
        let here = is_replica(&self.0.view.borrow(), key, self.me());
        let open = self.owner().borrow().partitions.contains_key(&key);
        match (here, open) {
            (true, true) => {
                self.cut_at_rest(key).await;
                self.assign(key);
            }
            (true, false) => self.open_partition(key, false).await,
            (false, true) => {
                self.assign(key);
                self.drop_replicas(vec![key]).await;
            }
            (false, false) => {}
        }
    }

    fn settings(&self, view: &ClusterState, topic: &Topic) -> (Rules, LogConf) {
        let in_force = self.in_force(view);
        let conf = TopicConf::check(&topic.configs, &in_force).unwrap_or_else(|problems| {
            // They were checked before they were committed; a broker default that changed since may clash.
            tracing::error!(topic = %topic.name, ?problems, "settings don't fit this broker; using its defaults");
            TopicConf::defaults(&in_force)
        });
        (rules(&conf, &in_force), log_conf(&conf))
    }

    /// This broker's settings as they are now.
    pub(super) fn in_force<'a>(&'a self, view: &'a ClusterState) -> InForce<'a> {
        InForce { start: self.conf(), of_all: view.broker_configs(), of_this: view.node_configs(self.me()) }
    }

    /// Where the partitions' folders are.
    pub(super) fn log_dir(&self) -> PathBuf {
        self.0.data_dir.join("log")
    }

    pub(super) fn partition_dir(&self, key: TopicPartition) -> PathBuf {
        self.log_dir().join(key.to_string())
    }

    /// Creates or recovers one partition of this shard and takes it into service.
    async fn open_partition(&self, key: TopicPartition, recover: bool) {
        let found = {
            let view = self.0.view.borrow();
            view.topic_by_id(key.topic).and_then(|topic| {
                let index = usize::try_from(key.partition.0).ok()?;
                topic.partitions.get(index)?;
                Some((topic.name.clone(), self.settings(&view, topic)))
            })
        };
        let Some((name, (rules, conf))) = found else { return };
        let mut opened = self.open_log(key, conf.clone(), recover).await;
        if let Err(error) = &opened
            && error.is_damage()
            && self.begins_anew(key, error).await
        {
            opened = self.open_log(key, conf, false).await;
        }
        match opened {
            Ok(recovered) => self.take_into_service(key, name, rules, recovered),
            Err(error) => {
                tracing::error!(partition = %key, topic = %name, %error, "the partition can't be opened: offline")
            }
        }
    }

    async fn open_log(
        &self,
        key: TopicPartition,
        conf: LogConf,
        recover: bool,
    ) -> Result<Recovered<FilesOf<B>>, StorageError> {
        let dir = self.partition_dir(key);
        let (files, cache, now_ms) = (self.world().files(), &self.0.cache, self.world().wall_ms());
        if recover {
            PartitionLog::recover(files, (&dir, key), conf, cache, now_ms).await
        } else {
            PartitionLog::create(files, (&dir, key), conf, cache, now_ms).await
        }
    }

    fn take_into_service(
        &self,
        key: TopicPartition,
        name: Str,
        rules: Rules,
        recovered: Recovered<FilesOf<B>>,
    ) {
        let Recovered { log, state } = recovered;
        let replica = Replica::new(self.me(), rules, state);
        self.owner().borrow_mut().partitions.insert(key, Partition::new(replica, log, name));
        self.assign(key);
    }

    /// Waits until nothing is written any more to a partition that was taken out of service: a file that is made in a
    /// folder that is gone would count as a failure of the disk.
    pub(super) async fn at_rest(&self, key: TopicPartition) {
        let begun = self.0.commits.begun();
        self.produce_done().until(|| self.0.commits.ended() >= begun).await;
        self.prepare_done().until(|| self.0.preparing.get() != Some(key)).await;
        self.compaction_at_rest(key).await;
        self.checkpoint_at_rest(key).await;
    }

    async fn drop_topic(&self, id: TopicId) {
        let of_topic = |key: &&TopicPartition| key.topic == id;
        let keys = self.owner().borrow().partitions.keys().filter(of_topic).copied().collect();
        self.drop_replicas(keys).await;
    }

    /// Takes replicas out of service and removes their files.
    async fn drop_replicas(&self, keys: Vec<TopicPartition>) {
        self.resign_groups(|key| keys.contains(key));
        self.resign_txns(|key| keys.contains(key));
        let mut outbox = Outbox::default();
        for key in &keys {
            self.owner().borrow_mut().abandon(*key, &mut outbox);
        }
        self.deliver(outbox);
        for key in keys {
            self.cut_at_rest(key).await;
            self.at_rest(key).await;
            let dir = self.partition_dir(key);
            if let Err(error) = self.world().files().remove_dir(&dir).await {
                tracing::warn!(partition = %key, %error, "could not remove a deleted partition's files");
            }
        }
    }
}

fn rules(topic: &TopicConf, broker: &InForce<'_>) -> Rules {
    Rules {
        max_message_bytes: topic.max_message_bytes,
        segment_bytes: topic.segment_bytes,
        append_time: topic.log_append_time,
        before_max_ms: topic.timestamp_before_max_ms,
        after_max_ms: topic.timestamp_after_max_ms,
        compacted: topic.cleanup_compact,
        compact_only: topic.cleanup_compact && !topic.cleanup_delete,
        min_insync_replicas: topic.min_insync_replicas,
        durability: match broker.start.durability {
            Promise::Durable => Durability::Durable,
            Promise::Replicated => Durability::Written,
            Promise::Fast => Durability::Accepted,
        },
        producer_expiry_ms: broker.value("producer.id.expiration.ms").parse().expect("checked"),
        replica_lag_max_ms: i64::try_from(broker.start.cluster.replica_lag_max.as_millis())
            .unwrap_or(i64::MAX),
    }
}

fn log_conf(topic: &TopicConf) -> LogConf {
    LogConf {
        segment_bytes: topic.segment_bytes as u64,
        segment_ms: topic.segment_ms,
        retention_ms: topic.cleanup_delete.then_some(topic.retention_ms).flatten(),
        retention_bytes: topic.cleanup_delete.then_some(topic.retention_bytes).flatten(),
        compaction: topic.cleanup_compact.then_some(Policy {
            min_dirty_millionths: topic.min_dirty_millionths,
            min_lag_ms: topic.min_compaction_lag_ms,
            max_lag_ms: topic.max_compaction_lag_ms,
            delete_retention_ms: topic.delete_retention_ms,
        }),
    }
}
