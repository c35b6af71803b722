//! The receiving half: frames out of a byte stream.

use super::Bounds;
use super::budget::Stage;
use super::buffers::{Buffers, FRAME_BUFFER_KEPT_MAX, FrameBuffer, WINDOW_LARGE, WINDOW_SMALL};
use super::stream::Socket;
use crate::rt::local::yield_now;
use crate::seam::{FrameReader, NetError};
use bytes::{Buf, Bytes, BytesMut};
use std::rc::Rc;
use std::time::Duration;

/// What a frame that has begun must bring in `Bounds::slow_frame`; a large one owes this part of its length, so that
/// nobody holds 100 MiB with a trickle.
const DUE_BYTES: usize = 16 * 1024;
const DUE_PART: usize = 64;

/// Bytes that a frame may have before it takes its full share of the budget.
const BEGUN_BYTES: usize = 16 * 1024;

/// Bytes that one task receives before others get their turn, if they are there as fast as they are taken.
const TURN_BYTES_MAX: usize = 2 * 1024 * 1024;

/// After a longer frame, little is read at the next one's beginning: what is read there may have to be copied.
const LARGE_BYTES: usize = 4 * 1024;

/// Frames that one task gets before others have their turn.
const TURN_FRAMES_MAX: u32 = 64;

/// The receiving half of a connection. A `next` that is dropped half-way loses nothing: the following one goes on.
pub struct SocketReader {
    socket: Rc<Socket>,
    /// Received and not yet handed out: the beginning of the next frame, behind its length. Empty while the
    /// connection waits.
    ready: BytesMut,
    head: [u8; 4],
    head_len: usize,
    /// The frame that gets a buffer of its own, and its length.
    own: Option<(FrameBuffer, usize)>,
    /// Most bytes of the next read at a frame's beginning.
    window: usize,
    /// Frames and bytes since this task last let others run.
    turn_frames: u32,
    turn_bytes: usize,
    /// When the first byte of the frame under way, or else of the last one, was there.
    began: Duration,
}

/// The time in which a frame owes its due.
struct Due {
    since: Duration,
    bytes: usize,
}

impl SocketReader {
    pub(super) fn new(socket: Rc<Socket>) -> Self {
        SocketReader {
            socket,
            ready: BytesMut::new(),
            head: [0; 4],
            head_len: 0,
            own: None,
            window: WINDOW_SMALL,
            turn_frames: 0,
            turn_bytes: 0,
            began: Duration::ZERO,
        }
    }

    fn now(&self) -> Duration {
        self.socket.net().clock.mono()
    }

    fn bounds(&self) -> &Bounds {
        &self.socket.net().bounds
    }

    fn buffers(&self) -> &Buffers {
        &self.socket.net().buffers
    }

    /// The next frame's length, once its four bytes are there.
    fn length(&mut self, bytes_max: usize) -> Result<Option<usize>, NetError> {
        let taken = self.ready.len().min(4 - self.head_len);
        self.head[self.head_len..self.head_len + taken].copy_from_slice(&self.ready[..taken]);
        self.ready.advance(taken);
        self.head_len += taken;
        if self.ready.is_empty() {
            // An empty slice still holds its slab.
            self.ready = BytesMut::new();
        }
        if self.head_len < 4 {
            return Ok(None);
        }
        let claimed = i32::from_be_bytes(self.head);
        match usize::try_from(claimed) {
            Ok(length) if length <= bytes_max => Ok(Some(length)),
            _ => Err(NetError::FrameLength(claimed)),
        }
    }

    /// Receives into the shared slab: the beginning of a frame.
    async fn receive_beginning(&mut self, idle: Duration) -> Result<(), NetError> {
        let wait = if self.head_len == 0 { idle } else { self.bounds().slow_frame };
        let deadline = self.now().saturating_add(wait);
        loop {
            let socket = &self.socket;
            let (bytes, received) =
                self.buffers().receive(self.window, |window| match socket.receive(window) {
                    Some(Ok(bytes)) => (bytes, Some(Ok(()))),
                    Some(Err(error)) => (0, Some(Err(error))),
                    None => (0, None),
                });
            match received {
                Some(Ok(())) if !bytes.is_empty() => {
                    self.turn_bytes += bytes.len();
                    self.ready = bytes;
                    if self.head_len == 0 {
                        self.began = self.socket.net().turn();
                    }
                    return Ok(());
                }
                Some(_) => return Err(self.socket.over()),
                None => self.socket.wait_readable(deadline).await,
            }
        }
    }

    /// Takes a buffer of its own for a frame that isn't all there yet.
    async fn begin_own(&mut self, len: usize) -> Result<(), NetError> {
        // A very large frame gets its buffer only when its peer has sent what the first, small one holds.
        let first = if len > FRAME_BUFFER_KEPT_MAX { BEGUN_BYTES } else { len };
        let charge = Buffers::capacity_for(first).min(BEGUN_BYTES);
        if self.ready.len() < BEGUN_BYTES {
            // While it waits in line it must not hold a slab that others need.
            self.unpin();
        }
        let until = self.now().saturating_add(self.bounds().receive_wait);
        if !self.buffers().budget().take(charge, Stage::Begun, until).await {
            return Err(NetError::Budget);
        }
        let mut buffer = self.buffers().take(first, charge);
        let prefix = self.ready.split();
        buffer.bytes.extend_from_slice(&prefix);
        self.ready = BytesMut::new();
        self.socket.net().metrics.received_bytes_copied_total.add(prefix.len() as u64);
        self.own = Some((buffer, len));
        self.head_len = 0;
        Ok(())
    }

    /// Moves a few received bytes out of the slab if the budget has no room right now.
    fn unpin(&mut self) {
        if !self.ready.is_empty() && self.buffers().budget().has_line() {
            let moved = BytesMut::from(&self.ready[..]);
            self.socket.net().metrics.received_bytes_copied_total.add(moved.len() as u64);
            self.ready = moved;
        }
    }

    /// Takes the full share of a frame that has sent what it took for the beginning.
    async fn go_on(&mut self) -> Result<(), NetError> {
        let Some((buffer, len)) = &self.own else { return Ok(()) };
        let (len, charge) = (*len, buffer.charge);
        let full = Buffers::capacity_for(len);
        let until = self.now().saturating_add(self.bounds().receive_wait);
        if !self.buffers().budget().take(full - charge, Stage::GoesOn, until).await {
            return Err(NetError::Budget);
        }
        let Some((mut buffer, _)) = self.own.take() else { return Ok(()) };
        buffer.charge = full;
        if buffer.bytes.capacity() < len {
            let mut larger = self.buffers().take(len, full);
            larger.bytes.extend_from_slice(&buffer.bytes);
            self.socket.net().metrics.received_bytes_copied_total.add(buffer.bytes.len() as u64);
            // Its share went with the larger one.
            buffer.charge = 0;
            self.buffers().abandon(buffer);
            buffer = larger;
        }
        self.own = Some((buffer, len));
        Ok(())
    }

    /// Receives the rest of a frame into its own buffer.
    async fn fill_own(&mut self) -> Result<Bytes, NetError> {
        let mut due = Due { since: self.now(), bytes: 0 };
        loop {
            let Some((buffer, len)) = &mut self.own else { unreachable!("only called with a frame begun") };
            let missing = *len - buffer.bytes.len();
            if missing == 0 {
                return Ok(self.finish_own());
            }
            if buffer.bytes.len() >= BEGUN_BYTES && buffer.charge < Buffers::capacity_for(*len) {
                self.go_on().await?;
                continue;
            }
            let begun = buffer.charge < Buffers::capacity_for(*len);
            let limit = if begun { missing.min(BEGUN_BYTES - buffer.bytes.len()) } else { missing };
            match self.socket.receive_more(&mut buffer.bytes, limit) {
                Some(Ok(bytes)) if bytes > 0 => {
                    due.bytes += bytes;
                    self.turn_bytes += bytes;
                    self.let_others_run().await;
                }
                Some(_) => return Err(self.socket.over()),
                None => {
                    let owed = DUE_BYTES.max(*len / DUE_PART);
                    if due.bytes >= owed {
                        due = Due { since: self.now(), bytes: 0 };
                    }
                    self.socket.wait_readable(due.since.saturating_add(self.bounds().slow_frame)).await;
                    (self.turn_frames, self.turn_bytes) = (0, 0);
                }
            }
        }
    }

    fn finish_own(&mut self) -> Bytes {
        let (buffer, len) = self.own.take().expect("only called with a frame complete");
        self.window = if len > LARGE_BYTES { WINDOW_LARGE } else { WINDOW_SMALL };
        self.buffers().finish(buffer, len)
    }

    /// A frame that lies in the slab as a whole.
    fn split_ready(&mut self, len: usize) -> Bytes {
        self.head_len = 0;
        self.window = WINDOW_SMALL;
        let frame = self.ready.split_to(len);
        if self.ready.is_empty() {
            self.ready = BytesMut::new();
        }
        Buffers::frame(frame)
    }

    /// A peer that sends as fast as it is read must not keep the shard to itself.
    async fn let_others_run(&mut self) {
        if self.turn_bytes >= TURN_BYTES_MAX || self.turn_frames >= TURN_FRAMES_MAX {
            (self.turn_frames, self.turn_bytes) = (0, 0);
            yield_now().await;
        }
    }
}

impl FrameReader for SocketReader {
    async fn next(&mut self, bytes_max: usize, idle: Duration) -> Result<Bytes, NetError> {
        self.let_others_run().await;
        self.turn_frames += 1;
        if !self.ready.is_empty() {
            // It came with the one before it.
            self.began = self.socket.net().turn();
        }
        let frame = loop {
            if self.own.is_some() {
                break self.fill_own().await?;
            }
            match self.length(bytes_max)? {
                None => self.receive_beginning(idle).await?,
                Some(len) if len <= self.ready.len() => break self.split_ready(len),
                Some(len) => self.begin_own(len).await?,
            }
        };
        let metrics = &self.socket.net().metrics;
        metrics.frames_received_total.add(1);
        metrics.received_bytes_total.add(frame.len() as u64 + 4);
        Ok(frame)
    }

    fn began(&self) -> Duration {
        self.began
    }
}

impl Drop for SocketReader {
    fn drop(&mut self) {
        if let Some((buffer, _)) = self.own.take() {
            self.buffers().abandon(buffer);
        }
    }
}
