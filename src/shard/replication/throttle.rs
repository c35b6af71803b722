//! Throttled replicas: what catches up may be given a rate, so that it leaves room for clients.
//!
//! As in Apache Kafka (KIP-73), topics name the replicas (`leader.replication.throttled.replicas` and
//! `follower.replication.throttled.replicas`), brokers have the rates, and replicas in sync are never held back: an
//! acknowledgement would wait for them. Each shard has its part of its broker's rate.

use crate::base::{NodeId, TopicPartition};
use crate::conf::{FOLLOWER_RATE, LEADER_RATE};
use crate::seam::World;
use crate::shard::{Broker, Shard};
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

impl<B: Broker> Shard<B> {
    /// How long this shard is to leave a partition alone that it follows.
    pub(super) fn follower_throttle(&self, key: TopicPartition) -> Option<Duration> {
        let rate = self.throttled(key, self.me(), (FOLLOWER_RATE, FOLLOWED))?;
        let wait = self.0.replication.followed.borrow_mut().wait(rate, self.world().mono());
        Some(wait).filter(|wait| !wait.is_zero())
    }

    /// Bytes of a partition came from its leader.
    pub(super) fn note_followed(&self, key: TopicPartition, bytes: usize) {
        if self.throttled(key, self.me(), (FOLLOWER_RATE, FOLLOWED)).is_some() {
            self.0.replication.followed.borrow_mut().spend(bytes);
        }
    }

    /// Whether a follower gets nothing of a partition for now.
    pub(super) fn leader_throttle(&self, key: TopicPartition, follower: NodeId) -> bool {
        let rate = self.throttled(key, follower, (LEADER_RATE, LED));
        rate.is_some_and(|rate| {
            !self.0.replication.led.borrow_mut().wait(rate, self.world().mono()).is_zero()
        })
    }

    /// Bytes of a partition go to a follower.
    pub(super) fn note_led(&self, key: TopicPartition, follower: NodeId, bytes: usize) {
        if self.throttled(key, follower, (LEADER_RATE, LED)).is_some() {
            self.0.replication.led.borrow_mut().spend(bytes);
        }
    }

    /// This shard's part of the rate, if it holds for this replica, which isn't in sync. Next to no work where no rate
    /// is set.
    fn throttled(&self, key: TopicPartition, replica: NodeId, (rate, topics): (&str, &str)) -> Option<u64> {
        let view = self.0.view.borrow();
        let set = view.node_configs(self.me()).get(rate).or_else(|| view.broker_configs().get(rate));
        let rate = set?.parse::<u64>().ok()?;
        let setting = view.topic_by_id(key.topic)?.configs.get(topics)?;
        let catches_up = !view.partition(key)?.isr.contains(&replica);
        let named = names(setting, key.partition.0, self.me().0);
        (catches_up && named).then_some(rate / u64::from(self.shards()).max(1))
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
