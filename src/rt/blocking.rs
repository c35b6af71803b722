//! Helper threads for a shard's calls that may block: one for names, folders, opening and closing files; another, where
//! it is needed, for looking up the names of hosts, which may take as long as it likes.

use super::bell::Bell;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Poll, Waker};

type Job = Box<dyn FnOnce() + Send>;
type Outcome = Box<dyn Any + Send>;

/// A shard's way to its helper thread, which starts with the first call and ends with the shard.
pub(super) struct Blocking {
    thread: &'static str,
    bell: Arc<Bell>,
    jobs: RefCell<Option<Sender<Job>>>,
    outcomes: Receiver<(u64, Outcome)>,
    done: Sender<(u64, Outcome)>,
    waiting: RefCell<BTreeMap<u64, Waiting>>,
    next: Cell<u64>,
}

#[derive(Default)]
struct Waiting {
    outcome: Option<Outcome>,
    waker: Option<Waker>,
}

impl Blocking {
    /// One whose thread has this name.
    pub(super) fn new(thread: &'static str, bell: Arc<Bell>) -> Self {
        let (done, outcomes) = channel();
        Blocking {
            thread,
            bell,
            jobs: RefCell::default(),
            outcomes,
            done,
            waiting: RefCell::default(),
            next: Cell::new(0),
        }
    }

    /// Runs `work` on the helper thread, after all that was given to it before.
    pub(super) async fn run<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> R {
        let number = self.next.replace(self.next.get() + 1);
        let (done, bell) = (self.done.clone(), Arc::clone(&self.bell));
        self.waiting.borrow_mut().insert(number, Waiting::default());
        let forget = Forget { blocking: self, number };
        self.queue(Box::new(move || {
            // Nobody is left to tell if the shard has ended.
            let _ = done.send((number, Box::new(work())));
            bell.ring();
        }));
        let outcome = poll_fn(|context| {
            let mut waiting = self.waiting.borrow_mut();
            let mine = waiting.get_mut(&number).expect("it is there until this future ends");
            match mine.outcome.take() {
                Some(outcome) => Poll::Ready(outcome),
                None => {
                    mine.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await;
        drop(forget);
        *outcome.downcast().expect("the outcome of this very work")
    }

    /// Runs `work` some time; nobody waits for it.
    pub(super) fn queue(&self, job: Job) {
        let mut jobs = self.jobs.borrow_mut();
        let sender = jobs.get_or_insert_with(|| start(self.thread));
        // Fails only if the thread panicked, and then the process has aborted.
        let _ = sender.send(job);
    }

    /// Takes in outcomes and wakes who waits for them; whether there were any.
    pub(super) fn take_in(&self) -> bool {
        let mut any = false;
        for (number, outcome) in self.outcomes.try_iter() {
            any = true;
            let mut waiting = self.waiting.borrow_mut();
            // Nobody waits any more if the task was dropped.
            if let Some(waiting) = waiting.get_mut(&number) {
                waiting.outcome = Some(outcome);
                if let Some(waker) = waiting.waker.take() {
                    waker.wake();
                }
            }
        }
        any
    }
}

/// Forgets a call that nobody waits for.
struct Forget<'a> {
    blocking: &'a Blocking,
    number: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.blocking.waiting.borrow_mut().remove(&self.number);
    }
}

fn start(name: &str) -> Sender<Job> {
    let (sender, jobs) = channel::<Job>();
    let run = move || jobs.into_iter().for_each(|job| job());
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    thread.expect("the process may start a thread");
    sender
}
