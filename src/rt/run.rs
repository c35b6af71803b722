//! Starting the shards and waiting for them.

use super::awake::Awake;
use super::bell::Bell;
use super::clock::sharpen_timers;
use super::conf::RtConf;
use super::drive::drive;
use super::mesh::{Mesh, MeshEnd, mesh_ends};
use super::start::{Ready, StartError, prepare, processors};
use super::stop::Signals;
use super::world::{World, spawn};
use crate::base::ShardId;
use crate::seam::World as _;
use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement, PoolPlacement};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Memory that the ring may pin for short reads. glommio registers it with three rings, each charged to
/// RLIMIT_MEMLOCK; its default of 10 MiB doesn't fit the usual limit of 8 MiB even once. Larger buffers come from the
/// heap.
const IO_MEMORY_BYTES: usize = 64 * 1024;

/// Submissions that one of glommio's rings holds. Next to nothing happens in them (see `drive`), and their memory is
/// charged to RLIMIT_MEMLOCK too.
const RING_DEPTH: usize = 16;

/// How often glommio looks at its own rings, in which nothing happens (see `drive`). An executor whose thread isn't run
/// for this long between arming this timer and its first look at it believes that nothing is ready, and parks for ever
/// although the driver is: with 20 µs every run of the load generator hangs within seconds, with 100 ms one in about
/// sixty did on a machine with twice as many busy threads as processors.
const PREEMPT: Duration = Duration::from_hours(1);

/// How often the starting thread looks for signals while the shards run.
const SIGNAL_PAUSE: Duration = Duration::from_millis(250);

/// The same once the shards have been asked to stop: an operator waits.
const ENDING_PAUSE: Duration = Duration::from_millis(5);

/// What a shard tells the starting thread.
enum News {
    /// Its executor runs.
    Started,
    /// Its executor runs, but the shard can't.
    Failed(StartError),
    /// Its main task has ended, or its executor never ran.
    Ended,
    /// It panicked, which in the released binary has ended the process already.
    Panicked,
}

/// Tells that a shard has ended, whichever way.
struct Teller(Sender<News>);

impl Drop for Teller {
    fn drop(&mut self) {
        // Nobody listens any more only if the start failed already.
        let _ = self.0.send(if std::thread::panicking() { News::Panicked } else { News::Ended });
    }
}

/// Whether started shards may run their main task.
#[derive(Default)]
struct Gate(AtomicU32);

impl Gate {
    const OPEN: u32 = 1;
    const CANCELLED: u32 = 2;

    async fn pass(&self, world: &World) -> bool {
        loop {
            match self.0.load(Ordering::Acquire) {
                Gate::OPEN => return true,
                Gate::CANCELLED => return false,
                _ => world.sleep(Duration::from_millis(1)).await,
            }
        }
    }
}

/// Runs `shard_main` on every shard and returns what each answered, in order, when all have ended.
///
/// A shard ends with its main task; listeners, connections and tasks that are left are ended then. The calling thread
/// waits and, if `conf.signals` is set, turns SIGTERM and SIGINT into stop requests.
///
/// # Errors
/// Nothing has run if the machine lacks something: see `StartError`.
pub fn run<M, F, Fut, T>(conf: &RtConf, shard_main: F) -> Result<Vec<T>, StartError>
where
    M: Send + 'static,
    F: Fn(ShardId, World, Mesh<M>) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = T> + 'static,
    T: Send + 'static,
{
    assert!(conf.shards > 0, "a process has at least one shard");
    let ready = prepare(conf)?;
    let signals = conf.signals.then(Signals::block);
    let gate = Arc::new(Gate::default());
    let (sender, news) = channel();
    let processors = processors();
    let mut handles = Vec::new();
    let bells = (0..conf.shards).map(|_| Bell::new().map(Arc::new)).collect::<Result<Vec<_>, _>>();
    let bells = bells.map_err(StartError::Ring)?;
    for (index, end) in mesh_ends(&bells).into_iter().enumerate() {
        let processor = processors.get(index % processors.len().max(1)).copied();
        let teller = Teller(sender.clone());
        let (shard_main, ready, gate) = (shard_main.clone(), ready.clone(), Arc::clone(&gate));
        let (awake, sharp_timers) = (Awake::new(conf.spin, conf.spin_lone), conf.sharp_timers);
        let start =
            ShardStart { end, bell: Arc::clone(&bells[index]), awake, sharp_timers, ready, teller, gate };
        let task = move || shard_task(start, shard_main);
        handles
            .push(builder(conf, processor).spawn(task).map_err(|error| StartError::Shard(error.to_string())));
    }
    drop(sender);
    let started =
        if handles.iter().all(Result::is_ok) { all_started(&news, handles.len()) } else { Ok(false) };
    gate.0.store(if matches!(started, Ok(true)) { Gate::OPEN } else { Gate::CANCELLED }, Ordering::Release);
    if started? && !all_ended(&news, signals.as_ref(), conf) {
        // The other shards may wait for the one that is gone for ever.
        return Err(StartError::Panicked);
    }
    join(handles)
}

fn builder(conf: &RtConf, processor: Option<usize>) -> LocalExecutorBuilder {
    let placement = match processor {
        Some(processor) if conf.pin => Placement::Fixed(processor),
        _ => Placement::Unbound,
    };
    LocalExecutorBuilder::new(placement)
        .name("shard")
        .io_memory(IO_MEMORY_BYTES)
        .ring_depth(RING_DEPTH)
        .preempt_timer(PREEMPT)
        .blocking_thread_pool_placement(PoolPlacement::Unbound(1))
}

/// What a shard's thread gets.
struct ShardStart<M> {
    end: MeshEnd<M>,
    bell: Arc<Bell>,
    awake: Awake,
    sharp_timers: bool,
    ready: Ready,
    teller: Teller,
    gate: Arc<Gate>,
}

/// Everything that happens on one shard's thread.
async fn shard_task<M, F, Fut, T>(start: ShardStart<M>, shard_main: F) -> Option<T>
where
    M: Send + 'static,
    F: Fn(ShardId, World, Mesh<M>) -> Fut,
    Fut: Future<Output = T> + 'static,
{
    let ShardStart { end, bell, awake, sharp_timers, ready, teller, gate } = start;
    let shard = end.this();
    if sharp_timers {
        sharpen_timers();
    }
    let mesh = Mesh::new(end);
    let exchanged = mesh.clone();
    let world = match World::new(shard, &ready, Arc::clone(&bell), Box::new(move || exchanged.exchange())) {
        Ok(world) => world,
        Err(error) => {
            let _ = teller.0.send(News::Failed(error));
            return None;
        }
    };
    spawn(drive(world.clone(), bell, awake));
    let _ = teller.0.send(News::Started);
    let life = async {
        if !gate.pass(&world).await {
            return None;
        }
        let answer = shard_main(shard, world.clone(), mesh).await;
        world.close().await;
        Some(answer)
    };
    let answer = world.counted(life).await;
    world.finish();
    answer
}

/// Waits until every shard has started; false if an executor couldn't be made, which its handle explains.
fn all_started(news: &Receiver<News>, shards: usize) -> Result<bool, StartError> {
    for _ in 0..shards {
        match news.recv() {
            Ok(News::Started) => {}
            Ok(News::Failed(error)) => return Err(error),
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// Waits until every shard has ended, and passes signals on meanwhile. False as soon as one has panicked.
fn all_ended(news: &Receiver<News>, signals: Option<&Signals>, conf: &RtConf) -> bool {
    loop {
        let next = match signals {
            None => news.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(signals) => {
                let ending = conf.stop.requests() > 0;
                if signals.take(if ending { ENDING_PAUSE } else { SIGNAL_PAUSE }) {
                    conf.stop.request();
                }
                news.recv_timeout(Duration::ZERO)
            }
        };
        match next {
            Ok(News::Panicked) => return false,
            Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return true,
        }
    }
}

type Handle<T> = Result<ExecutorJoinHandle<Option<T>>, StartError>;

/// The shards' answers, or the first failure.
fn join<T: Send + 'static>(handles: Vec<Handle<T>>) -> Result<Vec<T>, StartError> {
    let mut answers = Vec::new();
    let mut failure = None;
    for handle in handles {
        match handle.map(ExecutorJoinHandle::join) {
            Ok(Ok(Some(answer))) => answers.push(answer),
            Ok(Ok(None)) => {}
            Ok(Err(glommio::GlommioError::BuilderError(glommio::BuilderErrorKind::ThreadPanic(_)))) => {
                failure = failure.or(Some(StartError::Panicked));
            }
            Ok(Err(error)) => failure = failure.or(Some(StartError::Shard(error.to_string()))),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    failure.map_or(Ok(answers), Err)
}
