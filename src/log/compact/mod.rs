//! Log compaction: of each key's records only the latest stays (KIP-58 and KIP-534; `LogCleaner` and `Cleaner` of
//! Apache Kafka).
//!
//! A log has a clean part, up to its dirty point, in which a key occurs once, and a dirty part behind it. A round reads
//! the dirty part and notes each key's last offset (`mapping`), then rewrites the whole log from its start without
//! records that are older than that (`sifting`), a group of segments at a time (`plan`). Offsets never change; what is
//! gone leaves a hole.
//!
//! Rules that keep a reader's view right, whatever happens meanwhile:
//! - a segment is replaced after those before it: a tombstone goes only when the values that it ends are gone for good;
//! - the dirty point moves when the whole round is through, for a tombstone behind it may go though it is in no map;
//! - a tombstone's time runs from when a round first met it, so every reader that is less than `delete.retention.ms`
//!   behind sees it.

mod keys;
mod mapping;
mod plan;
mod sifting;

#[cfg(test)]
mod tests;

pub use keys::KeyMap;
pub use mapping::{Look, Mapped, Mapping};
pub use plan::{Extent, Policy, Work, group_end, look};
pub use sifting::{Fate, LastOf, Sieve, Sifted};
