//! A small Kafka client: it finds the cluster, makes topics, and speaks whatever versions both sides know.
//!
//! | file | duty |
//! |---|---|
//! | `versions` | which version of an API is spoken with a broker |
//! | `wire` | one connection with typed calls |
//! | `cluster` | brokers, topics and leaders, from Metadata |
//! | `admin` | topics made and deleted, offsets, producer ids, what a cluster says of itself |
//! | `produce` | produce requests without allocation per record, and their answers |
//! | `fetch` | fetch requests and their answers |
//! | `error` | what can go wrong, with the broker's name |

mod admin;
mod cluster;
mod error;
mod fetch;
mod produce;
mod versions;
mod wire;

pub use admin::{
    About, CoordinatorOf, Edge, Offsets, about, coordinator, create_topic, delete_topic, offsets,
    producer_id, topic,
};
pub use cluster::{PartitionKey, TopicInfo, Topology, bootstrap, topology};
pub use error::{ClientError, code_name, is_retriable};
pub use fetch::{FetchShape, Wanted, fetch_request};
pub use produce::{Answer, ProduceHead, walk_answers};
pub use versions::{Api, Versions, api};
pub use wire::{Dial, Parts, Wire};
