#![no_main]
//! The target `decompress_lz4`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringlog_fuzz::wire::decompress_lz4(data));
