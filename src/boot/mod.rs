//! Wiring: configuration to shards to listeners; what the process says and how it ends.

pub mod cli;
mod cluster;
mod data_dir;
mod lag;
mod memory;
mod pages;
mod sources;
mod start;
mod why;

pub use data_dir::{DataDir, Identity};
pub use start::start;

use cli::{Cli, Command, ConfigCommand, GroupCommand};

/// Runs the command line and returns the process's exit code.
#[must_use]
pub fn run(cli: &Cli) -> u8 {
    let outcome = match &cli.command {
        Command::Start(flags) => start(flags),
        Command::Cluster(flags) => cluster::cluster(flags),
        Command::Slow(flags) => ask(flags, "/slow"),
        Command::Metrics(flags) => ask(flags, "/metrics"),
        Command::Group { command: GroupCommand::Lag { group, flags } } => {
            ask(flags, &format!("{}{}", pages::LAG, lag::escaped(group)))
        }
        Command::Group { command: GroupCommand::Why { group, flags } } => {
            ask(flags, &format!("{}{}", pages::WHY, lag::escaped(group)))
        }
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

/// Prints a page of the broker with the data directory that the flags name.
fn ask(flags: &cli::ConfigFlags, page: &str) -> Result<(), Vec<String>> {
    let layers = sources::layers(flags);
    let path = pages::socket(std::path::Path::new(layers.value("data.dir").0));
    let text = crate::rt::ask_page(&path, page).map_err(|error| {
        vec![format!(
            "no broker answers at {}: {error}; name its data directory with --data-dir",
            path.display()
        )]
    })?;
    say(&text);
    Ok(())
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
