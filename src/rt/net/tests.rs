//! Real sockets on loopback: the clients are plain blocking ones.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the clients of these tests block on purpose"
)]

use super::{Guests, Listeners};
use crate::metrics::RuntimeSnapshot;
use crate::rt::testing::Scratch;
use crate::rt::{Mesh, RtConf, Stop, World, run};
use crate::seam::{FrameReader, FrameWriter, NetError, Stream, World as _};
use bytes::Bytes;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const FRAME_MAX: usize = 100 * 1024 * 1024;
const IDLE: Duration = Duration::from_secs(60);

/// Broker-like shards that answer each frame with what `answer` makes of it.
struct Server {
    address: SocketAddr,
    stop: Stop,
    ends: Receiver<NetError>,
    stats: Receiver<RuntimeSnapshot>,
    thread: Option<JoinHandle<()>>,
    _scratch: Scratch,
}

type Answer = fn(Bytes) -> Vec<Bytes>;

/// What the shards of a test server are told.
#[derive(Clone)]
struct Task {
    listeners: Listeners,
    idle: Duration,
    answer: Answer,
    ends: Sender<NetError>,
    stats: Sender<RuntimeSnapshot>,
}

fn echo(frame: Bytes) -> Vec<Bytes> {
    let len = i32::try_from(frame.len()).unwrap();
    vec![Bytes::copy_from_slice(&len.to_be_bytes()), frame]
}

impl Server {
    fn start(name: &str, change: impl Fn(&mut RtConf)) -> Server {
        Self::start_with(name, IDLE, echo, change)
    }

    fn start_with(name: &str, idle: Duration, answer: Answer, change: impl Fn(&mut RtConf)) -> Server {
        let scratch = Scratch::new(name);
        let mut conf = scratch.conf(1);
        change(&mut conf);
        let listeners =
            Listeners::bind("127.0.0.1:0".parse().unwrap(), conf.shards, Guests::Clients).unwrap();
        let (address, stop) = (listeners.local_addr(), conf.stop.clone());
        let ((ends, their_ends), (stats, their_stats)) = (channel(), channel());
        let task = Task { listeners, idle, answer, ends, stats };
        let thread = std::thread::spawn(move || {
            run(&conf, move |_, world, mesh| serve(task.clone(), world, mesh)).unwrap();
        });
        Server {
            address,
            stop,
            ends: their_ends,
            stats: their_stats,
            thread: Some(thread),
            _scratch: scratch,
        }
    }

    fn connect(&self) -> TcpStream {
        let began = Instant::now();
        let stream = loop {
            match TcpStream::connect(self.address) {
                Ok(stream) => break stream,
                Err(error) => assert!(began.elapsed() < Duration::from_secs(5), "{error}"),
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    fn next_end(&self) -> NetError {
        self.ends.recv_timeout(Duration::from_secs(10)).expect("the connection should have ended")
    }

    /// Stops all shards and returns their stats.
    fn end(mut self) -> Vec<RuntimeSnapshot> {
        self.stop.request();
        self.thread.take().unwrap().join().unwrap();
        self.stats.try_iter().collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.request();
    }
}

async fn serve(task: Task, world: World, _mesh: Mesh<()>) {
    let (accepting, serving) = (world.clone(), task.clone());
    world.spawn(async move {
        let each = accepting.clone();
        let listeners = serving.listeners.clone();
        listeners
            .serve(&accepting, || (), |stream| each.spawn(connection(serving.clone(), stream)))
            .await
            .unwrap();
    });
    world.stopping().await;
    task.stats.send(world.stats()).unwrap();
}

async fn connection(task: Task, stream: super::SocketStream) {
    assert!(stream.peer().starts_with("127.0.0.1:"));
    let (mut reader, mut writer) = stream.split();
    let end = loop {
        let frame = match reader.next(FRAME_MAX, task.idle).await {
            Ok(frame) => frame,
            Err(end) => break end,
        };
        if frame.as_ref() == b"close" {
            writer.close();
            continue;
        }
        if let Err(end) = writer.send(&mut (task.answer)(frame)).await {
            break end;
        }
    };
    let _ = task.ends.send(end);
}

fn frame(len: usize, seed: usize) -> Vec<u8> {
    let mut frame = i32::try_from(len).unwrap().to_be_bytes().to_vec();
    frame.extend((0..len).map(|at| (at * 31 + at / 251 + seed) as u8));
    frame
}

fn assert_echoed(client: &mut TcpStream, expected: &[u8]) {
    let mut answer = vec![0; expected.len()];
    client.read_exact(&mut answer).unwrap();
    assert!(answer == expected, "{} bytes came back changed", expected.len());
}

fn assert_ended(client: &mut TcpStream) {
    let mut rest = [0; 1];
    match client.read(&mut rest) {
        Ok(0) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("the connection should be over: {other:?}"),
    }
}

#[test]
fn frames_of_every_size_come_back_as_they_were() {
    let server = Server::start("net-sizes", |_| {});
    let mut client = server.connect();
    let sizes = [
        0,
        1,
        3,
        100,
        1024,
        1025,
        5000,
        16_379,
        16_380,
        16_384,
        70_000,
        128 * 1024,
        1 << 20,
        2_500_000,
        9_000_000,
        7,
    ];
    for (seed, &size) in sizes.iter().enumerate() {
        let sent = frame(size, seed);
        let mut sender = client.try_clone().unwrap();
        let writing = sent.clone();
        let thread = std::thread::spawn(move || sender.write_all(&writing).unwrap());
        assert_echoed(&mut client, &sent);
        thread.join().unwrap();
    }
    let stats = server.end();
    assert_eq!(stats[0].frames_received_total, sizes.len() as u64);
    assert_eq!(stats[0].received_bytes_total, sizes.iter().map(|&size| size as u64 + 4).sum::<u64>());
    assert_eq!(stats[0].sent_bytes_total, stats[0].received_bytes_total);
}

#[test]
fn pipelined_frames_keep_their_order_and_little_is_copied() {
    let server = Server::start("net-pipeline", |_| {});
    for (size, count) in [(50, 3000), (3000, 1000), (12_000, 300), (128 * 1024, 100)] {
        let mut client = server.connect();
        let mut sender = client.try_clone().unwrap();
        let thread = std::thread::spawn(move || {
            for seed in 0..count {
                sender.write_all(&frame(size, seed)).unwrap();
            }
        });
        (0..count).for_each(|seed| assert_echoed(&mut client, &frame(size, seed)));
        thread.join().unwrap();
    }
    let stats = server.end()[0];
    assert!(stats.received_bytes_copied_total * 20 < stats.received_bytes_total, "{stats:?}");
}

#[test]
fn a_frame_may_come_a_byte_at_a_time() {
    let server = Server::start("net-bytes", |_| {});
    let mut client = server.connect();
    for size in [0, 1, 40] {
        let sent = frame(size, 1);
        for byte in &sent {
            client.write_all(&[*byte]).unwrap();
            std::thread::sleep(Duration::from_micros(200));
        }
        assert_echoed(&mut client, &sent);
    }
    let sent = frame(40_000, 2);
    for part in sent.chunks(7001) {
        client.write_all(part).unwrap();
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_echoed(&mut client, &sent);
}

#[test]
fn a_bad_length_ends_the_connection_before_anything_is_allocated() {
    let server = Server::start("net-lengths", |_| {});
    for claimed in [-1, i32::MIN, i32::MAX, i32::try_from(FRAME_MAX).unwrap() + 1] {
        let mut client = server.connect();
        client.write_all(&claimed.to_be_bytes()).unwrap();
        assert_eq!(server.next_end(), NetError::FrameLength(claimed));
        assert_ended(&mut client);
    }
    assert_eq!(server.end()[0].receive_bytes, 0);
}

#[test]
fn a_claim_commits_no_memory_before_its_bytes_arrive() {
    let server = Server::start("net-claims", |conf| conf.receive_bytes_max = 4 << 20);
    let before = resident_bytes();
    let mut clients: Vec<TcpStream> = (0..100).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.write_all(&i32::try_from(FRAME_MAX).unwrap().to_be_bytes()).unwrap();
        client.write_all(&[1]).unwrap();
    }
    let mut other = server.connect();
    other.write_all(&frame(500_000, 3)).unwrap();
    assert_echoed(&mut other, &frame(500_000, 3));
    assert!(resident_bytes() < before + (16 << 20), "{} -> {}", before, resident_bytes());
    drop(clients);
    (0..100).for_each(|_| assert_eq!(server.next_end(), NetError::Closed));
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(server.end()[0].receive_bytes, 0);
}

/// Memory of this process that is in RAM. Other tests run at the same time, so bounds on it are generous.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn many_connections_that_send_one_byte_hold_next_to_nothing() {
    const COUNT: usize = 3000;
    let server = Server::start("net-one-byte", |_| {});
    let before = resident_bytes();
    let mut clients: Vec<TcpStream> = (0..COUNT).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| client.write_all(&[0]).unwrap());
    let mut healthy = server.connect();
    healthy.write_all(&frame(2000, 3)).unwrap();
    assert_echoed(&mut healthy, &frame(2000, 3));
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < COUNT * 6000, "{} bytes for each connection", grown / COUNT);
    let stats = server.end();
    assert_eq!((stats[0].connections_open, stats[0].receive_bytes), (COUNT as u64 + 1, 0));
}

#[test]
fn idle_and_slow_connections_end() {
    let slow = |conf: &mut RtConf| conf.slow_frame_max = Duration::from_millis(300);
    let server = Server::start_with("net-idle", Duration::from_millis(200), echo, slow);
    let began = Instant::now();
    let (mut silent, mut begun, mut stuck) = (server.connect(), server.connect(), server.connect());
    begun.write_all(&[0, 0]).unwrap();
    stuck.write_all(&frame(100_000, 1)[..50_000]).unwrap();
    for _ in 0..3 {
        assert_eq!(server.next_end(), NetError::TimedOut);
    }
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    [&mut silent, &mut begun, &mut stuck].into_iter().for_each(assert_ended);
    let mut trickle = server.connect();
    trickle.write_all(&frame(1_000_000, 1)[..4]).unwrap();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(5) && trickle.write_all(&[1; 50]).is_ok() {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(server.next_end(), NetError::TimedOut);
    assert_eq!(server.end()[0].connections_timed_out_total, 4);
}

#[test]
fn a_peer_that_takes_nothing_is_ended() {
    fn large(_: Bytes) -> Vec<Bytes> {
        vec![Bytes::from(vec![1; 30_000_000])]
    }
    let stall = |conf: &mut RtConf| conf.send_stall_max = Duration::from_millis(300);
    let server = Server::start_with("net-stall", IDLE, large, stall);
    let mut client = server.connect();
    client.write_all(&frame(1, 1)).unwrap();
    assert_eq!(server.next_end(), NetError::TimedOut);
}

#[test]
fn either_side_may_close() {
    let server = Server::start("net-close", |_| {});
    let mut client = server.connect();
    client.write_all(&frame(100, 1)[..50]).unwrap();
    drop(client);
    assert_eq!(server.next_end(), NetError::Closed);
    let mut client = server.connect();
    client.write_all(b"\0\0\0\x05close").unwrap();
    assert_eq!(server.next_end(), NetError::Closed);
    assert_ended(&mut client);
}

#[test]
fn an_answer_of_many_pieces_reaches_a_slow_reader_whole() {
    fn pieces(_: Bytes) -> Vec<Bytes> {
        let all = Bytes::from((0..8_000_000_u32).map(|at| (at ^ (at >> 9)) as u8).collect::<Vec<u8>>());
        let mut pieces = vec![Bytes::new()];
        let (mut at, mut step) = (0, 1);
        while at < all.len() {
            let end = (at + step).min(all.len());
            pieces.push(all.slice(at..end));
            (at, step) = (end, step * 7 % 30_011 + 1);
        }
        pieces.push(Bytes::new());
        pieces
    }
    let server = Server::start_with("net-pieces", IDLE, pieces, |_| {});
    let mut client = server.connect();
    client.write_all(&frame(1, 1)).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let mut got = vec![0; 8_000_000];
    for part in got.chunks_mut(300_000) {
        client.read_exact(part).unwrap();
        std::thread::sleep(Duration::from_millis(3));
    }
    assert!(got.iter().enumerate().all(|(at, &byte)| byte == (at as u32 ^ (at as u32 >> 9)) as u8));
}

#[test]
fn a_spent_budget_makes_frames_wait_and_then_refuses_them() {
    let small = |conf: &mut RtConf| {
        conf.receive_bytes_max = 1 << 20;
        conf.receive_wait_max = Duration::from_millis(500);
    };
    let server = Server::start("net-budget", small);
    let mut holder = server.connect();
    holder.write_all(&frame(1 << 20, 1)[..600_000]).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let (mut waiter, large) = (server.connect(), frame(400_000, 2));
    let mut sender = waiter.try_clone().unwrap();
    let sending = large.clone();
    let thread = std::thread::spawn(move || sender.write_all(&sending));
    std::thread::sleep(Duration::from_millis(50));
    drop(holder);
    assert_eq!(server.next_end(), NetError::Closed);
    assert_echoed(&mut waiter, &large);
    thread.join().unwrap().unwrap();
    let mut too_large = server.connect();
    let _ = too_large.write_all(&frame(3 << 20, 1));
    assert_eq!(server.next_end(), NetError::Budget);
}

#[test]
fn connections_above_the_bound_are_closed_at_once() {
    let server = Server::start("net-crowd", |conf| conf.connections_max = 3);
    let mut clients: Vec<TcpStream> = (0..3).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.write_all(&frame(10, 1)).unwrap();
        assert_echoed(client, &frame(10, 1));
    }
    assert_ended(&mut server.connect());
    drop(clients.pop());
    assert_eq!(server.next_end(), NetError::Closed);
    let mut next = server.connect();
    next.write_all(&frame(10, 1)).unwrap();
    assert_echoed(&mut next, &frame(10, 1));
    assert_eq!(server.end()[0].connections_refused_total, 1);
}

#[test]
fn every_shard_accepts_and_a_taken_address_is_refused() {
    let server = Server::start("net-shards", |conf| conf.shards = 2);
    drop(server.connect());
    std::thread::sleep(Duration::from_millis(100));
    let mut clients: Vec<TcpStream> = (0..64).map(|_| server.connect()).collect();
    for (seed, client) in clients.iter_mut().enumerate() {
        client.write_all(&frame(1000, seed)).unwrap();
        assert_echoed(client, &frame(1000, seed));
    }
    let taken = Listeners::bind(server.address, 1, Guests::Clients).err().unwrap();
    assert!(taken.to_string().contains("another process"), "{taken}");
    let stats = server.end();
    assert_eq!(stats.len(), 2);
    assert!(
        stats.iter().all(|shard| shard.connections_accepted_total > 0),
        "64 connections all on one shard: {stats:?}"
    );
}

#[test]
fn shards_connect_to_others() {
    let server = Server::start("net-connect", |_| {});
    // It listens a little later than it is bound.
    drop(server.connect());
    let (address, scratch) = (server.address, Scratch::new("net-connect-client"));
    let main = move |_, world: World, _: Mesh<()>| async move {
        let stream = world.connect_to(address, Duration::from_secs(5)).await.unwrap();
        let (mut reader, mut writer) = stream.split();
        for seed in 0..20 {
            let sent = Bytes::from(frame(50_000 * seed, seed));
            writer.send(&mut vec![sent.slice(..4), sent.slice(4..)]).await.unwrap();
            assert_eq!(reader.next(FRAME_MAX, IDLE).await.unwrap(), sent.slice(4..));
        }
        let nobody = "127.0.0.1:1".parse().unwrap();
        world.connect_to(nobody, Duration::from_secs(5)).await.err().map(|error| error.kind())
    };
    assert_eq!(run(&scratch.conf(1), main).unwrap(), [Some(ErrorKind::ConnectionRefused)]);
}
