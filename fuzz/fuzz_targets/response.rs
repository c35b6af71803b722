#![no_main]
//! The target `response`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringlog_fuzz::wire::response(data));
