//! What the nodes of a cluster say to each other, as values and as bytes.
//!
//! Peers talk on a listener of their own (`docs/adr/0009-peers.md`). Their frames look like Kafka's: a length, the
//! request header in its second version, a body in flexible primitives. The API keys are ours and begin far above
//! Kafka's; the client listener doesn't know them, and never tells of them. Each message has a version of its own, so
//! that nodes of two builds can work together while one after the other is replaced.
//!
//! Bodies are written by hand, since record bytes must go out from where they lie. What comes in is bounded: a count is
//! checked against the bytes that are there, and what elements take in memory has the bound of a client's request.

mod ask;
mod fetch;
mod frame;
mod reply;
mod request;
#[cfg(test)]
mod tests;

pub use ask::{Ask, Told};
pub use fetch::{ReplicaData, ReplicaFetch, ReplicaFetched, ReplicaRead};
pub use frame::{FrameError, Header, VERSION, read_reply, read_request, write_reply, write_request};
pub use reply::{Followed, NotActing, Proposed, Reply, Welcome};
pub use request::{Hello, Kind, Request};
