//! Listening: one socket per shard on the same address, among which the kernel spreads connections (SO_REUSEPORT).

use super::stream::SocketStream;
use super::sys;
use crate::rt::local::yield_now;
use crate::rt::tick::TICK;
use crate::rt::world::World;
use crate::seam::World as _;
use futures_lite::future::or;
use glommio::net::TcpStream;
use socket2::{Domain, Protocol, Socket, Type};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

/// Connections that wait to be accepted; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Connections that one turn accepts.
const TURN_ACCEPTS_MAX: u32 = 16;

/// Pause between two looks at the queue of connections. The ring must not hold the listening socket: the kernel takes
/// the rings of a killed process apart some milliseconds after its end, and until then would go on completing
/// connections that nobody will ever serve (measured 4 to 10 ms, enough for a restarted broker's first clients).
const PAUSE_IDLE: Duration = TICK;

/// Pause after a failed accept (no descriptors left): trying again at once would only burn the core.
const PAUSE: Duration = Duration::from_millis(100);

/// Why an address can't be listened on.
#[derive(Debug)]
pub struct ListenError {
    /// The address.
    pub address: SocketAddr,
    /// What the operating system said.
    pub error: io::Error,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "can't listen on {}: {}", self.address, self.error)?;
        if self.error.kind() == io::ErrorKind::AddrInUse {
            f.write_str("; another process, perhaps a broker that still runs, has it")?;
        }
        Ok(())
    }
}

impl std::error::Error for ListenError {}

/// The sockets of one address, one for each shard. Process-wide; made before the shards start, so that an address in
/// use is an error at once, and a free port (0) is known to all shards.
#[derive(Clone)]
pub struct Listeners {
    sockets: Arc<[Socket]>,
    address: SocketAddr,
}

impl Listeners {
    /// Binds the address for `shards` shards. Nothing connects before `serve`.
    ///
    /// # Errors
    /// The address isn't ours, is in use, or needs rights.
    pub fn bind(address: SocketAddr, shards: u16) -> Result<Listeners, ListenError> {
        let failed = |error| ListenError { address, error };
        // Without SO_REUSEPORT this fails if anyone listens; with it, two brokers would silently share a port.
        drop(open(address, false).map_err(failed)?);
        let first = open(address, true).map_err(failed)?;
        let bound = first.local_addr().map_err(failed)?.as_socket().unwrap_or(address);
        let mut sockets = vec![first];
        for _ in 1..shards {
            sockets.push(open(bound, true).map_err(failed)?);
        }
        Ok(Listeners { sockets: sockets.into(), address: bound })
    }

    /// The address, with the port that was chosen for port 0.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Accepts connections of this shard until it stops, and hands each to `on_stream`, which spawns what serves it.
    ///
    /// # Errors
    /// Only at the start: the socket can't listen.
    pub async fn serve(&self, world: &World, on_stream: impl Fn(SocketStream)) -> Result<(), ListenError> {
        let failed = |error| ListenError { address: self.address, error };
        let socket = self.sockets[usize::from(world.shard().0)].try_clone().map_err(failed)?;
        socket.listen(BACKLOG).map_err(failed)?;
        let mut turn = 0;
        while !world.is_closed() {
            match sys::accept(socket.as_raw_fd()) {
                None => or(world.sleep(PAUSE_IDLE), world.closed()).await,
                Some(Ok(stream)) => welcome(world, stream, &on_stream),
                Some(Err(error)) => refused(world, &error).await,
            }
            turn += 1;
            if turn % TURN_ACCEPTS_MAX == 0 {
                yield_now().await;
            }
        }
        Ok(())
    }
}

fn open(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn welcome(world: &World, stream: TcpStream, on_stream: &impl Fn(SocketStream)) {
    let net = world.net();
    if net.watches.len() >= net.bounds.connections {
        net.counters.connections_refused.add(1);
        return;
    }
    // Fails only on a connection that is over already, which its reader will notice.
    let _ = stream.set_nodelay(true);
    net.counters.connections.add(1);
    on_stream(SocketStream::new(stream, std::rc::Rc::clone(net)));
}

async fn refused(world: &World, error: &io::Error) {
    let code = error.raw_os_error().unwrap_or(0);
    if code == libc::ECONNABORTED || code == libc::EINTR {
        return;
    }
    let failures = world.net().counters.accept_failures.add(1);
    if failures % 100 == 1 {
        tracing::warn!(shard = world.shard().0, failures, "can't accept connections: {error}");
    }
    world.sleep(PAUSE).await;
}
