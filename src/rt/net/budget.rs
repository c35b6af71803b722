//! The receive budget of one shard: bytes that peers may make it hold.
//!
//! A frame that isn't complete takes its share before a buffer is allocated for it, and gives it back when the last
//! reader of its bytes is gone. Whoever finds too little waits in line, for a bounded time. There are two lines,
//! because frames that have only begun cost a peer next to nothing: they may use a part of the budget only, and never
//! stand before those that go on.

use crate::rt::local::Event;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

/// How far a frame has come, which decides what it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Only its first bytes are there.
    Begun = 0,
    /// The peer has sent what it took for the beginning.
    GoesOn = 1,
}

/// The budget and the lines before it.
pub(super) struct Budget {
    max: usize,
    used: Cell<usize>,
    lines: [RefCell<VecDeque<Rc<Waiter>>>; 2],
}

/// One who waits in line.
struct Waiter {
    bytes: usize,
    /// When it gives up, on the shard's clock.
    until: Duration,
    state: Cell<State>,
    woken: Event,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Granted,
    Expired,
    Gone,
}

impl Budget {
    /// A budget of `max` bytes.
    pub(super) fn new(max: usize) -> Self {
        Budget { max, used: Cell::new(0), lines: Default::default() }
    }

    /// Bytes in use.
    pub(super) fn used(&self) -> usize {
        self.used.get()
    }

    /// Whether somebody waits, so that returned memory is looked for at once.
    pub(super) fn has_line(&self) -> bool {
        self.lines.iter().any(|line| !line.borrow().is_empty())
    }

    fn ceiling(&self, stage: Stage) -> usize {
        match stage {
            Stage::Begun => self.max / 4 * 3,
            Stage::GoesOn => self.max,
        }
    }

    fn fits(&self, bytes: usize, stage: Stage) -> bool {
        self.used.get() + bytes <= self.ceiling(stage)
    }

    /// Takes `bytes` if they are there and nobody waits before.
    pub(super) fn try_take(&self, bytes: usize, stage: Stage) -> bool {
        let before = &self.lines[stage as usize..];
        let free = before.iter().all(|line| line.borrow().is_empty()) && self.fits(bytes, stage);
        if free {
            self.used.set(self.used.get() + bytes);
        }
        free
    }

    /// Takes `bytes`, after those who came before; false if that didn't happen before `until`. A request above the
    /// whole budget is refused at once.
    pub(super) async fn take(&self, bytes: usize, stage: Stage, until: Duration) -> bool {
        if self.try_take(bytes, stage) {
            return true;
        }
        if bytes > self.ceiling(stage) {
            return false;
        }
        let waiter =
            Rc::new(Waiter { bytes, until, state: Cell::new(State::Waiting), woken: Event::default() });
        self.lines[stage as usize].borrow_mut().push_back(Rc::clone(&waiter));
        let place = Place { budget: self, waiter };
        loop {
            place.waiter.woken.wait().await;
            match place.waiter.state.get() {
                State::Granted => {
                    place.waiter.state.set(State::Gone);
                    return true;
                }
                State::Waiting => {}
                State::Expired | State::Gone => return false,
            }
        }
    }

    /// Returns `bytes` and serves the lines.
    pub(super) fn give(&self, bytes: usize) {
        self.used.set(self.used.get().checked_sub(bytes).expect("gives back what was taken"));
        self.serve();
    }

    /// Lets those go who have waited long enough.
    pub(super) fn expire(&self, now: Duration) {
        for line in &self.lines {
            for waiter in line.borrow().iter().filter(|waiter| waiter.until <= now) {
                if waiter.state.get() == State::Waiting {
                    waiter.state.set(State::Expired);
                    waiter.woken.set();
                }
            }
        }
        self.serve();
    }

    fn serve(&self) {
        if self.serve_line(Stage::GoesOn) {
            self.serve_line(Stage::Begun);
        }
    }

    /// Grants what fits, in order; true if nobody is left in line.
    fn serve_line(&self, stage: Stage) -> bool {
        let mut line = self.lines[stage as usize].borrow_mut();
        while let Some(first) = line.front() {
            if first.state.get() == State::Waiting {
                if !self.fits(first.bytes, stage) {
                    return false;
                }
                self.used.set(self.used.get() + first.bytes);
                first.state.set(State::Granted);
                first.woken.set();
            }
            line.pop_front();
        }
        true
    }
}

/// A place in line; leaving it early gives back what may have been granted meanwhile.
struct Place<'a> {
    budget: &'a Budget,
    waiter: Rc<Waiter>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        match self.waiter.state.replace(State::Gone) {
            State::Granted => self.budget.give(self.waiter.bytes),
            State::Waiting => self.budget.serve(),
            State::Expired | State::Gone => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Budget, Stage};
    use futures_lite::future::{block_on, poll_once, zip};
    use std::pin::pin;
    use std::time::Duration;

    const LATER: Duration = Duration::from_secs(10);

    #[test]
    fn waiters_are_served_in_order_as_bytes_come_back() {
        let budget = Budget::new(100);
        assert!(budget.try_take(90, Stage::GoesOn));
        block_on(async {
            let mut first = pin!(budget.take(50, Stage::GoesOn, LATER));
            let mut second = pin!(budget.take(5, Stage::GoesOn, LATER));
            assert!(poll_once(&mut first).await.is_none());
            assert!(poll_once(&mut second).await.is_none(), "5 would fit, but 50 came before");
            budget.give(90);
            assert_eq!(zip(first, second).await, (true, true));
        });
        assert_eq!(budget.used(), 55);
    }

    #[test]
    fn a_waiter_gives_up_and_lets_the_next_go_on() {
        let budget = Budget::new(100);
        assert!(budget.try_take(60, Stage::GoesOn));
        block_on(async {
            let mut first = pin!(budget.take(50, Stage::GoesOn, Duration::from_secs(1)));
            let mut second = pin!(budget.take(40, Stage::GoesOn, LATER));
            assert!(poll_once(&mut first).await.is_none() && poll_once(&mut second).await.is_none());
            budget.expire(Duration::from_secs(2));
            assert_eq!(zip(first, second).await, (false, true));
            assert!(!budget.take(101, Stage::GoesOn, LATER).await, "more than there will ever be");
        });
    }

    #[test]
    fn leaving_the_line_returns_a_grant() {
        let budget = Budget::new(10);
        assert!(budget.try_take(10, Stage::GoesOn));
        {
            let mut waiting = Box::pin(budget.take(4, Stage::GoesOn, LATER));
            assert!(block_on(poll_once(&mut waiting)).is_none());
            budget.give(10);
            assert_eq!(budget.used(), 4);
        }
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn beginners_leave_room_and_never_stand_before_those_who_go_on() {
        let budget = Budget::new(100);
        assert!(budget.try_take(75, Stage::Begun));
        block_on(async {
            let mut beginner = pin!(budget.take(1, Stage::Begun, LATER));
            assert!(poll_once(&mut beginner).await.is_none());
            assert!(budget.try_take(25, Stage::GoesOn));
            let mut going_on = pin!(budget.take(10, Stage::GoesOn, LATER));
            assert!(poll_once(&mut going_on).await.is_none());
            budget.give(10);
            assert!(going_on.await);
            assert!(poll_once(&mut beginner).await.is_none(), "nothing is left below the beginners' ceiling");
        });
    }
}
