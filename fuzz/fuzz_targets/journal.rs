#![no_main]
//! The target `journal`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringlog_fuzz::disk::journal(data));
