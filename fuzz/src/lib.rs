//! What the fuzz targets do with their input. Each decoder of bytes that come from a socket or a disk has one.
//!
//! A body panics where a decoder does, and where what was decoded can't be encoded again. Where a CRC guards the bytes,
//! the body also tries them with the CRC set right: a fuzzer doesn't find one by chance, and damage has no such luck
//! either, but another build or a hostile client does. `tests/fuzz_smoke.rs` runs the same functions.

pub mod disk;
pub mod mutate;
pub mod seeds;
pub mod wire;

/// One target.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, as `cargo fuzz run` and the corpus folder have it.
    pub name: &'static str,
    /// What it does with an input.
    pub body: fn(&[u8]),
    /// Bytes that it may hold for each byte of input, and for any input.
    pub memory: (usize, usize),
}

const fn target(name: &'static str, body: fn(&[u8]), per_byte: usize, at_least: usize) -> Target {
    Target { name, body, memory: (per_byte, at_least) }
}

/// What a decompressor may hold: its bound, twice while the buffer grows, and its own state.
const DECOMPRESSED: usize = 3 * ringlog::base::limits::DECOMPRESSED_BYTES_MAX + (16 << 20);

/// All targets.
pub const TARGETS: &[Target] = &[
    target("request", wire::request, 256, 64 << 10),
    target("response", wire::response, 256, 64 << 10),
    target("batch", wire::batch, 64, DECOMPRESSED),
    target("decompress_gzip", wire::decompress_gzip, 16, DECOMPRESSED),
    target("decompress_snappy", wire::decompress_snappy, 16, DECOMPRESSED),
    target("decompress_lz4", wire::decompress_lz4, 16, DECOMPRESSED),
    target("decompress_zstd", wire::decompress_zstd, 16, DECOMPRESSED),
    target("peer", wire::peer, 256, 64 << 10),
    target("scan", disk::scan, 8, 64 << 10),
    target("segment_header", disk::segment_header, 8, 64 << 10),
    target("checkpoint", disk::checkpoint, 64, 64 << 10),
    target("journal", disk::journal, 256, 64 << 10),
    target("quorum_message", disk::quorum_message, 256, 64 << 10),
    target("record", disk::record, 256, 64 << 10),
    target("config", disk::config, 256, 256 << 10),
];
