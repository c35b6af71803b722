#![no_main]
//! The target `decompress_snappy`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringlog_fuzz::wire::decompress_snappy(data));
