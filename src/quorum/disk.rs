//! The log's file: frames of whole blocks, each chained to the one before.
//!
//! A frame is: length of its body (u32), CRC-32C over all that follows (u32), CRC of the frame before (u32, 0 for
//! the first), body, zeros up to the block's end. Since a frame names the CRC that it follows, it can be checked by
//! itself: so damage in the middle is told from a torn end. A body is: version, this node, the members that the log
//! began with, term, vote, commit index, the log's last index after the frame, a snapshot if the log begins anew
//! with one, entries. An entry takes the place of all that the log had from its index on. Version 1 knew voters that
//! never change: their ids stand for the members, and neither snapshots nor entries name any. It is read, and no
//! more written.
//!
//! A frame whose entries change the members says that the entry which changed them before is committed: a leader
//! applies that first, and tells so with the next. So a voter that starts from its file is behind by one change at
//! most.

use super::effects::{Committed, Snapshot};
use super::members::{Members, members, put_members};
use crate::base::NodeId;
use crate::base::limits::{BLOCK_BYTES, VOTERS_MAX};
use crate::wire::{DecodeError, Reader, Str, Writer};
use bytes::Bytes;
use std::fmt;

/// The body's layout.
const VERSION: i8 = 2;
/// The layout before there were members.
const VERSION_OF_VOTERS: i8 = 1;
/// Bytes before the body.
pub(super) const HEAD_BYTES: usize = 12;

/// What every frame says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stand {
    pub(super) node: NodeId,
    pub(super) members: Members,
    pub(super) term: u64,
    pub(super) vote: Option<NodeId>,
    pub(super) commit: u64,
    pub(super) last: u64,
}

/// Why a log can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskError {
    /// A frame whose CRC fits holds what this build doesn't know, or what doesn't follow.
    Unknown {
        /// Where the frame begins.
        position: usize,
    },
    /// The file begins with something else.
    Foreign,
    /// It is another node's.
    OtherNode(NodeId),
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DiskError::Unknown { position } => write!(f, "the frame at byte {position} is of another build"),
            DiskError::Foreign => f.write_str("it is damaged, or was written by an earlier build"),
            DiskError::OtherNode(node) => write!(f, "it is the log of node {node}"),
        }
    }
}

/// A frame before the last one is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where it begins.
    pub position: usize,
    /// The last index that the log had.
    pub last: u64,
}

/// What a log's file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The members that the log began with before any snapshot; none if it is empty.
    pub members: Members,
    /// The last term that this voter knew.
    pub term: u64,
    /// Whom it voted for then.
    pub vote: Option<NodeId>,
    /// What it knew to be committed.
    pub commit: u64,
    /// The state that the log begins with.
    pub snapshot: Option<Snapshot>,
    /// The entries after it. Up to the damage, if there is any.
    pub entries: Vec<Committed>,
    /// CRC of the last frame.
    pub chain: u32,
    /// Where the next frame goes.
    pub end: usize,
    /// Whether entries are missing, though this voter has promised to have them.
    pub damage: Option<Damage>,
}

/// One frame, padded to whole blocks, and its CRC.
pub(super) fn frame(
    stand: &Stand,
    snapshot: Option<&Snapshot>,
    entries: &[Committed],
    chain: u32,
) -> (Bytes, u32) {
    let mut w = Writer::new();
    w.i8(VERSION);
    w.i32(stand.node.0);
    put_members(&mut w, &stand.members);
    w.i64(stand.term.cast_signed());
    w.i32(stand.vote.map_or(-1, |vote| vote.0));
    w.i64(stand.commit.cast_signed());
    w.i64(stand.last.cast_signed());
    w.bool(snapshot.is_some());
    if let Some(snapshot) = snapshot {
        put_snapshot(&mut w, snapshot);
    }
    put_entries(&mut w, entries, false);
    let body = w.into_pieces();
    let length: usize = body.iter().map(Bytes::len).sum();
    let mut bytes = Vec::with_capacity((HEAD_BYTES + length).next_multiple_of(BLOCK_BYTES));
    bytes.extend_from_slice(&u32::try_from(length).expect("a frame is below 4 GiB").to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&chain.to_be_bytes());
    body.iter().for_each(|piece| bytes.extend_from_slice(piece));
    let crc = crc32c::crc32c(&bytes[8..]);
    bytes[4..8].copy_from_slice(&crc.to_be_bytes());
    bytes.resize(bytes.len().next_multiple_of(BLOCK_BYTES), 0);
    (bytes.into(), crc)
}

pub(super) fn put_snapshot(w: &mut Writer, snapshot: &Snapshot) {
    w.i64(snapshot.index.cast_signed());
    w.i64(snapshot.term.cast_signed());
    w.i32(i32::try_from(snapshot.data.len()).expect("a snapshot is below 2 GiB"));
    w.shared(snapshot.data.clone());
    put_members(w, &snapshot.members);
}

/// Reads a snapshot. `old` are its members where it names none.
pub(super) fn snapshot(r: &mut Reader, old: Option<&Members>) -> Result<Snapshot, DecodeError> {
    let (index, term) = (r.i64()?.cast_unsigned(), r.i64()?.cast_unsigned());
    let data = r.bytes(false)?;
    let members = old.map_or_else(|| members(r), |old| Ok(old.clone()))?;
    if members.index > index || members.all.is_empty() {
        return Err(DecodeError::Value);
    }
    Ok(Snapshot { index, term, data, members })
}

/// Entries follow each other: the first one's index suffices. `old` ones don't say whether they change the members.
pub(super) fn put_entries(w: &mut Writer, entries: &[Committed], old: bool) {
    w.i32(i32::try_from(entries.len()).expect("a log in memory is short"));
    w.i64(entries.first().map_or(0, |entry| entry.index).cast_signed());
    for entry in entries {
        w.i64(entry.term.cast_signed());
        w.i32(i32::try_from(entry.data.len()).expect("an entry is below 2 GiB"));
        w.shared(entry.data.clone());
        if old {
            continue;
        }
        w.bool(entry.members.is_some());
        if let Some(members) = &entry.members {
            put_members(w, members);
        }
    }
}

/// Reads entries. None that is `old` changes the members.
pub(super) fn entries(r: &mut Reader, old: bool) -> Result<Vec<Committed>, DecodeError> {
    let count = r.array_len(false)?.ok_or(DecodeError::Length)?;
    let first = r.i64()?.cast_unsigned();
    let mut entries = Vec::new();
    for nth in 0..count as u64 {
        let index = first.checked_add(nth).filter(|index| *index > 0).ok_or(DecodeError::Value)?;
        let (term, data) = (r.i64()?.cast_unsigned(), r.bytes(false)?);
        let members = if !old && r.bool()? { Some(Members { index, ..members(r)? }) } else { None };
        if members.as_ref().is_some_and(|members| members.all.is_empty() || !data.is_empty()) {
            return Err(DecodeError::Value);
        }
        entries.push(Committed { index, term, data, members });
    }
    Ok(entries)
}

pub(super) struct Frame {
    crc: u32,
    follows: u32,
    pub(super) body: Bytes,
}

/// The frame at a position, if there is one and it is whole.
pub(super) fn frame_at(bytes: &Bytes, position: usize) -> Option<Frame> {
    let number = |at: usize| {
        let four = bytes.get(position + at..position + at + 4)?;
        Some(u32::from_be_bytes(four.try_into().ok()?))
    };
    let (length, crc, follows) = (number(0)?, number(4)?, number(8)?);
    let (start, length) = (position + HEAD_BYTES, usize::try_from(length).ok()?);
    let body = bytes.get(start..start.checked_add(length)?)?;
    let whole = length > 0 && crc == crc32c::crc32c(bytes.get(position + 8..start + body.len())?);
    whole.then(|| Frame { crc, follows, body: bytes.slice(start..start + length) })
}

struct Body {
    stand: Stand,
    snapshot: Option<Snapshot>,
    entries: Vec<Committed>,
}

fn body(bytes: &Bytes) -> Result<Body, DecodeError> {
    let mut r = Reader::new(bytes.clone());
    let old = match r.i8()? {
        VERSION => false,
        VERSION_OF_VOTERS => true,
        _ => return Err(DecodeError::Version),
    };
    let node = NodeId(r.i32()?);
    let members = if old { voters(&mut r)? } else { members(&mut r)? };
    let (term, vote) = (r.i64()?.cast_unsigned(), NodeId(r.i32()?));
    let (commit, last) = (r.i64()?.cast_unsigned(), r.i64()?.cast_unsigned());
    let vote = (vote.0 >= 0).then_some(vote);
    let snapshot = if r.bool()? { Some(snapshot(&mut r, old.then_some(&members))?) } else { None };
    let entries = entries(&mut r, old)?;
    r.finish()?;
    Ok(Body { stand: Stand { node, members, term, vote, commit, last }, snapshot, entries })
}

fn voters(r: &mut Reader) -> Result<Members, DecodeError> {
    let count = r.array_len(true)?.filter(|count| *count <= VOTERS_MAX).ok_or(DecodeError::Length)?;
    let mut voters = Vec::new();
    for _ in 0..count {
        voters.push((NodeId(r.i32()?), Str::EMPTY));
    }
    Ok(Members::first(voters))
}

impl Recovered {
    /// The members as of the log's end, committed or not; none if it is empty.
    #[must_use]
    pub fn newest_members(&self) -> &Members {
        let begin = self.snapshot.as_ref().map_or(&self.members, |snapshot| &snapshot.members);
        self.entries.iter().rev().find_map(|entry| entry.members.as_ref()).unwrap_or(begin)
    }

    /// The last index of the log, as far as it is there.
    #[must_use]
    pub fn last(&self) -> u64 {
        let begin = self.snapshot.as_ref().map_or(0, |snapshot| snapshot.index);
        self.entries.last().map_or(begin, |entry| entry.index)
    }

    /// Takes a frame's content in; false if it doesn't follow.
    fn take(&mut self, body: Body) -> bool {
        if let Some(snapshot) = body.snapshot {
            self.entries.clear();
            self.snapshot = Some(snapshot);
        }
        if let Some(first) = body.entries.first() {
            let begin = self.snapshot.as_ref().map_or(0, |snapshot| snapshot.index);
            if first.index <= begin || first.index > self.last() + 1 {
                return false;
            }
            self.entries.retain(|entry| entry.index < first.index);
            self.entries.extend(body.entries);
        }
        self.stands_at(body.stand);
        self.commit <= self.last()
    }

    fn stands_at(&mut self, stand: Stand) {
        (self.members, self.term, self.vote) = (stand.members, stand.term, stand.vote);
        self.commit = stand.commit;
    }
}

/// A log as a file of one frame.
#[must_use]
pub fn written(log: &Recovered, node: NodeId) -> Bytes {
    let Recovered { members, term, vote, commit, .. } = log.clone();
    let stand = Stand { node, members, term, vote, commit, last: log.last() };
    frame(&stand, log.snapshot.as_ref(), &log.entries, 0).0
}

/// Reads a log. A torn last frame is left out: what it promises was never said.
///
/// # Errors
/// The file is no log of this node that this build can read.
pub fn read(bytes: &Bytes, node: NodeId) -> Result<Recovered, DiskError> {
    let mut log = Recovered::default();
    while let Some(frame) = frame_at(bytes, log.end).filter(|frame| frame.follows == log.chain) {
        let unknown = DiskError::Unknown { position: log.end };
        let body = body(&frame.body).map_err(|_| unknown.clone())?;
        if body.stand.node != node {
            return Err(DiskError::OtherNode(body.stand.node));
        }
        if !log.take(body) {
            return Err(unknown);
        }
        log.chain = frame.crc;
        log.end = (log.end + HEAD_BYTES + frame.body.len()).next_multiple_of(BLOCK_BYTES);
    }
    look_behind(bytes, node, &mut log);
    // What isn't zeros and holds no frame at all was written by something else.
    let foreign =
        log.end == 0 && log.damage.is_none() && bytes.iter().take(HEAD_BYTES).any(|byte| *byte != 0);
    if foreign && !is_torn_first(bytes) { Err(DiskError::Foreign) } else { Ok(log) }
}

/// Whether the file may be a first frame that a crash cut short: nobody has been promised anything yet.
fn is_torn_first(bytes: &Bytes) -> bool {
    bytes.get(8..=HEAD_BYTES).is_none_or(|head| head.starts_with(&[0; 4]) && [1, 2].contains(&head[4]))
}

/// Looks for good frames behind a bad one. They tell where the voter stood, but not what was in the bad one.
fn look_behind(bytes: &Bytes, node: NodeId, log: &mut Recovered) {
    let position = log.end;
    let mut last = log.last();
    let mut found = false;
    for at in (position + BLOCK_BYTES..bytes.len()).step_by(BLOCK_BYTES) {
        let Some(body) = frame_at(bytes, at).and_then(|frame| body(&frame.body).ok()) else { continue };
        if body.stand.node == node {
            found = true;
            last = last.max(body.stand.last);
            let known = log.commit;
            log.stands_at(body.stand);
            log.commit = known;
        }
    }
    if found {
        log.damage = Some(Damage { position, last });
    }
}
