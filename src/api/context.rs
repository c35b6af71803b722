//! What planning a request may look at.

use super::fetch_session::FetchSessions;
use super::plan::Plan;
use crate::base::{NodeId, TopicPartition};
use crate::cluster::{BrokerEntry, ClusterState, PartitionEntry};
use crate::conf::{BrokerConf, InForce};
use crate::wire::generated::SCHEMAS;
use crate::wire::{DecodeError, Encode, Reader, Str, Writer};
use bytes::Bytes;
use std::cell::{Cell, RefCell};

/// The header of a request: versions 1 and 2 (KIP-482).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    /// Which API.
    pub api_key: i16,
    /// Which version of it.
    pub version: i16,
    /// Echoed in the answer.
    pub correlation_id: i32,
    /// Who asks; for logs and quotas.
    pub client_id: Option<Str>,
    /// The address that the connection comes from.
    pub client_host: Str,
}

/// First flexible version of an API; 32767 for an unknown one.
fn flexible_from(key: i16) -> i16 {
    SCHEMAS
        .binary_search_by_key(&key, |schema| schema.key)
        .map_or(i16::MAX, |index| SCHEMAS[index].flexible_from)
}

impl RequestHeader {
    /// Splits a frame into its header and body.
    ///
    /// # Errors
    /// The header is malformed.
    pub fn parse(frame: Bytes) -> Result<(Self, Reader), DecodeError> {
        let mut reader = Reader::of_request(frame);
        let (api_key, version, correlation_id) = (reader.i16()?, reader.i16()?, reader.i32()?);
        let client_id = reader.nullable_string(false)?;
        if version >= flexible_from(api_key) {
            reader.skip_tagged_fields()?;
        }
        let client_host = Str::EMPTY;
        Ok((RequestHeader { api_key, version, correlation_id, client_id, client_host }, reader))
    }
}

/// What this broker tells clients about itself.
#[derive(Clone, Debug)]
pub struct NodeInfo {
    /// Its id.
    pub id: i32,
    /// Where clients reach it.
    pub host: Str,
    /// Its port.
    pub port: u16,
    /// HOST:PORT where other nodes reach it; empty if there are none.
    pub peer: Str,
    /// Its rack.
    pub rack: Option<Str>,
    /// Its log directory.
    pub log_dir: Str,
    /// Total and usable bytes of the log directory's file system, as last looked at.
    pub space: Cell<(i64, i64)>,
}

/// Producer ids that this shard may hand out. Allocated durably, so that none is handed out twice.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProducerIdBlock {
    /// The next.
    pub next: i64,
    /// The first that isn't this shard's.
    pub end: i64,
}

impl ProducerIdBlock {
    /// The next id, if there is one.
    pub fn take(&mut self) -> Option<i64> {
        (self.next < self.end).then(|| {
            self.next += 1;
            self.next - 1
        })
    }
}

/// What planning may look at: this shard's view, nothing that does I/O.
pub struct Context<'a> {
    /// The request.
    pub header: &'a RequestHeader,
    /// This shard's copy of the metadata.
    pub cluster: &'a ClusterState,
    /// The broker's configuration.
    pub conf: &'a BrokerConf,
    /// This broker.
    pub node: &'a NodeInfo,
    /// The acting coordinator, as far as this node knows.
    pub acting: Option<NodeId>,
    /// Wall clock.
    pub now_ms: i64,
    /// 64 random bits.
    pub draw: &'a dyn Fn() -> u64,
    /// Fetch sessions of this shard.
    pub sessions: &'a RefCell<FetchSessions>,
    /// Producer ids of this shard.
    pub producer_ids: &'a RefCell<ProducerIdBlock>,
}

impl Context<'_> {
    /// This broker's settings as they are now.
    pub fn in_force(&self) -> InForce<'_> {
        InForce {
            start: self.conf,
            of_all: self.cluster.broker_configs(),
            of_this: self.cluster.node_configs(NodeId(self.node.id)),
        }
    }

    /// This broker's id.
    pub fn this(&self) -> NodeId {
        NodeId(self.node.id)
    }

    /// Whom clients are told to ask for changes: the acting coordinator where clients can reach it, else this broker,
    /// which passes on what it is asked; -1 if not even that is relied on.
    pub fn controller(&self) -> i32 {
        let reachable = |id: &NodeId| self.cluster.broker(*id).is_some_and(|broker| !broker.fenced);
        self.acting.filter(reachable).or(Some(self.this()).filter(reachable)).map_or(-1, |id| id.0)
    }

    /// Whether this broker leads a partition.
    pub fn leads(&self, key: TopicPartition) -> bool {
        self.cluster.partition(key).is_some_and(|entry| entry.leader == self.this())
    }

    /// The broker that leads a partition, if there is one that clients can reach.
    pub fn leader_of(&self, entry: &PartitionEntry) -> Option<(NodeId, &BrokerEntry)> {
        let broker = self.cluster.broker(entry.leader)?;
        Some((entry.leader, broker))
    }

    /// Replicas of a topic that the broker keeps for itself: as configured, but for a node that has no others.
    pub fn internal_factor(&self, configured: i16) -> i16 {
        if self.conf.cluster.has_peers() { configured } else { 1 }
    }

    /// Answers with a message, in the request's version.
    pub fn respond(&self, message: &impl Encode) -> Plan {
        self.respond_in(message, self.header.version)
    }

    /// Answers with a message in another version than the request's, for ApiVersions.
    pub fn respond_in(&self, message: &impl Encode, version: i16) -> Plan {
        let mut writer = Writer::new();
        writer.i32(0);
        writer.i32(self.header.correlation_id);
        // ApiVersions is answered with header 0 always, so that clients can read it before they know anything (row 4).
        if self.header.api_key != 18 && version >= flexible_from(self.header.api_key) {
            writer.no_tagged_fields();
        }
        match message.encode(&mut writer, version) {
            Ok(()) if writer.fits() => Plan::Respond(writer.into_frame()),
            Ok(()) => Plan::Close("the answer is too large for the request's version"),
            Err(error) => {
                tracing::error!(%error, "an answer can't be written in the request's version");
                Plan::Close("the answer can't be written in the request's version")
            }
        }
    }

    /// A random UUID (RFC 9562, version 4) in its text form.
    pub fn new_uuid(&self) -> String {
        let id = u128::from_be_bytes(self.new_topic_id().0);
        let part = |from: u32, digits: u32| (id >> (128 - 4 * (from + digits))) & ((1 << (4 * digits)) - 1);
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            part(0, 8),
            part(8, 4),
            part(12, 4),
            part(16, 4),
            part(20, 12)
        )
    }

    /// A random UUID (RFC 9562, version 4) that isn't one of Kafka's reserved ids.
    pub fn new_topic_id(&self) -> crate::base::TopicId {
        let bits = (u128::from((self.draw)()) << 64) | u128::from((self.draw)());
        let mut bytes = bits.to_be_bytes();
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        crate::base::TopicId(bytes)
    }
}
