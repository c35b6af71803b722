//! What is seen of brokers, disks and the machine, from /proc and /sys. Reading stands apart from parsing.

mod machine;
mod watch;

pub use machine::Machine;
pub use watch::{Watched, Watcher};
