//! The command line.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// A Kafka-protocol broker: io_uring, one pinned thread per core, direct I/O, durable by default.
#[derive(Debug, Parser)]
#[command(name = "ringlog", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the binary can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a broker.
    Start(ConfigFlags),
    /// Start a cluster on this machine, to try it; Ctrl-C stops all its nodes.
    Cluster(ClusterFlags),
    /// Tell where a running broker's time goes: its stages, and its slowest requests.
    Slow(ConfigFlags),
    /// Print a running broker's counters, as Prometheus reads them.
    Metrics(ConfigFlags),
    /// Look at a consumer group of a running broker.
    Group {
        /// What to look at.
        #[command(subcommand)]
        command: GroupCommand,
    },
    /// Look at the configuration.
    Config {
        /// What to do with it.
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

/// What a cluster on this machine looks like.
#[derive(Clone, Debug, Args)]
pub struct ClusterFlags {
    /// Brokers.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub brokers: u16,
    /// Coordinators as processes of their own; without them the brokers coordinate themselves.
    #[arg(long, value_name = "N")]
    pub coordinators: Option<u16>,
    /// Port of the first broker for clients; the others have those that follow, and peers those 1000 above.
    #[arg(long, value_name = "PORT", default_value_t = 9092)]
    pub port: u16,
    /// Keep configurations, data and logs of all nodes here.
    #[arg(long, value_name = "DIR", default_value = "./cluster")]
    pub data_dir: PathBuf,
    /// Pinned threads of each node.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub shards: u16,
    /// Set any key on all nodes.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// What can be told of a group.
#[derive(Debug, Subcommand)]
pub enum GroupCommand {
    /// Tell how far behind it is, in records and in time, and when it will have caught up.
    Lag {
        /// Its name.
        group: String,
        /// Where the broker is.
        #[command(flatten)]
        flags: ConfigFlags,
    },
    /// Tell its last rebalances: who caused each, what moved, how long consumption stopped.
    Why {
        /// Its name.
        group: String,
        /// Where the broker is.
        #[command(flatten)]
        flags: ConfigFlags,
    },
}

/// What can be done with the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print a key (or all) with its value, where that comes from, and what it does.
    Explain {
        /// The key.
        key: Option<String>,
        /// Where values come from.
        #[command(flatten)]
        flags: ConfigFlags,
    },
}

/// Where values come from. Precedence: default < profile < file < environment < flag.
#[derive(Clone, Debug, Default, Args)]
pub struct ConfigFlags {
    /// Read this TOML file.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Start from a named profile: balanced, dev, durable, latency, throughput.
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Keep all files here.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Accept clients on this address.
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// Tell clients to connect to this address.
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise: Option<String>,
    /// This broker's id.
    #[arg(long, value_name = "N")]
    pub node_id: Option<i32>,
    /// What the process does: broker, coordinator, or both.
    #[arg(long, value_name = "ROLES")]
    pub role: Option<String>,
    /// Pinned threads; 0: one per core.
    #[arg(long, value_name = "N")]
    pub shards: Option<u16>,
    /// Set any key.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}
