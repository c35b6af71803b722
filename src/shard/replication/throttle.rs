//! Throttled replicas: what catches up may be given a rate, so that it leaves room for clients.
//!
//! As in Apache Kafka (KIP-73), topics name the replicas (`leader.replication.throttled.replicas` and
//! `follower.replication.throttled.replicas`), brokers have the rates, and replicas in sync are never held back: an
//! acknowledgement would wait for them. Each shard has its part of its broker's rate.

use crate::base::{NodeId, TopicPartition};
use crate::conf::{FOLLOWER_RATE, LEADER_RATE};
use crate::seam::World;
use crate::shard::{Broker, Shard};
use std::cell::RefCell;
use std::time::Duration;

/// The topics' settings.
const LED: &str = "leader.replication.throttled.replicas";
const FOLLOWED: &str = "follower.replication.throttled.replicas";

/// A budget of bytes that fills with time, up to what one second brings. It may be overdrawn: how much an answer
/// brings is known when it is there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Budget {
    bytes: f64,
    at: Duration,
}

impl Budget {
    /// How long nothing more may be spent at this rate, in bytes a second.
    fn wait(&mut self, rate: u64, now: Duration) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "a rate that is a few bytes off is as good")]
        let rate = rate.max(1) as f64;
        let since = now.saturating_sub(self.at).as_secs_f64();
        self.bytes = (self.bytes + since * rate).min(rate);
        self.at = now;
        Duration::try_from_secs_f64(-self.bytes / rate).unwrap_or(Duration::ZERO)
    }

    fn spend(&mut self, bytes: usize) {
        #[expect(clippy::cast_precision_loss, reason = "answers are far below 2^52 bytes")]
        let bytes = bytes as f64;
        self.bytes -= bytes;
    }
}

/// Whether a topic's setting names the replica of this partition on this broker.
fn names(setting: &str, partition: i32, broker: i32) -> bool {
    let is_it = |pair: &str| {
        let (first, second) = pair.split_once(':')?;
        Some((first.trim().parse().ok()?, second.trim().parse().ok()?) == (partition, broker))
    };
    setting.trim() == "*" || setting.split(',').any(|pair| is_it(pair) == Some(true))
}

/// Which end of the copying a rate is of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    /// What leaders here send.
    Led,
    /// What followers here take.
    Followed,
}

/// What this broker's rate asks of one fetch: looked up once, for a fetch may be of thousands of partitions.
pub(super) struct Throttle<'a, B: Broker> {
    shard: &'a Shard<B>,
    side: Side,
    /// Whose copying it is.
    replica: NodeId,
    wait: Duration,
}

impl<B: Broker> Throttle<'_, B> {
    /// How long nothing is to be copied of a partition, if it is held back now.
    pub(super) fn wait(&self, key: TopicPartition) -> Option<Duration> {
        (!self.wait.is_zero() && self.is_held_back(key)).then_some(self.wait)
    }

    /// Bytes of a partition were copied.
    pub(super) fn spend(&self, key: TopicPartition, bytes: usize) {
        if bytes > 0 && self.is_held_back(key) {
            self.shard.budget(self.side).borrow_mut().spend(bytes);
        }
    }

    /// Whether the partition's topic names this replica, and the replica isn't in sync.
    fn is_held_back(&self, key: TopicPartition) -> bool {
        let topics = match self.side {
            Side::Led => LED,
            Side::Followed => FOLLOWED,
        };
        let view = self.shard.0.view.borrow();
        let setting = view.topic_by_id(key.topic).and_then(|topic| topic.configs.get(topics));
        setting.is_some_and(|setting| names(setting, key.partition.0, self.shard.me().0))
            && view.partition(key).is_some_and(|partition| !partition.isr.contains(&self.replica))
    }
}

impl<B: Broker> Shard<B> {
    /// The throttle of a fetch, if this broker has a rate. Each shard has its part of it.
    pub(super) fn throttle(&self, side: Side, replica: NodeId) -> Option<Throttle<'_, B>> {
        let name = match side {
            Side::Led => LEADER_RATE,
            Side::Followed => FOLLOWER_RATE,
        };
        let rate = self.in_force(&self.0.view.borrow()).change(name)?.parse::<u64>().ok()?;
        let part = rate / u64::from(self.shards());
        let wait = self.budget(side).borrow_mut().wait(part, self.world().mono());
        Some(Throttle { shard: self, side, replica, wait })
    }

    fn budget(&self, side: Side) -> &RefCell<Budget> {
        match side {
            Side::Led => &self.0.replication.led,
            Side::Followed => &self.0.replication.followed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Budget, names};
    use std::time::Duration;

    #[test]
    fn a_budget_is_overdrawn_once_and_waits_until_it_is_even() {
        let mut budget = Budget::default();
        let at = Duration::from_millis;
        assert_eq!(budget.wait(1000, at(0)), at(0));
        budget.spend(3000);
        assert_eq!(budget.wait(1000, at(1000)), at(2000));
        assert_eq!(budget.wait(1000, at(3000)), at(0));
        // A second's worth is kept, and no more.
        assert_eq!(budget.wait(1000, at(60_000)), at(0));
        budget.spend(1500);
        assert_eq!(budget.wait(1000, at(60_000)), at(500));
        budget.spend(0);
        assert_eq!(budget.wait(0, at(60_000)), at(500_000), "no rate is one byte a second");
    }

    #[test]
    fn a_setting_names_all_replicas_or_some() {
        assert!(names("*", 3, 1));
        assert!(names("0:1,3:2", 3, 2));
        assert!(names(" 3 : 2 ", 3, 2));
        assert!(!names("0:1,3:2", 3, 1) && !names("", 0, 0) && !names("3", 3, 3));
    }
}
