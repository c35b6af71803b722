//! Very many connections, and very slow ones.

use super::attack;
use crate::broker::client::Client;
use crate::broker::{Broker, PATIENCE, size, wait_for};
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};

/// Connections from one source address: below the number of ports that the kernel hands out.
const PER_ADDRESS: usize = 5000;

/// A connection from one of the loopback's many addresses.
fn connect_from(nth: usize, to: SocketAddr) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    let last = u8::try_from(2 + nth / PER_ADDRESS).expect("few addresses");
    socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0)).into())?;
    socket.connect_timeout(&to.into(), PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

fn crowd(broker: &Broker, count: usize, first: &[u8]) -> Vec<Socket> {
    let mut crowd = Vec::new();
    for nth in 0..count {
        let mut socket = connect_from(nth, broker.address).expect("a connection");
        socket.write_all(first).expect("a few bytes");
        crowd.push(socket);
    }
    crowd
}

#[test]
fn ten_thousand_connections_that_send_one_byte_hold_little() {
    let count = size("RINGLOG_CROWD", 10_000);
    attack("crowd", |broker| {
        let mut crowd = crowd(broker, count, &[0]);
        wait_for("the broker to have all connections", || (broker.descriptors() > count).then_some(()));
        eprintln!("crowd: {} descriptors, {:.1} MiB", broker.descriptors(), broker.rss() as f64 / 1048576.0);
        // Any of them may still go on.
        let ask = [0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 9, 0xff, 0xff];
        crowd[count / 2].write_all(&ask).expect("the rest of a request");
        let mut answer = [0; 8];
        crowd[count / 2].read_exact(&mut answer).expect("an answer");
        assert_eq!(answer[4..], [0, 0, 0, 9]);
        drop(crowd);
        wait_for("the broker to let them go", || (broker.descriptors() < 200).then_some(()));
    });
}

#[test]
fn more_connections_than_descriptors_leave_files_alone() {
    use crate::broker::healthy::Healthy;
    use crate::broker::{Scratch, growth_while};
    let scratch = Scratch::new("few-descriptors");
    let launch = super::small_broker(&scratch).wrapped(&["prlimit", "--nofile=400:400"]);
    let mut broker = launch.start();
    broker.client().create_topic("rolling", 1, &[("segment.bytes", "1048576")]);
    let healthy = Healthy::start(&broker);
    let mut client = broker.client();
    let (growth, crowd) = growth_while(&broker, || {
        let crowd: Vec<_> = (0..600).filter_map(|nth| connect_from(nth, broker.address).ok()).collect();
        // Segments are made all the while: each takes a descriptor.
        let value = vec![1; 500_000];
        for _ in 0..40 {
            let (error, _) =
                client.produce("rolling", 0, crate::broker::client::one(&value)).expect("an answer");
            assert_eq!(error, ringlog::base::ErrorCode::None, "{}", broker.launch.output());
        }
        crowd
    });
    healthy.finish("few descriptors");
    broker.assert_alive();
    assert!(growth < super::GROWTH_MAX, "{growth}");
    drop(crowd);
    wait_for("room for a new client", || Client::try_connect(broker.address).ok()?.metadata(&[]).ok());
    broker.stop();
}

#[test]
fn slow_clients_hold_little() {
    attack("slowloris", |broker| {
        let count = size("RINGLOG_SLOW", 1000);
        // The length of the largest frame, and a trickle of its bytes.
        let length = 104_857_600_i32.to_be_bytes();
        let mut crowd = crowd(broker, count, &length);
        for _ in 0..20 {
            for socket in &mut crowd {
                let _ = socket.write_all(&[0; 512]);
            }
        }
        broker.client().metadata(&["slow"]).expect("an answer");
    });
}
