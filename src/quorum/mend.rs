//! A voter that has lost entries which it promised to have.
//!
//! It neither votes nor campaigns nor acknowledges: with its help the others could lose what it once helped to commit.
//! It asks for the leader's log, and takes it when that is committed as far as this voter ever acknowledged: a leader
//! may count those acknowledgements until then. Whichever term that leader is of: what is committed is so in every
//! term.

use super::disk::Recovered;
use super::effects::Committed;
use super::message::Whole;
use crate::base::NodeId;

/// Heartbeats between two times that it asks.
const PAUSE_HEARTBEATS: usize = 4;

/// What it still knows.
#[derive(Debug)]
pub(super) struct Mending {
    pub(super) term: u64,
    pub(super) vote: Option<NodeId>,
    /// The last index that it may have acknowledged.
    pub(super) last: u64,
    ticks: usize,
    /// The log that is being written.
    pub(super) taken: Option<Recovered>,
}

impl Mending {
    pub(super) fn new(term: u64, vote: Option<NodeId>, last: u64) -> Self {
        Mending { term, vote, last, ticks: 0, taken: None }
    }

    /// Whether it is time to ask.
    pub(super) fn tick(&mut self, heartbeat_ticks: usize) -> bool {
        let due = self.ticks.is_multiple_of(heartbeat_ticks * PAUSE_HEARTBEATS);
        self.ticks += 1;
        due && self.taken.is_none()
    }

    /// Looks at a leader's log; the log to begin with, if it does.
    pub(super) fn judge(&self, whole: Whole) -> Option<Recovered> {
        if self.taken.is_some() || whole.commit < self.last {
            return None;
        }
        let begin = whole.snapshot.as_ref().map_or((0, 0), |snapshot| (snapshot.index, snapshot.term));
        let (mut index, mut term) = begin;
        let follows = whole.entries.iter().all(|Committed { index: next, term: of, .. }| {
            let fits = *next == index + 1 && *of >= term && *of <= whole.term;
            (index, term) = (*next, *of);
            fits
        });
        if !follows || index != whole.commit {
            return None;
        }
        // In a term that this voter knew it may have voted already.
        let vote = if whole.term > self.term { None } else { self.vote };
        Some(Recovered {
            members: whole.members,
            term: whole.term.max(self.term),
            vote,
            commit: whole.commit,
            snapshot: whole.snapshot,
            entries: whole.entries,
            ..Recovered::default()
        })
    }
}
