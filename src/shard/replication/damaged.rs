//! A copy that is damaged below what was durable. To cut it there would lose acknowledged records, and nobody else
//! would know: so the coordinator is told first, and nothing rests on the copy any more. Then it is set aside as it is,
//! and the partition is copied anew from who leads (`replication-and-durability` section 4).
//!
//! Where no other copy is complete it stays where it is, offline: what is left of it may be all there is.

use crate::base::mutant::{Mutant, planted};
use crate::base::{BrokerEpoch, ErrorCode, TopicPartition};
use crate::cluster::{Command, Outcome};
use crate::seam::World;
use crate::shard::storage::StorageError;
use crate::shard::{Broker, Shard};
use std::time::Duration;

/// Time between two tries to tell the coordinator.
const PAUSE: Duration = Duration::from_millis(200);

impl<B: Broker> Shard<B> {
    /// Whether a partition whose log is damaged was set aside, to begin anew. If something may rest on it still, the
    /// coordinator is told; the change that this makes has the partition opened again.
    pub(in crate::shard) async fn begins_anew(&self, key: TopicPartition, error: &StorageError) -> bool {
        if self.rests_on(key) {
            tracing::error!(partition = %key, %error, "this copy is damaged and is given up");
            if self.0.replication.giving_up.borrow_mut().insert(key) {
                self.world().spawn(self.clone().give_up_task(key));
            }
            return false;
        }
        match self.set_aside(key, "damaged").await {
            Ok(kept) => {
                tracing::warn!(partition = %key, %error, kept = %kept.display(), "copied anew from its leader");
                true
            }
            Err(error) => {
                tracing::error!(partition = %key, %error, "a damaged copy can't be set aside");
                false
            }
        }
    }

    /// Whether this copy counts: as far as this shard knows, somebody may learn from it what was acknowledged.
    fn rests_on(&self, key: TopicPartition) -> bool {
        let (view, me) = (self.0.view.borrow(), self.me());
        let entry = view.partition(key).filter(|_| !planted(Mutant::RelyOnDamaged));
        entry.is_some_and(|entry| entry.leader == me || entry.isr.contains(&me) || entry.elr.contains(&me))
    }

    /// Tells the coordinator until it answers.
    async fn give_up_task(self, key: TopicPartition) {
        while self.rests_on(key) && !self.is_draining() {
            match self.give_up(key).await {
                Some(Outcome::Done) => break,
                Some(Outcome::Refused((ErrorCode::EligibleLeadersNotAvailable, why))) => {
                    tracing::error!(partition = %key, why, "a damaged copy stays, and the partition is offline");
                    break;
                }
                outcome => {
                    tracing::debug!(partition = %key, ?outcome, "the coordinator doesn't know yet of the damage");
                    self.world().sleep(PAUSE).await;
                }
            }
        }
        self.0.replication.giving_up.borrow_mut().remove(&key);
    }

    async fn give_up(&self, partition: TopicPartition) -> Option<Outcome> {
        let broker_epoch = self.broker_epoch().unwrap_or(BrokerEpoch(-1));
        let command = Command::GiveUpReplica { broker: self.me(), broker_epoch, partition };
        self.command(vec![command]).await.pop()
    }
}
