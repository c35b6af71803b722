//! A shard's turns.
//!
//! glommio runs the tasks, first in, first out; this one is always ready, so that between two of its steps every other
//! ready task has had its turn. It hands what the turn brought to the ring and the mesh, takes in what has completed,
//! and if nobody has anything to do it puts the shard to sleep in the ring. glommio's reactor never sleeps and has
//! next to nothing to do; its known hang (an executor that parks although tasks are ready) can't happen.
//!
//! About every 5 ms of a busy shard, and a few times a second of an idle one, a tick takes home lent memory, ends
//! overdue connections and looks for stop requests. A turn that takes long is counted, and logged now and then.

use super::awake::Awake;
use super::bell::Bell;
use super::clock::thread_cpu;
use super::local::yield_now;
use super::ring::Readiness;
use super::world::World;
use crate::seam::World as _;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Time between two ticks of a busy shard, and of one where someone waits for memory that others may return.
const TICK: Duration = Duration::from_millis(5);

/// Time between two ticks of an idle shard.
const IDLE_TICK: Duration = Duration::from_millis(100);

/// A turn above this is a stall.
const STALL: Duration = Duration::from_millis(10);

/// Time between two log lines about stalls.
const LOG_PAUSE: Duration = Duration::from_secs(10);

/// Frames between two moments without anything to do up to which a shard has one thing to do at a time.
const LONE_FRAMES_MAX: u64 = 2;

/// Time between two looks at memory that an idle shard can free.
const TRIM_PAUSE: Duration = Duration::from_secs(2);

/// What a long turn means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lateness {
    /// It wasn't long.
    None,
    /// Some task kept the shard to itself.
    Stall,
    /// The machine didn't let the shard run: not the broker's doing.
    Descheduled,
}

/// Judges a turn by its length and the CPU time that the shard used since a little before it.
fn judge(turn: Duration, cpu: impl FnOnce() -> Duration) -> Lateness {
    if turn < STALL {
        Lateness::None
    } else if cpu() >= STALL {
        Lateness::Stall
    } else {
        Lateness::Descheduled
    }
}

/// The driver's state between turns.
struct Driver {
    world: World,
    bell: Arc<Bell>,
    bell_event: Rc<OwnedFd>,
    bell_rung: Rc<Readiness>,
    awake: Awake,
    /// Frames that had come when the shard last had nothing to do.
    frames: u64,
    /// When the turn under way began.
    turn: Duration,
    ticked: Duration,
    ticked_cpu: Duration,
    logged: Duration,
    trimmed: Duration,
    trimmed_frames: u64,
}

/// Runs the shard's turns until the shard ends.
pub(super) async fn drive(world: World, bell: Arc<Bell>, awake: Awake) {
    let bell_event = bell.event().try_clone().expect("a descriptor for the bell");
    let now = world.mono();
    let mut driver = Driver {
        world,
        bell,
        bell_event: Rc::new(bell_event),
        bell_rung: Rc::default(),
        awake,
        frames: 0,
        turn: now,
        ticked: now,
        ticked_cpu: thread_cpu(),
        logged: Duration::ZERO,
        trimmed: now,
        trimmed_frames: 0,
    };
    // An executor leaves off only when no task is ready, so this one must end with the shard.
    while !driver.world.is_finished() {
        driver.step();
        yield_now().await;
    }
}

impl Driver {
    /// What happens between two turns.
    fn step(&mut self) {
        let now = self.world.mono();
        self.world.net().begin_turn(now);
        self.watch_turn(now);
        if now - self.ticked >= TICK {
            self.tick(now);
        }
        // Both are looked at: a task that ran may have woken others, and what has completed wakes some.
        let ran = self.world.take_polls() > 0;
        let came = self.world.take_in(now);
        if ran || came {
            self.awake.found(now, thread_cpu);
        }
        if ran || came || self.stays(now) {
            self.world.ring().submit();
        } else {
            self.sleep(now);
        }
        self.turn = self.world.mono();
    }

    /// Whether to look again instead of sleeping.
    fn stays(&mut self, now: Duration) -> bool {
        let (world, frames) = (&self.world, &mut self.frames);
        let lone = || {
            let came = world.metrics().frames_received_total.get();
            let few = came - std::mem::replace(frames, came) <= LONE_FRAMES_MAX;
            world.ring().lone().filter(|_| few)
        };
        self.awake.stays(now, lone, thread_cpu)
    }

    fn sleep(&mut self, now: Duration) {
        let tick = if self.world.net().wants_ticks() { TICK } else { IDLE_TICK };
        let until = self.world.next_timer().map_or(now + tick, |timer| timer.min(now + tick));
        self.bell_rung.ask(self.world.ring(), &self.bell_event, libc::POLLIN as u32);
        self.bell.arm();
        // Whoever left something before the bell was armed hasn't rung it.
        if !self.world.take_in(now) {
            self.world.ring().wait(until.saturating_sub(now));
        }
        self.bell.disarm();
        let after = self.world.mono();
        self.world.net().begin_turn(after);
        self.world.take_in(after);
        if self.bell_rung.take() {
            self.bell.hush();
        }
        if after - self.ticked >= TICK {
            self.tick(after);
        }
    }

    fn watch_turn(&mut self, now: Duration) {
        let turn = now - self.turn;
        let cpu = || thread_cpu().saturating_sub(self.ticked_cpu);
        if judge(turn, cpu) != Lateness::Stall {
            return;
        }
        let stalls = self.world.metrics().stalls_total.add(1);
        if now - self.logged >= LOG_PAUSE {
            self.logged = now;
            tracing::warn!(shard = self.world.shard().0, stalls, "a turn took {} ms", turn.as_millis());
        }
    }

    fn tick(&mut self, now: Duration) {
        let elapsed = now - self.ticked;
        (self.ticked, self.ticked_cpu) = (now, thread_cpu());
        self.world.metrics().ticks_total.add(1);
        self.world.tell_gauges();
        self.world.tick(now, elapsed);
        if now - self.trimmed >= TRIM_PAUSE {
            self.trimmed = now;
            let before =
                std::mem::replace(&mut self.trimmed_frames, self.world.metrics().frames_received_total.get());
            if before == self.trimmed_frames {
                self.world.net().trim();
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
    fn a_long_turn_is_a_stall_only_if_the_shard_used_the_time() {
        assert_eq!(judge(ms(6), || unreachable!("a short turn isn't looked into")), Lateness::None);
        assert_eq!(judge(ms(20), || ms(24)), Lateness::Stall);
        assert_eq!(judge(ms(20), || ms(2)), Lateness::Descheduled);
    }
}
