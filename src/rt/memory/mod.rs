//! Memory that direct I/O reads and writes, and that other shards may read: `arena` hands it out,
//! `toucher` readies it, `loan` lends it.

mod arena;
mod grounds;
mod loan;
mod runs;
mod toucher;

pub(super) use arena::{Arena, Block};
pub(super) use grounds::Grounds;
pub(super) use loan::{Ledger, Sealed};
