#![no_main]
//! The target `batch`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringlog_fuzz::wire::batch(data));
