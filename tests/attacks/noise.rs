//! Requests that were good once: cut at every byte, with bytes changed, and plain noise. From one seed, which a
//! failure prints.

use super::{attack, framed, throw};
use crate::broker::client::{Client, fetch_request, one, produce_request, request};
use crate::broker::size;
use ringlog::api::API_TABLE;
use ringlog::base::random::Random;
use ringlog::wire::generated::{Run, SCHEMAS, with_request};
use ringlog::wire::{Decode, Encode};
use std::io::Write;
use std::time::Instant;

/// Frames of one test run; more where `RINGLOG_NOISE_SECONDS` asks for that many seconds of them.
const FRAMES: usize = 6000;

/// Numbers from 0 on: at least so many, and until the time is over.
#[expect(clippy::disallowed_methods, reason = "how long it goes on is the caller's to say")]
fn numbers(at_least: usize) -> impl Iterator<Item = usize> {
    let (begun, seconds) = (Instant::now(), size("RINGLOG_NOISE_SECONDS", 0) as u64);
    (0..).take_while(move |nth| *nth < at_least || begun.elapsed().as_secs() < seconds)
}

/// The default request of an API in one version.
struct Default_(i16, i16);

impl Run for Default_ {
    type Out = Option<Vec<u8>>;

    fn run<M: Decode + Encode + Default + PartialEq + std::fmt::Debug>(self) -> Option<Vec<u8>> {
        let Default_(key, version) = self;
        let schema = SCHEMAS.iter().find(|schema| schema.key == key)?;
        (schema.min..=schema.max).contains(&version).then(|| request((key, version), 1, &M::default()))
    }
}

/// Good requests: the default one of every API and version, and some with something in them.
fn good() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for api in API_TABLE {
        for version in api.served_min..=api.max {
            all.extend(with_request(api.key, Default_(api.key, version)).flatten());
        }
    }
    for version in 3..=12 {
        all.push(request((0, version), 1, &produce_request("noise", 0, one(b"value"), -1)));
    }
    for version in 4..=12 {
        all.push(request((1, version), 1, &fetch_request("noise", 0, 0, 1 << 20, 0)));
    }
    all
}

/// Changes a few bytes of a frame's content, cuts it or makes it longer; its length stays honest.
fn mutated(random: &mut Random, frame: &[u8]) -> Vec<u8> {
    let mut content = frame[4..].to_vec();
    for _ in 0..=random.below(4) {
        let at = usize::try_from(random.below(content.len() as u64 + 1)).expect("small");
        match random.below(4) {
            0 => content.truncate(at.max(10)),
            1 => content.insert(at.min(content.len()), random.next_u64() as u8),
            2 => {
                let value = [0, 1, 0x7f, 0x80, 0xff][usize::try_from(random.below(5)).expect("small")];
                content.iter_mut().skip(at.max(8)).take(4).for_each(|byte| *byte = value);
            }
            _ => {
                if let Some(byte) = content.get_mut(at.max(4)) {
                    *byte = random.next_u64() as u8;
                }
            }
        }
    }
    let length = i32::try_from(content.len()).expect("small");
    [&length.to_be_bytes()[..], &content].concat()
}

#[test]
fn changed_requests_are_answered_or_end_their_connection() {
    let seed = size("RINGLOG_NOISE_SEED", 1) as u64;
    eprintln!("noise: seed {seed}");
    attack("mutations", |broker| {
        broker.client().create_topic("noise", 2, &[]);
        let (good, mut random) = (good(), Random::new(seed));
        let frames = numbers(FRAMES).map(|nth| mutated(&mut random, &good[nth % good.len()]));
        let closed = throw(broker.address, frames);
        eprintln!("mutations: {closed} requests ended their connection");
    });
}

#[test]
fn noise_ends_its_connection() {
    let seed = size("RINGLOG_NOISE_SEED", 1) as u64;
    attack("noise", |broker| {
        let mut random = Random::stream(seed, 2);
        let frames = numbers(FRAMES / 4).map(|_| {
            let body: Vec<u8> = (0..random.below(200)).map(|_| random.next_u64() as u8).collect();
            let key = i16::try_from(random.below(80)).expect("small");
            framed((key, i16::try_from(random.below(14)).expect("small")), random.chance(50), &body)
        });
        throw(broker.address, frames);
        // Without even a length that holds: what follows is waited for, and the client goes.
        for _ in numbers(FRAMES / 20) {
            let mut client = Client::connect(broker.address);
            let bytes: Vec<u8> = (0..random.below(3000)).map(|_| random.next_u64() as u8).collect();
            let _ = client.stream.write_all(&bytes);
        }
    });
}

#[test]
fn a_request_cut_at_any_byte_is_waited_for_and_let_go() {
    attack("truncated", |broker| {
        broker.client().create_topic("noise", 1, &[]);
        let whole = request((0, 9), 1, &produce_request("noise", 0, one(b"value"), -1));
        for end in numbers(whole.len()).map(|nth| nth % whole.len()) {
            let mut client = Client::connect(broker.address);
            client.stream.write_all(&whole[..end]).expect("a part of a frame");
        }
        // None of them was appended.
        let fetched = broker.client().fetch("noise", 0, 0).expect("an answer");
        assert_eq!(fetched.high_watermark, 0);
    });
}
