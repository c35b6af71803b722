//! `seam::World` of one shard.

use super::clock::{Clock, seed};
use super::counters::{Counters, Stats};
use super::files::DirectFiles;
use super::local::{Latch, yield_now};
use super::net::{NetShard, SocketStream};
use super::start::Ready;
use super::stop::Stop;
use crate::base::ShardId;
use crate::base::random::Random;
use crate::seam;
use glommio::TaskQueueHandle;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
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
    files: DirectFiles,
    net: Rc<NetShard>,
    counters: Rc<Counters>,
    stop: Stop,
    stopping: Latch,
    closed: Latch,
    tasks: Cell<usize>,
    /// Called on every tick: looks for messages whose wake got lost.
    poke: Box<dyn Fn()>,
}

impl World {
    /// The world of one shard, on its own thread.
    pub(super) fn new(shard: ShardId, ready: &Ready, poke: Box<dyn Fn()>) -> Self {
        let counters = Rc::new(Counters::default());
        let net = NetShard::new(ready.clock, Rc::clone(&counters), ready.net);
        World {
            inner: Rc::new(Inner {
                shard,
                clock: ready.clock,
                random: RefCell::new(Random::new(seed())),
                files: DirectFiles::new(ready.data_dir.clone(), ready.flush_scope),
                net: Rc::new(net),
                counters,
                stop: ready.stop.clone(),
                stopping: Latch::default(),
                closed: Latch::default(),
                tasks: Cell::new(0),
                poke,
            }),
        }
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

    /// Counters and gauges of the shard's runtime.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let ledger = self.inner.files.ledger();
        Stats {
            connections_open: self.inner.net.connections(),
            receive_bytes: self.inner.net.receive_bytes(),
            lent_bytes: ledger.lent_bytes(),
            pooled_bytes: ledger.pool().bytes(),
            ..self.inner.counters.stats()
        }
    }

    pub(super) fn net(&self) -> &Rc<NetShard> {
        &self.inner.net
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.inner.counters
    }

    /// Completes when the shard's main task has ended.
    pub(super) async fn closed(&self) {
        self.inner.closed.wait().await;
    }

    /// Whether the shard's main task has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.inner.closed.is_set()
    }

    /// What a tick does.
    pub(super) fn tick(&self, now: Duration, elapsed: Duration) {
        self.inner.files.ledger().sweep();
        self.inner.net.tick(now, elapsed);
        (self.inner.poke)();
        if !self.inner.stopping.is_set() && self.inner.stop.requests() > 0 {
            self.inner.stopping.set();
        }
    }

    /// Ends what the main task left behind: listeners, connections, calls on the blocking thread. Tasks get a moment
    /// to end; what doesn't is dropped with the shard.
    pub(super) async fn close(&self) {
        self.inner.closed.set();
        self.inner.net.shutdown_all();
        for _ in 0..50 {
            if self.inner.tasks.get() == 0 {
                break;
            }
            glommio::timer::sleep(Duration::from_millis(2)).await;
        }
        // The blocking thread works in order: when this call is back, so are all before it. glommio's thread panics
        // if an answer finds no shard any more.
        glommio::executor().spawn_blocking(|| ()).await;
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

    fn wall_ms(&self) -> i64 {
        Clock::wall_ms()
    }

    fn random(&self) -> u64 {
        self.inner.random.borrow_mut().next_u64()
    }

    fn files(&self) -> &DirectFiles {
        &self.inner.files
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.inner.tasks.set(self.inner.tasks.get() + 1);
        let alive = Alive(Rc::clone(&self.inner));
        let task = async move {
            task.await;
            drop(alive);
        };
        spawn(task);
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static {
        glommio::timer::sleep(duration)
    }

    fn yield_now(&self) -> impl Future<Output = ()> + 'static {
        yield_now()
    }
}

/// Queues a task of this shard. glommio's `spawn_local` would run it at once, inside whatever its caller has borrowed.
pub(super) fn spawn(task: impl Future<Output = ()> + 'static) {
    let queued = glommio::spawn_local_into(task, TaskQueueHandle::default());
    queued.expect("the default queue lives as long as its executor").detach();
}
