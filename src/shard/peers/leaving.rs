//! A stop in good order: before a broker ends, others lead its partitions (reference: rule 10).

use crate::base::ShardId;
use crate::seam::Mesh;
use crate::shard::message::Message;
use crate::shard::notify::Notify;
use crate::shard::origin::COORDINATOR;
use crate::shard::{Broker, Shard};
use std::cell::Cell;
use std::time::Duration;

/// How long other shards wait longer than shard 0 does.
const MARGIN: Duration = Duration::from_secs(1);

/// How far the broker is on its way out.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    /// It has been asked to stop, and tells the coordinator so.
    wanted: Cell<bool>,
    /// It leads nothing any more, and everybody knows.
    done: Cell<bool>,
    changed: Notify,
}

impl<B: Broker> Shard<B> {
    /// Has others lead what this broker leads, and waits until they do, for `patience` at most. Every shard of a broker
    /// that stops calls it before `close`, and serves its clients meanwhile. A broker without others has nobody to
    /// hand anything over to.
    pub async fn hand_over(&self, patience: Duration) {
        let cluster = &self.conf().cluster;
        if !cluster.has_peers() || !cluster.roles.broker || !cluster.controlled_shutdown {
            return;
        }
        let leaving = &self.0.peers.leaving;
        leaving.wanted.set(true);
        leaving.changed.notify();
        let patience = if self.this() == COORDINATOR { patience } else { patience + MARGIN };
        self.within(patience, leaving.changed.until(|| leaving.done.get())).await;
        if self.this() == COORDINATOR {
            let others = (0..self.0.mesh.shards()).map(ShardId).filter(|shard| *shard != self.this());
            others.for_each(|shard| self.send(shard, Message::HandedOver));
        }
    }

    /// Whether the broker wants to stop (`Heartbeat::wants_shutdown`).
    pub(in crate::shard) fn is_leaving(&self) -> bool {
        self.0.peers.leaving.wanted.get()
    }

    /// Waits until the broker wants to stop: the coordinator is to hear of it at once.
    pub(in crate::shard) async fn leaving(&self) {
        let leaving = &self.0.peers.leaving;
        leaving.changed.until(|| leaving.wanted.get()).await;
    }

    /// The coordinator lets the broker go, or shard 0 has waited for that long enough.
    pub(in crate::shard) fn note_handed_over(&self) {
        self.0.peers.leaving.done.set(true);
        self.0.peers.leaving.changed.notify();
    }
}
