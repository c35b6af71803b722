//! Frames: Kafka's request header in its second version and response header in its first (KIP-482), then a body.

use super::reply::Reply;
use super::request::{Kind, Request};
use crate::wire::{DecodeError, Reader, Writer};
use bytes::Bytes;
use std::fmt;

/// The version of every message that this build writes.
pub const VERSION: i16 = 2;

/// What a request's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Which request it is.
    pub kind: Kind,
    /// Echoed in the answer.
    pub correlation: i32,
}

/// Why a frame is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// No request of ours has this key.
    Key(i16),
    /// This build doesn't know the version.
    Version(Kind, i16),
    /// The bytes are not what their version says.
    Malformed(DecodeError),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::Key(key) => write!(f, "API {key} is none that nodes ask each other"),
            FrameError::Version(kind, version) => {
                write!(f, "{kind:?} in version {version}, of which this build knows {VERSION}")
            }
            FrameError::Malformed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for FrameError {}

impl From<DecodeError> for FrameError {
    fn from(error: DecodeError) -> Self {
        FrameError::Malformed(error)
    }
}

/// A request's frame, with its length.
#[must_use]
pub fn write_request(request: &Request, correlation: i32) -> Vec<Bytes> {
    let mut w = Writer::new();
    w.i32(0);
    w.i16(request.kind() as i16);
    w.i16(VERSION);
    w.i32(correlation);
    w.nullable_string(None, false);
    w.no_tagged_fields();
    request.encode(&mut w);
    w.into_frame()
}

/// Reads a request's frame, without its length.
///
/// # Errors
/// The connection is of no more use.
pub fn read_request(frame: Bytes) -> Result<(Header, Request), FrameError> {
    let mut r = Reader::of_request(frame);
    let (key, version, correlation) = (r.i16()?, r.i16()?, r.i32()?);
    let kind = Kind::of(key).ok_or(FrameError::Key(key))?;
    if version != VERSION {
        return Err(FrameError::Version(kind, version));
    }
    r.nullable_string(false)?;
    r.skip_tagged_fields()?;
    let request = Request::decode(kind, &mut r)?;
    r.finish()?;
    Ok((Header { kind, correlation }, request))
}

/// An answer's frame, with its length.
#[must_use]
pub fn write_reply(reply: &Reply, correlation: i32) -> Vec<Bytes> {
    let mut w = Writer::new();
    w.i32(0);
    w.i32(correlation);
    w.no_tagged_fields();
    reply.encode(&mut w);
    w.into_frame()
}

/// Reads an answer's frame, without its length. `asked` tells what kind of request had a number.
///
/// # Errors
/// The connection is of no more use.
pub fn read_reply(
    frame: Bytes,
    asked: impl FnOnce(i32) -> Option<Kind>,
) -> Result<(i32, Reply), DecodeError> {
    let mut r = Reader::of_request(frame);
    let correlation = r.i32()?;
    r.skip_tagged_fields()?;
    let kind = asked(correlation).ok_or(DecodeError::Value)?;
    let reply = Reply::decode(kind, &mut r)?;
    r.finish()?;
    Ok((correlation, reply))
}
