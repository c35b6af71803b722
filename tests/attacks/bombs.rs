//! Batches that are small and become huge when decompressed: by Produce, which looks at every record, and by
//! ListOffsets.

use super::attack;
use crate::broker::client::{Client, LIST_OFFSETS, list_offset_request};
use bytes::Bytes;
use ringlog::base::ErrorCode;
use ringlog::base::limits::{BATCH_HEADER_BYTES, DECOMPRESSED_BYTES_MAX};
use ringlog::wire::batch::{BatchBuilder, Codec};
use std::io::Write;

/// A batch with foreign bytes for records.
fn with_payload(codec: Codec, payload: &[u8]) -> Bytes {
    let model = BatchBuilder::new(codec, 800).record(800, None, None).record(1000, None, None).build();
    let mut batch = model[..BATCH_HEADER_BYTES].to_vec();
    batch.extend_from_slice(payload);
    let length = i32::try_from(batch.len() - 12).expect("small");
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch.into()
}

/// One record whose value is `size` zeros, as it lies in a batch.
fn record(size: usize) -> Vec<u8> {
    let mut body = vec![0, 0, 0, 1];
    varint(&mut body, size);
    body.resize(body.len() + size, 0);
    body.push(0);
    let mut whole = Vec::new();
    varint(&mut whole, body.len());
    whole.append(&mut body);
    whole
}

/// A zig-zag varint of a number that isn't negative.
fn varint(into: &mut Vec<u8>, value: usize) {
    let mut rest = value << 1;
    while rest >= 0x80 {
        into.push(u8::try_from(rest & 0x7f).expect("7 bits") | 0x80);
        rest >>= 7;
    }
    into.push(u8::try_from(rest).expect("7 bits"));
}

/// Bombs of every codec: what they become is up to a thousand times as large, and more than may be.
fn bombs() -> Vec<(&'static str, Bytes)> {
    let plain = record(DECOMPRESSED_BYTES_MAX);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).expect("memory takes it");
    let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
    lz4.write_all(&plain).expect("memory takes it");
    let mut zstd = zstd::stream::write::Encoder::new(Vec::new(), 3).expect("an encoder");
    zstd.window_log(27).expect("a window of 128 MiB");
    zstd.write_all(&plain).expect("memory takes it");
    // A snappy block that claims more than it can be.
    let mut snappy = vec![0x80, 0x80, 0x80, 0x18];
    snappy.resize(900_000, 0xfe);
    vec![
        ("gzip", with_payload(Codec::Gzip, &gzip.finish().expect("the end"))),
        ("lz4", with_payload(Codec::Lz4, &lz4.finish().expect("the end"))),
        ("zstd", with_payload(Codec::Zstd, &zstd.finish().expect("the end"))),
        ("snappy", with_payload(Codec::Snappy, &snappy)),
    ]
}

/// Batches that become large, but not too large: a long record, then one that a look-up finds behind it.
fn long_batches() -> Vec<(&'static str, Bytes)> {
    let value = vec![0; 40 << 20];
    let codecs =
        [("gzip", Codec::Gzip), ("lz4", Codec::Lz4), ("zstd", Codec::Zstd), ("snappy", Codec::Snappy)];
    let batch =
        |codec| BatchBuilder::new(codec, 800).record(800, None, Some(&value)).record(1000, None, None);
    codecs.map(|(name, codec)| (name, batch(codec).build())).into()
}

#[test]
fn decompression_bombs_are_refused() {
    let bombs = bombs();
    attack("bombs", |broker| {
        let mut client = broker.client();
        client.create_topic("bombs", 1, &[("max.message.bytes", "4000000")]);
        for (name, bomb) in &bombs {
            let (error, _) = client.produce("bombs", 0, bomb.clone()).expect("an answer");
            assert_eq!(error, ErrorCode::MessageTooLarge, "{name} of {} bytes", bomb.len());
        }
    });
}

#[test]
fn looking_into_long_batches_takes_little() {
    let batches = long_batches();
    attack("look-ups", |broker| {
        let mut client = broker.client();
        for (name, batch) in &batches {
            let topic = format!("long-{name}");
            client.create_topic(&topic, 1, &[("max.message.bytes", "4000000")]);
            let (error, _) = client.produce(&topic, 0, batch.clone()).expect("an answer");
            assert_eq!(error, ErrorCode::None, "{name} of {} bytes", batch.len());
            // Several at once, as several clients would ask.
            let mut clients: Vec<Client> = (0..4).map(|_| broker.client()).collect();
            for client in &mut clients {
                client.send(LIST_OFFSETS, &list_offset_request(&topic, 0, 900)).expect("a request");
            }
            for client in &mut clients {
                assert_eq!(client.listed().expect("an answer"), (ErrorCode::None, 1), "{name}");
            }
            let beyond = client.list_offset(&topic, 0, 1001).expect("an answer");
            assert_eq!(beyond, (ErrorCode::None, -1), "{name}: no record is later");
        }
    });
}
