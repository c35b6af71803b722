//! What goes into the machine and what comes out of it.

use super::members::Members;
use crate::base::NodeId;
use crate::wire::Str;
use bytes::Bytes;

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// The voter begins. A lone one is elected at once.
    Start,
    /// A tick's time has passed.
    Tick,
    /// A message of another voter came.
    Message {
        /// Who sent it.
        from: NodeId,
        /// As `Effects::send` had it there.
        bytes: Bytes,
    },
    /// An entry for the log; the answer is `Effects::proposed`.
    Propose(Bytes),
    /// A write is durable, and all before it.
    Persisted {
        /// As in the write.
        number: u64,
        /// The file was written anew.
        anew: bool,
    },
    /// What was applied up to an index is in this snapshot: the log needn't keep it.
    Compact {
        /// The last index that the snapshot holds.
        upto: u64,
        /// The state.
        data: Bytes,
    },
    /// Messages to a voter get lost: its connection broke, or there is none.
    Unreachable(NodeId),
    /// Hand the lead over to the voter who is furthest, before this one goes.
    HandOver,
    /// Have other members; the answer is `Effects::changed`.
    Change(Change),
}

/// Another member, or one less.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A node is to become a voter.
    Add {
        /// Which.
        id: NodeId,
        /// Where the others reach it.
        address: Str,
        /// Its directory, as it shall be told.
        directory: [u8; 16],
    },
    /// A member is to be none.
    Remove {
        /// Which.
        id: NodeId,
        /// Only if this is its directory; zeros for whichever it is.
        directory: [u8; 16],
    },
}

/// What became of a wish for other members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// The entry that begins it is in the log: the removal, or the newcomer as one that doesn't vote yet.
    At {
        /// Its index.
        index: u64,
        /// The term of who leads.
        term: u64,
    },
    /// It can't be.
    Refused(Refusal),
}

/// Why members aren't changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// This voter doesn't lead.
    NotLeading,
    /// Another change is under way.
    Busy,
    /// The node votes already.
    Duplicate,
    /// There is no such member.
    Unknown,
    /// There are as many voters as there may be.
    TooMany,
    /// Nobody would be left.
    Last,
    /// A voter has no address where others could reach it.
    Nowhere,
}

/// The state up to an entry.
#[derive(Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The last entry that it holds.
    pub index: u64,
    /// That entry's term.
    pub term: u64,
    /// Who belonged to the quorum then.
    pub members: Members,
    /// The state.
    pub data: Bytes,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "snapshot of {} bytes at {} in term {}", self.data.len(), self.index, self.term)
    }
}

/// An entry of the log. Those without data come from elections, or change the members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its place in the log, from 1 on.
    pub index: u64,
    /// The term in which it was proposed.
    pub term: u64,
    /// What was proposed.
    pub data: Bytes,
    /// Who belongs to the quorum from here on, if that changes.
    pub members: Option<Members>,
}

/// What must be made durable. One write is under way at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// To be stepped in again by `Input::Persisted`.
    pub number: u64,
    /// Whole blocks to write at the file's end.
    pub append: Option<Bytes>,
    /// The whole file: to be written beside the old one, flushed, and put in its place. Where there is no room for it,
    /// `append` does as well, if that is there.
    pub anew: Option<Bytes>,
}

/// What became of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proposed {
    /// It is in the log, and committed if an entry of this index and term is.
    At {
        /// Its index.
        index: u64,
        /// Its term.
        term: u64,
    },
    /// This voter doesn't lead, or holds as much as it may that isn't committed.
    Refused,
}

/// Who leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Role {
    /// The term.
    pub term: u64,
    /// Its leader, where this voter knows it.
    pub leader: Option<NodeId>,
    /// Whether it is this voter, and an entry of its term is committed: nothing that was committed before is missing
    /// from what it has handed out.
    pub acting: bool,
}

/// What the shell has to do, in the order of the fields.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    /// To be written; until it is durable no other write comes.
    pub write: Option<Write>,
    /// Messages to voters. They may get lost.
    pub send: Vec<(NodeId, Bytes)>,
    /// A state that takes the place of all that was applied so far.
    pub installed: Option<Snapshot>,
    /// Entries to apply, in order, without a gap.
    pub committed: Vec<Committed>,
    /// The answer to `Input::Propose`.
    pub proposed: Option<Proposed>,
    /// The answer to `Input::Change`.
    pub changed: Option<Changed>,
    /// Who leads now, if that has changed.
    pub role: Option<Role>,
    /// What an operator has to know: the voter stands down, or mends.
    pub trouble: Option<String>,
    /// The voter has another's log up to here, and takes part again.
    pub mended: Option<u64>,
}

impl Effects {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.write.is_none()
            && self.send.is_empty()
            && self.installed.is_none()
            && self.committed.is_empty()
            && self.proposed.is_none()
            && self.changed.is_none()
            && self.role.is_none()
            && self.trouble.is_none()
            && self.mended.is_none()
    }
}
