//! Connecting to others: nodes to their peers, and the load generator to brokers.

use super::stream::SocketStream;
use super::{NetShard, pacing};
use crate::rt::world::World;
use crate::seam::{NetError, World as _};
use futures_lite::future::or;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

impl World {
    /// Connects to an address, in at most `patience`.
    ///
    /// # Errors
    /// Nobody listens there, or it took too long.
    pub async fn connect_to(&self, address: SocketAddr, patience: Duration) -> io::Result<SocketStream> {
        connect(self.net(), address, self.mono() + patience).await
    }

    /// The same by HOST:PORT.
    pub(in crate::rt) async fn connect_by_name(
        &self,
        address: &str,
        patience: Duration,
    ) -> Result<SocketStream, NetError> {
        let until = self.mono() + patience;
        let found = or(self.look_up(address), async {
            self.sleep(patience).await;
            Err("the name isn't found in time".to_owned())
        });
        let unreachable = |why: String| NetError::Unreachable(format!("{address}: {why}"));
        let address = found.await.map_err(unreachable)?;
        connect(self.net(), address, until).await.map_err(|error| unreachable(error.to_string()))
    }

    /// The address that a name stands for. An address is its own name; anything else is asked on a thread of its own,
    /// for the answer may take as long as it likes.
    async fn look_up(&self, name: &str) -> Result<SocketAddr, String> {
        if let Ok(address) = name.parse() {
            return Ok(address);
        }
        let name = name.to_owned();
        let found = self.names().run(move || name.to_socket_addrs().map(|mut found| found.next())).await;
        match found {
            Ok(Some(address)) => Ok(address),
            Ok(None) => Err("no such address".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

async fn connect(net: &Rc<NetShard>, address: SocketAddr, deadline: Duration) -> io::Result<SocketStream> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    pacing::spare(&socket, address.ip());
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
