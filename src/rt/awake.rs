//! Waiting awake: whether a shard that has nothing to do looks again or sleeps.
//!
//! To sleep and be woken takes 10 to 30 us, and a single record waits for its flush and then for the next request: a
//! third of its time went by that way. So a shard that serves single small requests looks on for as long as the next
//! step took to come lately, if that was short. One with more to do gains nothing: it finds something whenever it
//! looks, and would only use the processor up.
//!
//! Others may need the processor more. Who was kept from it while he looked sleeps again for a while.

use std::time::Duration;

/// Waits in a row that must have been short.
const SHORT_WAITS: u32 = 4;

/// How long a shard that others kept from the processor doesn't look on.
const PAUSE: Duration = Duration::from_secs(1);

/// Time of waits awake after which it is judged how much of it others had.
const JUDGED: Duration = Duration::from_millis(10);

/// For what a shard waits that has one thing to do at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lone {
    /// The one small write that is under way, and its flush.
    Flush,
    /// The next request, or another shard's word.
    Request,
}

/// A wait under way.
struct Wait {
    since: Duration,
    lone: Option<Lone>,
    /// CPU time used until then.
    cpu: Duration,
    slept: bool,
}

/// One shard's waits. Pure: knows times, not clocks.
pub(super) struct Awake {
    /// How long it looks whatever it waits for.
    always: Duration,
    /// How long at most where it has one thing to do.
    lone: Duration,
    /// Short waits in a row, for each kind.
    short: [u32; 2],
    wait: Option<Wait>,
    /// Time of waits awake since it was last judged, and what of it others had.
    looked: Duration,
    kept_off: Duration,
    paused_until: Duration,
}

impl Awake {
    pub(super) fn new(always: Duration, lone: Duration) -> Self {
        let none = Duration::ZERO;
        Awake { always, lone, short: [0; 2], wait: None, looked: none, kept_off: none, paused_until: none }
    }

    /// There is nothing to do: whether to look again. `lone` and `cpu` (the time used so far) are asked when a wait
    /// begins.
    pub(super) fn stays(
        &mut self,
        now: Duration,
        lone: impl FnOnce() -> Option<Lone>,
        cpu: impl FnOnce() -> Duration,
    ) -> bool {
        let may = !self.lone.is_zero() && now >= self.paused_until;
        let wait = self.wait.get_or_insert_with(|| {
            let lone = if may { lone() } else { None };
            Wait { since: now, lone, cpu: if lone.is_some() { cpu() } else { Duration::ZERO }, slept: false }
        });
        let waited = now.saturating_sub(wait.since);
        let often_short = |lone: Lone| self.short[lone as usize] >= SHORT_WAITS;
        let stays = waited < self.always || wait.lone.is_some_and(|it| waited < self.lone && often_short(it));
        wait.slept |= !stays;
        stays
    }

    /// There is something to do, whether it was found awake or not.
    pub(super) fn found(&mut self, now: Duration, cpu: impl FnOnce() -> Duration) {
        let Some(Wait { since, lone: Some(lone), cpu: before, slept }) = self.wait.take() else { return };
        let waited = now.saturating_sub(since);
        let short = &mut self.short[lone as usize];
        *short = if waited <= self.lone { short.saturating_add(1) } else { 0 };
        if !slept {
            self.judge(now, waited, cpu().saturating_sub(before));
        }
    }

    /// The kernel's threads take their part, for they do what is waited for; half of the time is more than that.
    fn judge(&mut self, now: Duration, waited: Duration, had: Duration) {
        self.looked += waited;
        self.kept_off += waited.saturating_sub(had);
        if self.looked >= JUDGED {
            if self.kept_off > self.looked / 2 {
                self.paused_until = now + PAUSE;
            }
            (self.looked, self.kept_off) = (Duration::ZERO, Duration::ZERO);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(us: u64) -> Duration {
        Duration::from_micros(us)
    }

    /// A shard and its clocks.
    struct Shard {
        awake: Awake,
        now: Duration,
        cpu: Duration,
    }

    impl Shard {
        fn new(always: u64, lone: u64) -> Self {
            Shard { awake: Awake::new(us(always), us(lone)), now: us(1000), cpu: us(10) }
        }

        /// Waits for so long; how long of it the shard looked. It has the processor for so much of the time.
        fn wait(&mut self, lone: Option<Lone>, time: u64, percent: u32) -> u64 {
            let mut awake = 0;
            for passed in 0..time {
                if !self.awake.stays(self.now, || lone, || self.cpu) {
                    self.now += us(time - passed);
                    break;
                }
                awake += 1;
                self.now += us(1);
                self.cpu += us(1) * percent / 100;
            }
            self.awake.found(self.now, || self.cpu);
            awake
        }

        fn waits(&mut self, lone: Lone, time: u64) -> Vec<u64> {
            (0..6).map(|_| self.wait(Some(lone), time, 100)).collect()
        }
    }

    #[test]
    fn it_looks_for_what_came_soon_the_last_times() {
        let mut shard = Shard::new(0, 200);
        assert_eq!(shard.waits(Lone::Flush, 90), [0, 0, 0, 0, 90, 90]);
        assert_eq!(shard.waits(Lone::Request, 50), [0, 0, 0, 0, 50, 50], "each kind for itself");
        assert_eq!(
            shard.waits(Lone::Flush, 900),
            [200, 0, 0, 0, 0, 0],
            "and no longer if it took longer once"
        );
        assert_eq!(shard.wait(Some(Lone::Request), 50, 100), 50);
        assert_eq!(shard.wait(None, 50, 100), 0, "not where there is more to do");
    }

    #[test]
    fn it_looks_as_long_as_it_is_told_to_in_any_case() {
        let mut shard = Shard::new(30, 0);
        assert_eq!(shard.waits(Lone::Flush, 90), [30; 6]);
        assert_eq!(shard.wait(None, 20, 100), 20);
    }

    #[test]
    fn it_leaves_the_processor_to_others() {
        let mut shard = Shard::new(0, 200);
        shard.waits(Lone::Flush, 150);
        (0..200).for_each(|_| assert_eq!(shard.wait(Some(Lone::Flush), 150, 60), 150, "they do its work"));
        assert_eq!(shard.wait(Some(Lone::Flush), 180, 0), 180, "once is nothing");
        let until = (0..200).position(|_| shard.wait(Some(Lone::Flush), 180, 10) == 0);
        assert!(until.is_some_and(|waits| waits > 20), "somebody else has it again and again: {until:?}");
        assert_eq!(shard.waits(Lone::Flush, 150), [0; 6]);
        shard.now += PAUSE;
        assert_eq!(shard.waits(Lone::Flush, 150), [150; 6]);
    }
}
