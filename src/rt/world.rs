//! `seam::World` of one shard.

use super::bell::Bell;
use super::blocking::Blocking;
use super::clock::{Clock, seed, thread_cpu};
use super::desk::{Answering, Desk};
use super::files::{DirectFiles, Parts};
use super::local::{Latch, yield_now};
use super::memory::Arena;
use super::net::{NetShard, SocketStream};
use super::ring::Ring;
use super::start::{Ready, StartError};
use super::stop::Stop;
use super::timers::Timers;
use crate::base::ShardId;
use crate::base::random::Random;
use crate::metrics::{RuntimeMetrics, RuntimeSnapshot};
use crate::seam;
use glommio::TaskQueueHandle;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// What one shard may ask of the machine. Cheap to clone; never leaves its shard.
#[derive(Clone)]
pub struct World {
    inner: Rc<Inner>,
}

struct Inner {
    shard: ShardId,
    clock: Clock,
    random: RefCell<Random>,
    ring: Rc<Ring>,
    timers: Rc<Timers>,
    blocking: Rc<Blocking>,
    /// Looks up the names of hosts.
    names: Blocking,
    files: DirectFiles,
    net: Rc<NetShard>,
    metrics: Arc<RuntimeMetrics>,
    bell: Arc<Bell>,
    answering: Answering,
    stop: Stop,
    stopping: Latch,
    closed: Latch,
    finished: Cell<bool>,
    tasks: Cell<usize>,
    /// Steps of tasks since the driver last asked.
    polls: Cell<u64>,
    /// Exchanges messages with other shards; true if any came.
    exchange: Box<dyn Fn() -> bool>,
}

impl World {
    /// The world of one shard, on its own thread.
    pub(super) fn new(
        shard: ShardId,
        ready: &Ready,
        bell: Arc<Bell>,
        exchange: Box<dyn Fn() -> bool>,
    ) -> Result<Self, StartError> {
        let ring = Ring::new(ready.roomy_rings).map_err(StartError::Ring)?;
        let blocking = Rc::new(Blocking::new("blocking", Arc::clone(&bell)));
        let names = Blocking::new("names", Arc::clone(&bell));
        let metrics = Arc::clone(&ready.metrics.of(usize::from(shard.0)).runtime);
        let net = NetShard::new(ready, Rc::clone(&ring), Arc::clone(&metrics));
        let arena =
            if ready.touch_ahead { Arena::touched_ahead } else { Arena::new }(ready.file_memory_bytes);
        ready.grounds.note(shard, arena.range(), Arc::clone(arena.marks()));
        let files = DirectFiles::new(Parts {
            dir: ready.data_dir.clone(),
            scope: ready.flush_scope,
            ring: Rc::clone(&ring),
            blocking: Rc::clone(&blocking),
            arena,
        });
        Ok(World {
            inner: Rc::new(Inner {
                shard,
                clock: ready.clock,
                random: RefCell::new(Random::new(seed())),
                ring,
                timers: Timers::new(ready.clock),
                blocking,
                names,
                files,
                net: Rc::new(net),
                metrics,
                bell,
                answering: Answering::default(),
                stop: ready.stop.clone(),
                stopping: Latch::default(),
                closed: Latch::default(),
                finished: Cell::new(false),
                tasks: Cell::new(0),
                polls: Cell::new(0),
                exchange,
            }),
        })
    }

    /// The shard this is the world of.
    #[must_use]
    pub fn shard(&self) -> ShardId {
        self.inner.shard
    }

    /// Completes when the process has been asked to stop (SIGTERM, SIGINT or `Stop::request`).
    pub fn stopping(&self) -> impl Future<Output = ()> + 'static {
        let inner = Rc::clone(&self.inner);
        async move { inner.stopping.wait().await }
    }

    /// How often the process has been asked to stop: 1 asks to drain, more ask to hurry.
    #[must_use]
    pub fn stop_requests(&self) -> u32 {
        self.inner.stop.requests()
    }

    /// Answers questions from outside from now on, at the ticks.
    pub fn answer_inquiries(&self, desk: &Desk, answer: impl Fn(&str) -> String + 'static) {
        self.inner.answering.begin(self.inner.shard, desk, answer);
    }

    /// What the shard's runtime has counted, and its gauges.
    #[must_use]
    pub fn stats(&self) -> RuntimeSnapshot {
        self.tell_gauges();
        self.inner.metrics.snapshot()
    }

    /// Tells the gauges as they are now.
    pub(super) fn tell_gauges(&self) {
        let (metrics, net, files) = (&self.inner.metrics, &self.inner.net, &self.inner.files);
        metrics.connections_open.set(net.connections());
        metrics.receive_bytes.set(net.receive_bytes());
        metrics.unsent_bytes.set(net.unsent_bytes());
        metrics.lent_bytes.set(files.ledger().lent_bytes());
        metrics.file_memory_bytes.set(files.memory_used());
        metrics.renewed_bytes_total.add(files.take_renewed());
    }

    /// Nanoseconds since 1970-01-01 UTC when `mono` was zero, the same on all shards: `mono` added to it is a time that
    /// other processes understand and that doesn't jump within this one.
    #[must_use]
    pub fn start_epoch_ns(&self) -> u64 {
        self.inner.clock.start_epoch_ns()
    }

    /// CPU time that this shard's thread has used.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        thread_cpu()
    }

    pub(super) fn net(&self) -> &Rc<NetShard> {
        &self.inner.net
    }

    pub(super) fn names(&self) -> &Blocking {
        &self.inner.names
    }

    pub(super) fn ring(&self) -> &Ring {
        &self.inner.ring
    }

    pub(super) fn bell(&self) -> &Arc<Bell> {
        &self.inner.bell
    }

    pub(super) fn metrics(&self) -> &RuntimeMetrics {
        &self.inner.metrics
    }

    /// Completes when the shard's main task has ended.
    pub(super) async fn closed(&self) {
        self.inner.closed.wait().await;
    }

    /// The shard's life is over: its executor leaves off.
    pub(super) fn finish(&self) {
        self.inner.finished.set(true);
    }

    /// Whether the shard's life is over.
    pub(super) fn is_finished(&self) -> bool {
        self.inner.finished.get()
    }

    /// Steps of tasks since the last call.
    pub(super) fn take_polls(&self) -> u64 {
        self.inner.polls.take()
    }

    /// When the next timer is due.
    pub(super) fn next_timer(&self) -> Option<Duration> {
        self.inner.timers.next()
    }

    /// Sends what the turn has queued for others, and takes in all that has happened; true if anything has.
    pub(super) fn take_in(&self, now: Duration) -> bool {
        let inner = &self.inner;
        let messages = (inner.exchange)();
        let completions = inner.ring.reap() > 0;
        let timers = inner.timers.fire(now) > 0;
        let calls = inner.blocking.take_in() | inner.names.take_in();
        let connections = inner.net.arrivals().take_in();
        messages || completions || timers || calls || connections
    }

    /// What a tick does.
    pub(super) fn tick(&self, now: Duration, elapsed: Duration) {
        self.inner.files.ledger().sweep();
        self.inner.net.tick(now, elapsed);
        self.inner.answering.answer();
        if !self.inner.stopping.is_set() && self.inner.stop.requests() > 0 {
            self.inner.stopping.set();
        }
    }

    /// Ends what the main task left behind: listeners, connections, calls on the blocking thread. Tasks get a moment
    /// to end; what doesn't is dropped with the shard.
    pub(super) async fn close(&self) {
        self.inner.closed.set();
        self.inner.answering.end();
        self.inner.net.shutdown_all();
        for _ in 0..50 {
            if self.inner.tasks.get() == 0 {
                break;
            }
            self.inner.timers.sleep(Duration::from_millis(2)).await;
        }
        // The blocking thread works in order: when this call is back, so are all before it.
        self.inner.blocking.run(|| ()).await;
    }

    /// A future whose steps the driver counts, so that it knows whether the shard is idle.
    pub(super) async fn counted<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        std::future::poll_fn(|context| {
            self.inner.polls.set(self.inner.polls.get() + 1);
            future.as_mut().poll(context)
        })
        .await
    }
}

/// Counts a task as alive.
struct Alive(Rc<Inner>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.tasks.set(self.0.tasks.get() - 1);
    }
}

impl seam::World for World {
    type Files = DirectFiles;
    type Stream = SocketStream;

    fn mono(&self) -> Duration {
        self.inner.clock.mono()
    }

    fn turn(&self) -> Duration {
        self.inner.net.turn()
    }

    fn wall_ms(&self) -> i64 {
        Clock::wall_ms()
    }

    fn random(&self) -> u64 {
        self.inner.random.borrow_mut().next_u64()
    }

    fn files(&self) -> &DirectFiles {
        &self.inner.files
    }

    fn connect(
        &self,
        address: &str,
        patience: Duration,
    ) -> impl Future<Output = Result<SocketStream, seam::NetError>> {
        self.connect_by_name(address, patience)
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.inner.tasks.set(self.inner.tasks.get() + 1);
        let alive = Alive(Rc::clone(&self.inner));
        let world = self.clone();
        // A new task is something to do: the driver must not sleep before its first step.
        self.inner.polls.set(self.inner.polls.get() + 1);
        // In a box: an async block around it would hold it three times over, and a connection has two tasks.
        let mut task = Box::pin(task);
        spawn(std::future::poll_fn(move |context| {
            let _ends_with_the_task = &alive;
            world.inner.polls.set(world.inner.polls.get() + 1);
            task.as_mut().poll(context)
        }));
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static {
        self.inner.timers.sleep(duration)
    }

    fn yield_now(&self) -> impl Future<Output = ()> + 'static {
        yield_now()
    }

    fn press_peers(&self) {
        self.inner.net.press(self.mono());
    }
}

/// Queues a task of this shard. glommio's `spawn_local` would run it at once, inside whatever its caller has borrowed.
pub(super) fn spawn(task: impl Future<Output = ()> + 'static) {
    let queued = glommio::spawn_local_into(task, TaskQueueHandle::default());
    queued.expect("the default queue lives as long as its executor").detach();
}
