//! The load generator: an open loop against any Kafka API, latencies that hide nothing, and proof of what was kept.
//!
//! | folder | owns |
//! |---|---|
//! | `arrival` | when records are due |
//! | `shape` | what records look like |
//! | `job` | what a run shall do: keys, job files, checks |
//! | `client` | a small Kafka client |
//! | `engine` | threads, producing and consuming clients, churn: the only part that waits |
//! | `measure` | histograms, intervals, warm-up, saturation |
//! | `verify` | stamps, and the ledger of what was acknowledged and what came back |
//! | `observe` | brokers, disks and the machine, from /proc |
//! | `report` | what a run found: JSON, a text, a page with pictures |
//! | `sink` | progress, interval log, percentile files |
//! | `gate` | what must hold, and JUnit |
//! | `compare` | two runs, or many of each, side by side |
//! | `cli` | the command line and what each subcommand does |

pub mod arrival;
pub mod cli;
pub mod client;
pub mod compare;
pub mod engine;
pub mod gate;
pub mod job;
pub mod measure;
pub mod observe;
pub mod report;
pub mod shape;
pub mod sink;
pub mod verify;
