//! The partition machine: what one replica of a partition decides, as its leader or as a follower, without doing any
//! I/O.
//!
//! The shard that owns a partition steps its machine with events and performs the effects. Acknowledgements and moves
//! of the high watermark come out of `step` only, and only after an event said that the bytes are written or durable,
//! here and on every replica that counts: the order between disk and network lives here, not in the shell.

pub mod call;
mod event;
mod machine;
#[cfg(test)]
mod model;
mod query;
mod rules;
mod waiting;

pub use event::{
    Append, Assignment, Awaited, Effects, Event, FetchPosition, IsrProposal, Member, Recovered, Waiter,
    Watcher,
};
pub use machine::{FollowerFacts, Replica, Source};
pub use query::ReadBounds;
pub use rules::{Durability, Rules};
