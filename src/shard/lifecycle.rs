//! A shard's life: start, recover, serve, drain, close.

use super::message::Message;
use super::notify::Notify;
use super::origin::COORDINATOR;
use super::{Broker, Inner, Shard};
use crate::api::NodeInfo;
use crate::base::{BrokerEpoch, ShardId};
use crate::conf::BrokerConf;
use crate::metrics::ShardTables;
use crate::seam::{Mesh, World};
use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

/// Time between two looks at whether the last requests are answered.
const DRAIN_PAUSE: Duration = Duration::from_millis(5);

/// A stopping shard waits for its last flush at least this long.
const FLUSH_PATIENCE: Duration = Duration::from_secs(5);

/// Where a shard is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Stage {
    /// Metadata and logs are being recovered.
    #[default]
    Starting,
    /// Clients are served.
    Serving,
    /// No new requests; those in flight are answered.
    Draining,
    /// Everything is written and closed.
    Closed,
}

/// What a shard is made of.
pub struct Setup<B: Broker> {
    /// Its machine.
    pub world: B::World,
    /// Its way to the other shards.
    pub mesh: B::Mesh,
    /// The broker's checked configuration.
    pub conf: Rc<BrokerConf>,
    /// What this broker tells clients about itself.
    pub node: NodeInfo,
    /// Where its files are.
    pub data_dir: PathBuf,
    /// Id of the cluster.
    pub cluster_id: String,
    /// Under which epoch this broker was closed in good order, if it was.
    pub clean_epoch: Option<BrokerEpoch>,
    /// Its counters.
    pub tables: ShardTables,
}

impl<B: Broker> Shard<B> {
    /// A shard that hasn't started.
    #[must_use]
    pub fn new(setup: Setup<B>) -> Self {
        let Setup { world, mesh, conf, node, data_dir, cluster_id, clean_epoch, tables } = setup;
        let shards = usize::from(mesh.shards()).max(1);
        let (cache_bytes, answer_bytes) =
            (conf.memory.tail_cache_bytes / shards, conf.memory.answer_bytes / shards);
        Shard(Rc::new(Inner {
            world,
            mesh,
            conf,
            node,
            data_dir,
            cluster_id,
            clean_epoch,
            tables,
            flights: RefCell::default(),
            requests: Cell::default(),
            view: RefCell::default(),
            acting: Cell::default(),
            origin: RefCell::default(),
            fetches: RefCell::default(),
            answers: super::answers::Answers::new(answer_bytes),
            sparing: RefCell::default(),
            sessions: RefCell::default(),
            producer_ids: RefCell::default(),
            owner: RefCell::default(),
            replication: super::replication::Replication::default(),
            groups: RefCell::default(),
            group_timers_due: Notify::default(),
            txns: RefCell::default(),
            txn_timers_due: Notify::default(),
            lookups: RefCell::default(),
            cache: super::storage::TailCache::new(cache_bytes),
            coordinator: RefCell::default(),
            bells: super::coordinator::Bells::default(),
            overflow: RefCell::default(),
            peers: super::peers::Peers::default(),
            changes: RefCell::default(),
            changes_due: Notify::default(),
            begun: Cell::default(),
            followed: Cell::default(),
            flush_due: Notify::default(),
            commits: super::flush::Commits::default(),
            prepare_done: Notify::default(),
            prepare_due: Notify::default(),
            retention_due: Notify::default(),
            compaction_due: Notify::default(),
            compaction_done: Notify::default(),
            compacting: Cell::default(),
            checkpoint_due: Notify::default(),
            checkpoint_done: Notify::default(),
            checkpointing: Cell::default(),
            preparing: Cell::default(),
            timers_due: Notify::default(),
            produce_done: Notify::default(),
            mesh_room: Notify::default(),
            lifecycle: Notify::default(),
            stage: Cell::default(),
            drained: RefCell::default(),
        }))
    }

    /// Starts the shard's tasks. Shard 0 recovers the metadata and sends it to all.
    ///
    /// # Errors
    /// The metadata can't be read: what to tell the operator.
    pub async fn start(&self) -> Result<(), String> {
        let world = self.world();
        world.spawn(self.clone().inbox_task());
        world.spawn(self.clone().view_task());
        world.spawn(self.clone().write_task());
        world.spawn(self.clone().flush_task());
        world.spawn(self.clone().timer_task());
        world.spawn(self.clone().tick_task());
        world.spawn(self.clone().group_timer_task());
        world.spawn(self.clone().txn_timer_task());
        world.spawn(self.clone().prepare_task());
        world.spawn(self.clone().retention_task());
        world.spawn(self.clone().compaction_task());
        world.spawn(self.clone().shortage_task());
        world.spawn(self.clone().checkpoint_task());
        world.spawn(self.clone().isr_task());
        if self.this() == COORDINATOR {
            self.start_coordinator().await?;
        }
        Ok(())
    }

    /// Waits until every shard has recovered.
    pub async fn ready(&self) {
        self.0.lifecycle.until(|| self.0.stage.get() >= Stage::Serving).await;
    }

    pub(super) fn begin_serving(&self) {
        self.set_stage(Stage::Serving);
    }

    /// Whether new requests are turned away.
    pub(super) fn is_draining(&self) -> bool {
        self.0.stage.get() >= Stage::Draining
    }

    fn set_stage(&self, stage: Stage) {
        assert!(self.0.stage.get() <= stage, "a shard's life goes one way");
        self.0.stage.set(stage);
        self.0.lifecycle.notify();
    }

    /// Ends the shard in good order: answers what is in flight, waits until the other shards have done so, flushes,
    /// writes down what a restart needs, closes. Each takes at most `patience` or a little more. True if everything
    /// was written, so that the next start needn't scan.
    pub async fn close(&self, patience: Duration) -> bool {
        self.set_stage(Stage::Draining);
        self.close_groups();
        self.close_txns();
        let until = self.world().mono() + patience;
        while self.world().mono() < until && !self.is_idle() {
            self.world().sleep(DRAIN_PAUSE).await;
        }
        for shard in (0..self.shards()).map(ShardId) {
            if shard == self.this() {
                self.note_drained(shard);
            } else {
                self.send(shard, Message::Drained(self.this()));
            }
        }
        // Until then other shards' clients may append here.
        let all = || self.0.drained.borrow().len() == usize::from(self.shards());
        self.within(patience.max(FLUSH_PATIENCE), self.0.lifecycle.until(all)).await;
        let patience = patience.max(FLUSH_PATIENCE);
        self.compaction_ended(patience).await;
        self.within(patience, self.cuts_ended()).await;
        let clean = self.flush_all_appended(patience).await && self.checkpoint_all(patience).await;
        self.set_stage(Stage::Closed);
        clean
    }

    pub(super) fn note_drained(&self, shard: ShardId) {
        self.0.drained.borrow_mut().insert(shard);
        self.0.lifecycle.notify();
    }

    /// Whether no request of this shard's connections waits for an answer but long polls.
    fn is_idle(&self) -> bool {
        self.origin().borrow().is_empty() && self.owner().borrow().dirty.is_empty()
    }
}
