//! Who belongs to the quorum: its voters, and at most one node that is to become one.
//!
//! The log says it: an entry that changes the members names all of them as they are from then on, and a snapshot those
//! as of its last entry. What a node is configured with stands at the beginning of a log, and no longer.

use crate::base::NodeId;
use crate::base::limits::VOTERS_MAX;
use crate::wire::{DecodeError, Reader, Str, Writer};

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its node.
    pub id: NodeId,
    /// HOST:PORT where the others reach it; empty where nobody has said.
    pub address: Str,
    /// What tells its directory from those that the node had before or will have; zeros where nobody has said.
    pub directory: [u8; 16],
    /// Whether it counts; one that doesn't is catching up.
    pub votes: bool,
}

/// The members as of some entry of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// The entry that made them so; 0 for those that the log began with.
    pub index: u64,
    /// All of them, by id.
    pub all: Vec<Member>,
}

impl Members {
    /// The voters that a log begins with.
    #[must_use]
    pub fn first(voters: impl IntoIterator<Item = (NodeId, Str)>) -> Self {
        let member = |(id, address)| Member { id, address, directory: [0; 16], votes: true };
        let mut all: Vec<Member> = voters.into_iter().map(member).collect();
        all.sort_by_key(|member| member.id);
        Members { index: 0, all }
    }

    /// One member.
    #[must_use]
    pub fn get(&self, id: NodeId) -> Option<&Member> {
        self.all.iter().find(|member| member.id == id)
    }

    /// Whether a node has a vote.
    #[must_use]
    pub fn votes(&self, id: NodeId) -> bool {
        self.get(id).is_some_and(|member| member.votes)
    }

    /// Who has a vote.
    pub fn voters(&self) -> impl Iterator<Item = NodeId> {
        self.all.iter().filter(|member| member.votes).map(|member| member.id)
    }

    /// Whether a node has the only vote.
    #[must_use]
    pub fn is_lone(&self, id: NodeId) -> bool {
        self.voters().eq([id])
    }

    /// Who is to become a voter.
    #[must_use]
    pub fn learner(&self) -> Option<&Member> {
        self.all.iter().find(|member| !member.votes)
    }

    pub(super) fn with(&self, member: Member) -> Self {
        let mut members = self.without(member.id);
        members.all.push(member);
        members.all.sort_by_key(|member| member.id);
        members
    }

    pub(super) fn without(&self, id: NodeId) -> Self {
        let all = self.all.iter().filter(|member| member.id != id).cloned().collect();
        Members { index: self.index, all }
    }

    /// The same with what another list says of the same nodes' addresses.
    pub(super) fn told_by(mut self, other: &Members) -> Self {
        for member in &mut self.all {
            if let Some(told) = other.get(member.id) {
                member.address = told.address.clone();
            }
        }
        self
    }
}

pub(super) fn put_members(w: &mut Writer, members: &Members) {
    w.i64(members.index.cast_signed());
    w.array_len(Some(members.all.len()), true);
    for member in &members.all {
        w.i32(member.id.0);
        w.string(&member.address, true);
        w.uuid(&member.directory);
        w.bool(member.votes);
    }
}

/// Reads members: voters within their bound, and one more that is to become one.
pub(super) fn members(r: &mut Reader) -> Result<Members, DecodeError> {
    let index = r.i64()?.cast_unsigned();
    let count = r.array_len(true)?.filter(|count| *count <= VOTERS_MAX + 1).ok_or(DecodeError::Length)?;
    let mut all: Vec<Member> = Vec::new();
    for _ in 0..count {
        let (id, address) = (NodeId(r.i32()?), r.string(true)?.detached());
        let member = Member { id, address, directory: r.uuid()?, votes: r.bool()? };
        if id.0 < 0 || all.last().is_some_and(|last| last.id >= id) {
            return Err(DecodeError::Value);
        }
        all.push(member);
    }
    let voters = all.iter().filter(|member| member.votes).count();
    let fits = voters <= VOTERS_MAX && all.len() <= voters + 1 && (voters > 0 || all.is_empty());
    if fits { Ok(Members { index, all }) } else { Err(DecodeError::Value) }
}
