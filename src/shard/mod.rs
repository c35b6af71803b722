//! The shell of one shard: routes events to machines and performs their effects through the seam.
//!
//! Every shard is the same program. It has client connections (`connection`, `origin`, `fetch`) and owns partitions
//! (`owner`, `reads`, `offsets`, `flush`, `maintenance`), those of groups and transactions with their coordinators
//! (`groups`, `txns`, `coordinated`); shard 0 also has the embedded coordinator (`coordinator`). Other nodes are behind
//! `peers`.
//! The two halves talk by `message`s, over the mesh or, within one shard, by direct calls.
//!
//! Invariant: no `RefCell` borrow is held over an await, nor while a plan is resumed or a message is delivered.

mod answers;
mod checkpoint;
mod compaction;
mod connection;
mod coordinated;
mod coordinator;
mod fetch;
mod flush;
mod groups;
mod inbox;
mod journey;
mod lag;
mod lifecycle;
mod maintenance;
mod message;
mod notify;
mod offsets;
mod origin;
mod owner;
mod partition;
mod peers;
mod reads;
mod replication;
mod shortage;
pub mod storage;
mod txns;
mod view;

pub use lag::Behind;
pub use lifecycle::Setup;
pub use message::{Message, Origin, ReadBudget};
pub use replication::ReplicaFacts;

use crate::api::{Context, FetchSessions, NodeInfo, RequestHeader};
use crate::base::limits::FRAME_BYTES_MAX;
use crate::base::{BrokerEpoch, NodeId, ShardId, TopicPartition};
use crate::cluster::ClusterState;
use crate::conf::BrokerConf;
use crate::metrics::{FlightRecorder, ShardMetrics, ShardTables};
use crate::seam::{Mesh, World};
use notify::Notify;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

/// The world that a broker runs in: the machine of a shard and the mesh between shards.
pub trait Broker: 'static {
    /// Clock, files, network, tasks.
    type World: World;
    /// Messages between shards.
    type Mesh: Mesh<Message>;
}

/// The files of a broker's world.
pub(crate) type FilesOf<B> = <<B as Broker>::World as World>::Files;

/// One shard. A clone is a handle to the same shard.
pub struct Shard<B: Broker>(Rc<Inner<B>>);

impl<B: Broker> Clone for Shard<B> {
    fn clone(&self) -> Self {
        Shard(self.0.clone())
    }
}

struct Inner<B: Broker> {
    world: B::World,
    mesh: B::Mesh,
    conf: Rc<BrokerConf>,
    node: NodeInfo,
    data_dir: PathBuf,
    cluster_id: String,
    /// Under which epoch this broker was closed in good order, if it was.
    clean_epoch: Option<BrokerEpoch>,
    tables: ShardTables,
    /// The slowest requests.
    flights: RefCell<FlightRecorder>,
    /// Requests so far, to time one in some.
    requests: Cell<u64>,
    /// This shard's copy of the cluster's metadata.
    view: RefCell<ClusterState>,
    /// The acting coordinator, as far as this shard knows.
    acting: Cell<Option<NodeId>>,
    origin: RefCell<origin::Pending>,
    fetches: RefCell<fetch::Fetches>,
    /// Memory of answers on their way to clients.
    answers: answers::Answers,
    /// Log lines that clients cause.
    sparing: RefCell<crate::metrics::Sparing>,
    sessions: RefCell<FetchSessions>,
    producer_ids: RefCell<crate::api::ProducerIdBlock>,
    owner: RefCell<owner::Owner<B>>,
    replication: replication::Replication,
    /// Coordinators of groups whose partitions this shard owns.
    groups: RefCell<groups::Groups>,
    group_timers_due: Notify,
    /// Coordinators of transactions whose partitions this shard owns.
    txns: RefCell<txns::Txns>,
    txn_timers_due: Notify,
    lookups: RefCell<offsets::Lookups<FilesOf<B>>>,
    cache: storage::TailCache,
    coordinator: RefCell<Option<coordinator::Coordinator<FilesOf<B>>>>,
    bells: coordinator::Bells,
    /// Metadata changes that wait for their turn.
    changes: RefCell<VecDeque<view::Change>>,
    changes_due: Notify,
    /// Whether this shard has had a state of the metadata.
    begun: Cell<bool>,
    /// Records of the metadata that this shard's partitions follow; the view may be ahead while one is being opened.
    followed: Cell<u64>,
    /// Messages that the mesh had no room for, in order, by receiver.
    overflow: RefCell<BTreeMap<ShardId, VecDeque<Message>>>,
    /// Other nodes.
    peers: peers::Peers,
    flush_due: Notify,
    /// Groups of appends on their way to the device.
    commits: flush::Commits<B>,
    prepare_done: Notify,
    prepare_due: Notify,
    retention_due: Notify,
    checkpoint_due: Notify,
    checkpoint_done: Notify,
    compaction_due: Notify,
    compaction_done: Notify,
    /// The partition whose log is being compacted.
    compacting: Cell<Option<TopicPartition>>,
    /// The partition whose checkpoint is being written.
    checkpointing: Cell<Option<TopicPartition>>,
    /// The partition ahead of whose appends zeros are being written.
    preparing: Cell<Option<TopicPartition>>,
    timers_due: Notify,
    produce_done: Notify,
    mesh_room: Notify,
    lifecycle: Notify,
    stage: Cell<lifecycle::Stage>,
    /// Shards from whose clients nothing more comes.
    drained: RefCell<BTreeSet<ShardId>>,
}

impl<B: Broker> Shard<B> {
    pub(super) fn world(&self) -> &B::World {
        &self.0.world
    }

    pub(super) fn this(&self) -> ShardId {
        self.0.mesh.this()
    }

    pub(super) fn shards(&self) -> u16 {
        self.0.mesh.shards()
    }

    pub(super) fn conf(&self) -> &BrokerConf {
        &self.0.conf
    }

    /// Counters of this shard.
    #[must_use]
    pub fn metrics(&self) -> &ShardMetrics {
        &self.0.tables.shard
    }

    fn origin(&self) -> &RefCell<origin::Pending> {
        &self.0.origin
    }

    fn fetches(&self) -> &RefCell<fetch::Fetches> {
        &self.0.fetches
    }

    fn owner(&self) -> &RefCell<owner::Owner<B>> {
        &self.0.owner
    }

    pub(super) fn flush_due(&self) -> &Notify {
        &self.0.flush_due
    }

    pub(super) fn prepare_due(&self) -> &Notify {
        &self.0.prepare_due
    }

    pub(super) fn prepare_done(&self) -> &Notify {
        &self.0.prepare_done
    }

    pub(super) fn retention_due(&self) -> &Notify {
        &self.0.retention_due
    }

    pub(super) fn timers_due(&self) -> &Notify {
        &self.0.timers_due
    }

    pub(super) fn produce_done(&self) -> &Notify {
        &self.0.produce_done
    }

    /// Whether a line that clients can cause may be logged; if so, how many were left out before it.
    pub(super) fn spare(&self) -> Option<u64> {
        self.0.sparing.borrow_mut().admit(self.world().mono())
    }

    /// Longest frame, and how long a connection may stay silent.
    pub(super) fn frame_bounds(&self) -> (usize, Duration) {
        let net = &self.conf().net;
        (net.request_bytes_max.min(FRAME_BYTES_MAX), net.idle_max)
    }

    /// Runs a planning step with what it may look at.
    pub(super) fn with_context<T>(&self, header: &RequestHeader, run: impl FnOnce(&Context<'_>) -> T) -> T {
        let view = self.0.view.borrow();
        let draw = || self.world().random();
        run(&Context {
            header,
            cluster: &view,
            conf: self.conf(),
            node: &self.0.node,
            acting: self.0.acting.get(),
            now_ms: self.world().wall_ms(),
            draw: &draw,
            sessions: &self.0.sessions,
            producer_ids: &self.0.producer_ids,
        })
    }

    /// Sends a message. What the mesh has no room for waits here, in order: to refuse one request of a pipeline and
    /// take the next would break an idempotent producer's sequence. Bounded, since connections read no further request
    /// while anything waits (`mesh_room`).
    pub(super) fn send(&self, to: ShardId, message: Message) {
        let mut overflow = self.0.overflow.borrow_mut();
        let refused = if overflow.contains_key(&to) { Err(message) } else { self.0.mesh.send(to, message) };
        if let Err(message) = refused {
            overflow.entry(to).or_default().push_back(message);
            self.timers_due().notify();
        }
    }

    /// Waits until the mesh has taken all messages.
    pub(super) async fn mesh_room(&self) {
        self.0.mesh_room.until(|| self.0.overflow.borrow().is_empty()).await;
    }

    /// Tries again to send what the mesh had no room for; true if something still waits.
    pub(super) fn retry_overflow(&self) -> bool {
        let mut overflow = self.0.overflow.borrow_mut();
        overflow.retain(|to, queue| {
            while let Some(message) = queue.pop_front() {
                if let Err(message) = self.0.mesh.send(*to, message) {
                    queue.push_front(message);
                    break;
                }
            }
            !queue.is_empty()
        });
        if overflow.is_empty() {
            self.0.mesh_room.notify();
        }
        !overflow.is_empty()
    }

    /// Waits until appended bytes that no flush has taken yet are within the append pool.
    pub(super) async fn produce_room(&self) {
        let bound = self.conf().memory.append_bytes / usize::from(self.shards());
        self.produce_done().until(|| self.0.cache.unwritten_bytes() < bound).await;
    }
}
