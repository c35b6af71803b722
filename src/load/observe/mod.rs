//! What is seen of brokers, disks and the machine, from /proc and /sys, and of Ringlog from its own metrics. Reading
//! stands apart from parsing.

mod machine;
mod stages;
mod watch;

pub use machine::Machine;
pub use stages::{STAGE_NAMES, Spent, Stages, TOTAL, try_stages};
pub use watch::{Watched, Watcher};
