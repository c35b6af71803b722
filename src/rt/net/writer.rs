//! The sending half.

use super::stream::Socket;
use super::{NetShard, sys};
use crate::rt::local::yield_now;
use crate::seam::{FrameWriter, NetError};
use bytes::Bytes;
use std::io;
use std::rc::Rc;

/// Bytes that one task sends before others get their turn, if the peer takes them as fast as they are sent.
const TURN_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a peer must take in `Bounds::send_pressed` while memory is short, so that nobody holds a large answer by taking
/// a byte now and then.
const DUE_BYTES: usize = 64 * 1024;

/// Bytes of one `send` that are still to be taken, as part of the shard's sum.
struct Unsent<'a> {
    net: &'a NetShard,
    bytes: usize,
    /// Taken since the peer last owed nothing.
    taken: usize,
}

impl Unsent<'_> {
    fn sent(&mut self, socket: &Socket, bytes: usize) {
        self.bytes -= bytes;
        self.net.unsent.set(self.net.unsent.get() - bytes);
        self.taken += bytes;
        if self.taken >= DUE_BYTES {
            self.taken = 0;
            socket.watch().begin_sending(self.net.clock.mono());
        }
    }
}

impl Drop for Unsent<'_> {
    fn drop(&mut self) {
        self.net.unsent.set(self.net.unsent.get() - self.bytes);
    }
}

/// The sending half of a connection. A `send` that is dropped half-way leaves half a frame on the wire: close it then.
pub struct SocketWriter {
    socket: Rc<Socket>,
}

impl SocketWriter {
    pub(super) fn new(socket: Rc<Socket>) -> Self {
        SocketWriter { socket }
    }

    fn begin(&self, bytes: usize) -> Unsent<'_> {
        let net = self.socket.net();
        net.unsent.set(net.unsent.get() + bytes);
        self.socket.watch().begin_sending(net.clock.mono());
        Unsent { net, bytes, taken: 0 }
    }

    /// Sends what the socket takes at once, or waits until it takes some.
    async fn send_some(&self, pieces: &[Bytes], skip: usize) -> Result<usize, NetError> {
        let net = self.socket.net();
        let sent = loop {
            match self.try_send(pieces, skip) {
                Some(sent) => break sent.map_err(|_| self.socket.over())?,
                None => {
                    let deadline = net.clock.mono().saturating_add(net.bounds.send_stall);
                    self.socket.wait_writable(deadline).await;
                }
            }
        };
        net.metrics.sent_bytes_total.add(sent as u64);
        Ok(sent)
    }

    /// Sends without waiting: a large piece of the log by reference, or what there is until the next of those.
    fn try_send(&self, pieces: &[Bytes], skip: usize) -> Option<io::Result<usize>> {
        let (net, fd, first) = (self.socket.net(), self.socket.fd(), &pieces[0][skip..]);
        let Some(pipe) = net.pipe_for(first) else {
            let run = 1 + pieces[1..].iter().take_while(|piece| net.pipe_for(piece).is_none()).count();
            return sys::send(fd, &pieces[..run], skip, run < pieces.len());
        };
        let regions = net.grounds.mark(first);
        let sent = pipe.send(fd, first, pieces.len() > 1);
        let bytes = sent.as_ref().and_then(|sent| sent.as_ref().ok()).map_or(0, |bytes| *bytes);
        net.thrift.spliced(bytes, regions);
        net.metrics.sent_spliced_bytes_total.add(bytes as u64);
        sent
    }

    /// Lets go of what is sent, at once: a slow peer must not hold all of a large answer.
    fn release(&self, piece: &mut Bytes) {
        let (net, sent) = (self.socket.net(), std::mem::take(piece));
        if net.grounds.hold(&sent) {
            net.metrics.sent_shared_bytes_total.add(sent.len() as u64);
            net.thrift.copied(sent.len());
        }
    }

    async fn send_all(&self, pieces: &mut [Bytes]) -> Result<(), NetError> {
        let (mut first, mut skip, mut turn) = (0, 0, 0);
        let mut unsent = self.begin(pieces.iter().map(Bytes::len).sum());
        loop {
            while first < pieces.len() && pieces[first].len() == skip {
                self.release(&mut pieces[first]);
                (first, skip) = (first + 1, 0);
            }
            if first == pieces.len() {
                return Ok(());
            }
            let mut sent = self.send_some(&pieces[first..], skip).await?;
            unsent.sent(&self.socket, sent);
            turn += sent;
            while sent > 0 && sent >= pieces[first].len() - skip {
                sent -= pieces[first].len() - skip;
                self.release(&mut pieces[first]);
                (first, skip) = (first + 1, 0);
            }
            skip += sent;
            if turn >= TURN_BYTES_MAX {
                turn = 0;
                yield_now().await;
            }
        }
    }
}

impl FrameWriter for SocketWriter {
    async fn send(&mut self, pieces: &mut Vec<Bytes>) -> Result<(), NetError> {
        let result = self.send_all(pieces).await;
        pieces.clear();
        result
    }

    fn close(&mut self) {
        sys::shutdown(self.socket.fd());
    }
}
