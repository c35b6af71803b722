//! Which request to a leader names a partition.
//!
//! A request costs what the partitions cost that it names, whether records come to them or not. So those to which
//! records come all the time are asked for together, beside the others: a round for them, of which there may be as many
//! as flushes, costs nothing for those that rest. And the others, which may be thousands, are shared out among several
//! requests: a record that comes to one of them costs a round for its share only.

use crate::base::TopicPartition;
use std::collections::BTreeMap;
use std::time::Duration;

/// Requests among which the quiet partitions of a leader are shared out.
const SHARES: i8 = 16;
/// A partition is busy when records came so often within one window. With fewer, a round for all that are busy would
/// cost more than rounds of its own.
const BUSY_FROM: u32 = 8;
/// How long is looked at.
const WINDOW: Duration = Duration::from_secs(1);

/// One of the requests that a leader is asked by at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pace {
    /// For partitions to which records come all the time.
    Busy,
    /// For one share of the others.
    Quiet(i8),
}

impl Pace {
    /// All there are.
    pub(super) fn all() -> impl Iterator<Item = Pace> {
        std::iter::once(Pace::Busy).chain((0..SHARES).map(Pace::Quiet))
    }

    /// The share of a quiet partition.
    pub(super) fn quiet(key: TopicPartition) -> Pace {
        // Leaders, and shards, are given out in the order of partitions: the product's upper bits follow neither.
        const MIX: u32 = 0x9E37_79B9;
        let mixed = key.spread().wrapping_mul(MIX);
        Pace::Quiet(i8::try_from(mixed >> 25).unwrap_or(0) % SHARES)
    }

    /// Its number on the wire.
    pub(super) fn number(self) -> i8 {
        match self {
            Pace::Busy => 0,
            Pace::Quiet(share) => share + 1,
        }
    }
}

/// How often records came to one partition.
struct Pulse {
    since: Duration,
    times: u32,
    busy: bool,
}

/// How often records come to partitions that are followed here.
#[derive(Default)]
pub(super) struct Pulses(BTreeMap<TopicPartition, Pulse>);

impl Pulses {
    /// Records came; whether the partition is busy from now on.
    pub(super) fn came(&mut self, key: TopicPartition, now: Duration) -> bool {
        let pulse = self.0.entry(key).or_insert(Pulse { since: now, times: 0, busy: false });
        if !pulse.busy && now.saturating_sub(pulse.since) >= WINDOW {
            (pulse.since, pulse.times) = (now, 0);
        }
        pulse.times = pulse.times.saturating_add(1);
        let begins = !pulse.busy && pulse.times >= BUSY_FROM;
        pulse.busy |= begins;
        begins
    }

    /// Looks at those whose window is over; which of them are busy no more.
    pub(super) fn rest(&mut self, now: Duration) -> Vec<TopicPartition> {
        let mut rested = Vec::new();
        self.0.retain(|key, pulse| {
            if now.saturating_sub(pulse.since) < WINDOW {
                return true;
            }
            let stays = pulse.times >= BUSY_FROM;
            if pulse.busy && !stays {
                rested.push(*key);
            }
            (pulse.since, pulse.times) = (now, 0);
            stays
        });
        rested
    }

    pub(super) fn is_busy(&self, key: &TopicPartition) -> bool {
        self.0.get(key).is_some_and(|pulse| pulse.busy)
    }

    pub(super) fn busy(&self) -> impl Iterator<Item = TopicPartition> {
        self.0.iter().filter(|(_, pulse)| pulse.busy).map(|(key, _)| *key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{PartitionIndex, TopicId};
    use std::collections::BTreeSet;

    fn key(partition: i32) -> TopicPartition {
        TopicPartition { topic: TopicId([7; 16]), partition: PartitionIndex(partition) }
    }

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn requests_have_numbers_of_their_own() {
        let numbers: BTreeSet<i8> = Pace::all().map(Pace::number).collect();
        assert_eq!(numbers.len(), Pace::all().count());
    }

    #[test]
    fn shares_are_alike_whoever_leads() {
        for brokers in [1, 2, 3, 4, 8, 16] {
            let mut shares: BTreeMap<Pace, usize> = BTreeMap::new();
            for partition in (0..1600 * brokers).step_by(usize::try_from(brokers).expect("few")) {
                *shares.entry(Pace::quiet(key(partition))).or_default() += 1;
            }
            assert_eq!(shares.len(), Pace::all().count() - 1, "{brokers} brokers");
            assert!(shares.values().all(|share| (50..200).contains(share)), "{brokers} brokers: {shares:?}");
        }
    }

    #[test]
    fn a_partition_is_busy_while_records_come_often() {
        let mut pulses = Pulses::default();
        let begins: Vec<bool> = (0..10).map(|i| pulses.came(key(1), at(i * 50))).collect();
        assert_eq!(begins.iter().position(|it| *it), Some(BUSY_FROM as usize - 1));
        assert_eq!(begins.iter().filter(|it| **it).count(), 1, "it becomes so once");
        assert!(pulses.is_busy(&key(1)) && !pulses.is_busy(&key(2)));
        assert!(pulses.rest(at(999)).is_empty());
        assert!(pulses.rest(at(1000)).is_empty(), "records came often in this window");
        assert_eq!(pulses.busy().collect::<Vec<_>>(), [key(1)]);
        assert_eq!(pulses.rest(at(2000)), [key(1)], "and none in the next");
        assert!(pulses.busy().next().is_none());
    }

    #[test]
    fn records_now_and_then_do_not_make_it_busy() {
        let mut pulses = Pulses::default();
        assert!((0..100).all(|i| !pulses.came(key(1), at(i * 200))));
        assert!(pulses.rest(at(100_000)).is_empty(), "it wasn't busy");
    }
}
