//! One operation, as a future of its outcome.

use super::{Ring, Slot};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// An operation that was submitted: completes with what the system call would return, or the negated error number. A
/// dropped one goes on; what it works on stays alive until it ends.
pub(in crate::rt) struct Op {
    ring: Rc<Ring>,
    /// `None` once the outcome was taken.
    number: Option<usize>,
}

impl Op {
    pub(super) fn new(ring: Rc<Ring>, number: usize) -> Self {
        Op { ring, number: Some(number) }
    }
}

impl Future for Op {
    type Output = i32;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<i32> {
        let number = self.number.expect("an outcome is taken once");
        {
            let mut slots = self.ring.slots.borrow_mut();
            let Slot::Op { result, waker, .. } = &mut slots[number] else {
                unreachable!("a slot is an operation's until its outcome is taken")
            };
            if result.is_none() {
                match waker {
                    Some(known) if known.will_wake(context.waker()) => {}
                    _ => *waker = Some(context.waker().clone()),
                }
                return Poll::Pending;
            }
        }
        self.number = None;
        match self.ring.free(number) {
            Slot::Op { result: Some(outcome), .. } => Poll::Ready(outcome),
            _ => unreachable!("just seen"),
        }
    }
}

impl Drop for Op {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let done = match &mut self.ring.slots.borrow_mut()[number] {
            Slot::Op { result: None, wanted, waker, .. } => {
                (*wanted, *waker) = (false, None);
                false
            }
            _ => true,
        };
        if done {
            drop(self.ring.free(number));
        }
    }
}
