//! How voters' messages travel: the crate's values in a codec of our own, the two by which a voter mends, and the
//! one by which it learns that it is a voter no more.
//!
//! Bounded like every decoder: nothing is allocated beyond the bytes that are there.

use super::disk::{entries, put_entries, put_snapshot, snapshot};
use super::effects::{Committed, Snapshot};
use super::members::{Members, members, put_members};
use super::store::{from_raft, snapshot_from_raft, snapshot_to_raft, to_raft};
use crate::wire::{DecodeError, Reader, Writer};
use bytes::Bytes;
use raft::eraftpb::{self, EntryType, MessageType};

const VERSION: i8 = 2;
/// The form of messages that name no members. It is that of builds which knew none, so that they and this one agree on
/// entries while one voter after the other gets the new build.
const VERSION_OF_VOTERS: i8 = 1;
const ASK: i8 = 0;
const WHOLE: i8 = 1;
const MEMBERS: i8 = 12;
const REJECT: i8 = 1;
const TRANSFER: i8 = 2;
const SNAPSHOT: i8 = 4;
/// How the crate marks a vote that a leader asked for.
const TRANSFER_CONTEXT: &[u8] = b"CampaignTransfer";

/// The crate's messages that travel, each with its byte.
const KINDS: &[(i8, MessageType)] = &[
    (2, MessageType::MsgAppend),
    (3, MessageType::MsgAppendResponse),
    (4, MessageType::MsgRequestVote),
    (5, MessageType::MsgRequestVoteResponse),
    (6, MessageType::MsgSnapshot),
    (7, MessageType::MsgHeartbeat),
    (8, MessageType::MsgHeartbeatResponse),
    (9, MessageType::MsgTimeoutNow),
    (10, MessageType::MsgRequestPreVote),
    (11, MessageType::MsgRequestPreVoteResponse),
];

/// One message.
#[derive(Debug, PartialEq)]
pub(super) enum Message {
    /// Of Raft.
    Raft(Box<eraftpb::Message>),
    /// A voter that mends asks for the log.
    Ask,
    /// The log, as far as it is committed.
    Whole(Whole),
    /// Who belongs to the quorum: for a node that campaigns and doesn't.
    Members(Members),
}

/// A leader's log.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Whole {
    pub(super) term: u64,
    pub(super) commit: u64,
    /// The members that the log began with before any snapshot.
    pub(super) members: Members,
    pub(super) snapshot: Option<Snapshot>,
    /// From the snapshot, or the log's beginning, to the last one that is committed.
    pub(super) entries: Vec<Committed>,
}

impl Message {
    /// The bytes; none for a message that stays within its node.
    pub(super) fn encode(&self) -> Option<Bytes> {
        let mut w = Writer::new();
        let old = self.names_no_members();
        w.i8(if old { VERSION_OF_VOTERS } else { VERSION });
        match self {
            Message::Ask => w.i8(ASK),
            Message::Members(members) => {
                w.i8(MEMBERS);
                put_members(&mut w, members);
            }
            Message::Whole(whole) => {
                w.i8(WHOLE);
                w.i64(whole.term.cast_signed());
                w.i64(whole.commit.cast_signed());
                put_members(&mut w, &whole.members);
                w.bool(whole.snapshot.is_some());
                if let Some(snapshot) = &whole.snapshot {
                    put_snapshot(&mut w, snapshot);
                }
                put_entries(&mut w, &whole.entries, false);
            }
            Message::Raft(message) => {
                let (kind, _) = KINDS.iter().find(|(_, kind)| *kind == message.get_msg_type())?;
                w.i8(*kind);
                put_raft(&mut w, message, old);
            }
        }
        Some(w.into_pieces().concat().into())
    }

    fn names_no_members(&self) -> bool {
        match self {
            Message::Ask => true,
            Message::Whole(_) | Message::Members(_) => false,
            Message::Raft(message) => {
                let changes = |entry: &eraftpb::Entry| entry.get_entry_type() != EntryType::EntryNormal;
                !has_snapshot(message) && !message.entries.iter().any(changes)
            }
        }
    }

    /// Reads what `encode` wrote.
    pub(super) fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes.clone());
        let old = match r.i8()? {
            VERSION => false,
            VERSION_OF_VOTERS => true,
            _ => return Err(DecodeError::Version),
        };
        let message = match r.i8()? {
            ASK => Message::Ask,
            MEMBERS if !old => Message::Members(members(&mut r)?),
            WHOLE if !old => {
                let (term, commit) = (r.i64()?.cast_unsigned(), r.i64()?.cast_unsigned());
                let members = members(&mut r)?;
                let snapshot = if r.bool()? { Some(snapshot(&mut r, None)?) } else { None };
                Message::Whole(Whole { term, commit, members, snapshot, entries: entries(&mut r, false)? })
            }
            kind => {
                let known = KINDS.iter().find(|(byte, _)| *byte == kind);
                let (_, kind) = known.ok_or(DecodeError::Value)?;
                Message::Raft(Box::new(raft_message(&mut r, *kind, old)?))
            }
        };
        r.finish()?;
        Ok(message)
    }
}

fn has_snapshot(message: &eraftpb::Message) -> bool {
    message.has_snapshot() && message.get_snapshot().get_metadata().index > 0
}

fn put_raft(w: &mut Writer, message: &eraftpb::Message, old: bool) {
    let numbers = [
        message.term,
        message.log_term,
        message.index,
        message.commit,
        message.commit_term,
        message.reject_hint,
    ];
    numbers.iter().for_each(|number| w.i64(number.cast_signed()));
    let has_snapshot = has_snapshot(message);
    let flag = |set: bool, flag: i8| if set { flag } else { 0 };
    let transfer = message.context == TRANSFER_CONTEXT;
    w.i8(flag(message.reject, REJECT) | flag(transfer, TRANSFER) | flag(has_snapshot, SNAPSHOT));
    if has_snapshot {
        put_snapshot(w, &snapshot_from_raft(message.get_snapshot()));
    }
    let entries: Vec<Committed> = message.entries.iter().cloned().map(from_raft).collect();
    put_entries(w, &entries, old);
}

fn raft_message(r: &mut Reader, kind: MessageType, old: bool) -> Result<eraftpb::Message, DecodeError> {
    let mut message = eraftpb::Message::default();
    message.set_msg_type(kind);
    message.term = r.i64()?.cast_unsigned();
    message.log_term = r.i64()?.cast_unsigned();
    message.index = r.i64()?.cast_unsigned();
    message.commit = r.i64()?.cast_unsigned();
    message.commit_term = r.i64()?.cast_unsigned();
    message.reject_hint = r.i64()?.cast_unsigned();
    let flags = r.i8()?;
    if flags & !(REJECT | TRANSFER | SNAPSHOT) != 0 {
        return Err(DecodeError::Value);
    }
    message.reject = flags & REJECT != 0;
    if flags & TRANSFER != 0 {
        message.context = TRANSFER_CONTEXT.to_vec().into();
    }
    if flags & SNAPSHOT != 0 && old {
        return Err(DecodeError::Version);
    }
    if flags & SNAPSHOT != 0 {
        let snapshot = snapshot(r, None)?;
        if snapshot.index == 0 {
            return Err(DecodeError::Value);
        }
        message.set_snapshot(snapshot_to_raft(&snapshot));
    }
    let entries = entries(r, old)?;
    message.set_entries(entries.iter().map(to_raft).collect::<Vec<_>>().into());
    Ok(message)
}

/// Reads a message and writes it again: what a fuzzer looks at.
///
/// # Errors
/// The bytes are no message.
pub fn check(bytes: &Bytes) -> Result<Option<Bytes>, DecodeError> {
    Message::decode(bytes).map(|message| message.encode())
}
