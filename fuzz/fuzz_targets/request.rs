#![no_main]
//! The target `request`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringlog_fuzz::wire::request(data));
