//! The partition machine: what a partition's leader decides, without doing any I/O.
//!
//! The shard that owns a partition steps its machine with events and performs the effects. Acknowledgements and moves
//! of the high watermark come out of `step` only, and only after an event said that the bytes are written or durable:
//! the order between disk and network lives here, not in the shell.

pub mod call;
mod leader;
mod query;
mod rules;

pub use leader::{Append, Effects, Event, Leader, Recovered, Source, Waiter, Watcher};
pub use query::ReadBounds;
pub use rules::{Durability, Rules};
