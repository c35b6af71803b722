//! Committed entries on their way to every shard, and who waits until all of them follow.

use super::{Asker, Coordinator, decode_records};
use crate::base::{ErrorCode, ShardId};
use crate::cluster::{ClusterState, Outcome, Record};
use crate::peer::Proposed;
use crate::quorum::Committed;
use crate::seam::Files;
use crate::shard::message::{Message, Origin};
use crate::shard::origin::COORDINATOR;
use crate::shard::{Broker, Shard};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What to answer to whom.
pub(super) type Answer = (Asker, Vec<Outcome>);

/// How far a shard is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Followed {
    /// The last entry that it follows.
    index: u64,
    /// Records of the metadata that it follows.
    records: u64,
}

/// The shards of this node.
#[derive(Default)]
pub(super) struct Audience {
    /// Whether they were given the state to begin with.
    installed: bool,
    /// The last entry that they were sent.
    published: u64,
    followed: BTreeMap<ShardId, Followed>,
    /// Who is to be answered once they all follow an entry.
    awaited: Vec<(u64, Origin, Vec<Outcome>)>,
}

impl<F: Files> Coordinator<F> {
    /// The last entry that all shards of this node follow.
    fn reached(&self) -> u64 {
        let audience = &self.audience;
        let slowest = audience.followed.values().map(|followed| followed.index).min().unwrap_or(0);
        // Entries without records are sent to nobody.
        if !audience.installed || slowest >= audience.published { self.index } else { slowest }
    }
}

impl<B: Broker> Shard<B> {
    /// Takes committed entries: from this node's vote, or from another node.
    pub(super) fn take_committed(&self, entries: Vec<Committed>) {
        let mut all = Vec::new();
        let mut answers = Vec::new();
        let mut broken = None;
        let known = self.coordinator(|it| it.index).unwrap_or(0);
        let changed = entries.iter().any(|entry| entry.members.is_some());
        self.coordinator(|it| {
            // A node that becomes a voter has them from others before they are in its own log.
            for entry in entries.into_iter().filter(|entry| entry.index > known) {
                match it.commit(&entry) {
                    Ok((records, answered)) => {
                        all.extend(records);
                        answers.extend(answered);
                    }
                    Err(error) => {
                        broken =
                            Some(format!("entry {} of the metadata can't be read: {error}", entry.index));
                        return;
                    }
                }
            }
        });
        self.metrics().metadata_committed(self.coordinator(|it| it.index).unwrap_or(0));
        self.publish(all);
        self.answer_at_commit(answers);
        if changed {
            self.settle_changes();
        }
        self.bells().committed.notify();
        self.bells().followed.notify();
        self.bells().proposals.notify();
        if let Some(why) = broken {
            self.abandon_vote(why);
        }
    }

    /// Has every shard apply committed records.
    fn publish(&self, records: Vec<Record>) {
        if records.is_empty() {
            return;
        }
        let change = self.coordinator(|it| {
            it.audience.published = it.index;
            it.audience.installed.then_some(it.index)
        });
        let Some(change) = change.flatten() else { return };
        let records = Arc::new(records);
        for shard in self.every_shard() {
            if shard == self.this() {
                self.apply(change, records.clone());
            } else {
                self.send(shard, Message::Apply { change, records: records.clone() });
            }
        }
    }

    /// Begins anew with a state: the entries before it are gone.
    pub(super) fn replace_state(&self, index: u64, data: Bytes) {
        let state = match index {
            0 => Ok(ClusterState::new(&self.0.cluster_id)),
            _ => ClusterState::decode(data),
        };
        match state {
            Err(error) => self.abandon_vote(format!("the metadata's state can't be read: {error}")),
            Ok(state) => {
                let installed = self.coordinator(|it| {
                    (it.state, it.index) = (state, index);
                    it.audience.installed
                });
                if installed == Some(true) {
                    self.install_everywhere();
                }
            }
        }
    }

    /// Gives every shard the whole state.
    pub(super) fn install_everywhere(&self) {
        let Some((index, state)) = self.committed_state() else { return };
        self.coordinator(|it| {
            it.audience.installed = true;
            it.audience.published = index;
            it.audience.followed =
                (0..self.shards()).map(|shard| (ShardId(shard), Followed::default())).collect();
        });
        for shard in self.every_shard() {
            if shard == self.this() {
                self.install(index, state.clone());
            } else {
                self.send(shard, Message::Install { index, state: state.clone() });
            }
        }
    }

    /// A shard follows everything up to an entry.
    pub(in crate::shard) fn applied(&self, shard: ShardId, change: u64, records: u64) {
        assert_eq!(self.this(), COORDINATOR, "only the coordinator is told");
        self.coordinator(|it| it.audience.followed.insert(shard, Followed { index: change, records }));
        self.bells().followed.notify();
        self.answer_awaited();
    }

    /// Waits until all shards follow an entry.
    pub(super) async fn until_followed(&self, index: u64) {
        self.bells().followed.until(|| self.coordinator(|it| it.reached() >= index) != Some(false)).await;
    }

    /// Records that all shards follow.
    pub(super) fn records_followed(&self) -> u64 {
        let slowest =
            |it: &mut Coordinator<_>| it.audience.followed.values().map(|followed| followed.records).min();
        self.coordinator(slowest).flatten().unwrap_or(0)
    }

    /// Answers proposals whose entry is committed: other nodes at once, shards of this one when all of them follow it.
    pub(super) fn answer_at_commit(&self, answers: Vec<Answer>) {
        for (from, outcomes) in answers {
            match from {
                Asker::Nobody => {}
                Asker::Peer(slot) => {
                    let index = self.coordinator(|it| it.index).unwrap_or(0);
                    slot.give(Ok(Proposed { outcomes, index }));
                }
                Asker::Shard(origin) => {
                    self.coordinator(|it| it.audience.awaited.push((it.index, origin, outcomes)));
                }
            }
        }
        self.answer_awaited();
    }

    fn answer_awaited(&self) {
        let complete = self.coordinator(|it| {
            let reached = it.reached();
            it.audience.awaited.extract_if(.., |(index, ..)| *index <= reached).collect::<Vec<_>>()
        });
        for (_, origin, outcomes) in complete.unwrap_or_default() {
            self.answer_proposal(origin, outcomes);
        }
    }

    /// Answers a shard of this node.
    pub(super) fn answer_proposal(&self, from: Origin, outcomes: Vec<Outcome>) {
        if from.shard == self.this() {
            self.take_outcomes(from.set, outcomes);
        } else {
            self.send(from.shard, Message::Outcomes { set: from.set, outcomes });
        }
    }

    /// Tells a shard of this node that nobody decides, or that what was decided may be lost.
    pub(super) fn refuse_proposal(&self, from: Origin, commands: usize, code: ErrorCode) {
        let why = match code {
            ErrorCode::NotController => "The acting coordinator has changed meanwhile.",
            _ => "The acting coordinator could not be reached in time.",
        };
        let refused = Outcome::Refused((code, why.to_owned()));
        self.answer_proposal(from, vec![refused; commands]);
    }

    /// Has all shards accept clients.
    pub(super) fn everyone_serves(&self) {
        for shard in self.every_shard() {
            if shard == self.this() {
                self.begin_serving();
            } else {
                self.send(shard, Message::Serve);
            }
        }
    }
}

impl<F: Files> Coordinator<F> {
    /// Takes one committed entry into the state; its records, and whom to answer what.
    fn commit(&mut self, entry: &Committed) -> Result<(Vec<Record>, Vec<Answer>), crate::wire::DecodeError> {
        assert_eq!(entry.index, self.index + 1, "entries come without a gap");
        let records = decode_records(entry)?;
        let answers = self.acting.take_pending(entry.index, entry.term);
        if answers.is_none() {
            // Members change by themselves, and have nothing to do with what else is decided.
            let expected = entry.members.is_some() || !self.acting.has_pending();
            assert!(expected, "whoever acts knows what was committed before");
            records.iter().for_each(|record| self.state.apply(record));
        }
        self.index = entry.index;
        Ok((records, answers.unwrap_or_default()))
    }
}
