//! How long a link rests after it broke.

use std::time::Duration;

/// The first rest: a process that was killed is back within a second, and is to be found soon.
const FIRST: Duration = Duration::from_millis(20);

/// The longest.
const LAST: Duration = Duration::from_millis(500);

/// Doubles from rest to rest until a connection stands.
#[derive(Debug)]
pub(super) struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Backoff(FIRST)
    }
}

impl Backoff {
    /// The next rest, somewhere between half of what it is at most and all of it: nodes that lost the same peer don't
    /// come back in step.
    pub(super) fn next(&mut self, random: u64) -> Duration {
        let most = self.0;
        self.0 = (most * 2).min(LAST);
        let micros = u64::try_from(most.as_micros() / 2).unwrap_or(u64::MAX).max(1);
        most / 2 + Duration::from_micros(random % micros)
    }

    /// A connection stood.
    pub(super) fn reset(&mut self) {
        self.0 = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_grow_to_a_bound_and_begin_anew() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.next(0), FIRST / 2);
        assert_eq!(backoff.next(0), FIRST);
        let longest = (0..20).map(|_| backoff.next(u64::MAX)).max().unwrap();
        assert!(longest > LAST / 2 && longest <= LAST, "{longest:?}");
        backoff.reset();
        assert!(backoff.next(u64::MAX) <= FIRST);
    }
}
