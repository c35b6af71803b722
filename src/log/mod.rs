//! The log's decisions: segment format, index, producers and their transactions, leader epochs, what recovery accepts,
//! what retention lets go, what compaction leaves. No I/O.

pub mod checkpoint;
pub mod compact;
pub mod epochs;
pub mod index;
pub mod producers;
pub mod retention;
pub mod scan;
pub mod segment;
pub mod transactions;
