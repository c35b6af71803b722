//! Connecting to others: brokers to brokers, and the load generator to either.

use super::NetShard;
use super::stream::SocketStream;
use crate::rt::world::World;
use crate::seam::World as _;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

impl World {
    /// Connects to an address, in at most `patience`.
    ///
    /// # Errors
    /// Nobody listens there, or it took too long.
    pub async fn connect(&self, address: SocketAddr, patience: Duration) -> io::Result<SocketStream> {
        connect(self.net(), address, self.mono() + patience).await
    }
}

async fn connect(net: &Rc<NetShard>, address: SocketAddr, deadline: Duration) -> io::Result<SocketStream> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    match socket.connect(&address.into()) {
        Ok(()) => return Ok(SocketStream::new(socket.into(), Rc::clone(net))),
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) => return Err(error),
    }
    let stream = SocketStream::new(OwnedFd::from(socket), Rc::clone(net));
    let overdue = stream.wait_connected(deadline).await;
    match SockRef::from(stream.descriptor()).take_error()? {
        _ if overdue => Err(io::ErrorKind::TimedOut.into()),
        Some(error) => Err(error),
        None => Ok(stream),
    }
}
