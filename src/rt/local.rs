//! Waiting for another task of the same shard.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// A flag that one task of a shard waits for and others set. A wait clears it; setting it twice is setting it once.
#[derive(Default)]
pub struct Event {
    set: Cell<bool>,
    waiter: RefCell<Option<Waker>>,
}

impl Event {
    /// Sets the flag and wakes the waiter.
    pub fn set(&self) {
        if !self.set.replace(true)
            && let Some(waiter) = self.waiter.borrow().as_ref()
        {
            waiter.wake_by_ref();
        }
    }

    /// Waits until the flag is set, then clears it.
    pub async fn wait(&self) {
        poll_fn(|cx| {
            if self.set.replace(false) {
                return Poll::Ready(());
            }
            let mut waiter = self.waiter.borrow_mut();
            match waiter.as_ref() {
                Some(known) if known.will_wake(cx.waker()) => {}
                _ => *waiter = Some(cx.waker().clone()),
            }
            Poll::Pending
        })
        .await
    }
}

/// A flag that is set once, for any number of waiters.
#[derive(Default)]
pub struct Latch {
    set: Cell<bool>,
    waiters: RefCell<Vec<Waker>>,
}

impl Latch {
    /// Sets the flag and wakes all waiters.
    pub fn set(&self) {
        self.set.set(true);
        self.waiters.take().into_iter().for_each(Waker::wake);
    }

    /// Whether it is set.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.set.get()
    }

    /// Waits until it is set.
    pub async fn wait(&self) {
        poll_fn(|cx| {
            if self.set.get() {
                return Poll::Ready(());
            }
            let mut waiters = self.waiters.borrow_mut();
            if !waiters.iter().any(|known| known.will_wake(cx.waker())) {
                waiters.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await
    }
}

/// Lets the other ready tasks of the shard run first.
pub(super) async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::{Event, Latch, yield_now};
    use futures_lite::future::{block_on, poll_once, zip};
    use std::pin::pin;

    #[test]
    fn an_event_is_taken_once_and_a_latch_stays() {
        let (event, latch) = (Event::default(), Latch::default());
        block_on(async {
            assert!(poll_once(event.wait()).await.is_none());
            event.set();
            event.set();
            event.wait().await;
            assert!(poll_once(event.wait()).await.is_none());
            let (mut first, mut second) = (pin!(latch.wait()), pin!(latch.wait()));
            assert!(poll_once(&mut first).await.is_none() && poll_once(&mut second).await.is_none());
            latch.set();
            zip(first, second).await;
            assert!(latch.is_set());
        });
    }

    #[test]
    fn a_yield_is_pending_once() {
        block_on(async {
            let mut yielding = pin!(yield_now());
            assert!(poll_once(&mut yielding).await.is_none());
            yielding.await;
        });
    }
}
