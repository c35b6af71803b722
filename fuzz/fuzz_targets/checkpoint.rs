#![no_main]
//! The target `checkpoint`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringlog_fuzz::disk::checkpoint(data));
