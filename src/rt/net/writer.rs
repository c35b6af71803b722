//! The sending half.

use super::stream::Socket;
use super::sys;
use crate::rt::local::yield_now;
use crate::seam::{FrameWriter, NetError};
use bytes::Bytes;
use std::rc::Rc;

/// Bytes that one task sends before others get their turn, if the peer takes them as fast as they are sent.
const TURN_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The sending half of a connection. A `send` that is dropped half-way leaves half a frame on the wire: close it then.
pub struct SocketWriter {
    socket: Rc<Socket>,
}

impl SocketWriter {
    pub(super) fn new(socket: Rc<Socket>) -> Self {
        SocketWriter { socket }
    }

    /// Sends what the socket takes at once, or waits until it takes some.
    async fn send_some(&self, pieces: &[Bytes], skip: usize) -> Result<usize, NetError> {
        let net = self.socket.net();
        let sent = loop {
            match sys::send(self.socket.fd(), pieces, skip) {
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

    /// Lets go of what is sent, at once: a slow peer must not hold all of a large answer.
    fn release(&self, piece: &mut Bytes) {
        let (net, sent) = (self.socket.net(), std::mem::take(piece));
        if net.grounds.hold(&sent) {
            net.metrics.sent_shared_bytes_total.add(sent.len() as u64);
        }
    }

    async fn send_all(&self, pieces: &mut [Bytes]) -> Result<(), NetError> {
        let (mut first, mut skip, mut turn) = (0, 0, 0);
        loop {
            while first < pieces.len() && pieces[first].len() == skip {
                self.release(&mut pieces[first]);
                (first, skip) = (first + 1, 0);
            }
            if first == pieces.len() {
                return Ok(());
            }
            let mut sent = self.send_some(&pieces[first..], skip).await?;
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
