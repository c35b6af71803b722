//! Threads with producing and consuming clients, and the conductor that puts their intervals together. The only part of
//! the load generator that waits.
//!
//! | file | duty |
//! |---|---|
//! | `shared` | times of a phase, for all threads |
//! | `conductor` | warm-up, intervals, progress: a thread of its own |
//! | `thread` | one thread: begins, reports, ends |
//! | `lane` | a producing client: records into batches, batches into requests, retries |
//! | `link` | its connections |
//! | `supply` | prepared batches |
//! | `follower` | a consuming client |
//! | `leaders` | who leads which partition |
//! | `churn`, `groups` | connections and group members that come and go |
//! | `transactions` | producers that run one transaction after the other |
//! | `setup` | topics and offsets before a run, and after it |

mod churn;
mod conductor;
mod context;
mod follower;
mod groups;
mod lane;
mod leaders;
mod link;
mod setup;
mod shared;
mod supply;
mod thread;
mod transactions;

pub use conductor::{PhaseRun, Sink};
pub use setup::Target;

use crate::load::client::{ClientError, Edge};
use crate::load::job::Load;
use crate::load::measure::Interval;
use crate::load::verify::Ledger;
use crate::rt::{self, RtConf, World};
use crate::seam::World as _;
use conductor::Conductor;
use shared::Shared;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use thread::NextSequences;

/// Why a run can't go on.
#[derive(Debug)]
pub enum EngineError {
    /// The machine lacks something.
    Start(rt::StartError),
    /// A broker didn't do its part.
    Client(ClientError),
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EngineError::Start(error) => write!(f, "{error}"),
            EngineError::Client(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for EngineError {}

impl From<ClientError> for EngineError {
    fn from(error: ClientError) -> Self {
        EngineError::Client(error)
    }
}

/// What threads tell the conductor.
pub(super) enum Report {
    /// An interval is over.
    Interval(Interval),
}

/// What the threads of a phase are told.
struct PhasePlan {
    load: Load,
    target: Target,
    shared: Arc<Shared>,
    reports: Sender<Report>,
    run: u32,
    keep_acks: bool,
    keep_receipts: bool,
    /// Where reading begins.
    read_from: Vec<i64>,
    next_sequences: NextSequences,
}

/// What of a phase is entered into the ledger.
#[derive(Clone, Copy, Debug, Default)]
pub struct Keep {
    /// Acknowledgements.
    pub acks: bool,
    /// Receipts.
    pub receipts: bool,
}

/// One run: its topics, and everything that was acknowledged so far.
pub struct Engine {
    /// Which run the stamps name.
    run: u32,
    target: Target,
    ledger: Ledger,
}

impl Engine {
    /// Finds the cluster and makes the topics of a run.
    ///
    /// # Errors
    /// There is no such cluster, or it refuses.
    pub fn prepare(load: &Load) -> Result<Engine, EngineError> {
        let wanted = load.clone();
        let (run, target) = once(load, move |world| {
            let load = wanted.clone();
            async move {
                let run = world.random() as u32;
                Ok((run, setup::prepare(&world, &load, run).await?))
            }
        })?;
        Ok(Engine { run, target, ledger: Ledger::default() })
    }

    /// What the run writes to and reads from.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// What was acknowledged and what came back.
    pub fn ledger(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    /// Runs one phase.
    ///
    /// # Errors
    /// A client can't begin.
    pub fn phase(&mut self, load: &Load, keep: Keep, sink: Box<dyn Sink>) -> Result<PhaseRun, EngineError> {
        self.refresh(load)?;
        let shared = Arc::new(Shared::new(u32::from(load.threads), self.target.parts.len()));
        let (reports, received) = channel();
        let conductor = Conductor::new(load, Arc::clone(&shared), sink);
        let conductor = conductor.spawn(received);
        let plan = Arc::new(PhasePlan {
            load: load.clone(),
            target: self.target.clone(),
            shared: Arc::clone(&shared),
            reports,
            run: self.run,
            keep_acks: keep.acks,
            keep_receipts: keep.receipts,
            read_from: self.target.first.clone(),
            next_sequences: self.next_sequences(load),
        });
        let ended = run_threads(load, &plan);
        // The conductor ends when the last sender is gone.
        drop(plan);
        let mut run = conductor.join().expect("the conductor doesn't panic");
        for ledger in ended? {
            self.ledger.add(&ledger?);
        }
        run.interrupted |= load_stop(load);
        Ok(run)
    }

    /// Leaders and ends may have changed since the last phase.
    fn refresh(&mut self, load: &Load) -> Result<(), EngineError> {
        if !load.consumes() || self.target.parts.is_empty() {
            return Ok(());
        }
        let (wanted, target) = (load.clone(), self.target.clone());
        self.target.next = once(load, move |world| {
            let (load, target) = (wanted.clone(), target.clone());
            async move { Ok(setup::edge(&world, &load, &target, Edge::Next).await?) }
        })?;
        Ok(())
    }

    fn next_sequences(&self, load: &Load) -> NextSequences {
        let mut next = BTreeMap::new();
        for ((part, lane), sequence) in self.ledger.next_sequences() {
            if lane < load.producers {
                next.insert((part as usize, lane), sequence);
            }
        }
        next
    }

    /// Deletes the topics that were made for the run.
    ///
    /// # Errors
    /// The cluster refuses.
    pub fn clean(&self, load: &Load) -> Result<(), EngineError> {
        let (wanted, target) = (load.clone(), self.target.clone());
        once(load, move |world| {
            let (load, target) = (wanted.clone(), target.clone());
            async move { Ok(setup::clean(&world, &load, &target).await?) }
        })
    }
}

fn load_stop(load: &Load) -> bool {
    load.stop.requests() > 0
}

fn conf(load: &Load, threads: u16) -> RtConf {
    RtConf {
        pin: load.pin,
        spin: load.spin,
        slow_frame_max: load.request_timeout,
        send_stall_max: load.request_timeout,
        signals: true,
        stop: load.stop.clone(),
        ..RtConf::without_files(threads)
    }
}

/// Runs something short on one thread.
fn once<T, F, Fut>(load: &Load, task: F) -> Result<T, EngineError>
where
    T: Send + 'static,
    F: Fn(World) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Result<T, EngineError>> + 'static,
{
    let conf = RtConf { signals: false, ..conf(load, 1) };
    let mut answers =
        rt::run::<(), _, _, _>(&conf, move |_, world, _| task(world)).map_err(EngineError::Start)?;
    answers.pop().expect("one shard gives one answer")
}

fn run_threads(load: &Load, plan: &Arc<PhasePlan>) -> Result<Vec<Result<Ledger, ClientError>>, EngineError> {
    let plan = Arc::clone(plan);
    rt::run::<(), _, _, _>(&conf(load, load.threads), move |shard, world, _| {
        thread::run(world, u32::from(shard.0), Arc::clone(&plan))
    })
    .map_err(EngineError::Start)
}
