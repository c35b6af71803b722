//! `seam::World` and `seam::Mesh` under a seed.

use super::disk::Disk;
use super::exec::{Exec, Group};
use super::net::{BrokerEnd, Host, Network, Pipe};
use crate::base::ShardId;
use crate::seam::{self, Mesh, NetError};
use futures_lite::future::yield_now;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

/// 2026-01-01, where simulated wall clocks begin.
const EPOCH_MS: i64 = 1_767_225_600_000;

/// Messages that one look at the mesh takes.
const RECEIVE_MAX: usize = 16;

/// What a simulated shard may ask of its machine.
#[derive(Clone)]
pub struct World {
    /// Who runs its tasks.
    pub exec: Exec,
    /// Its process.
    pub group: Group,
    /// Its disk.
    pub disk: Disk,
    /// What connects it with others.
    pub network: Network,
    /// Where it is in it.
    pub host: Host,
}

impl seam::World for World {
    type Files = Disk;
    type Stream = BrokerEnd;

    fn mono(&self) -> Duration {
        self.exec.now()
    }

    fn wall_ms(&self) -> i64 {
        EPOCH_MS + i64::try_from(self.exec.now().as_millis()).expect("a run is short")
    }

    fn random(&self) -> u64 {
        self.exec.below(u64::MAX)
    }

    fn files(&self) -> &Disk {
        &self.disk
    }

    async fn connect(&self, address: &str, patience: Duration) -> Result<BrokerEnd, NetError> {
        self.network.connect(self.host, address, patience).await
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.exec.spawn(self.group, task);
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static {
        self.exec.sleep(duration)
    }

    fn yield_now(&self) -> impl Future<Output = ()> + 'static {
        yield_now()
    }

    // Peers here take all they are sent.
    fn press_peers(&self) {}
}

/// One shard's end of a simulated mesh.
pub struct SimMesh<M> {
    exec: Exec,
    this: ShardId,
    queues: Rc<Vec<Pipe<M>>>,
}

impl<M> Clone for SimMesh<M> {
    fn clone(&self) -> Self {
        SimMesh { exec: self.exec.clone(), this: self.this, queues: self.queues.clone() }
    }
}

impl<M: Send + 'static> SimMesh<M> {
    /// The ends of a mesh of this many shards.
    #[must_use]
    pub fn of(exec: &Exec, shards: u16) -> Vec<Self> {
        let queues: Rc<Vec<Pipe<M>>> = Rc::new((0..shards).map(|_| Pipe::default()).collect());
        (0..shards)
            .map(|shard| SimMesh { exec: exec.clone(), this: ShardId(shard), queues: queues.clone() })
            .collect()
    }
}

impl<M: Send + 'static> Mesh<M> for SimMesh<M> {
    fn shards(&self) -> u16 {
        u16::try_from(self.queues.len()).expect("made from a u16")
    }

    fn this(&self) -> ShardId {
        self.this
    }

    fn send(&self, to: ShardId, message: M) -> Result<(), M> {
        // Now and then the outbox is full: callers must bear it.
        if self.exec.chance(1) {
            return Err(message);
        }
        self.queues[usize::from(to.0)].push(message);
        Ok(())
    }

    async fn receive(&self, inbox: &mut Vec<M>) {
        let queue = &self.queues[usize::from(self.this.0)];
        let Some(first) = queue.next().await else { return };
        self.exec.sleep(self.exec.micros(0, 60)).await;
        inbox.push(first);
        inbox.extend(queue.take_queued(RECEIVE_MAX));
    }
}
