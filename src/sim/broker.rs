//! The simulated process: shards on one disk, started, killed and started again.

use super::disk::{Disk, ROOT, Trouble};
use super::exec::{Exec, Group};
use super::net::{BrokerEnd, ClientEnd, Host, Network};
use super::world::{SimMesh, World};
use crate::api::NodeInfo;
use crate::base::{BrokerEpoch, TopicPartition};
use crate::conf::BrokerConf;
use crate::metrics::ShardTables;
use crate::seam::FlushScope;
use crate::shard::{Broker, Message, ReplicaFacts, Setup, Shard};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

/// Longest that a clean stop waits for requests in flight.
const PATIENCE: Duration = Duration::from_secs(2);

/// The simulated machine.
pub struct SimBroker;

impl Broker for SimBroker {
    type World = World;
    type Mesh = SimMesh<Message>;
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// kill -9: what the device has stays.
    Kill,
    /// The power fails: what isn't flushed is gone, in part or as a whole.
    PowerCut,
    /// The disk fails first; then kill -9.
    DiskError,
    /// SIGTERM.
    Stop,
}

/// One node: its disk, and the process that runs now.
pub struct Node {
    exec: Exec,
    network: Network,
    disk: Disk,
    conf: Rc<BrokerConf>,
    shards: u16,
    /// The process that runs now, or ran last.
    life: Cell<Group>,
    /// Its shards, while they serve.
    running: RefCell<Vec<Shard<SimBroker>>>,
    connections: RefCell<Vec<ClientEnd>>,
    /// Under which epoch the last process closed in good order.
    clean_epoch: Cell<Option<BrokerEpoch>>,
    /// Somebody ends its process and starts the next one.
    troubled: Cell<bool>,
}

impl Node {
    /// A node whose disk is empty and whose process doesn't run.
    #[must_use]
    pub fn new(network: &Network, exec: &Exec, conf: BrokerConf, shards: u16) -> Rc<Self> {
        let scope = if exec.chance(50) { FlushScope::Device } else { FlushScope::File };
        Rc::new(Node {
            exec: exec.clone(),
            network: network.clone(),
            disk: Disk::new(exec.clone(), scope),
            conf: Rc::new(conf),
            shards,
            life: Cell::new(Group(0)),
            running: RefCell::default(),
            connections: RefCell::default(),
            clean_epoch: Cell::new(None),
            troubled: Cell::new(false),
        })
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> i32 {
        self.conf.node_id
    }

    /// Where it is in the network.
    #[must_use]
    pub fn host(&self) -> Host {
        Host(self.id())
    }

    /// Somebody wants to end its process; false if somebody else is about to.
    #[must_use]
    pub fn begin_trouble(&self) -> bool {
        !self.troubled.replace(true)
    }

    /// Whether its process is about to end, or has ended and not started again.
    #[must_use]
    pub fn is_troubled(&self) -> bool {
        self.troubled.get()
    }

    /// Its next process has started.
    pub fn end_trouble(&self) {
        self.troubled.set(false);
    }

    /// Starts the process and waits until it serves.
    pub async fn start(&self) {
        let shards = self.begin_life();
        // Shard 0 last: it sends the metadata to shards that listen.
        for shard in shards.iter().rev() {
            shard.start().await.expect("the metadata can be read");
        }
        for shard in &shards {
            shard.ready().await;
        }
        *self.running.borrow_mut() = shards;
    }

    /// Starts the process, which is ready when it has found enough others.
    pub fn launch(self: &Rc<Self>) {
        let (node, shards) = (self.clone(), self.begin_life());
        let (exec, group, taking) = (self.exec.clone(), self.life.get(), shards.clone());
        let (inner, count) = (exec.clone(), shards.len() as u64);
        self.network.listen(&self.conf.cluster.peer_advertised, self.host(), move |end| {
            let shard = &taking[usize::try_from(inner.below(count)).expect("a shard's number")];
            inner.spawn(group, shard.clone().serve_peer(end));
        });
        exec.spawn(group, async move {
            for shard in shards.iter().rev() {
                shard.start().await.expect("the metadata can be read");
            }
            for shard in &shards {
                shard.ready().await;
            }
            *node.running.borrow_mut() = shards;
        });
    }

    /// The shards of a new process.
    fn begin_life(&self) -> Vec<Shard<SimBroker>> {
        let group = self.network.next_life();
        self.life.set(group);
        let clean_epoch = self.clean_epoch.take();
        let world = || World {
            exec: self.exec.clone(),
            group,
            disk: self.disk.clone(),
            network: self.network.clone(),
            host: self.host(),
        };
        let meshes = SimMesh::of(&self.exec, self.shards).into_iter();
        meshes.map(|mesh| self.shard(world(), mesh, clean_epoch)).collect()
    }

    fn shard(
        &self,
        world: World,
        mesh: SimMesh<Message>,
        clean_epoch: Option<BrokerEpoch>,
    ) -> Shard<SimBroker> {
        let (host, port) = self.conf.advertised();
        Shard::new(Setup {
            world,
            mesh,
            conf: self.conf.clone(),
            node: NodeInfo {
                id: self.id(),
                host: host.into(),
                port,
                peer: self.conf.cluster.peer_advertised.as_str().into(),
                rack: None,
                log_dir: "data".into(),
                space: Cell::new((-1, -1)),
            },
            data_dir: PathBuf::from(ROOT),
            cluster_id: "simulated".to_owned(),
            clean_epoch,
            tables: ShardTables::default(),
        })
    }

    /// How the replicas of its process fare; none while no process serves.
    #[must_use]
    pub fn replicas(&self) -> Vec<ReplicaFacts> {
        self.running.borrow().iter().flat_map(Shard::replicas).collect()
    }

    /// Opens a connection to some shard; `None` while no process serves.
    #[must_use]
    pub fn connect(&self) -> Option<ClientEnd> {
        let running = self.running.borrow();
        let count = running.len() as u64;
        let index = (count > 0).then(|| self.exec.below(count))?;
        let shard = &running[usize::try_from(index).expect("a shard's number")];
        let (client, broker): (ClientEnd, BrokerEnd) = self.network.connect_client(self.host());
        self.exec.spawn(self.life.get(), shard.clone().serve(broker));
        self.connections.borrow_mut().push(client.clone());
        Some(client)
    }

    /// Partitions that have a log on its disk.
    #[must_use]
    pub fn logs(&self) -> BTreeSet<TopicPartition> {
        self.disk.partitions()
    }

    /// Damages what the disk says of some partition's log; which, if it has any. Its process doesn't run.
    pub fn damage_log(&self) -> Option<PathBuf> {
        self.disk.damage(crate::log::checkpoint::FILE_NAME)
    }

    /// Lets the disk be full for a while.
    pub fn fill_disk(&self) {
        self.disk.trouble_after(self.exec.below(20), Trouble::Full(1 + self.exec.below(6)));
    }

    /// Ends the process.
    pub async fn end(&self, how: End) {
        match how {
            End::DiskError => {
                self.disk.trouble_after(self.exec.below(20), Trouble::Fails);
                self.exec.sleep(self.exec.micros(0, 30_000)).await;
            }
            End::Stop => self.stop().await,
            // Half of them come right after some operation of the disk, which is where they hurt.
            End::Kill | End::PowerCut if self.exec.chance(50) => {
                self.disk.trouble_after(self.exec.below(30), Trouble::Hangs);
                self.exec.sleep(self.exec.micros(5_000, 10_000)).await;
            }
            End::Kill | End::PowerCut => {}
        }
        self.over(how);
    }

    /// Ends the process some time after an operation of the disk to come, from which on none ends any more.
    pub async fn end_at(&self, operation: u64, time: Duration, how: End) {
        self.disk.trouble_after(operation, Trouble::Hangs);
        self.exec.sleep(time).await;
        self.over(how);
    }

    fn over(&self, how: End) {
        self.running.borrow_mut().clear();
        if self.conf.cluster.has_peers() {
            self.network.end_host(self.host(), how == End::PowerCut);
        }
        self.exec.kill(self.life.get());
        self.connections.borrow_mut().drain(..).for_each(|connection| connection.close());
        match how {
            End::PowerCut => self.disk.cut_power(),
            _ => self.disk.end_process(),
        }
    }

    async fn stop(&self) {
        // A full disk may leave something unwritten; that isn't what a stop is for.
        self.disk.relieve();
        let shards = std::mem::take(&mut *self.running.borrow_mut());
        let left = Rc::new(Cell::new(shards.len()));
        let first = shards.first().cloned();
        for shard in shards {
            let left = left.clone();
            self.exec.spawn(self.life.get(), async move {
                shard.hand_over(PATIENCE).await;
                assert!(shard.close(PATIENCE).await, "a stop in good order leaves nothing unwritten");
                left.set(left.get() - 1);
            });
        }
        while left.get() > 0 {
            self.exec.sleep(Duration::from_millis(1)).await;
        }
        self.clean_epoch.set(first.and_then(|shard| shard.broker_epoch()));
    }
}
