//! Connections as frames: clients' and peers'.

use bytes::Bytes;
use std::fmt;
use std::future::Future;
use std::time::Duration;

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetError {
    /// The peer closed it, cleanly or not.
    Closed,
    /// A frame's length is negative or above the bound; nothing was allocated for it.
    FrameLength(i32),
    /// Nothing arrived in time (idle), or a frame that had begun didn't go on (slow).
    TimedOut,
    /// The receive budget of the shard is spent and did not recover in time.
    Budget,
    /// Nobody listens there, the address doesn't exist, or connecting took too long: what is known of it.
    Unreachable(String),
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NetError::Closed => f.write_str("closed by the peer"),
            NetError::FrameLength(length) => write!(f, "a frame claims {length} bytes"),
            NetError::TimedOut => f.write_str("idle or too slow"),
            NetError::Budget => f.write_str("no receive memory left"),
            NetError::Unreachable(why) => write!(f, "unreachable: {why}"),
        }
    }
}

/// A connection before it is split into its two halves.
pub trait Stream: 'static {
    /// The receiving half.
    type Reader: FrameReader;
    /// The sending half.
    type Writer: FrameWriter;

    /// The peer's address, for logs and quotas.
    fn peer(&self) -> String;

    /// The two halves, which two tasks of the same shard may drive.
    fn split(self) -> (Self::Reader, Self::Writer);
}

/// The receiving half: whole frames, without their 4-byte length.
pub trait FrameReader: 'static {
    /// The next frame of at most `bytes_max`, sharing the receive buffer. `idle` bounds the wait for its first byte;
    /// a frame that has begun must make progress by bounds of the implementation.
    ///
    /// # Errors
    /// The connection is of no more use.
    fn next(&mut self, bytes_max: usize, idle: Duration) -> impl Future<Output = Result<Bytes, NetError>>;

    /// When the last frame's first byte was received, as `World::turn` tells it.
    fn began(&self) -> Duration;
}

/// The sending half.
pub trait FrameWriter: 'static {
    /// Sends the pieces in order and empties the list. The slices are sent from where they lie.
    ///
    /// # Errors
    /// The connection is of no more use.
    fn send(&mut self, pieces: &mut Vec<Bytes>) -> impl Future<Output = Result<(), NetError>>;

    /// Ends the connection in both directions; the reader's `next` returns `Closed`.
    fn close(&mut self);
}
