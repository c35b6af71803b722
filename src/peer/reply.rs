//! What a node answers another.

use super::ask::{Told, decode_told, encode_told};
use super::fetch::ReplicaFetched;
use super::request::Kind;
use crate::base::{ErrorCode, NodeId};
use crate::cluster::{HeartbeatReply, Outcome};
use crate::wire::collections::array;
use crate::wire::{DecodeError, Reader, Str, Writer};
use bytes::Bytes;

/// The answer to `Hello`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Welcome {
    /// Speak on.
    Yes,
    /// This is another node, or one of another cluster: why, for a person.
    No(Str),
}

/// Whoever was asked doesn't act as the coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotActing {
    /// Who does, as far as it knows.
    pub leader: Option<NodeId>,
}

/// Commands were decided and committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposed {
    /// What became of each, in order.
    pub outcomes: Vec<Outcome>,
    /// The index of the metadata log that holds them all: who has applied it sees what they did.
    pub index: u64,
}

/// Committed changes of the metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// A state to begin anew from, with its index: what was asked for isn't kept any more.
    pub snapshot: Option<(u64, Bytes)>,
    /// Entries with their indexes, in order.
    pub entries: Vec<(u64, Bytes)>,
    /// The last index that is committed.
    pub committed: u64,
}

/// One answer, of the request's kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To `Hello`.
    Hello(Welcome),
    /// To `Raft`: they arrived, no more.
    Raft,
    /// To `Propose`.
    Propose(Result<Proposed, NotActing>),
    /// To `Follow`.
    Follow(Result<Followed, NotActing>),
    /// To `Heartbeat`.
    Heartbeat(Result<HeartbeatReply, NotActing>),
    /// To `Fetch`.
    Fetch(ReplicaFetched),
    /// To `Ask`: for each question, in order.
    Ask(Vec<Told>),
}

impl Reply {
    /// The kind of the requests that it answers.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Reply::Hello(_) => Kind::Hello,
            Reply::Raft => Kind::Raft,
            Reply::Propose(_) => Kind::Propose,
            Reply::Follow(_) => Kind::Follow,
            Reply::Heartbeat(_) => Kind::Heartbeat,
            Reply::Fetch(_) => Kind::Fetch,
            Reply::Ask(_) => Kind::Ask,
        }
    }

    /// Appends the body. Records go out from where they lie.
    pub(super) fn encode(&self, w: &mut Writer) {
        match self {
            Reply::Hello(welcome) => w.nullable_string(
                match welcome {
                    Welcome::Yes => None,
                    Welcome::No(why) => Some(why),
                },
                true,
            ),
            Reply::Raft => {}
            Reply::Propose(proposed) => acting(w, proposed, |w, Proposed { outcomes, index }| {
                w.array_len(Some(outcomes.len()), true);
                outcomes.iter().for_each(|outcome| outcome.encode(w));
                w.i64(index.cast_signed());
            }),
            Reply::Follow(followed) => acting(w, followed, encode_followed),
            Reply::Heartbeat(beat) => acting(w, beat, encode_heartbeat),
            Reply::Fetch(fetched) => fetched.encode(w),
            Reply::Ask(told) => encode_told(told, w),
        }
        w.no_tagged_fields();
    }

    /// Reads the body of an answer to a request of this kind.
    pub(super) fn decode(kind: Kind, r: &mut Reader) -> Result<Self, DecodeError> {
        let reply = match kind {
            Kind::Hello => Reply::Hello(match r.nullable_string(true)? {
                None => Welcome::Yes,
                Some(why) => Welcome::No(why.detached()),
            }),
            Kind::Raft => Reply::Raft,
            Kind::Propose => Reply::Propose(if_acting(r, |r| {
                Ok(Proposed { outcomes: array(r, true, Outcome::decode)?, index: r.i64()?.cast_unsigned() })
            })?),
            Kind::Follow => Reply::Follow(if_acting(r, decode_followed)?),
            Kind::Heartbeat => Reply::Heartbeat(if_acting(r, decode_heartbeat)?),
            Kind::Fetch => Reply::Fetch(ReplicaFetched::decode(r)?),
            Kind::Ask => Reply::Ask(decode_told(r)?),
        };
        r.skip_tagged_fields()?;
        Ok(reply)
    }
}

fn acting<T>(w: &mut Writer, reply: &Result<T, NotActing>, value: impl FnOnce(&mut Writer, &T)) {
    w.bool(reply.is_ok());
    match reply {
        Ok(told) => value(w, told),
        Err(NotActing { leader }) => w.i32(leader.map_or(-1, |leader| leader.0)),
    }
}

fn if_acting<T>(
    r: &mut Reader,
    value: impl FnOnce(&mut Reader) -> Result<T, DecodeError>,
) -> Result<Result<T, NotActing>, DecodeError> {
    if r.bool()? {
        return Ok(Ok(value(r)?));
    }
    let leader = Some(NodeId(r.i32()?)).filter(|leader| leader.0 >= 0);
    Ok(Err(NotActing { leader }))
}

fn encode_followed(w: &mut Writer, followed: &Followed) {
    let Followed { snapshot, entries, committed } = followed;
    w.bool(snapshot.is_some());
    if let Some((index, state)) = snapshot {
        w.i64(index.cast_signed());
        w.records(Some(std::slice::from_ref(state)), true);
    }
    w.array_len(Some(entries.len()), true);
    for (index, entry) in entries {
        w.i64(index.cast_signed());
        w.nullable_bytes(Some(entry), true);
    }
    w.i64(committed.cast_signed());
}

fn decode_followed(r: &mut Reader) -> Result<Followed, DecodeError> {
    let numbered = |r: &mut Reader| Ok((r.i64()?.cast_unsigned(), r.bytes(true)?));
    Ok(Followed {
        snapshot: if r.bool()? { Some(numbered(r)?) } else { None },
        entries: array(r, true, numbered)?,
        committed: r.i64()?.cast_unsigned(),
    })
}

fn encode_heartbeat(w: &mut Writer, reply: &HeartbeatReply) {
    let HeartbeatReply { error, fenced, may_shut_down, caught_up } = reply;
    w.i16(error.code());
    w.bool(*fenced);
    w.bool(*may_shut_down);
    w.bool(*caught_up);
}

fn decode_heartbeat(r: &mut Reader) -> Result<HeartbeatReply, DecodeError> {
    Ok(HeartbeatReply { error: error(r)?, fenced: r.bool()?, may_shut_down: r.bool()?, caught_up: r.bool()? })
}

/// An error code that this build knows.
pub(super) fn error(r: &mut Reader) -> Result<ErrorCode, DecodeError> {
    ErrorCode::from_code(r.i16()?).ok_or(DecodeError::Value)
}
