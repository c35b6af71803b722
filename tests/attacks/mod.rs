//! Attacks by subject, and what they share: memory is bounded, the process lives, a healthy client is served.

mod bombs;
mod claims;
mod crowds;
mod hoards;
mod noise;
mod readers;
mod shapes;

use crate::broker::client::{Client, request};
use crate::broker::healthy::Healthy;
use crate::broker::{Broker, Launch, Scratch, growth_while};
use ringlog::wire::generated::ApiVersionsRequest;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

/// What an attack may make the process grow by.
const GROWTH_MAX: usize = 64 << 20;

/// Shards of the brokers that are attacked.
const SHARDS: usize = 2;

/// A broker with little memory of its own, so that what attacks cost shows.
fn small_broker(scratch: &Scratch) -> Launch {
    Launch::new(scratch).shards(SHARDS).set("memory.bytes", 64 << 20)
}

/// Runs an attack on a fresh broker, with a healthy client beside it.
fn attack(name: &str, run: impl FnOnce(&Broker)) {
    attack_with(name, 0, run);
}

/// Runs an attack whose requests are so long that each shard holds this much while it takes one in.
fn attack_with(name: &str, frame_bytes: usize, run: impl FnOnce(&Broker)) {
    let scratch = Scratch::new(name);
    let broker = small_broker(&scratch).start();
    attack_on(name, broker, GROWTH_MAX + SHARDS * frame_bytes, run);
}

/// Runs an attack on a broker that is there.
fn attack_on(name: &str, mut broker: Broker, growth_max: usize, run: impl FnOnce(&Broker)) {
    let healthy = Healthy::start(&broker);
    let (growth, ()) = growth_while(&broker, || run(&broker));
    broker.assert_alive();
    healthy.finish(name);
    eprintln!("{name}: memory grew by {:.1} MiB at most", growth as f64 / (1 << 20) as f64);
    let output = broker.launch.output();
    assert!(!output.contains("panicked"), "{output}");
    eprintln!("{name}: {} log lines", output.lines().count());
    assert!(growth < growth_max, "{name}: memory grew by {growth} bytes");
    broker.stop();
}

/// How long an answer is waited for. A changed request may ask to wait for minutes, and may have them.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// Sends whole frames one after the other, each followed by a question that every broker answers. Returns how many of
/// them ended their connection.
fn throw(address: SocketAddr, frames: impl IntoIterator<Item = Vec<u8>>) -> usize {
    let ask = request((18, 0), i32::MAX, &ApiVersionsRequest::default());
    let mut closed = 0;
    let mut client: Option<Client> = None;
    for mut frame in frames {
        let connection = client.get_or_insert_with(|| {
            let client = Client::connect(address);
            client.stream.set_read_timeout(Some(ANSWER_WAIT)).expect("a timeout above zero");
            client
        });
        frame.extend_from_slice(&ask);
        let alive = connection.stream.write_all(&frame).and_then(|()| answered(connection));
        if alive.is_err() {
            closed += 1;
            client = None;
        }
    }
    closed
}

/// Reads answers until that to the question comes.
fn answered(client: &mut Client) -> io::Result<()> {
    loop {
        let frame = client.frame()?;
        if frame.starts_with(&i32::MAX.to_be_bytes()) {
            return Ok(());
        }
    }
}

/// A frame of a body's bytes behind a header of a key and version, in the header's version without tagged fields or
/// with none.
fn framed(api: (i16, i16), flexible: bool, body: &[u8]) -> Vec<u8> {
    let (key, version) = api;
    let mut frame = Vec::new();
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(&key.to_be_bytes());
    frame.extend_from_slice(&version.to_be_bytes());
    frame.extend_from_slice(&7_i32.to_be_bytes());
    frame.extend_from_slice(&(-1_i16).to_be_bytes());
    if flexible {
        frame.push(0);
    }
    frame.extend_from_slice(body);
    let length = i32::try_from(frame.len() - 4).expect("frames of tests are small");
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame
}
