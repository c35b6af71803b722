//! Deadlines of a coordinator's groups and members.

use crate::wire::Str;
use std::collections::{BTreeMap, BTreeSet};

/// What is due at some time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A member's session, or the wait for a new member's second JoinGroup: group, member.
    Session(Str, Str),
    /// The time in which a member of a consumer group has to give up partitions or to rejoin: group, member.
    Step(Str, Str),
    /// The wait for members to rejoin.
    Join(Str),
    /// The wait for members to ask for their assignments.
    Sync(Str),
    /// The next look at offsets that nobody needs any more.
    Retention,
}

/// Which timers run. At most one of each; setting it again moves it.
#[derive(Debug, Default)]
pub(super) struct Timers {
    due: BTreeSet<(u64, Timer)>,
    at: BTreeMap<Timer, u64>,
}

impl Timers {
    /// Starts or moves a timer.
    pub(super) fn set(&mut self, timer: Timer, at_ms: u64) {
        self.cancel(&timer);
        self.due.insert((at_ms, timer.clone()));
        self.at.insert(timer, at_ms);
    }

    /// Stops a timer, if it runs.
    pub(super) fn cancel(&mut self, timer: &Timer) {
        if let Some(at_ms) = self.at.remove(timer) {
            self.due.remove(&(at_ms, timer.clone()));
        }
    }

    /// Whether a timer runs.
    pub(super) fn runs(&self, timer: &Timer) -> bool {
        self.at.contains_key(timer)
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<u64> {
        self.due.first().map(|(at_ms, _)| *at_ms)
    }

    /// Takes one that is due.
    pub(super) fn take_due(&mut self, now_ms: u64) -> Option<Timer> {
        if self.next()? > now_ms {
            return None;
        }
        let (_, timer) = self.due.pop_first()?;
        self.at.remove(&timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::{Timer, Timers};

    #[test]
    fn a_timer_fires_once_at_its_last_time() {
        let mut timers = Timers::default();
        let (join, sync) = (Timer::Join("g".into()), Timer::Sync("g".into()));
        timers.set(join.clone(), 10);
        timers.set(join.clone(), 30);
        timers.set(sync.clone(), 20);
        assert!(timers.runs(&sync) && !timers.runs(&Timer::Retention));
        assert_eq!(timers.next(), Some(20));
        assert_eq!(timers.take_due(19), None);
        assert_eq!(timers.take_due(100), Some(sync.clone()));
        assert_eq!(timers.take_due(100), Some(join.clone()));
        assert_eq!(timers.take_due(100), None);
        timers.set(join.clone(), 5);
        timers.cancel(&join);
        timers.cancel(&sync);
        assert_eq!(timers.next(), None);
    }
}
