//! Deadlines of a machine: which of its timers is due next.

use std::collections::{BTreeMap, BTreeSet};

/// Which timers run. At most one of each; setting it again moves it.
#[derive(Debug)]
pub struct Timers<T> {
    due: BTreeSet<(u64, T)>,
    at: BTreeMap<T, u64>,
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Timers { due: BTreeSet::new(), at: BTreeMap::new() }
    }
}

impl<T: Ord + Clone> Timers<T> {
    /// Starts or moves a timer.
    pub fn set(&mut self, timer: T, at_ms: u64) {
        self.cancel(&timer);
        self.due.insert((at_ms, timer.clone()));
        self.at.insert(timer, at_ms);
    }

    /// Stops a timer, if it runs.
    pub fn cancel(&mut self, timer: &T) {
        if let Some(at_ms) = self.at.remove(timer) {
            self.due.remove(&(at_ms, timer.clone()));
        }
    }

    /// Whether a timer runs.
    #[must_use]
    pub fn runs(&self, timer: &T) -> bool {
        self.at.contains_key(timer)
    }

    /// When the next one is due.
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        self.due.first().map(|(at_ms, _)| *at_ms)
    }

    /// Takes one that is due.
    pub fn take_due(&mut self, now_ms: u64) -> Option<T> {
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
    use super::Timers;

    #[test]
    fn a_timer_fires_once_at_its_last_time() {
        let mut timers = Timers::default();
        timers.set("join", 10);
        timers.set("join", 30);
        timers.set("sync", 20);
        assert!(timers.runs(&"sync") && !timers.runs(&"retention"));
        assert_eq!(timers.next(), Some(20));
        assert_eq!(timers.take_due(19), None);
        assert_eq!(timers.take_due(100), Some("sync"));
        assert_eq!(timers.take_due(100), Some("join"));
        assert_eq!(timers.take_due(100), None);
        timers.set("join", 5);
        timers.cancel(&"join");
        timers.cancel(&"sync");
        assert_eq!(timers.next(), None);
    }
}
