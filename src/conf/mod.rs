//! Configuration: raw TOML and overrides in, one checked `BrokerConf` out. Reads no file and no environment itself.

mod broker;
mod cluster;
pub mod dynamic;
mod explain;
mod keys;
mod layers;
mod shown;
pub mod topic;

pub use broker::{
    BrokerConf, Durability, FlushScopeChoice, LogSettings, MemorySettings, NetSettings, TopicSettings,
};
pub use cluster::{ClusterConf, Roles, Voter};
pub use dynamic::{FOLLOWER_RATE, InForce, LEADER_RATE, Synonym};
pub use explain::{explain, sample};
pub use keys::{KEYS, Key, Kind, nearest};
pub use layers::{Layers, PROFILES, Source};
pub use topic::TopicConf;
