//! One connection and its two halves.

use super::reader::SocketReader;
use super::watch::{Side, Watch};
use super::writer::SocketWriter;
use super::{NetShard, sys};
use crate::seam::{NetError, Stream};
use futures_lite::{AsyncRead, AsyncWrite};
use glommio::net::TcpStream;
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

/// A connection of one shard, shared by its two halves.
pub(super) struct Socket {
    stream: RefCell<TcpStream>,
    fd: RawFd,
    watch: Rc<Watch>,
    net: Rc<NetShard>,
    peer: String,
}

impl Socket {
    pub(super) fn net(&self) -> &NetShard {
        &self.net
    }

    pub(super) fn fd(&self) -> RawFd {
        self.fd
    }

    pub(super) fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Why the connection is over.
    pub(super) fn over(&self) -> NetError {
        if self.watch.expired() { NetError::TimedOut } else { NetError::Closed }
    }

    pub(super) fn poll_read(&self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream.borrow_mut()).poll_read(cx, into)
    }

    /// Waits until there is something to receive or the connection is over. glommio has no wait of its own: a receive
    /// of no bytes waits just as long and takes nothing.
    pub(super) async fn readable(&self, deadline: Duration) {
        let _until = self.watch.until(Side::Read, deadline);
        let _ = poll_fn(|cx| self.poll_read(cx, &mut [])).await;
    }

    /// Waits until some of `bytes` could be sent, and says how many were.
    pub(super) async fn send_some(&self, bytes: &[u8], deadline: Duration) -> io::Result<usize> {
        let _until = self.watch.until(Side::Write, deadline);
        poll_fn(|cx| Pin::new(&mut *self.stream.borrow_mut()).poll_write(cx, bytes)).await
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.net.watches.remove(&self.watch);
        // A poll that is still on the ring keeps the connection open until the kernel has seen its cancellation; the
        // peer needn't wait for that.
        sys::shutdown(self.fd);
    }
}

/// A client connection that nobody has split yet.
pub struct SocketStream {
    socket: Rc<Socket>,
}

impl SocketStream {
    pub(super) fn new(stream: TcpStream, net: Rc<NetShard>) -> Self {
        let peer = stream.peer_addr().map_or_else(|_| "unknown".to_owned(), |address| address.to_string());
        let fd = stream.as_raw_fd();
        let watch = net.watches.add(fd);
        SocketStream { socket: Rc::new(Socket { stream: RefCell::new(stream), fd, watch, net, peer }) }
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
