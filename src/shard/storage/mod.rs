//! A partition's log on files: what `log` decides, carried out through the seam.
//!
//! Methods of `PartitionLog` are cheap and do no I/O; what needs I/O is handed out as a job or plan that owns all it
//! needs, so that no borrow of the partition is held while it runs. An error of a write or flush is final: the caller
//! takes the log directory out of service and never tries again (a second fdatasync after EIO succeeds though data is
//! lost).

mod append;
mod cache;
mod checkpoint;
mod compact;
mod cut;
mod flush;
mod prepare;
mod read;
mod recover;
mod retain;
mod rope;
mod segment;
mod timestamp;

pub use cache::TailCache;
pub use checkpoint::CheckpointJob;
pub(super) use compact::remove_unfinished;
pub use compact::{Finished, Output, Source};
pub use cut::{Cut, CutJob, CutPlan, Made};
pub use flush::{Begun, FlushJob, flush_jobs, write_jobs};
pub use prepare::{PrepareJob, Prepared};
pub use read::{ReadPlan, batches_within};
pub use recover::Recovered;
pub(super) use recover::read_whole;
pub use timestamp::{Found, TimestampPlan};

use crate::base::{Offset, TopicPartition};
use crate::log::compact::Policy;
use crate::seam::{Files, IoError};
use segment::Segment;
use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;

/// Why a log can't do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageError {
    /// A file operation failed.
    Io(IoError),
    /// Bytes that were durable are no longer what they were.
    Corrupt {
        /// The segment's file.
        path: PathBuf,
        /// Where in it.
        position: u64,
    },
    /// A file isn't what its name says.
    Foreign(PathBuf),
}

impl StorageError {
    /// Whether something that may come back is short, so that the same may be tried again.
    #[must_use]
    pub fn is_shortage(&self) -> bool {
        matches!(self, StorageError::Io(error) if error.is_shortage())
    }

    /// Whether what was durable isn't there any more.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, StorageError::Corrupt { .. })
    }
}

impl From<IoError> for StorageError {
    fn from(error: IoError) -> Self {
        StorageError::Io(error)
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StorageError::Io(error) => error.fmt(f),
            StorageError::Corrupt { path, position } => {
                write!(f, "{} is damaged at byte {position}, below what was durable", path.display())
            }
            StorageError::Foreign(path) => write!(f, "{} is no segment of this partition", path.display()),
        }
    }
}

/// The settings of one partition's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConf {
    /// Size at which a segment is closed.
    pub segment_bytes: u64,
    /// Age at which a segment is closed.
    pub segment_ms: i64,
    /// Keep records younger than this; `None`: for ever.
    pub retention_ms: Option<i64>,
    /// Keep this many bytes; `None`: no bound.
    pub retention_bytes: Option<u64>,
    /// Keep each key's last record only; `None`: keep all.
    pub compaction: Option<Policy>,
}

/// One partition's log. Lives on the shard that owns the partition.
pub struct PartitionLog<F: Files> {
    files: F,
    dir: PathBuf,
    key: TopicPartition,
    conf: LogConf,
    cache: TailCache,
    /// Oldest first; the last one takes appends. Never empty.
    segments: VecDeque<Segment<F>>,
    log_start: Offset,
    /// All below is durable.
    durable: Offset,
    /// Bytes appended since the last flush began.
    unflushed: usize,
    /// Bytes of flushes that were short of room, to be written by the next one.
    put_back: u64,
    /// Bytes appended that aren't durable yet.
    undurable: u64,
    /// Bytes appended that no checkpoint tells of.
    since_checkpoint: u64,
    /// The log start that the last checkpoint tells.
    checkpointed_start: Offset,
    /// Where the last checkpoint's knowledge ends.
    checkpointed_durable: Offset,
    /// Compaction's dirty point, and the one that the last checkpoint tells.
    clean: Offset,
    checkpointed_clean: Offset,
    /// Compaction is replacing files: none may be let go of.
    replacing: bool,
    /// A part of the log is being cut off: nothing else may be written or let go of.
    cutting: bool,
    /// Files that the next checkpoint makes superfluous.
    doomed: Vec<PathBuf>,
    /// Zeros are being written ahead: no flush may write there meanwhile.
    preparing: Option<prepare::Preparing>,
}

impl<F: Files> PartitionLog<F> {
    /// Bytes of all segments, as DescribeLogDirs tells them.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.segments.iter().map(Segment::batch_bytes).sum()
    }

    /// New settings.
    pub fn set_conf(&mut self, conf: LogConf) {
        self.conf = conf;
    }

    /// Records below are gone or going.
    pub fn set_log_start(&mut self, log_start: Offset) {
        self.log_start = self.log_start.max(log_start);
    }

    fn active(&mut self) -> &mut Segment<F> {
        self.segments.back_mut().expect("a log has an active segment")
    }
}

impl<F: Files> Drop for PartitionLog<F> {
    /// What was appended and no flush has taken waits no more.
    fn drop(&mut self) {
        self.cache.written(self.unflushed);
    }
}
