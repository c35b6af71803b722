//! The cluster's metadata as a pure machine: what topics, partitions, settings and brokers there are, and what a
//! command may change. Applied from committed records only; every shard keeps its own copy.

mod change;
mod codec;
mod command;
mod configs;
mod decide;
mod entry;
mod names;
mod placement;
mod record;
mod sessions;
mod state;

pub use command::{
    Command, Elected, IsrChange, NewTopic, Outcome, QuorumFacts, Reassignment, Refusal, Registration,
    VoterFacts,
};
pub use configs::{Edit, Target, edit};
pub use decide::decide;
pub use entry::{BrokerEntry, NO_LEADER, PartitionEntry, Topic, VoterEntry};
pub use names::{check_topic_name, is_internal_topic};
pub use placement::{broken_assignment, owner_shard};
pub use record::Record;
pub use sessions::{Heartbeat, HeartbeatReply, SessionRules, Sessions};
pub use state::ClusterState;
