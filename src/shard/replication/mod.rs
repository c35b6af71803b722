//! Partitions that have replicas on other nodes, on the shard that has one of them here.
//!
//! What a replica is at the moment says the metadata (`roles`). A follower's records come through one task per leading
//! broker, which asks for all partitions that this shard follows there at once (`fetcher`, `copy`, `cut`). A leader
//! answers such requests when there is something appended (`serve`), and asks the coordinator for changes of who is in
//! sync (`isr`).

mod roles;

use super::notify::Notify;

/// What a shard keeps about replication besides its partitions.
#[derive(Default)]
pub(super) struct Replication {
    /// A high watermark moved, or a replica got another role.
    pub(super) moved: Notify,
}
