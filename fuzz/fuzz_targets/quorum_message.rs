#![no_main]
//! The target `quorum_message`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringlog_fuzz::disk::quorum_message(data));
