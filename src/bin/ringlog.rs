//! The broker's binary.

use clap::Parser;
use std::process::ExitCode;

/// Buffers of every size come and go; this allocator keeps their pages instead of giving them back to the kernel, which
/// would have to clear each anew.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(ringlog::boot::run(&ringlog::boot::cli::Cli::parse()))
}
