//! Memory that direct I/O reads and writes, and that other shards may read: `arena` hands it out, `loan` lends it.

mod arena;
mod grounds;
mod loan;
mod runs;

pub(super) use arena::{Arena, Block};
pub(super) use grounds::Grounds;
pub(super) use loan::{Ledger, Sealed};
