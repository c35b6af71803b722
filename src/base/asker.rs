//! Who asked a coordinator.

use super::ids::ShardId;

/// Who gets an answer: a slot in a call set of the shard where the request arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asker {
    /// The shard that has the connection.
    pub shard: ShardId,
    /// The call set on that shard.
    pub set: u64,
    /// The call within the set.
    pub index: u32,
}
