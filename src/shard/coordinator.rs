//! The embedded coordinator, on shard 0: takes commands one after the other, commits their records to the metadata
//! journal, has every shard apply them, and only then answers.
//!
//! One voter for now: committed means durable in this node's journal. A quorum takes the journal's place with
//! replication.

use super::message::{Message, Origin};
use super::origin::COORDINATOR;
use super::{Broker, FilesOf, Shard};
use crate::base::limits::BLOCK_BYTES;
use crate::base::mutant::{Mutant, planted};
use crate::base::{NodeId, ShardId};
use crate::cluster::{ClusterState, Command, Journal, Outcome, Record, decide, frame};
use crate::seam::{File, Files, IoError, World, WriteBuf};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// The journal's file within the data directory.
const JOURNAL: &str = "metadata.journal";
/// A journal this much longer than its state would be is written anew.
const COMPACT_BYTES: u64 = 8 << 20;

/// A journal that was written anew: the file, where its next frame goes, the CRC to chain it to.
type NewJournal<F> = (<F as Files>::File, u64, u32);

/// What to answer to whom.
type Answer = (Origin, Vec<Outcome>);

/// A proposal that waits for its turn.
struct Proposal {
    from: Origin,
    commands: Vec<Command>,
}

/// The coordinator's state.
pub(super) struct Coordinator<F: Files> {
    state: ClusterState,
    file: F::File,
    end: u64,
    chain: u32,
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
            file,
            end: journal.end as u64,
            chain: journal.chain,
            change: 0,
            proposals: VecDeque::new(),
            awaited: BTreeMap::new(),
        })
    }
}

impl<F: Files> Coordinator<F> {
    fn journal(&mut self, (file, end, chain): NewJournal<F>) {
        (self.file, self.end, self.chain) = (file, end, chain);
    }
}

impl<B: Broker> Shard<B> {
    /// Takes the coordinator into service: registers this broker and sends every shard the metadata.
    pub(super) async fn start_coordinator(
        &self,
        mut coordinator: Coordinator<FilesOf<B>>,
    ) -> Result<(), String> {
        let node = &self.0.node;
        let (id, host, port) = (NodeId(node.id), node.host.clone(), node.port);
        let register = Command::RegisterBroker(Record::Broker { id, host, port, rack: node.rack.clone() });
        let (records, _) = decide(&coordinator.state, register);
        records.iter().for_each(|record| coordinator.state.apply(record));
        let journal = self.rewrite_journal(&coordinator.state.records()).await;
        coordinator.journal(journal.map_err(|error| format!("the metadata journal: {error}"))?);
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
        Ok(())
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
            for command in commands {
                let (records, outcome) = decide(&coordinator.state, command);
                records.iter().for_each(|record| coordinator.state.apply(record));
                all.extend(records);
                outcomes.push(outcome);
            }
            answers.push((from, outcomes));
        }
        Some((all, answers))
    }

    /// Makes records durable.
    async fn commit(&self, records: &[Record]) -> Result<(), IoError> {
        if records.is_empty() {
            return Ok(());
        }
        let compact = {
            let slot = self.0.coordinator.borrow();
            let Some(coordinator) = slot.as_ref() else { return Ok(()) };
            (coordinator.end > COMPACT_BYTES).then(|| coordinator.state.records())
        };
        if let Some(all) = compact {
            let journal = self.rewrite_journal(&all).await?;
            if let Some(coordinator) = self.0.coordinator.borrow_mut().as_mut() {
                coordinator.journal(journal);
            }
            return Ok(());
        }
        let (file, at, bytes) = {
            let mut slot = self.0.coordinator.borrow_mut();
            let Some(coordinator) = slot.as_mut() else { return Ok(()) };
            let (bytes, chain) = frame(records, coordinator.chain);
            let at = coordinator.end;
            (coordinator.end, coordinator.chain) = (at + bytes.len() as u64, chain);
            (coordinator.file.clone(), at, bytes)
        };
        self.write_frame(&file, at, &bytes).await
    }

    async fn write_frame(
        &self,
        file: &<FilesOf<B> as Files>::File,
        at: u64,
        bytes: &[u8],
    ) -> Result<(), IoError> {
        assert!(bytes.len().is_multiple_of(BLOCK_BYTES), "frames are whole blocks");
        let mut buf = self.world().files().alloc(bytes.len());
        buf.bytes_mut().copy_from_slice(bytes);
        file.write(at, &buf.seal(bytes.len())).await?;
        if planted(Mutant::UnflushedJournal) {
            return Ok(());
        }
        file.sync().await
    }

    /// Writes the journal anew as one frame with the whole state, and puts it in the old one's place.
    async fn rewrite_journal(&self, all: &[Record]) -> Result<NewJournal<FilesOf<B>>, IoError> {
        let (files, dir) = (self.world().files(), &self.0.data_dir);
        let fresh = dir.join("metadata.journal.new");
        let file = files.create(&fresh).await?;
        let (bytes, chain) = frame(all, 0);
        self.write_frame(&file, 0, &bytes).await?;
        files.rename(&fresh, &dir.join(JOURNAL)).await?;
        files.sync_dir(dir).await?;
        Ok((file, bytes.len() as u64, chain))
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
