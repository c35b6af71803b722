//! The standing tick of a shard.
//!
//! glommio 0.9 may put an executor to sleep although tasks are ready (its `run_task_queues` reports "nothing ran"
//! when it was asked to make room at the very moment it began). A timer that always stands bounds such a sleep to one
//! tick; without it the shard hangs until something else wakes it. The tick also takes home lent memory, ends overdue
//! connections, looks for stop requests and measures how late it is run, which is how long some task kept the shard
//! to itself.

use super::clock::thread_cpu;
use super::world::World;
use crate::seam::World as _;
use std::time::Duration;

/// Time between two ticks. Costs an idle shard about 0.3 % of a core.
pub(super) const TICK: Duration = Duration::from_millis(5);

/// A turn above this is a stall.
const STALL: Duration = Duration::from_millis(10);

/// Time between two log lines about stalls.
const LOG_PAUSE: Duration = Duration::from_secs(10);

/// Time between two looks at memory that an idle shard can free.
const TRIM_PAUSE: Duration = Duration::from_secs(2);

/// A tick's view of the time since the one before.
#[derive(Clone, Copy)]
struct Lap {
    at: Duration,
    cpu: Duration,
}

/// What a late tick means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lateness {
    /// In time.
    None,
    /// The shard was busy for this long in one go.
    Stall(Duration),
    /// The machine didn't let the shard run: not the broker's doing.
    Descheduled,
}

/// Judges a tick that came `elapsed` after the last one, in which the shard used `cpu`.
fn judge(elapsed: Duration, cpu: Duration) -> Lateness {
    // The turn began somewhere between the last tick and the moment this one was due, so it took at least this long.
    let turn = elapsed.saturating_sub(TICK);
    if turn < STALL {
        Lateness::None
    } else if cpu >= STALL {
        Lateness::Stall(turn)
    } else {
        Lateness::Descheduled
    }
}

/// Runs until the shard ends.
pub(super) async fn tick_task(world: World) {
    let mut last = Lap { at: world.mono(), cpu: thread_cpu() };
    let (mut logged, mut trimmed, mut frames) = (Duration::ZERO, last.at, 0);
    loop {
        glommio::timer::sleep(TICK).await;
        let now = Lap { at: world.mono(), cpu: thread_cpu() };
        let elapsed = now.at - last.at;
        if let Lateness::Stall(turn) = judge(elapsed, now.cpu.saturating_sub(last.cpu)) {
            let stalls = world.counters().stalls.add(1);
            if now.at - logged >= LOG_PAUSE {
                logged = now.at;
                tracing::warn!(shard = world.shard().0, stalls, "a turn took about {} ms", turn.as_millis());
            }
        }
        last = now;
        world.counters().ticks.add(1);
        world.tick(now.at, elapsed);
        if now.at - trimmed >= TRIM_PAUSE {
            trimmed = now.at;
            let before = std::mem::replace(&mut frames, world.counters().frames.get());
            if before == frames {
                world.net().trim();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Lateness, judge};
    use std::time::Duration;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_late_tick_is_a_stall_only_if_the_shard_used_the_time() {
        assert_eq!(judge(ms(6), ms(6)), Lateness::None);
        assert_eq!(judge(ms(25), ms(24)), Lateness::Stall(ms(20)));
        assert_eq!(judge(ms(25), ms(2)), Lateness::Descheduled);
    }
}
