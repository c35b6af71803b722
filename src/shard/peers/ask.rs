//! Transactions over several brokers: questions that this node can't answer go to the broker that leads what they are
//! about, and come back as if a shard of this one had answered.

use super::Lane;
use crate::base::{ErrorCode, NodeId, TopicPartition};
use crate::cluster::NO_LEADER;
use crate::group::call::{Asker, GroupCall};
use crate::peer::{Ask, Reply, Request, Told};
use crate::replica::Waiter;
use crate::replica::call::{MarkOp, PartitionCall, PartitionOp, PartitionReply, Produced};
use crate::seam::World;
use crate::shard::notify::Slot;
use crate::shard::{Broker, Shard};
use crate::txn::call::{Identity, Protocol, TxnCall, TxnOp, TxnReply};
use crate::wire::batch::EndMarker;

/// A question that may be about what another broker leads.
pub(in crate::shard) trait Abroad {
    /// What the other broker is asked, if it can be.
    fn ask(&self) -> Option<Ask>;
    /// Takes its answer, for a place in a set of this shard.
    fn told<B: Broker>(shard: &Shard<B>, set: u64, index: u32, told: Told);
    /// The answer where there is none: to be asked again.
    const UNANSWERED: ErrorCode;
}

impl Abroad for PartitionCall {
    const UNANSWERED: ErrorCode = ErrorCode::NotLeaderOrFollower;

    fn ask(&self) -> Option<Ask> {
        let PartitionOp::Mark(MarkOp { producer_id, producer_epoch, marker, raised }) = self.op else {
            return None;
        };
        let EndMarker { committed, coordinator_epoch } = marker;
        let partition = self.partition;
        Some(Ask::Mark { partition, producer_id, producer_epoch, committed, coordinator_epoch, raised })
    }

    fn told<B: Broker>(shard: &Shard<B>, set: u64, index: u32, told: Told) {
        let error = told.first().copied().unwrap_or(Self::UNANSWERED);
        let reply = PartitionReply::Produced(Produced::refused(error, None));
        shard.take_replies(vec![(Waiter { shard: shard.this(), set, index }, reply)], None);
    }
}

impl Abroad for TxnCall {
    const UNANSWERED: ErrorCode = ErrorCode::CoordinatorNotAvailable;

    fn ask(&self) -> Option<Ask> {
        let (id, producer, partitions, implicit) = match &self.op {
            TxnOp::Add { transactional_id, producer, partitions, .. } => {
                (transactional_id, producer, partitions, true)
            }
            TxnOp::Verify { transactional_id, producer, partitions } => {
                (transactional_id, producer, partitions, false)
            }
            _ => return None,
        };
        Some(Ask::Vouch {
            coordinator: self.partition,
            transactional_id: id.clone(),
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            partitions: partitions.clone(),
            implicit,
        })
    }

    fn told<B: Broker>(shard: &Shard<B>, set: u64, index: u32, told: Told) {
        shard.take_txn_replies(vec![(Asker { shard: shard.this(), set, index }, TxnReply::Partitions(told))]);
    }
}

/// Members ask their group's coordinator themselves.
impl Abroad for GroupCall {
    const UNANSWERED: ErrorCode = ErrorCode::NotCoordinator;

    fn ask(&self) -> Option<Ask> {
        None
    }

    fn told<B: Broker>(_: &Shard<B>, _: u64, _: u32, _: Told) {}
}

impl<B: Broker> Shard<B> {
    /// The broker that has to be asked because it leads what a question is about; nobody may be that.
    pub(in crate::shard) fn elsewhere(&self, key: TopicPartition) -> Option<NodeId> {
        if !self.conf().cluster.has_peers() {
            return None;
        }
        let leader = self.0.view.borrow().partition(key)?.leader;
        (leader != NodeId(self.0.node.id)).then_some(leader)
    }

    /// Sends questions of a set to another broker.
    pub(in crate::shard) fn ask_abroad<Q: Abroad + 'static>(
        &self,
        to: NodeId,
        set: u64,
        asks: Vec<(u32, Ask)>,
    ) {
        let shard = self.clone();
        self.world().spawn(async move {
            let (places, asks): (Vec<(u32, usize)>, Vec<Ask>) =
                asks.into_iter().map(|(index, ask)| ((index, ask.partitions()), ask)).unzip();
            let answered = if to == NO_LEADER {
                None
            } else {
                shard.call_peer(to, Lane::Coordinator, Request::Ask(asks)).await.ok()
            };
            let mut told = match answered {
                Some(Reply::Ask(told)) => told.into_iter(),
                _ => Vec::new().into_iter(),
            };
            for (index, partitions) in places {
                let fits = told.next().filter(|codes| codes.len() == partitions);
                Q::told(&shard, set, index, fits.unwrap_or_else(|| vec![Q::UNANSWERED; partitions]));
            }
        });
    }

    /// Answers another broker's questions. What this one doesn't lead it doesn't pass on: two brokers that take each
    /// other for the leader would do so for ever.
    pub(super) async fn answer_asks(&self, asks: Vec<Ask>) -> Vec<Told> {
        let mut waited = Vec::with_capacity(asks.len());
        for ask in asks {
            waited.push(self.begin_ask(ask));
        }
        let mut all = Vec::with_capacity(waited.len());
        for (later, partitions) in waited {
            all.push(match later {
                Ok(later) => later.taken().await,
                Err(error) => vec![error; partitions],
            });
        }
        all
    }

    fn begin_ask(&self, ask: Ask) -> (Result<Slot<Told>, ErrorCode>, usize) {
        let partitions = ask.partitions();
        let later = match ask {
            Ask::Vouch {
                coordinator,
                transactional_id,
                producer_id,
                producer_epoch,
                partitions,
                implicit,
            } => {
                let producer = Identity { id: producer_id, epoch: producer_epoch };
                let op = if implicit {
                    let (protocol, patient) = (Protocol::V2, true);
                    TxnOp::Add { transactional_id, producer, partitions, protocol, patient }
                } else {
                    TxnOp::Verify { transactional_id, producer, partitions }
                };
                let call = TxnCall { partition: coordinator, op };
                self.elsewhere(coordinator)
                    .map_or_else(|| Ok(self.ask_txn_for_peer(call)), |_| Err(ErrorCode::NotCoordinator))
            }
            Ask::Mark { partition, producer_id, producer_epoch, committed, coordinator_epoch, raised } => {
                let marker = EndMarker { committed, coordinator_epoch };
                let op = PartitionOp::Mark(MarkOp { producer_id, producer_epoch, marker, raised });
                let call = PartitionCall { partition, op };
                self.elsewhere(partition)
                    .map_or_else(|| Ok(self.ask_mark_for_peer(call)), |_| Err(ErrorCode::NotLeaderOrFollower))
            }
        };
        (later, partitions)
    }
}

/// The answer to a question about transactions, for whoever asked over the network.
pub(in crate::shard) fn told_of(reply: &TxnReply, partitions: usize) -> Told {
    match reply {
        TxnReply::Partitions(codes) if codes.len() == partitions => codes.clone(),
        TxnReply::Failed(error) => vec![*error; partitions],
        _ => vec![ErrorCode::UnknownServerError; partitions],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{PartitionIndex, ProducerEpoch, ProducerId, TopicId};

    const KEY: TopicPartition = TopicPartition { topic: TopicId([1; 16]), partition: PartitionIndex(3) };

    #[test]
    fn only_what_brokers_ask_each_other_goes_abroad() {
        let producer = Identity { id: ProducerId(7), epoch: ProducerEpoch(2) };
        let partitions = vec![("t".into(), 0), ("t".into(), 1)];
        let verify = TxnOp::Verify { transactional_id: "x".into(), producer, partitions: partitions.clone() };
        let (protocol, patient) = (Protocol::V2, true);
        let add = TxnOp::Add { transactional_id: "x".into(), producer, partitions, protocol, patient };
        for (op, adds) in [(verify, false), (add, true)] {
            let ask = TxnCall { partition: KEY, op }.ask();
            let Some(Ask::Vouch {
                coordinator: KEY, producer_id: ProducerId(7), implicit, partitions, ..
            }) = ask
            else {
                panic!("{ask:?}")
            };
            assert_eq!((implicit, partitions.len()), (adds, 2));
        }
        assert_eq!(
            TxnCall { partition: KEY, op: TxnOp::Describe { transactional_id: "x".into() } }.ask(),
            None
        );
        assert_eq!(PartitionCall { partition: KEY, op: PartitionOp::Describe }.ask(), None);
        let marker = EndMarker { committed: true, coordinator_epoch: 5 };
        let op =
            MarkOp { producer_id: ProducerId(7), producer_epoch: ProducerEpoch(2), marker, raised: true };
        let ask = PartitionCall { partition: KEY, op: PartitionOp::Mark(op) }.ask();
        assert!(matches!(ask, Some(Ask::Mark { committed: true, coordinator_epoch: 5, raised: true, .. })));
    }

    #[test]
    fn a_refusal_is_told_for_every_partition() {
        let failed = TxnReply::Failed(ErrorCode::ProducerFenced);
        assert_eq!(told_of(&failed, 2), [ErrorCode::ProducerFenced; 2]);
        let codes = vec![ErrorCode::None, ErrorCode::InvalidTxnState];
        assert_eq!(told_of(&TxnReply::Partitions(codes.clone()), 2), codes);
        assert_eq!(told_of(&TxnReply::Partitions(codes), 3), [ErrorCode::UnknownServerError; 3]);
    }
}
