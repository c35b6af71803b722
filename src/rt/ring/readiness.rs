//! Waiting until a socket can be read or written.

use super::Ring;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// One direction of one socket. At most one question to the kernel is open, however often a wait for it is given up.
#[derive(Default)]
pub(in crate::rt) struct Readiness {
    asked: Cell<bool>,
    fired: Cell<bool>,
    waiter: RefCell<Option<Waker>>,
}

impl Readiness {
    /// Waits until one of `events` holds, an error and the end of the connection included.
    pub(in crate::rt) async fn wait(self: &Rc<Self>, ring: &Ring, socket: &Rc<OwnedFd>, events: u32) {
        self.fired.set(false);
        poll_fn(|context| {
            if self.fired.take() {
                return Poll::Ready(());
            }
            if !self.asked.replace(true) {
                ring.poll(socket, events, self);
            }
            let mut waiter = self.waiter.borrow_mut();
            match waiter.as_ref() {
                Some(known) if known.will_wake(context.waker()) => {}
                _ => *waiter = Some(context.waker().clone()),
            }
            Poll::Pending
        })
        .await;
    }

    /// Asks, if no question is open, without waiting.
    pub(in crate::rt) fn ask(self: &Rc<Self>, ring: &Ring, socket: &Rc<OwnedFd>, events: u32) {
        if !self.asked.replace(true) {
            ring.poll(socket, events, self);
        }
    }

    /// Whether the kernel has answered since the last look.
    pub(in crate::rt) fn take(&self) -> bool {
        self.fired.take()
    }

    /// The kernel has answered.
    pub(super) fn fired(&self) {
        self.asked.set(false);
        self.fired.set(true);
        if let Some(waiter) = self.waiter.borrow_mut().take() {
            waiter.wake();
        }
    }
}
