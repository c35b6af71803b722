//! Waiting for a time.

use super::clock::Clock;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// The timers of one shard, on its clock.
pub(super) struct Timers {
    clock: Clock,
    waiting: RefCell<BTreeMap<(Duration, u64), Waker>>,
    next: Cell<u64>,
}

impl Timers {
    pub(super) fn new(clock: Clock) -> Rc<Self> {
        Rc::new(Timers { clock, waiting: RefCell::default(), next: Cell::new(0) })
    }

    /// Completes after at least `duration`.
    pub(super) fn sleep(self: &Rc<Self>, duration: Duration) -> Sleep {
        self.next.set(self.next.get() + 1);
        let at = self.clock.mono().saturating_add(duration);
        Sleep { timers: Rc::clone(self), key: (at, self.next.get()), waiting: false }
    }

    /// Wakes whose time has come; how many there were.
    pub(super) fn fire(&self, now: Duration) -> usize {
        let mut count = 0;
        loop {
            let waker = {
                let mut waiting = self.waiting.borrow_mut();
                match waiting.first_entry() {
                    Some(first) if first.key().0 <= now => first.remove(),
                    _ => return count,
                }
            };
            waker.wake();
            count += 1;
        }
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Duration> {
        self.waiting.borrow().first_key_value().map(|((at, _), _)| *at)
    }
}

/// A wait.
pub(super) struct Sleep {
    timers: Rc<Timers>,
    key: (Duration, u64),
    waiting: bool,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.timers.clock.mono() >= self.key.0 {
            return Poll::Ready(());
        }
        self.waiting = true;
        self.timers.waiting.borrow_mut().insert(self.key, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if self.waiting {
            self.timers.waiting.borrow_mut().remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, poll_once};

    #[test]
    fn timers_fire_in_order_and_a_dropped_one_is_forgotten() {
        let timers = Timers::new(Clock::start());
        let mut long = timers.sleep(Duration::from_secs(1000));
        let mut longer = timers.sleep(Duration::from_secs(2000));
        block_on(async {
            assert!(poll_once(&mut longer).await.is_none() && poll_once(&mut long).await.is_none());
            poll_once(timers.sleep(Duration::ZERO)).await.expect("no time is no wait");
        });
        assert!(timers.next() < Some(Duration::from_secs(1001)));
        assert_eq!(timers.fire(Duration::from_secs(1500)), 1);
        drop(longer);
        assert_eq!((timers.next(), timers.fire(Duration::MAX)), (None, 0));
    }
}
