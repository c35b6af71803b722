#![no_main]
//! The target `peer`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringlog_fuzz::wire::peer(data));
