//! The cluster's metadata as a pure machine: what topics, partitions, settings and brokers there are, and what a
//! command may change. Applied from committed records only; every shard keeps its own copy.

mod command;
mod configs;
mod journal;
mod names;
mod placement;
mod record;
mod state;

pub use command::{Command, NewTopic, Outcome, Refusal, decide};
pub use configs::{Edit, Target, edit};
pub use journal::{Journal, JournalError, frame};
pub use names::{check_topic_name, is_internal_topic};
pub use placement::{assign, broken_assignment, owner_shard};
pub use record::Record;
pub use state::{BrokerEntry, ClusterState, PartitionEntry, Topic};
