//! Ringlog: a broker that speaks the Kafka protocol.
//!
//! The layers and their duties are in `docs/ARCHITECTURE.md`; a test holds them.

pub mod api;
pub mod base;
pub mod boot;
pub mod cluster;
pub mod conf;
pub mod group;
pub mod load;
pub mod log;
pub mod metrics;
pub mod peer;
pub mod quorum;
pub mod replica;
pub mod rt;
pub mod seam;
pub mod shard;
pub mod sim;
pub mod txn;
pub mod wire;
