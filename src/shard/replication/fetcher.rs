//! Asking leaders for records: some tasks for each broker that leads partitions of which this shard has followers, each
//! with one request at a time for the partitions of its pace (`pace`).

use super::pace::Pace;
use super::throttle::Side;
use crate::base::{BrokerEpoch, ErrorCode, NodeId, TopicPartition};
use crate::peer::{ReplicaFetch, ReplicaFetched, ReplicaRead, Reply, Request};
use crate::replica::FetchPosition;
use crate::seam::World;
use crate::shard::notify::Notify;
use crate::shard::owner::Owner;
use crate::shard::partition::PartitionState;
use crate::shard::peers::Lane;
use crate::shard::{Broker, Shard};
use futures_lite::future::or;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

/// Time between two calls where the first brought no answer.
const CALL_PAUSE: Duration = Duration::from_millis(50);
/// Time between two questions about a partition where the first brought an error: one of both nodes has to hear of
/// something first.
const ERROR_PAUSE: Duration = Duration::from_millis(20);
/// Likewise where the leader's copy is damaged.
const DAMAGE_PAUSE: Duration = Duration::from_secs(1);
/// How long a request waits for a flush of what the one before brought.
const FLUSH_PATIENCE: Duration = Duration::from_secs(1);

/// What was asked of a leader.
type Asked = BTreeMap<TopicPartition, FetchPosition>;

/// Partitions that are left alone until then.
type Resting = BTreeMap<TopicPartition, Duration>;

/// How to tell a leader's tasks that they have others to ask for.
pub(super) struct Fetcher(BTreeMap<Pace, Notify>);

impl Fetcher {
    fn changed(&self, pace: Pace) -> &Notify {
        &self.0[&pace]
    }
}

impl<B: Broker> Shard<B> {
    /// A replica here follows this broker: sees to it that it is asked for it, now.
    pub(in crate::shard) fn fetch_from(&self, leader: NodeId, key: TopicPartition) {
        let known = self.0.replication.fetchers.borrow().get(&leader).cloned();
        let fetcher = known.unwrap_or_else(|| {
            let notifies = Pace::all().map(|pace| (pace, Notify::default())).collect();
            let fetcher = Rc::new(Fetcher(notifies));
            self.0.replication.fetchers.borrow_mut().insert(leader, fetcher.clone());
            for pace in Pace::all() {
                self.world().spawn(self.clone().fetch_task(leader, fetcher.clone(), pace));
            }
            fetcher
        });
        fetcher.changed(self.pace(key)).notify();
    }

    /// Which request is for a partition at the moment.
    fn pace(&self, key: TopicPartition) -> Pace {
        let busy = self.0.replication.pulses.borrow().is_busy(&key);
        if busy { Pace::Busy } else { Pace::quiet(key) }
    }

    /// Asks one broker for what replicas here lack, until the broker stops.
    async fn fetch_task(self, leader: NodeId, fetcher: Rc<Fetcher>, pace: Pace) {
        let mut resting = Resting::new();
        let mut served = None;
        let changed = fetcher.changed(pace);
        while !self.is_draining() {
            let (asked, next) = self.positions((leader, pace), &mut resting);
            if asked.is_empty() {
                match next {
                    Some(wait) => or(self.world().sleep(wait), changed.notified()).await,
                    None => changed.notified().await,
                }
                continue;
            }
            let order = in_turn(&asked, served);
            let request = Request::Fetch(self.fetch_request(order, pace, next));
            let answered = async { Some(self.call_peer(leader, Lane::Replication, request).await) };
            let changed_first = async {
                changed.notified().await;
                None
            };
            match or(answered, changed_first).await {
                // Others are to be asked for as well: the leader answers this request when the next one comes.
                None => {}
                Some(Ok(Reply::Fetch(fetched))) => {
                    served = fetched.last_served().or(served);
                    let brought = self.take_fetched(leader, &asked, fetched, &mut resting).await;
                    self.note_pulses(brought);
                }
                Some(outcome) => {
                    tracing::debug!(%leader, ?outcome, "a fetch brought nothing");
                    or(self.world().sleep(CALL_PAUSE), changed.notified()).await;
                }
            }
        }
    }

    /// From where each replica goes on that follows this broker, and when one that rests may be asked for again.
    fn positions(&self, (leader, pace): (NodeId, Pace), resting: &mut Resting) -> (Asked, Option<Duration>) {
        let now = self.world().mono();
        resting.retain(|_, until| *until > now);
        let throttle = self.throttle(Side::Followed, self.me());
        let owner = self.owner().borrow();
        let mut asked = Asked::new();
        for key in &self.keys_of((leader, pace), &owner) {
            let Some(partition) = owner.partitions.get(key) else { continue };
            let position = partition.replica.fetch_position().filter(|position| position.leader == leader);
            let Some(position) = position.filter(|_| partition.state == PartitionState::Online) else {
                continue;
            };
            if resting.contains_key(key) {
                continue;
            }
            match throttle.as_ref().and_then(|throttle| throttle.wait(*key)) {
                Some(wait) => drop(resting.insert(*key, now + wait)),
                None => drop(asked.insert(*key, position)),
            }
        }
        (asked, resting.values().min().map(|until| until.saturating_sub(now)))
    }

    fn fetch_request<'a>(
        &self,
        asked: impl Iterator<Item = (&'a TopicPartition, &'a FetchPosition)>,
        pace: Pace,
        next: Option<Duration>,
    ) -> ReplicaFetch {
        let conf = &self.conf().cluster;
        let owner = self.owner().borrow();
        let read = |(key, position): (&TopicPartition, &FetchPosition)| {
            let partition = owner.partitions.get(key);
            ReplicaRead {
                partition: *key,
                leader_epoch: position.leader_epoch,
                offset: position.offset,
                flushed: position.flushed,
                high_watermark: partition.map_or(-1, |partition| partition.replica.high_watermark()),
                last_epoch: position.last_epoch,
                log_start: position.log_start,
                max_bytes: conf.fetch_partition_bytes,
            }
        };
        let wait = next.map_or(conf.fetch_wait, |next| next.min(conf.fetch_wait));
        ReplicaFetch {
            replica: self.me(),
            shard: self.this(),
            pace: pace.number(),
            broker_epoch: self.broker_epoch().unwrap_or(BrokerEpoch(-1)),
            max_wait_ms: i32::try_from(wait.as_millis()).unwrap_or(i32::MAX),
            min_bytes: conf.fetch_min_bytes,
            max_bytes: conf.fetch_response_bytes,
            partitions: asked.map(read).collect(),
        }
    }

    /// The partitions that one of the tasks looks after, whoever leads them.
    fn keys_of(&self, (leader, pace): (NodeId, Pace), owner: &Owner<B>) -> Vec<TopicPartition> {
        self.rest_busy((leader, pace));
        let pulses = self.0.replication.pulses.borrow();
        match pace {
            Pace::Busy => pulses.busy().collect(),
            Pace::Quiet(_) => {
                let keys = owner.partitions.keys().copied();
                keys.filter(|key| Pace::quiet(*key) == pace && !pulses.is_busy(key)).collect()
            }
        }
    }

    /// Finds the partitions that are busy no more. One that a request under way names still is copied once all the
    /// same. The tasks of its share are told, for they may have thought that there is nothing to ask for; but not the
    /// one that is about to ask.
    fn rest_busy(&self, about_to_ask: (NodeId, Pace)) {
        let rested = self.0.replication.pulses.borrow_mut().rest(self.world().mono());
        let paces: BTreeSet<Pace> = rested.into_iter().map(Pace::quiet).collect();
        for (leader, fetcher) in &*self.0.replication.fetchers.borrow() {
            for pace in paces.iter().filter(|pace| (*leader, **pace) != about_to_ask) {
                fetcher.changed(*pace).notify();
            }
        }
    }

    /// Records came to these partitions, and are flushed. If one of them is busy from now on, whoever leads it by now
    /// is asked for it so.
    fn note_pulses(&self, keys: Vec<TopicPartition>) {
        let (mut pulses, now) = (self.0.replication.pulses.borrow_mut(), self.world().mono());
        if keys.into_iter().fold(false, |begins, key| pulses.came(key, now) | begins) {
            let fetchers = self.0.replication.fetchers.borrow();
            fetchers.values().for_each(|fetcher| fetcher.changed(Pace::Busy).notify());
        }
    }

    /// Takes what a leader answered, and waits until what it brought is flushed: the next request says so. Returns to
    /// which partitions it brought records.
    async fn take_fetched(
        &self,
        leader: NodeId,
        asked: &Asked,
        fetched: ReplicaFetched,
        resting: &mut Resting,
    ) -> Vec<TopicPartition> {
        let throttle = self.throttle(Side::Followed, self.me());
        let mut copied = Vec::new();
        for data in fetched.partitions {
            let key = data.partition;
            let Some(position) = asked.get(&key) else { continue };
            match self.take_data(leader, *position, data) {
                Err(error) => {
                    tracing::debug!(%leader, partition = %key, ?error, "a partition can't be fetched now");
                    let pause = if error == ErrorCode::CorruptMessage { DAMAGE_PAUSE } else { ERROR_PAUSE };
                    resting.insert(key, self.world().mono() + pause);
                }
                Ok(0) => {}
                Ok(bytes) => {
                    copied.push(key);
                    throttle.iter().for_each(|throttle| throttle.spend(key, bytes));
                }
            }
        }
        if copied.is_empty() {
            return copied;
        }
        self.flush_due().notify();
        let settled = || {
            let owner = self.owner().borrow();
            copied.iter().all(|key| {
                owner.partitions.get(key).is_none_or(|partition| {
                    partition.state != PartitionState::Online || partition.replica.is_settled()
                })
            })
        };
        self.within(FLUSH_PATIENCE, self.produce_done().until(settled)).await;
        copied
    }
}

/// Begins after the last partition that was served: where an answer hasn't room for all, those at the end would get
/// nothing for as long as the others have something, and fall out of sync.
fn in_turn(
    asked: &Asked,
    served: Option<TopicPartition>,
) -> impl Iterator<Item = (&TopicPartition, &FetchPosition)> {
    let comes_late = move |key: &TopicPartition| served.is_some_and(|served| *key <= served);
    let (first, late) = (asked.iter(), asked.iter());
    first.filter(move |(key, _)| !comes_late(key)).chain(late.filter(move |(key, _)| comes_late(key)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{LeaderEpoch, PartitionIndex, TopicId};

    fn key(partition: i32) -> TopicPartition {
        TopicPartition { topic: TopicId([1; 16]), partition: PartitionIndex(partition) }
    }

    fn position() -> FetchPosition {
        FetchPosition {
            leader: NodeId(1),
            leader_epoch: LeaderEpoch(0),
            offset: 0,
            flushed: 0,
            last_epoch: LeaderEpoch(-1),
            log_start: 0,
        }
    }

    #[test]
    fn whoever_was_served_last_comes_last() {
        let asked: Asked = [2, 4, 6, 8].into_iter().map(|partition| (key(partition), position())).collect();
        let order = |served: Option<i32>| -> Vec<i32> {
            in_turn(&asked, served.map(key)).map(|(key, _)| key.partition.0).collect()
        };
        assert_eq!(order(None), [2, 4, 6, 8]);
        assert_eq!(order(Some(4)), [6, 8, 2, 4]);
        assert_eq!(order(Some(5)), [6, 8, 2, 4], "it isn't asked for any more");
        assert_eq!(order(Some(8)), [2, 4, 6, 8]);
    }
}
