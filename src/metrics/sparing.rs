//! Log lines that clients can cause: a few at once, then one a second with the number of those left out. Whoever can
//! fill a disk with lines can stop a broker with it.

use std::time::Duration;

/// Lines that may come at once.
const BURST: u32 = 20;
/// Time in which one more line is earned.
const PAUSE: Duration = Duration::from_secs(1);

/// Says which lines to write. Pure.
#[derive(Debug)]
pub(crate) struct Sparing {
    lines: u32,
    earned: Duration,
    left_out: u64,
}

impl Default for Sparing {
    fn default() -> Self {
        Sparing { lines: BURST, earned: Duration::ZERO, left_out: 0 }
    }
}

impl Sparing {
    /// Whether a line may be written now; if so, how many were left out since the last one.
    pub(crate) fn admit(&mut self, now: Duration) -> Option<u64> {
        let passed = now.saturating_sub(self.earned);
        let more = u32::try_from(passed.as_secs() / PAUSE.as_secs()).unwrap_or(BURST);
        if more > 0 {
            self.lines = self.lines.saturating_add(more).min(BURST);
            self.earned = now;
        }
        if self.lines == 0 {
            self.left_out += 1;
            return None;
        }
        self.lines -= 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_becomes_a_trickle_that_says_what_it_left_out() {
        let mut sparing = Sparing::default();
        let admitted = (0..10_000).filter(|nth| sparing.admit(Duration::from_millis(*nth)).is_some()).count();
        assert!((20..=30).contains(&admitted), "{admitted} lines in ten seconds");
        let left_out = sparing.admit(Duration::from_secs(11)).unwrap();
        assert!(left_out > 900, "{left_out}");
        assert_eq!(sparing.admit(Duration::from_secs(100)), Some(0));
        let burst = (0..100).filter(|_| sparing.admit(Duration::from_secs(200)).is_some()).count();
        assert_eq!(burst, 20);
    }
}
