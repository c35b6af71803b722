//! The log in memory, where the crate looks for what it has handed out to be written.

use super::effects::{Committed, Snapshot};
use super::members::{Members, members, put_members};
use super::{disk::Recovered, raft_id};
use crate::wire::{Reader, Writer};
use bytes::Bytes;
use raft::eraftpb::{self, EntryType};
use raft::{Error, GetEntriesContext, RaftState, Storage, StorageError};

/// Entries before a snapshot that stay, for voters who are a little behind. In tests few, so that voters get snapshots.
const KEPT: u64 = if cfg!(test) { 16 } else { 256 };
/// What an entry takes besides its data, about.
const ENTRY_OVERHEAD_BYTES: u64 = 32;

/// The log's part that is kept.
pub(super) struct Store {
    /// The members that the log began with, or that a node was told which has no log yet.
    first: Members,
    /// The members as of what is applied.
    members: Members,
    hard: eraftpb::HardState,
    snapshot: Option<Snapshot>,
    /// Index and term of the entry before the first that is there.
    before: (u64, u64),
    entries: Vec<Committed>,
}

impl Store {
    /// A log, which begins with these members if it has no snapshot.
    pub(super) fn new(first: Members, recovered: &Recovered) -> Self {
        let before = recovered.snapshot.as_ref().map_or((0, 0), |snapshot| (snapshot.index, snapshot.term));
        let hard = eraftpb::HardState {
            term: recovered.term,
            vote: recovered.vote.map_or(0, raft_id),
            commit: recovered.commit.max(before.0),
            ..Default::default()
        };
        Store {
            members: recovered.snapshot.as_ref().map_or_else(|| first.clone(), |it| it.members.clone()),
            first,
            hard,
            snapshot: recovered.snapshot.clone(),
            before,
            entries: recovered.entries.clone(),
        }
    }

    /// The members as of what is applied.
    pub(super) fn members(&self) -> &Members {
        &self.members
    }

    pub(super) fn set_members(&mut self, members: Members) {
        self.members = members;
    }

    /// The members that the log began with.
    pub(super) fn first_members(&self) -> &Members {
        &self.first
    }

    /// What the log says of members, the newest first, whether it is committed or not: where they may be reached.
    pub(super) fn all_members(&self) -> impl Iterator<Item = &Members> {
        let entries = self.entries.iter().rev().filter_map(|entry| entry.members.as_ref());
        entries.chain([&self.members, &self.first])
    }

    /// The members as of an entry that is there and applied.
    fn members_at(&self, index: u64) -> Members {
        let begin = self.snapshot.as_ref().map_or(&self.first, |snapshot| &snapshot.members);
        let upto = self.entries.iter().rev().skip_while(|entry| entry.index > index);
        let newest = upto.filter_map(|entry| entry.members.as_ref()).next();
        newest.filter(|newest| newest.index > begin.index).unwrap_or(begin).clone()
    }

    pub(super) fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref()
    }

    /// The first index that is there, or would be.
    pub(super) fn first(&self) -> u64 {
        self.before.0 + 1
    }

    pub(super) fn last(&self) -> u64 {
        self.before.0 + self.entries.len() as u64
    }

    /// The entries from an index on that are there.
    pub(super) fn from(&self, index: u64) -> &[Committed] {
        &self.entries[self.place(index.max(self.first())).min(self.entries.len())..]
    }

    /// The term of an entry that is there.
    pub(super) fn term_of(&self, index: u64) -> Option<u64> {
        if index == self.before.0 {
            return Some(self.before.1);
        }
        let place = index.checked_sub(self.before.0 + 1)?;
        self.entries.get(usize::try_from(place).ok()?).map(|entry| entry.term)
    }

    /// Where an entry after `before` is.
    fn place(&self, index: u64) -> usize {
        usize::try_from(index - self.before.0 - 1).unwrap_or(usize::MAX)
    }

    /// Takes entries, in place of what was there from the first one's index on.
    pub(super) fn append(&mut self, entries: &[Committed]) {
        let Some(first) = entries.first() else { return };
        assert!(first.index > self.before.0 && first.index <= self.last() + 1, "entries follow each other");
        self.entries.truncate(self.place(first.index));
        self.entries.extend_from_slice(entries);
    }

    /// Begins anew with a state.
    pub(super) fn install(&mut self, snapshot: Snapshot) {
        self.before = (snapshot.index, snapshot.term);
        self.entries.clear();
        self.members = snapshot.members.clone();
        self.snapshot = Some(snapshot);
    }

    /// Takes a state up to an entry that is there, and lets go of most entries before it.
    pub(super) fn compact(&mut self, index: u64, data: Bytes) {
        let Some(term) = self.term_of(index) else { return };
        if self.snapshot.as_ref().is_some_and(|snapshot| snapshot.index >= index) {
            return;
        }
        self.snapshot = Some(Snapshot { index, term, data, members: self.members_at(index) });
        let upto = index.saturating_sub(KEPT);
        if let Some(term) = self.term_of(upto).filter(|_| upto > self.before.0) {
            self.entries.drain(..=self.place(upto));
            self.before = (upto, term);
        }
    }
}

/// An entry as the crate has it.
pub(super) fn to_raft(entry: &Committed) -> eraftpb::Entry {
    let mut to = eraftpb::Entry::default();
    (to.index, to.term, to.data) = (entry.index, entry.term, entry.data.clone());
    if let Some(members) = &entry.members {
        let mut w = Writer::new();
        put_members(&mut w, members);
        to.context = w.into_pieces().concat().into();
        to.set_entry_type(EntryType::EntryConfChangeV2);
    }
    to
}

/// An entry of the crate as ours.
pub(super) fn from_raft(entry: eraftpb::Entry) -> Committed {
    let (index, term) = (entry.index, entry.term);
    if entry.get_entry_type() == EntryType::EntryNormal {
        return Committed { index, term, data: entry.data, members: None };
    }
    // The data is the crate's own, for its eyes when it is proposed.
    let members = members(&mut Reader::new(entry.context)).expect("it was written here");
    Committed { index, term, data: Bytes::new(), members: Some(Members { index, ..members }) }
}

/// A snapshot as the crate has it, which knows no addresses: so the members go before the data.
pub(super) fn snapshot_to_raft(snapshot: &Snapshot) -> eraftpb::Snapshot {
    let mut w = Writer::new();
    put_members(&mut w, &snapshot.members);
    w.shared(snapshot.data.clone());
    let mut to = eraftpb::Snapshot { data: w.into_pieces().concat().into(), ..Default::default() };
    let meta = to.mut_metadata();
    (meta.index, meta.term) = (snapshot.index, snapshot.term);
    *meta.mut_conf_state() = conf_state(&snapshot.members);
    to
}

fn conf_state(members: &Members) -> eraftpb::ConfState {
    eraftpb::ConfState {
        voters: members.voters().map(raft_id).collect(),
        learners: members.learner().map(|learner| raft_id(learner.id)).into_iter().collect(),
        ..Default::default()
    }
}

/// A snapshot of the crate as ours.
pub(super) fn snapshot_from_raft(snapshot: &eraftpb::Snapshot) -> Snapshot {
    let meta = snapshot.get_metadata();
    let mut r = Reader::new(snapshot.data.clone());
    let members = members(&mut r).expect("it was written here");
    Snapshot { index: meta.index, term: meta.term, data: r.rest(), members }
}

impl Storage for Store {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(self.hard.clone(), conf_state(&self.members)))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<eraftpb::Entry>> {
        if low <= self.before.0 {
            return Err(Error::Store(StorageError::Compacted));
        }
        if high > self.last() + 1 {
            return Err(Error::Store(StorageError::Unavailable));
        }
        let (from, upto) = (self.place(low), self.place(high));
        let mut room = max_size.into().unwrap_or(u64::MAX);
        let mut taken = Vec::new();
        for entry in &self.entries[from..upto] {
            let size = entry.data.len() as u64 + ENTRY_OVERHEAD_BYTES;
            if !taken.is_empty() && size > room {
                break;
            }
            room = room.saturating_sub(size);
            taken.push(to_raft(entry));
        }
        Ok(taken)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        let missing = if index < self.before.0 { StorageError::Compacted } else { StorageError::Unavailable };
        self.term_of(index).ok_or(Error::Store(missing))
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.first())
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, request_index: u64, _to: u64) -> raft::Result<eraftpb::Snapshot> {
        let fits = self.snapshot.as_ref().filter(|snapshot| snapshot.index >= request_index);
        let snapshot = fits.ok_or(Error::Store(StorageError::SnapshotTemporarilyUnavailable))?;
        Ok(snapshot_to_raft(snapshot))
    }
}
