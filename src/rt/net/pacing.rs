//! No pacing within the machine.
//!
//! BBR, the default congestion control of some systems, lets a timer decide when the next bytes of a connection go out.
//! On a long way that is its merit. On loopback there is nothing to wait for, and the timers take a third of the
//! processor time of a bulk read. Once a connection is paced it stays so, whatever control it is given later: it has to
//! begin without.

use socket2::{SockRef, Socket};
use std::net::IpAddr;
use std::os::fd::OwnedFd;

/// In every kernel, open to everybody, and without pacing.
const UNPACED: &[u8] = b"reno";

/// The controls that pace begin with this name.
const PACED: &[u8] = b"bbr";

/// What the connections of a listener would be controlled by, where that paces.
pub(super) struct Put(Option<Vec<u8>>);

impl Put {
    /// Has the connections that a socket accepts begin without pacing.
    pub(super) fn off(listener: &Socket) -> Put {
        Put(unpace(listener))
    }

    /// Gives a connection that came from elsewhere what it would have had.
    pub(super) fn on(&self, connection: &OwnedFd) {
        let Put(Some(usual)) = self else { return };
        let connection = SockRef::from(connection);
        let peer = connection.peer_addr().ok().and_then(|peer| peer.as_socket());
        // A route may have a control of its own; only ours is replaced.
        if !peer.is_some_and(|peer| is_within(peer.ip())) && name(&connection) == UNPACED {
            let _ = connection.set_tcp_congestion(usual);
        }
    }
}

/// Has a connection that is about to be made begin without pacing, if it is to this machine.
pub(super) fn spare(connection: &Socket, to: IpAddr) {
    if is_within(to) {
        unpace(connection);
    }
}

fn is_within(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// Takes the control off a socket if it paces, and returns it. Where that is refused the socket is as good, only
/// slower.
fn unpace(socket: &Socket) -> Option<Vec<u8>> {
    let usual = name(socket);
    (usual.starts_with(PACED) && socket.set_tcp_congestion(UNPACED).is_ok()).then_some(usual)
}

/// The name of a socket's control, which the kernel fills up with zeros.
fn name(socket: &Socket) -> Vec<u8> {
    let mut name = socket.tcp_congestion().unwrap_or_default();
    name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(name.len()));
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Domain, Type};

    fn socket() -> Socket {
        Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket")
    }

    #[test]
    fn only_what_paces_is_replaced_and_only_within_the_machine() {
        for (usual, within) in [("bbr", "reno"), ("cubic", "cubic"), ("reno", "reno")] {
            let (near, far) = (socket(), socket());
            // A kernel need not have all of them.
            if near.set_tcp_congestion(usual.as_bytes()).is_err() {
                continue;
            }
            far.set_tcp_congestion(usual.as_bytes()).expect("as before");
            spare(&near, "127.0.0.2".parse().expect("an address"));
            spare(&far, "192.0.2.1".parse().expect("an address"));
            assert_eq!((name(&near), name(&far)), (within.into(), usual.into()));
        }
    }

    #[test]
    fn a_connection_from_elsewhere_gets_what_it_would_have_had() {
        let listener = socket();
        if listener.set_tcp_congestion(b"bbr").is_err() {
            return;
        }
        let put = Put::off(&listener);
        assert_eq!(name(&listener), UNPACED);
        // It has no peer at all, so none on this machine.
        let connection = OwnedFd::from(listener);
        put.on(&connection);
        assert_eq!(name(&SockRef::from(&connection)), b"bbr");
    }
}
