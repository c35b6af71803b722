#![no_main]
//! The target `config`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringlog_fuzz::disk::config(data));
