//! The embedded coordinator, on shard 0: takes commands one after the other, commits their records to the metadata
//! journal, has every shard apply them, and only then answers.
//!
//! One voter for now: committed means durable in this node's journal. A quorum takes the journal's place with
//! replication.

use super::journal::{JOURNAL, JournalEnd};
use super::message::{Message, Origin};
use super::origin::COORDINATOR;
use super::{Broker, FilesOf, Shard};
use crate::base::limits::RECORDS_PER_PROPOSAL_MAX;
use crate::base::{NodeId, ShardId};
use crate::cluster::{
    ClusterState, Command, Journal, Outcome, QuorumFacts, Record, Registration, VoterFacts, decide,
};
use crate::seam::{File, Files, IoError, World};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// What to answer to whom.
type Answer = (Origin, Vec<Outcome>);

/// A proposal that waits for its turn.
struct Proposal {
    from: Origin,
    commands: Vec<Command>,
}

/// The coordinator's state.
pub(super) struct Coordinator<F: Files> {
    pub(super) state: ClusterState,
    pub(super) journal: JournalEnd<F>,
    change: u64,
    proposals: VecDeque<Proposal>,
    /// Changes that not every shard has applied yet: who hasn't, and what to answer whom then.
    awaited: BTreeMap<u64, (BTreeSet<ShardId>, Option<Answer>)>,
}

impl<F: Files> Coordinator<F> {
    /// Reads the journal and registers this broker.
    pub(super) async fn load<B: Broker>(shard: &Shard<B>) -> Result<Coordinator<FilesOf<B>>, String> {
        let path = shard.0.data_dir.join(JOURNAL);
        let files = shard.world().files();
        let failed = |error: IoError| format!("the metadata journal can't be used: {error}");
        let (file, journal) = match files.open(&path).await {
            Ok(file) => {
                let bytes = super::storage::read_whole(&file).await.map_err(failed)?;
                let journal = Journal::read(&bytes).map_err(|e| format!("{}: {e}", path.display()))?;
                (file, journal)
            }
            Err(IoError::NotFound(_)) => {
                let file = files.create(&path).await.map_err(failed)?;
                file.sync().await.map_err(failed)?;
                files.sync_dir(&shard.0.data_dir).await.map_err(failed)?;
                (file, Journal::default())
            }
            Err(error) => return Err(failed(error)),
        };
        let mut state = ClusterState::new(&shard.0.cluster_id);
        journal.records.iter().for_each(|record| state.apply(record));
        Ok(Coordinator {
            state,
            journal: JournalEnd { file, end: journal.end as u64, chain: journal.chain, whole: 0 },
            change: 0,
            proposals: VecDeque::new(),
            awaited: BTreeMap::new(),
        })
    }
}

impl<B: Broker> Shard<B> {
    /// Takes the coordinator into service: registers this broker and sends every shard the metadata.
    pub(super) async fn start_coordinator(
        &self,
        mut coordinator: Coordinator<FilesOf<B>>,
    ) -> Result<(), String> {
        let node = &self.0.node;
        let register = Command::RegisterBroker(Registration {
            id: NodeId(node.id),
            incarnation: self.incarnation(),
            host: node.host.clone(),
            port: node.port,
            peer: node.peer.clone(),
            rack: node.rack.clone(),
            shards: self.shards(),
            clean_epoch: None,
        });
        let (records, _) = decide(&coordinator.state, register);
        records.iter().for_each(|record| coordinator.state.apply(record));
        let all = coordinator.state.records();
        let mut journal = self.rewrite_journal(&all).await;
        if journal.as_ref().is_err_and(IoError::is_shortage) && self.free_reserve().await {
            journal = self.rewrite_journal(&all).await;
        }
        coordinator.journal = journal.map_err(|error| format!("the metadata journal: {error}"))?;
        let snapshot = coordinator.state.encode();
        coordinator.awaited.insert(0, (self.every_shard(), None));
        *self.0.coordinator.borrow_mut() = Some(coordinator);
        for shard in self.every_shard() {
            if shard == self.this() {
                self.install(snapshot.clone());
            } else {
                self.send(shard, Message::Install(snapshot.clone()));
            }
        }
        self.world().spawn(self.clone().coordinator_task());
        self.world().spawn(self.clone().reserve_task());
        Ok(())
    }

    /// What tells this process from others with the same id.
    fn incarnation(&self) -> [u8; 16] {
        let bits = (u128::from(self.world().random()) << 64) | u128::from(self.world().random());
        bits.to_be_bytes()
    }

    fn every_shard(&self) -> BTreeSet<ShardId> {
        (0..self.shards()).map(ShardId).collect()
    }

    /// Queues commands of any shard.
    pub(super) fn take_proposal(&self, from: Origin, commands: Vec<Command>) {
        if let Some(coordinator) = self.0.coordinator.borrow_mut().as_mut() {
            coordinator.proposals.push_back(Proposal { from, commands });
        }
        self.0.coordinator_due.notify();
    }

    async fn coordinator_task(self) {
        loop {
            self.0.coordinator_due.notified().await;
            while let Some(turn) = self.decide_turn() {
                let (records, answers) = turn;
                if let Err(error) = self.commit(&records).await {
                    tracing::error!(%error, "the metadata journal failed: no more changes until the broker restarts");
                    return;
                }
                self.publish(records, answers);
            }
        }
    }

    /// Decides everything that waits: one flush of the journal carries it all.
    fn decide_turn(&self) -> Option<(Vec<Record>, Vec<Answer>)> {
        let mut slot = self.0.coordinator.borrow_mut();
        let coordinator = slot.as_mut()?;
        if coordinator.proposals.is_empty() {
            return None;
        }
        let (mut all, mut answers) = (Vec::new(), Vec::new());
        for Proposal { from, commands } in coordinator.proposals.drain(..) {
            let mut outcomes = Vec::with_capacity(commands.len());
            let mut room = RECORDS_PER_PROPOSAL_MAX;
            for command in commands {
                if command == Command::DescribeQuorum {
                    outcomes.push(Outcome::Quorum(self.quorum_facts(&coordinator.state)));
                    continue;
                }
                let unbounded = command.is_unbounded();
                let (records, outcome) = decide(&coordinator.state, command);
                if !unbounded && records.len() > room {
                    outcomes.push(Outcome::excessive());
                    continue;
                }
                room = room.saturating_sub(records.len());
                records.iter().for_each(|record| coordinator.state.apply(record));
                all.extend(records);
                outcomes.push(outcome);
            }
            answers.push((from, outcomes));
        }
        Some((all, answers))
    }

    /// One node is its own quorum. Nobody else could be elected, so its term is always the first.
    fn quorum_facts(&self, state: &ClusterState) -> QuorumFacts {
        let (node, now_ms) = (&self.0.node, self.world().wall_ms());
        let committed = state.applied();
        let this = VoterFacts {
            id: NodeId(node.id),
            host: node.host.clone(),
            port: node.port,
            end: committed,
            heard_ms: now_ms,
            caught_up_ms: now_ms,
        };
        QuorumFacts { leader: this.id, term: 1, committed, voters: vec![this], observers: Vec::new() }
    }

    /// Has every shard apply committed records; answers once they all have.
    fn publish(&self, records: Vec<Record>, answers: Vec<Answer>) {
        if records.is_empty() {
            return answers.into_iter().for_each(|(from, outcomes)| self.answer_proposal(from, outcomes));
        }
        let records = Arc::new(records);
        let change = {
            let mut slot = self.0.coordinator.borrow_mut();
            let Some(coordinator) = slot.as_mut() else { return };
            // All answers of a turn wait for the same change; each but the last gets a change number
            // of its own to hang on.
            for answer in answers {
                coordinator.change += 1;
                coordinator.awaited.insert(coordinator.change, (self.every_shard(), Some(answer)));
            }
            coordinator.change
        };
        for shard in self.every_shard() {
            if shard == self.this() {
                self.apply(change, records.clone());
            } else {
                self.send(shard, Message::Apply { change, records: records.clone() });
            }
        }
    }

    fn answer_proposal(&self, from: Origin, outcomes: Vec<Outcome>) {
        if from.shard == self.this() {
            self.take_outcomes(from.set, outcomes);
        } else {
            self.send(from.shard, Message::Outcomes { set: from.set, outcomes });
        }
    }

    /// A shard has applied everything up to a change.
    pub(super) fn applied(&self, shard: ShardId, change: u64) {
        assert_eq!(self.this(), COORDINATOR, "only the coordinator is told");
        let complete = {
            let mut slot = self.0.coordinator.borrow_mut();
            let Some(coordinator) = slot.as_mut() else { return };
            let mut complete = Vec::new();
            for (number, (missing, _)) in coordinator.awaited.range_mut(..=change) {
                missing.remove(&shard);
                if missing.is_empty() {
                    complete.push(*number);
                }
            }
            complete.into_iter().filter_map(|number| coordinator.awaited.remove(&number)).collect::<Vec<_>>()
        };
        for (_, answer) in complete {
            match answer {
                Some((from, outcomes)) => self.answer_proposal(from, outcomes),
                None => self.everyone_serves(),
            }
        }
    }

    fn everyone_serves(&self) {
        for shard in self.every_shard() {
            if shard == self.this() {
                self.begin_serving();
            } else {
                self.send(shard, Message::Serve);
            }
        }
    }
}
