//! One connection and its two halves.

use super::reader::SocketReader;
use super::watch::{Side, Watch};
use super::writer::SocketWriter;
use super::{NetShard, sys};
use crate::rt::ring::Readiness;
use crate::seam::{NetError, Stream};
use bytes::BytesMut;
use socket2::SockRef;
use std::cell::Cell;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::time::Duration;

/// A connection of one shard, shared by its two halves.
pub(super) struct Socket {
    /// A question to the ring that is still open holds a count of its own.
    socket: Rc<OwnedFd>,
    readable: Rc<Readiness>,
    writable: Rc<Readiness>,
    /// The last receive took everything that was there: the next one would find nothing.
    drained: Cell<bool>,
    watch: Rc<Watch>,
    net: Rc<NetShard>,
    peer: String,
}

impl Socket {
    pub(super) fn net(&self) -> &NetShard {
        &self.net
    }

    pub(super) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    pub(super) fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Why the connection is over.
    pub(super) fn over(&self) -> NetError {
        if self.watch.expired() { NetError::TimedOut } else { NetError::Closed }
    }

    /// Receives without waiting into a slice. `None` if nothing is there; 0 bytes is the end of the stream.
    pub(super) fn receive(&self, into: &mut [u8]) -> Option<io::Result<usize>> {
        if self.drained.get() {
            return None;
        }
        let (received, wanted) = (sys::receive(self.fd(), into), into.len());
        self.note(received.as_ref(), wanted);
        received
    }

    /// The same, into the free capacity of a buffer.
    pub(super) fn receive_more(&self, into: &mut BytesMut, limit: usize) -> Option<io::Result<usize>> {
        if self.drained.get() {
            return None;
        }
        let received = sys::receive_more(self.fd(), into, limit);
        self.note(received.as_ref(), limit);
        received
    }

    fn note(&self, received: Option<&io::Result<usize>>, wanted: usize) {
        // Fewer bytes than wanted were all there were. The end of the stream stays to be seen again.
        self.drained.set(match received {
            None => true,
            Some(Ok(bytes)) => 0 < *bytes && *bytes < wanted,
            Some(Err(_)) => false,
        });
    }

    /// Waits until there is something to receive or the connection is over.
    pub(super) async fn wait_readable(&self, deadline: Duration) {
        let _until = self.watch.until(Side::Read, deadline);
        self.readable.wait(&self.net.ring, &self.socket, libc::POLLIN as u32).await;
        self.drained.set(false);
    }

    /// Waits until something can be sent or the connection is over.
    pub(super) async fn wait_writable(&self, deadline: Duration) {
        let _until = self.watch.until(Side::Write, deadline);
        self.writable.wait(&self.net.ring, &self.socket, libc::POLLOUT as u32).await;
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.net.watches.remove(&self.watch);
        // An open question keeps the descriptor; the end of the connection answers it.
        sys::shutdown(self.fd());
    }
}

/// A client connection that nobody has split yet.
pub struct SocketStream {
    socket: Rc<Socket>,
}

impl SocketStream {
    pub(super) fn new(socket: OwnedFd, net: Rc<NetShard>) -> Self {
        let peer = SockRef::from(&socket).peer_addr().ok().and_then(|peer| peer.as_socket());
        let peer = peer.map_or_else(|| "unknown".to_owned(), |address| address.to_string());
        let watch = net.watches.add(socket.as_raw_fd());
        SocketStream {
            socket: Rc::new(Socket {
                socket: Rc::new(socket),
                readable: Rc::default(),
                writable: Rc::default(),
                drained: Cell::new(false),
                watch,
                net,
                peer,
            }),
        }
    }
}

impl SocketStream {
    /// Waits until a connection that was begun is there or has failed; true if that took too long.
    pub(super) async fn wait_connected(&self, deadline: Duration) -> bool {
        self.socket.wait_writable(deadline).await;
        self.socket.watch.expired()
    }

    /// The descriptor, for options that need no waiting.
    pub(super) fn descriptor(&self) -> &OwnedFd {
        &self.socket.socket
    }
}

impl Stream for SocketStream {
    type Reader = SocketReader;
    type Writer = SocketWriter;

    fn peer(&self) -> String {
        self.socket.peer.clone()
    }

    fn split(self) -> (SocketReader, SocketWriter) {
        (SocketReader::new(Rc::clone(&self.socket)), SocketWriter::new(self.socket))
    }
}
