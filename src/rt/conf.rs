//! What the runtime is told.

use super::stop::Stop;
use crate::base::limits::CONNECTIONS_PER_SHARD_MAX;
use crate::metrics::Registry;
use crate::seam::FlushScope;
use std::path::PathBuf;
use std::time::Duration;

/// Default of the receive budget: two frames of the largest size and room for others.
pub const RECEIVE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Default of the bytes that may wait to be taken before memory counts as short.
pub const SEND_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Default of the memory for files.
pub const FILE_MEMORY_BYTES: usize = 64 * 1024 * 1024;

const _: () = assert!(RECEIVE_BYTES_MAX > 2 * crate::base::limits::FRAME_BYTES_MAX);

/// How to run the shards of one process.
#[derive(Clone, Debug)]
pub struct RtConf {
    /// Shards; more than processors is allowed.
    pub shards: u16,
    /// Whether each shard is bound to one processor.
    pub pin: bool,
    /// How long a shard looks for work before it sleeps. More than zero costs CPU when idle and saves a wake when busy.
    pub spin: Duration,
    /// How long at most it looks where it has one small thing to do at a time and the next came that soon lately.
    pub spin_lone: Duration,
    /// Whether sleeps end within microseconds of their time. The kernel's default of 50 µs saves wakes; a program that
    /// sends at given times needs better.
    pub sharp_timers: bool,
    /// The folder of all files; made if it is missing. Relative paths of the seam are relative to it. Empty for a
    /// process that uses no files: nothing is made or probed then.
    pub data_dir: PathBuf,
    /// What one flush covers; found out by the kind of file system if not given.
    pub flush_scope: Option<FlushScope>,
    /// Memory of one shard for what is written to files and read from them. More is taken from the process where it
    /// doesn't suffice.
    pub file_memory_bytes: usize,
    /// Whether a thread beside each shard touches its pages before they are needed, when its processor is idle.
    pub touch_ahead: bool,
    /// Bytes of incomplete and unread frames on one shard.
    pub receive_bytes_max: usize,
    /// How long an incomplete frame waits for its share of them.
    pub receive_wait_max: Duration,
    /// How long a frame that has begun may bring less than its due.
    pub slow_frame_max: Duration,
    /// How long a peer may take nothing of what is sent to it.
    pub send_stall_max: Duration,
    /// Bytes of one shard that wait to be taken by peers. Beyond, memory is short: see `send_pressed_max`.
    pub send_bytes_max: usize,
    /// How long a peer may take less than its due of what is sent to it while memory is short.
    pub send_pressed_max: Duration,
    /// Connections of one shard.
    pub connections_max: usize,
    /// Whether SIGTERM and SIGINT ask the shards to stop.
    pub signals: bool,
    /// Asks the shards to stop.
    pub stop: Stop,
    /// Where the shards count, if someone else reads it: with tables for at least as many.
    pub metrics: Option<Registry>,
}

impl RtConf {
    /// The defaults for so many shards over a data folder.
    #[must_use]
    pub fn new(shards: u16, data_dir: impl Into<PathBuf>) -> Self {
        RtConf {
            shards,
            pin: true,
            spin: Duration::ZERO,
            spin_lone: Duration::ZERO,
            sharp_timers: false,
            data_dir: data_dir.into(),
            flush_scope: None,
            file_memory_bytes: FILE_MEMORY_BYTES,
            touch_ahead: false,
            receive_bytes_max: RECEIVE_BYTES_MAX,
            receive_wait_max: Duration::from_secs(10),
            slow_frame_max: Duration::from_secs(30),
            send_stall_max: Duration::from_secs(60),
            send_bytes_max: SEND_BYTES_MAX,
            send_pressed_max: Duration::from_secs(1),
            connections_max: CONNECTIONS_PER_SHARD_MAX,
            signals: false,
            stop: Stop::default(),
            metrics: None,
        }
    }

    /// The same for a process that uses the network only, such as the load generator.
    #[must_use]
    pub fn without_files(shards: u16) -> Self {
        RtConf { file_memory_bytes: 0, pin: false, sharp_timers: true, ..RtConf::new(shards, PathBuf::new()) }
    }
}
