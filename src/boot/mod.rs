//! Wiring: configuration to shards to listeners; what the process says and how it ends.

pub mod cli;
mod data_dir;
mod sources;
mod start;

pub use data_dir::{DataDir, Identity};
pub use start::start;

use cli::{Cli, Command, ConfigCommand};

/// Runs the command line and returns the process's exit code.
#[must_use]
pub fn run(cli: &Cli) -> u8 {
    let outcome = match &cli.command {
        Command::Start(flags) => start(flags),
        Command::Config { command: ConfigCommand::Explain { key, flags } } => explain(key.as_deref(), flags),
    };
    match outcome {
        Ok(()) => 0,
        Err(problems) => {
            for problem in problems {
                eprintln!("ringlog: {problem}");
            }
            1
        }
    }
}

fn explain(key: Option<&str>, flags: &cli::ConfigFlags) -> Result<(), Vec<String>> {
    let layers = sources::layers(flags);
    let text = crate::conf::explain(&layers, key).map_err(|problem| vec![problem])?;
    say(&text);
    if layers.problems().is_empty() { Ok(()) } else { Err(layers.problems().to_vec()) }
}

/// Prints to standard output; a reader that went away is no failure.
fn say(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
}
