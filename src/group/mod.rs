//! Coordinators of consumer groups: who is in a group, who has which share, which offsets are committed.
//!
//! A coordinator is a pure machine over one partition of `__consumer_offsets`: it steps on requests, on time and on the
//! news that records are durable; it returns records to append and answers. Its state is what its records say, in
//! Apache Kafka's own formats, so Kafka's tools read them, and reading them back gives the machine back.
//!
//! Invariant: an answer leaves only when every record appended before it is durable. So what a client was told, be it
//! a committed offset or a share, survives a crash, and nothing that a crash may undo is ever seen.

pub mod call;
pub mod chronicle;
mod classic;
mod consumer;
mod coordinator;
pub mod lag;
mod migration;
mod offsets;
mod partition;
mod pending;
mod record;
mod settings;
mod timers;

pub use consumer::Topics;
pub use coordinator::{CommitTold, Coordinator, Effects, Event};
pub use partition::{OFFSETS_TOPIC, partition_of};
pub use record::GroupRecord;
pub use settings::{Migration, Now, Settings};
