//! Vocabulary that every layer shares: ids and epochs, bounds, error codes, seeded randomness. Imports nothing.

pub mod digest;
pub mod error_code;
pub mod ids;
pub mod limits;
pub mod mutant;
pub mod random;

pub use error_code::ErrorCode;
pub use ids::{
    LeaderEpoch, NodeId, Offset, PartitionIndex, ProducerEpoch, ProducerId, ShardId, TopicId, TopicPartition,
};
