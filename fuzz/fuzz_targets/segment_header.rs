#![no_main]
//! The target `segment_header`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringlog_fuzz::disk::segment_header(data));
