//! How the voters stand: what DescribeQuorum tells.

use super::members::Member;
use crate::base::NodeId;

/// One member, as the leader knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoterStanding {
    /// Who, and whether it votes.
    pub member: Member,
    /// The last index that it is known to have; `None` where this voter doesn't lead.
    pub last: Option<u64>,
}

/// The quorum, as this voter knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The term.
    pub term: u64,
    /// Who leads.
    pub leader: Option<NodeId>,
    /// The last index that is committed.
    pub committed: u64,
    /// The last index of this voter's log.
    pub last: u64,
    /// All voters, and who is to become one.
    pub members: Vec<VoterStanding>,
    /// Whether this voter's log is damaged and it waits for another's.
    pub mending: bool,
}
