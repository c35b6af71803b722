//! Ringlog: a broker that speaks the Kafka protocol.
//!
//! The layers and their duties are in `docs/ARCHITECTURE.md`; a test (`tests/layers.rs`) holds them.

pub mod base;
pub mod cluster;
pub mod seam;
pub mod wire;
