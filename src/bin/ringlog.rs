//! The broker's binary.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(ringlog::boot::run(&ringlog::boot::cli::Cli::parse()))
}
