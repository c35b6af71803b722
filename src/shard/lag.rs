//! What a shard tells operators of groups: what they have committed, how far behind that is, and their rebalances.

use super::{Broker, Shard};
use crate::base::{Offset, PartitionIndex, TopicPartition};
use crate::group::CommitTold;
use crate::group::chronicle::Rebalance;
use crate::group::lag::Since;
use crate::seam::World;

/// How far behind a committed offset is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Behind {
    /// Where the partition ends.
    pub end: Offset,
    /// How long the oldest unread record has waited, in ms; 0 if there is none.
    pub waited_ms: u64,
    /// It may be longer.
    pub is_at_least: bool,
    /// Records written a second.
    pub rate: f64,
}

impl<B: Broker> Shard<B> {
    /// Offsets that groups with coordinators on this shard have committed: of one group, or of all, up to so many.
    #[must_use]
    pub fn tell_commits(&self, group: Option<&str>, most: usize) -> Vec<CommitTold> {
        let now_ms = self.now().mono_ms;
        let groups = self.0.groups.borrow();
        let mut told = Vec::new();
        for (_, coordinator) in groups.hosted.all_ready() {
            coordinator.tell_commits(group, now_ms, most, &mut told);
        }
        told
    }

    /// How far behind an offset of a partition of this shard is; `None` for others.
    #[must_use]
    pub fn tell_behind(&self, topic: &str, partition: i32, committed: Offset) -> Option<Behind> {
        let topic = self.0.view.borrow().topic(topic)?.id;
        let now_ms = self.now().mono_ms;
        let owner = self.owner().borrow();
        let key = TopicPartition { topic, partition: PartitionIndex(partition) };
        let partition = owner.partitions.get(&key)?;
        let end = partition.replica.high_watermark();
        // What retention deleted nobody waits for.
        let oldest = committed.max(partition.replica.log_start());
        let since = partition.course.since(oldest, now_ms, end);
        let Since { ms, is_at_least } = since.unwrap_or(Since { ms: now_ms, is_at_least: false });
        let rate = partition.course.rate(now_ms, end);
        Some(Behind { end, waited_ms: now_ms.saturating_sub(ms), is_at_least, rate })
    }

    /// A group's rebalances with the time since each began, if its coordinator is on this shard.
    #[must_use]
    pub fn tell_rebalances(&self, group: &str) -> Option<(i64, Vec<Rebalance>)> {
        let groups = self.0.groups.borrow();
        let told = groups.hosted.all_ready().find_map(|(_, coordinator)| coordinator.rebalances(group));
        Some((self.world().wall_ms(), told?))
    }
}
