//! A single-threaded executor whose every choice is a draw from a seed: which ready task runs next, and by how much the
//! virtual clock moves. Time passes only here; a simulated second takes as long as the steps in it.

use crate::base::random::Random;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// Virtual time that one step of a task takes.
const STEP: Duration = Duration::from_nanos(700);

/// Tasks of one group end together: the life of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group(pub u32);

type Task = Pin<Box<dyn Future<Output = ()>>>;

struct Entry {
    group: Group,
    /// `None` while it runs.
    task: Option<Task>,
    waker: Arc<Wakeup>,
}

/// Wakes one task: queues its number once until it runs.
struct Wakeup {
    number: u64,
    queued: AtomicBool,
    woken: Sender<u64>,
}

impl Wake for Wakeup {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            // Fails only once the executor is gone, and the task with it.
            let _ = self.woken.send(self.number);
        }
    }
}

struct Inner {
    random: RefCell<Random>,
    now: Cell<Duration>,
    tasks: RefCell<BTreeMap<u64, Entry>>,
    ready: RefCell<Vec<u64>>,
    woken: Receiver<u64>,
    wake: Sender<u64>,
    timers: RefCell<BTreeMap<(Duration, u64), Waker>>,
    next: Cell<u64>,
    steps: Cell<u64>,
    trace: Cell<u64>,
}

/// The executor. A clone is the same one.
#[derive(Clone)]
pub struct Exec(Rc<Inner>);

impl Exec {
    /// An executor without tasks at time 0.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let (wake, woken) = channel();
        Exec(Rc::new(Inner {
            random: RefCell::new(Random::stream(seed, 1)),
            now: Cell::new(Duration::ZERO),
            tasks: RefCell::default(),
            ready: RefCell::default(),
            woken,
            wake,
            timers: RefCell::default(),
            next: Cell::new(0),
            steps: Cell::new(0),
            trace: Cell::new(0xcbf2_9ce4_8422_2325),
        }))
    }

    /// Virtual time since the start.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.0.now.get()
    }

    /// Steps of tasks so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.0.steps.get()
    }

    /// A hash over everything that was noted: equal for equal runs.
    #[must_use]
    pub fn trace(&self) -> u64 {
        self.0.trace.get()
    }

    /// Adds to the trace (FNV-1a over whole words).
    pub fn note(&self, word: u64) {
        self.0.trace.set((self.0.trace.get() ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(23));
    }

    /// A draw from `0..bound`.
    pub fn below(&self, bound: u64) -> u64 {
        self.0.random.borrow_mut().below(bound)
    }

    /// True in `percent` of 100 draws.
    pub fn chance(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// A duration of `low` to `high` microseconds.
    pub fn micros(&self, low: u64, high: u64) -> Duration {
        Duration::from_micros(low + self.below(high - low + 1))
    }

    fn number(&self) -> u64 {
        self.0.next.set(self.0.next.get() + 1);
        self.0.next.get()
    }

    /// Queues a task.
    pub fn spawn(&self, group: Group, task: impl Future<Output = ()> + 'static) {
        let number = self.number();
        let waker = Arc::new(Wakeup { number, queued: AtomicBool::new(true), woken: self.0.wake.clone() });
        self.0.tasks.borrow_mut().insert(number, Entry { group, task: Some(Box::pin(task)), waker });
        self.0.ready.borrow_mut().push(number);
    }

    /// Ends all tasks of a group where they stand.
    pub fn kill(&self, group: Group) {
        let mut killed = Vec::new();
        self.0.tasks.borrow_mut().retain(|_, entry| {
            let lives = entry.group != group;
            if !lives {
                killed.push(entry.task.take());
            }
            lives
        });
        // What they own is dropped with no borrow held: a drop may wake others.
        drop(killed);
    }

    /// Ends all tasks. They hold the executor, which holds them: without this a run's memory is never freed.
    pub fn end(&self) {
        let tasks = std::mem::take(&mut *self.0.tasks.borrow_mut());
        drop(tasks);
    }

    /// Completes at a time.
    pub fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static {
        Sleep { exec: self.clone(), at: self.now() + duration, number: self.number() }
    }

    /// Runs until a future ends.
    ///
    /// # Panics
    /// Nothing can run any more and no timer stands, or `steps_max` is reached: the run hangs.
    pub fn run<T>(&self, future: impl Future<Output = T>, steps_max: u64) -> T {
        let main = Arc::new(Wakeup { number: 0, queued: AtomicBool::new(true), woken: self.0.wake.clone() });
        let waker = Waker::from(main.clone());
        let mut future = pin!(future);
        self.0.ready.borrow_mut().push(0);
        loop {
            let number = self.next_ready();
            self.0.steps.set(self.steps() + 1);
            assert!(self.steps() < steps_max, "the run doesn't end: {steps_max} steps");
            self.0.now.set(self.now() + STEP);
            self.note(number ^ (self.0.now.get().as_nanos() as u64) << 20);
            if number == 0 {
                main.queued.store(false, Ordering::Relaxed);
                if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return value;
                }
            } else {
                self.step(number);
            }
        }
    }

    fn step(&self, number: u64) {
        let taken = self.0.tasks.borrow_mut().get_mut(&number).and_then(|entry| {
            entry.waker.queued.store(false, Ordering::Relaxed);
            Some((entry.task.take()?, Waker::from(entry.waker.clone())))
        });
        let Some((mut task, waker)) = taken else { return };
        let done = task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        let mut tasks = self.0.tasks.borrow_mut();
        match tasks.get_mut(&number) {
            Some(entry) if !done => entry.task = Some(task),
            _ => {
                let entry = tasks.remove(&number);
                drop(tasks);
                drop((entry, task));
            }
        }
    }

    /// The next task to run, by a draw; moves the clock to the next timer where none is ready.
    fn next_ready(&self) -> u64 {
        loop {
            self.fire_timers();
            let mut ready = self.0.ready.borrow_mut();
            ready.extend(self.0.woken.try_iter());
            if !ready.is_empty() {
                let index = usize::try_from(self.below(ready.len() as u64)).expect("fits");
                return ready.swap_remove(index);
            }
            drop(ready);
            let next = self.0.timers.borrow().first_key_value().map(|((at, _), _)| *at);
            let at = next.expect("every task waits and no timer stands: a deadlock");
            self.0.now.set(at.max(self.now()));
        }
    }

    fn fire_timers(&self) {
        let now = self.now();
        let mut timers = self.0.timers.borrow_mut();
        while timers.first_key_value().is_some_and(|((at, _), _)| *at <= now) {
            if let Some((_, waker)) = timers.pop_first() {
                waker.wake();
            }
        }
    }
}

struct Sleep {
    exec: Exec,
    at: Duration,
    number: u64,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.exec.now() >= self.at {
            return Poll::Ready(());
        }
        self.exec.0.timers.borrow_mut().insert((self.at, self.number), context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.exec.0.timers.borrow_mut().remove(&(self.at, self.number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(seed: u64) -> (u64, Vec<u64>) {
        let exec = Exec::new(seed);
        let order = Rc::new(RefCell::new(Vec::new()));
        for id in 0..20 {
            let (inner, order) = (exec.clone(), order.clone());
            exec.spawn(Group(1), async move {
                inner.sleep(inner.micros(0, 50)).await;
                order.borrow_mut().push(id);
            });
        }
        let wait = exec.sleep(Duration::from_millis(1));
        exec.run(wait, 10_000);
        let order = order.borrow().clone();
        (exec.trace(), order)
    }

    #[test]
    fn a_seed_is_a_run() {
        assert_eq!(run(1), run(1));
        assert_ne!(run(1).0, run(2).0);
        assert_ne!(run(1).1, run(2).1);
        assert_eq!(run(3).1.len(), 20);
    }

    #[test]
    fn a_killed_group_runs_no_more() {
        let exec = Exec::new(1);
        let count = Rc::new(Cell::new(0));
        for group in [1, 2] {
            let (inner, count) = (exec.clone(), count.clone());
            exec.spawn(Group(group), async move {
                inner.sleep(Duration::from_millis(1)).await;
                count.set(count.get() + group);
            });
        }
        exec.kill(Group(1));
        let wait = exec.sleep(Duration::from_millis(2));
        exec.run(wait, 1000);
        assert_eq!(count.get(), 2);
    }
}
