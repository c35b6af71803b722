//! Logs that are set aside: nothing rests on them any more, but what is in them is the operator's to throw away. They
//! stay beside the others, in folders whose names end in why.

use crate::base::mutant::{Mutant, planted};
use crate::base::{NodeId, TopicPartition};
use crate::cluster::{ClusterState, owner_shard};
use crate::seam::{Files, IoError, World};
use crate::shard::{Broker, Shard};
use std::path::PathBuf;

impl<B: Broker> Shard<B> {
    /// Moves a log out of the way; to where. One that was there before goes: it was set aside as well.
    pub(super) async fn set_aside(&self, key: TopicPartition, why: &str) -> Result<PathBuf, IoError> {
        let dir = self.partition_dir(key);
        let (files, aside) = (self.world().files(), dir.with_extension(why));
        match files.remove_dir(&aside).await {
            Ok(()) | Err(IoError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
        files.rename(&dir, &aside).await?;
        files.sync_dir(&self.log_dir()).await?;
        Ok(aside)
    }

    /// Sets aside this shard's share of the logs that no replica goes with: their topics were deleted, or the replicas
    /// moved to other brokers, while this broker was down; or it died before their files were gone. As in Apache Kafka
    /// they aren't deleted, for a mistake about the metadata would cost records.
    ///
    /// Only at start, from a state that knows this process: nothing that was here before is newer than that.
    pub(in crate::shard) async fn set_strays_aside(&self) {
        let names = match self.world().files().list(&self.log_dir()).await {
            Ok(names) => names,
            Err(IoError::NotFound(_)) => return,
            Err(error) => return tracing::warn!(%error, "could not look for logs of deleted partitions"),
        };
        let (shards, me) = (self.shards(), self.me());
        let keys = names.iter().filter_map(|name| name.parse::<TopicPartition>().ok());
        let strays: Vec<_> = {
            let view = self.0.view.borrow();
            let mine = keys.filter(|key| owner_shard(*key, shards) == self.this());
            mine.filter(|key| !is_replica(&view, *key, me) && !planted(Mutant::KeepStrays)).collect()
        };
        for key in strays {
            match self.set_aside(key, "stray").await {
                Ok(kept) => {
                    let kept = kept.display();
                    tracing::warn!(partition = %key, %kept, "no replica goes with this log: set aside, may be deleted");
                }
                Err(error) => {
                    tracing::warn!(partition = %key, %error, "a log that no replica goes with can't be set aside");
                }
            }
        }
    }
}

/// Whether a node has a replica of a partition.
pub(in crate::shard) fn is_replica(state: &ClusterState, key: TopicPartition, node: NodeId) -> bool {
    state.partition(key).is_some_and(|entry| entry.replicas.contains(&node))
}
