//! Changes of who is in sync, on their way to the coordinator: what came together goes together, one request at a time.

use crate::base::{BrokerEpoch, ErrorCode, TopicPartition};
use crate::cluster::{Command, IsrChange, Outcome};
use crate::replica::{Event, IsrProposal};
use crate::shard::owner::Outbox;
use crate::shard::{Broker, Shard};
use std::collections::BTreeMap;

impl<B: Broker> Shard<B> {
    /// Queues what leaders ask for.
    pub(in crate::shard) fn propose_isr(&self, proposals: Vec<(TopicPartition, IsrProposal)>) {
        self.metrics().isr_proposed(proposals.len());
        self.0.replication.proposals.borrow_mut().extend(proposals);
        self.0.replication.proposals_due.notify();
    }

    /// Proposes until the shard ends.
    pub(in crate::shard) async fn isr_task(self) {
        loop {
            self.0.replication.proposals_due.notified().await;
            loop {
                let proposals = std::mem::take(&mut *self.0.replication.proposals.borrow_mut());
                if proposals.is_empty() {
                    break;
                }
                self.propose_now(proposals).await;
            }
        }
    }

    async fn propose_now(&self, proposals: BTreeMap<TopicPartition, IsrProposal>) {
        let broker = self.me();
        let broker_epoch = self.broker_epoch().unwrap_or(BrokerEpoch(-1));
        let bases: Vec<_> = proposals.iter().map(|(key, asked)| (*key, asked.partition_epoch)).collect();
        let change = |(partition, proposal): (TopicPartition, IsrProposal)| {
            let IsrProposal { isr, leader_epoch, partition_epoch } = proposal;
            IsrChange { partition, leader_epoch, partition_epoch, isr }
        };
        let changes = proposals.into_iter().map(change).collect();
        let outcome = self.command(vec![Command::AlterIsr { broker, broker_epoch, changes }]).await.pop();
        let results = match outcome {
            Some(Outcome::Isr(results)) => results,
            Some(Outcome::Refused((error, why))) => {
                tracing::warn!(%error, why, "a change of in-sync replicas was refused");
                vec![Err(error); bases.len()]
            }
            _ => vec![Err(ErrorCode::UnknownServerError); bases.len()],
        };
        let mut outbox = Outbox::default();
        for ((key, partition_epoch), result) in bases.into_iter().zip(results) {
            let base = partition_epoch.0;
            tracing::debug!(node = broker.0, partition = %key, base, ?result, "proposed other in-sync replicas");
            let event = Event::AlterAnswered { partition_epoch, result };
            self.owner().borrow_mut().step(key, event, &mut outbox);
        }
        self.deliver(outbox);
    }
}
