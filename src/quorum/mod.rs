//! The log that the cluster's coordinators agree on, as a pure machine: Raft by the `raft` crate, which no other folder
//! names (`docs/adr/0008-quorum.md`).
//!
//! `Quorum` steps on inputs (a tick, a message, a proposal, "this is durable") and fills `Effects`: frames to write,
//! messages to send, entries that are committed. It knows nodes and bytes, no clock, no files, no metadata. `disk`
//! is how the log lies in its file, `message` how it travels; `members` are those who agree, `change` is how others
//! come to.
//!
//! **Invariant:** what promises something to another voter (a vote, "I have these entries") is handed out only once the
//! write that it rests on was reported durable. (the little network in `tests`, with planted faults)

mod change;
mod disk;
mod effects;
mod engine;
mod guard;
mod members;
mod mend;
mod message;
mod node;
mod standing;
mod store;
mod writes;

pub use disk::{Damage, DiskError, Recovered, read, written};
pub use effects::{Change, Changed, Committed, Effects, Input, Proposed, Refusal, Role, Snapshot, Write};
pub use members::{Member, Members};
pub use message::check as check_message;
pub use node::{Quorum, QuorumConf};
pub use standing::{Standing, VoterStanding};

use crate::base::NodeId;

/// A node's id as the crate has it, where 0 means nobody.
fn raft_id(node: NodeId) -> u64 {
    u64::try_from(node.0).map_or(0, |id| id + 1)
}

/// The node that the crate means.
fn node_id(raft_id: u64) -> Option<NodeId> {
    i32::try_from(raft_id.checked_sub(1)?).ok().map(NodeId)
}

#[cfg(test)]
mod tests;
