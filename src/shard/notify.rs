//! Waking tasks of the same shard.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// A flag that tasks of one shard wait for. Setting it wakes every waiter; the first to look takes it.
///
/// Wake-ups are never lost: a flag that is set while nobody waits is seen by the next who does.
#[derive(Debug, Default)]
pub(crate) struct Notify {
    set: Cell<bool>,
    waiters: RefCell<Vec<Waker>>,
}

impl Notify {
    /// Sets the flag.
    pub(crate) fn notify(&self) {
        self.set.set(true);
        for waker in self.waiters.borrow_mut().drain(..) {
            waker.wake();
        }
    }

    /// Waits until the flag is set, and takes it.
    pub(crate) async fn notified(&self) {
        poll_fn(|context| {
            if self.set.take() {
                return Poll::Ready(());
            }
            let mut waiters = self.waiters.borrow_mut();
            if !waiters.iter().any(|waker| waker.will_wake(context.waker())) {
                waiters.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    /// Waits until `condition` holds; it is looked at again whenever the flag is set.
    pub(crate) async fn until(&self, mut condition: impl FnMut() -> bool) {
        poll_fn(|context| {
            if condition() {
                return Poll::Ready(());
            }
            let mut waiters = self.waiters.borrow_mut();
            if !waiters.iter().any(|waker| waker.will_wake(context.waker())) {
                waiters.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }
}

/// A value that one task of a shard gives another, once.
#[derive(Debug)]
pub(crate) struct Slot<T>(Rc<(RefCell<Option<T>>, Notify)>);

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Slot(Rc::new((RefCell::new(None), Notify::default())))
    }
}

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        Slot(self.0.clone())
    }
}

impl<T> Slot<T> {
    /// Gives the value.
    pub(crate) fn give(&self, value: T) {
        *self.0.0.borrow_mut() = Some(value);
        self.0.1.notify();
    }

    /// Waits for the value.
    pub(crate) async fn taken(&self) -> T {
        loop {
            if let Some(value) = self.0.0.borrow_mut().take() {
                return value;
            }
            self.0.1.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Notify, Slot};
    use futures_lite::future::{block_on, poll_once, zip};
    use std::cell::Cell;

    #[test]
    fn a_flag_set_early_is_seen() {
        let notify = Notify::default();
        notify.notify();
        block_on(notify.notified());
        assert_eq!(block_on(poll_once(notify.notified())), None);
    }

    #[test]
    fn a_value_is_waited_for() {
        let slot = Slot::default();
        let given = slot.clone();
        let (value, ()) = block_on(zip(slot.taken(), async move { given.give(7) }));
        assert_eq!(value, 7);
        assert_eq!(block_on(poll_once(slot.taken())), None, "it was taken");
    }

    #[test]
    fn every_waiter_looks_at_its_condition() {
        let (notify, value) = (Notify::default(), Cell::new(0));
        block_on(zip(zip(notify.until(|| value.get() > 0), notify.until(|| value.get() > 1)), async {
            value.set(1);
            notify.notify();
            futures_lite::future::yield_now().await;
            value.set(2);
            notify.notify();
        }));
    }
}
