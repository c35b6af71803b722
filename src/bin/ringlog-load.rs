//! The load generator's binary.

use std::process::ExitCode;

/// Buffers of every size come and go; this allocator keeps their pages.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(ringlog::load::cli::run())
}
