//! Memory that direct I/O reads and writes, and that other shards may read: `arena` hands it out,
//! `toucher` readies it, `loan` lends it, `renewal` replaces what was spliced.

mod arena;
mod grounds;
mod loan;
mod marks;
mod renewal;
mod runs;
mod toucher;

pub(super) use arena::{Arena, Block};
pub(super) use grounds::Grounds;
pub(super) use loan::{Ledger, Sealed};
