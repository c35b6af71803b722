//! What a node asks another.

use super::ask::Ask;
use super::fetch::ReplicaFetch;
use crate::base::{BrokerEpoch, NodeId};
use crate::cluster::{Command, Heartbeat};
use crate::wire::collections::array;
use crate::wire::{DecodeError, Reader, Str, Writer};
use bytes::Bytes;

/// The first thing that is said on a connection: who speaks, and whom it means. An address may have gone to another
/// node, or to another cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The cluster that the speaker belongs to.
    pub cluster_id: Str,
    /// Who speaks.
    pub from: NodeId,
    /// Whom it means.
    pub to: NodeId,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Opens a connection.
    Hello(Hello),
    /// Messages of the coordinators' quorum, in order.
    Raft {
        /// Whose they are.
        from: NodeId,
        /// As its quorum wrote them.
        messages: Vec<Bytes>,
    },
    /// Commands for the acting coordinator.
    Propose {
        /// In order.
        commands: Vec<Command>,
    },
    /// Committed changes of the metadata, from some index on.
    Follow {
        /// Who wants them.
        broker: NodeId,
        /// The index of the next one that it doesn't have.
        from: u64,
        /// How long the answer may wait for one.
        wait_ms: i32,
    },
    /// A broker lives.
    Heartbeat(Heartbeat),
    /// Records of partitions that the receiver leads.
    Fetch(ReplicaFetch),
    /// Questions to what the receiver leads, each by itself.
    Ask(Vec<Ask>),
}

/// Which request it is: its API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i16)]
pub enum Kind {
    /// `Request::Hello`.
    Hello = 20_000,
    /// `Request::Raft`.
    Raft = 20_001,
    /// `Request::Propose`.
    Propose = 20_002,
    /// `Request::Follow`.
    Follow = 20_003,
    /// `Request::Heartbeat`.
    Heartbeat = 20_004,
    /// `Request::Fetch`.
    Fetch = 20_005,
    /// `Request::Ask`.
    Ask = 20_006,
}

impl Kind {
    /// All of them.
    pub const ALL: &'static [Kind] =
        &[Kind::Hello, Kind::Raft, Kind::Propose, Kind::Follow, Kind::Heartbeat, Kind::Fetch, Kind::Ask];

    /// The kind with this API key.
    #[must_use]
    pub fn of(key: i16) -> Option<Kind> {
        Kind::ALL.iter().copied().find(|kind| *kind as i16 == key)
    }
}

impl Request {
    /// Which it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Request::Hello(_) => Kind::Hello,
            Request::Raft { .. } => Kind::Raft,
            Request::Propose { .. } => Kind::Propose,
            Request::Follow { .. } => Kind::Follow,
            Request::Heartbeat(_) => Kind::Heartbeat,
            Request::Fetch(_) => Kind::Fetch,
            Request::Ask(_) => Kind::Ask,
        }
    }

    /// How long its answer may wait on purpose, in milliseconds.
    #[must_use]
    pub fn wait_ms(&self) -> i32 {
        match self {
            Request::Follow { wait_ms, .. } => *wait_ms,
            Request::Fetch(fetch) => fetch.max_wait_ms,
            Request::Propose { commands } => commands.iter().map(Command::wait_ms).max().unwrap_or(0),
            Request::Hello(_) | Request::Raft { .. } => 0,
            Request::Heartbeat(_) | Request::Ask(_) => 0,
        }
    }

    /// Appends the body.
    pub(super) fn encode(&self, w: &mut Writer) {
        match self {
            Request::Hello(Hello { cluster_id, from, to }) => {
                w.string(cluster_id, true);
                w.i32(from.0);
                w.i32(to.0);
            }
            Request::Raft { from, messages } => {
                w.i32(from.0);
                w.array_len(Some(messages.len()), true);
                messages.iter().for_each(|message| w.records(Some(std::slice::from_ref(message)), true));
            }
            Request::Propose { commands } => {
                w.array_len(Some(commands.len()), true);
                commands.iter().for_each(|command| command.encode(w));
            }
            Request::Follow { broker, from, wait_ms } => {
                w.i32(broker.0);
                w.i64(from.cast_signed());
                w.i32(*wait_ms);
            }
            Request::Heartbeat(beat) => encode_heartbeat(beat, w),
            Request::Fetch(fetch) => fetch.encode(w),
            Request::Ask(all) => {
                w.array_len(Some(all.len()), true);
                all.iter().for_each(|ask| ask.encode(w));
            }
        }
        w.no_tagged_fields();
    }

    /// Reads the body of a request of this kind.
    pub(super) fn decode(kind: Kind, r: &mut Reader) -> Result<Self, DecodeError> {
        let request = match kind {
            Kind::Hello => Request::Hello(Hello {
                cluster_id: r.string(true)?.detached(),
                from: NodeId(r.i32()?),
                to: NodeId(r.i32()?),
            }),
            Kind::Raft => {
                Request::Raft { from: NodeId(r.i32()?), messages: array(r, true, |r| r.bytes(true))? }
            }
            Kind::Propose => Request::Propose { commands: array(r, true, Command::decode)? },
            Kind::Follow => Request::Follow {
                broker: NodeId(r.i32()?),
                from: r.i64()?.cast_unsigned(),
                wait_ms: r.i32()?,
            },
            Kind::Heartbeat => Request::Heartbeat(decode_heartbeat(r)?),
            Kind::Fetch => Request::Fetch(ReplicaFetch::decode(r)?),
            Kind::Ask => Request::Ask(array(r, true, Ask::decode)?),
        };
        r.skip_tagged_fields()?;
        Ok(request)
    }
}

fn encode_heartbeat(beat: &Heartbeat, w: &mut Writer) {
    let Heartbeat { broker, epoch, applied, wants_fence, wants_shutdown } = beat;
    w.i32(broker.0);
    w.i64(epoch.0);
    w.i64(applied.cast_signed());
    w.bool(*wants_fence);
    w.bool(*wants_shutdown);
}

fn decode_heartbeat(r: &mut Reader) -> Result<Heartbeat, DecodeError> {
    Ok(Heartbeat {
        broker: NodeId(r.i32()?),
        epoch: BrokerEpoch(r.i64()?),
        applied: r.i64()?.cast_unsigned(),
        wants_fence: r.bool()?,
        wants_shutdown: r.bool()?,
    })
}
