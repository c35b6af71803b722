//! Lengths that lie: frames, arrays, strings and tagged fields that claim more than is there, or less than nothing.

use super::{attack, framed, throw};
use crate::broker::client::Client;
use ringlog::api::API_TABLE;
use ringlog::wire::generated::SCHEMAS;
use std::io::Write;

/// Every API in every version it serves, and whether that version is flexible.
fn versions() -> impl Iterator<Item = ((i16, i16), bool)> {
    API_TABLE.iter().flat_map(|api| {
        let schema = SCHEMAS.iter().find(|schema| schema.key == api.key).expect("the schemas have it");
        (api.served_min..=api.max).map(|version| ((api.key, version), version >= schema.flexible_from))
    })
}

/// Bodies that are claims from their first bytes on, with a few honest fields before some.
fn lies() -> Vec<Vec<u8>> {
    let claims: [&[u8]; 7] = [
        &[0x7f, 0xff, 0xff, 0xff],
        &[0xff, 0xff, 0xff, 0xff],
        &[0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0x80, 0x00, 0x00, 0x00],
        &[0xff, 0xfe],
        &[0x7f, 0xff],
    ];
    let mut bodies = Vec::new();
    for claim in claims {
        for honest in 0..24 {
            for filling in [0, 1, 0xff] {
                let mut body = vec![filling; honest];
                body.extend_from_slice(claim);
                bodies.push(body);
            }
        }
    }
    bodies
}

#[test]
fn no_request_gets_memory_for_a_claim() {
    attack("claims", |broker| {
        // The classic: 12 bytes of Produce 8 that claim an array of 2^31-1 topics, 19 GB of them.
        let classic = [&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1][..], &[0x7f, 0xff, 0xff, 0xff][..]].concat();
        let frames = std::iter::repeat_n(framed((0, 8), false, &classic), 100);
        assert_eq!(throw(broker.address, frames), 100, "each ends its connection");
        let bodies = lies();
        let frames =
            versions().flat_map(|(api, flexible)| bodies.iter().map(move |body| framed(api, flexible, body)));
        let closed = throw(broker.address, frames);
        eprintln!("claims: {closed} requests ended their connection");
        assert!(closed > bodies.len(), "most of them are refused");
    });
}

#[test]
fn a_frame_with_an_impossible_length_ends_its_connection_at_once() {
    attack("lengths", |broker| {
        for length in [i32::MAX, i32::MIN, -1, 104_857_601, 0x4745_5420] {
            for _ in 0..100 {
                let mut client = Client::connect(broker.address);
                client.stream.write_all(&length.to_be_bytes()).expect("four bytes");
                assert!(client.is_closed(), "{length}");
            }
        }
    });
}

#[test]
fn a_frame_without_a_header_ends_its_connection() {
    attack("headers", |broker| {
        for length in 0..10_usize {
            let mut frame = i32::try_from(length).expect("small").to_be_bytes().to_vec();
            frame.resize(4 + length, 0);
            assert_eq!(throw(broker.address, [frame]), 1, "{length} bytes are no header");
        }
    });
}
