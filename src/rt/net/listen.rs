//! Listening: one socket for an address, one thread that accepts and hands each shard its share.
//!
//! The ring must not hold the listening socket: the kernel takes the rings of a killed process apart some milliseconds
//! after its end, and until then would go on completing connections that nobody will ever serve (measured 4 to 10 ms,
//! enough for a restarted broker's first clients). A thread that waits in `poll` costs nothing while nobody connects.
#![expect(clippy::disallowed_methods, reason = "the accepting thread, and its pause, belong to rt")]

use super::arrivals::Arrival;
use super::pacing::Put;
use super::stream::SocketStream;
use super::sys;
use crate::rt::bell::Bell;
use crate::rt::local::yield_now;
use crate::rt::start::descriptors;
use crate::rt::stop::Signals;
use crate::rt::world::World;
use futures_lite::future::or;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

/// Connections that wait to be accepted; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Connections that one turn of a shard takes.
const TURN_ACCEPTS_MAX: u32 = 16;

/// Descriptors that are left to files at least, however many clients connect; a quarter of all where those are few.
const FILES_MIN: i32 = 1024;

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

/// A shard that takes connections.
struct Entrance {
    arrivals: Sender<Arrival>,
    bell: Arc<Bell>,
}

/// Who connects to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guests {
    /// Clients: as many as there is room for.
    Clients,
    /// The other nodes of the cluster: few, and never turned away, however many clients there are.
    Peers,
}

/// The socket of one address. Process-wide; made before the shards start, so that an address in use is an error at
/// once, and a free port (0) is known to all shards.
#[derive(Clone)]
pub struct Listeners {
    entrances: Sender<Entrance>,
    /// Tells the accepting thread that a shard has closed.
    close: Arc<Bell>,
    address: SocketAddr,
    guests: Guests,
}

impl Listeners {
    /// Binds the address for `shards` shards. Nothing connects before all of them `serve`.
    ///
    /// # Errors
    /// The address isn't ours, is in use, or needs rights.
    pub fn bind(address: SocketAddr, shards: u16, guests: Guests) -> Result<Listeners, ListenError> {
        let failed = |error| ListenError { address, error };
        let socket = open(address).map_err(failed)?;
        let bound = socket.local_addr().map_err(failed)?.as_socket().unwrap_or(address);
        let close = Arc::new(Bell::new().map_err(failed)?);
        let (entrances, registered) = channel();
        let accepting = Accepting { pacing: Put::off(&socket), socket, close: Arc::clone(&close), guests };
        let run = move || {
            accepting.run(&registered.into_iter().take(usize::from(shards)).collect::<Vec<_>>(), shards)
        };
        // The thread must not be the one that a signal ends: it inherits the mask that holds here.
        let _signals = Signals::block();
        std::thread::Builder::new().name("accept".to_owned()).spawn(run).map_err(failed)?;
        Ok(Listeners { entrances, close, address: bound, guests })
    }

    /// The address, with the port that was chosen for port 0.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Takes this shard's share of the connections until it stops, and hands each to `on_stream`, which spawns what
    /// serves it. Calls `on_open` once they can connect.
    ///
    /// # Errors
    /// Only at the start: the socket can't listen.
    pub async fn serve(
        &self,
        world: &World,
        on_open: impl Fn(),
        on_stream: impl Fn(SocketStream),
    ) -> Result<(), ListenError> {
        let (arrivals, from) = channel();
        let door = world.net().arrivals().attach(from);
        // The thread is gone only if another shard has closed already.
        let _ = self.entrances.send(Entrance { arrivals, bell: Arc::clone(world.bell()) });
        let mut turn = 0;
        let closed = async {
            world.closed().await;
            None
        };
        let mut closed = std::pin::pin!(closed);
        while let Some(arrival) = or(async { Some(door.next().await) }, &mut closed).await {
            match arrival {
                Arrival::Open => on_open(),
                Arrival::Connection(socket) => welcome(world, socket, self.guests, &on_stream),
                Arrival::Crowded => crowded(world),
                Arrival::Failed(error) => refused(world, &error),
                Arrival::Refused(error) => return Err(ListenError { address: self.address, error }),
            }
            turn += 1;
            if turn % TURN_ACCEPTS_MAX == 0 {
                yield_now().await;
            }
        }
        self.close.ring();
        Ok(())
    }
}

/// Binds alone: two brokers that share a port would each get a part of the clients.
fn open(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn welcome(world: &World, socket: OwnedFd, guests: Guests, on_stream: &impl Fn(SocketStream)) {
    let net = world.net();
    if guests == Guests::Clients && net.watches.len() >= net.bounds.connections {
        return crowded(world);
    }
    // Fails only on a connection that is over already, which its reader will notice.
    let _ = SockRef::from(&socket).set_tcp_nodelay(true);
    net.metrics.connections_accepted_total.add(1);
    on_stream(SocketStream::new(socket, std::rc::Rc::clone(net)));
}

/// A connection was closed at once: there are too many.
fn crowded(world: &World) {
    let refused = world.net().metrics.connections_refused_total.add(1);
    // Whoever knocks again and again must not fill the log: line 1, 2, 4, 8, …
    if refused.is_power_of_two() {
        let (shard, open) = (world.shard().0, world.net().watches.len());
        tracing::warn!(shard, open, refused, "too many connections; `ulimit -n` and LimitNOFILE= bound them");
    }
}

fn refused(world: &World, error: &io::Error) {
    let failures = world.net().metrics.accept_failures_total.add(1);
    if failures % 100 == 1 {
        tracing::warn!(shard = world.shard().0, failures, "can't accept connections: {error}");
    }
}

/// The accepting thread.
struct Accepting {
    socket: Socket,
    pacing: Put,
    close: Arc<Bell>,
    guests: Guests,
}

impl Accepting {
    /// Accepts until a shard closes. Without all its shards (a start that failed) it ends at once.
    fn run(self, entrances: &[Entrance], shards: u16) {
        if entrances.len() < usize::from(shards) {
            return;
        }
        if let Err(error) = self.socket.listen(BACKLOG) {
            for entrance in entrances {
                let error = io::Error::from_raw_os_error(error.raw_os_error().unwrap_or(0));
                entrance.tell(Arrival::Refused(error));
            }
            return;
        }
        entrances.iter().for_each(|entrance| entrance.tell(Arrival::Open));
        let mut next = 0;
        let last = last_for(self.guests);
        self.close.arm();
        while !sys::wait_for_either(self.socket.as_raw_fd(), self.close.event().as_raw_fd()) {
            while let Some(accepted) = sys::accept(self.socket.as_raw_fd()) {
                match accepted {
                    // Descriptors are handed out from the lowest on: a high one says that few are left.
                    Ok(socket) if socket.as_raw_fd() > last => {
                        drop(socket);
                        entrances[next % entrances.len()].tell(Arrival::Crowded);
                    }
                    Ok(socket) => {
                        self.pacing.on(&socket);
                        entrances[next % entrances.len()].tell(Arrival::Connection(socket));
                        next += 1;
                    }
                    Err(error) if error.raw_os_error() == Some(libc::ECONNABORTED) => {}
                    Err(error) => {
                        entrances[0].tell(Arrival::Failed(error));
                        std::thread::sleep(PAUSE);
                        break;
                    }
                }
            }
        }
    }
}

/// The highest descriptor that a connection may have. Those above a client's are for files, for a log that can't make
/// its next segment takes no records, and for peers.
fn last_for(guests: Guests) -> i32 {
    let limit = i32::try_from(descriptors()).unwrap_or(i32::MAX);
    match guests {
        Guests::Clients => limit - (limit / 4).min(FILES_MIN),
        Guests::Peers => limit,
    }
}

impl Entrance {
    fn tell(&self, arrival: Arrival) {
        // A shard that has ended takes nothing more; what was meant for it is closed.
        let _ = self.arrivals.send(arrival);
        self.bell.ring();
    }
}
