#![no_main]
//! The target `record`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringlog_fuzz::disk::record(data));
