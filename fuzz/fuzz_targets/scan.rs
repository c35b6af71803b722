#![no_main]
//! The target `scan`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringlog_fuzz::disk::scan(data));
