//! The memory of answers that clients haven't taken yet, of one shard.
//!
//! An answer holds memory until its client has received it: slices of the tail cache, blocks read from a file, metadata
//! of thousands of topics. A client that asks and doesn't read must not make the shard hold more and more of them.
//! So answers have a budget. While it is spent, requests wait in line, one after the other, and a fetch gets no more
//! than what is left; who takes nothing of an answer for long is ended by the runtime, sooner while memory is short.
//!
//! A produce of a connection that has taken all its answers doesn't wait: its answer is a few bytes.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// The budget and the line before it. A clone is the same one.
#[derive(Clone, Debug)]
pub(crate) struct Answers(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    max: usize,
    used: Cell<usize>,
    line: RefCell<VecDeque<Rc<Turn>>>,
}

/// A place in line.
#[derive(Debug, Default)]
struct Turn {
    granted: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Answers {
    /// A budget of `max` bytes.
    pub(crate) fn new(max: usize) -> Self {
        Answers(Rc::new(Inner { max, used: Cell::new(0), line: RefCell::default() }))
    }

    /// Bytes that are held or set aside.
    pub(crate) fn used(&self) -> usize {
        self.0.used.get()
    }

    /// Bytes that are left.
    pub(crate) fn left(&self) -> usize {
        self.0.max.saturating_sub(self.used())
    }

    /// What one answer may take at most: a part of what is left, so that a large one doesn't stand in the way of all
    /// others.
    pub(crate) fn share(&self) -> usize {
        (self.left() / 4).max(1)
    }

    /// Notes bytes that are held. Who holds them was let through by `room`; the last one may exceed the budget.
    pub(crate) fn take(&self, bytes: usize) {
        self.0.used.set(self.used() + bytes);
    }

    /// Notes bytes that are held no more.
    pub(crate) fn give(&self, bytes: usize) {
        self.0.used.set(self.used().checked_sub(bytes).expect("gives back what was taken"));
        self.serve();
    }

    /// Waits in line until there is room. Who went through says so with `through` once its request has begun.
    pub(crate) async fn room(&self) {
        if self.left() > 0 && self.0.line.borrow().is_empty() {
            return;
        }
        let turn = Rc::new(Turn::default());
        self.0.line.borrow_mut().push_back(turn.clone());
        let place = Place { answers: self, turn, used: Cell::new(false) };
        poll_fn(|context| {
            if place.turn.granted.get() {
                place.used.set(true);
                return Poll::Ready(());
            }
            *place.turn.waker.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Lets the next in line go on if there still is room.
    pub(crate) fn through(&self) {
        self.serve();
    }

    /// Grants one turn at a time: what its request takes is known only when it has begun.
    fn serve(&self) {
        if self.left() == 0 {
            return;
        }
        let line = self.0.line.borrow();
        if let Some(first) = line.front()
            && !first.granted.replace(true)
            && let Some(waker) = first.waker.take()
        {
            waker.wake();
        }
    }
}

/// Leaves the line when it goes. A turn that wasn't used is the next one's.
struct Place<'a> {
    answers: &'a Answers,
    turn: Rc<Turn>,
    used: Cell<bool>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.answers.0.line.borrow_mut().retain(|turn| !Rc::ptr_eq(turn, &self.turn));
        if !self.used.get() {
            self.answers.serve();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, poll_once};
    use std::pin::pin;

    #[test]
    fn who_finds_the_budget_spent_waits_in_order() {
        let answers = Answers::new(100);
        block_on(async {
            answers.room().await;
            answers.take(150);
            assert_eq!((answers.used(), answers.left()), (150, 0), "the last one may exceed it");
            assert_eq!((answers.share(), Answers::new(100).share()), (1, 25));
            let (mut first, mut second) = (pin!(answers.room()), pin!(answers.room()));
            assert!(poll_once(&mut first).await.is_none() && poll_once(&mut second).await.is_none());
            answers.give(50);
            assert!(poll_once(&mut first).await.is_none(), "none is left yet");
            answers.give(50);
            assert!(poll_once(&mut second).await.is_none(), "the first goes first");
            assert!(poll_once(&mut first).await.is_some());
            answers.take(50);
            answers.through();
            assert!(poll_once(&mut second).await.is_none(), "the first took what was left");
            answers.give(100);
            assert!(poll_once(&mut second).await.is_some());
        });
    }

    #[test]
    fn who_leaves_the_line_lets_the_next_one_go_on() {
        let answers = Answers::new(10);
        answers.take(10);
        block_on(async {
            let mut leaving = Box::pin(answers.room());
            let mut staying = pin!(answers.room());
            assert!(poll_once(&mut leaving).await.is_none() && poll_once(&mut staying).await.is_none());
            answers.give(10);
            drop(leaving);
            assert!(poll_once(&mut staying).await.is_some());
        });
    }
}
