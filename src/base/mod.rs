//! Vocabulary that every layer shares: ids and epochs, bounds, error codes, time and timers, seeded randomness. Imports
//! nothing.

mod asker;
pub mod digest;
pub mod error_code;
mod guard;
pub mod ids;
mod java_hash;
mod join;
pub mod limits;
pub mod mutant;
mod now;
pub mod random;
mod timers;

pub use asker::Asker;
pub use error_code::ErrorCode;
pub use guard::Guard;
pub use ids::{
    BrokerEpoch, LeaderEpoch, NodeId, Offset, PartitionEpoch, PartitionIndex, ProducerEpoch, ProducerId,
    ShardId, TopicId, TopicPartition,
};
pub use java_hash::partition_for;
pub use join::join_all;
pub use now::Now;
pub use timers::Timers;
