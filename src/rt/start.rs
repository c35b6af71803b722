//! What must hold before the shards start, checked with an error that says what to change.
#![expect(clippy::disallowed_methods, reason = "the data folder is probed before any shard runs")]
#![expect(
    unsafe_code,
    reason = "rlimits, statfs, statx and the thread's CPU set have no safe wrapper in std"
)]

use super::clock::Clock;
use super::conf::RtConf;
use super::memory::Grounds;
use super::net::Bounds;
use super::stop::Stop;
use crate::base::limits::BLOCK_BYTES;
use crate::metrics::Registry;
use crate::seam::FlushScope;
use std::ffi::CString;
use std::fmt;
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What glommio asks for at least.
const MEMLOCK_BYTES_MIN: u64 = 512 * 1024;

/// Locked memory for each shard from which on its own ring is large: glommio's three rings and their registered memory
/// take 250 KiB.
const MEMLOCK_BYTES_ROOMY: u64 = 512 * 1024;

/// Descriptors that a shard takes for itself, connections and files apart.
const DESCRIPTORS_PER_SHARD: u64 = 16;

/// What to do when rings don't fit.
const NO_RING_MEMORY: &str = "there is no memory for io_uring's rings, which count as locked memory; raise the limit \
    with `ulimit -l` or LimitMEMLOCK= (512 KiB for each shard suffice), or start fewer shards (`--shards`)";

/// Why the runtime can't start.
#[derive(Debug)]
pub enum StartError {
    /// The data folder can't be made or written.
    DataDir {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        error: io::Error,
    },
    /// Its file system has no direct I/O.
    NoDirectIo(PathBuf),
    /// Its direct I/O wants larger blocks than ours.
    Alignment {
        /// The folder.
        path: PathBuf,
        /// Bytes it wants.
        bytes: u32,
    },
    /// The limit on locked memory is too low for io_uring.
    Memlock {
        /// The limit in bytes.
        limit: u64,
    },
    /// The limit on open files is too low for this many shards.
    Descriptors {
        /// The limit.
        limit: u64,
        /// What the shards alone need.
        needed: u64,
    },
    /// A shard's ring couldn't be made.
    Ring(io::Error),
    /// A shard's thread couldn't be made.
    Shard(String),
    /// A shard's thread panicked.
    Panicked,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::DataDir { path, error } => {
                write!(f, "can't use the data folder {}: {error}", path.display())
            }
            StartError::NoDirectIo(path) => write!(
                f,
                "the file system of the data folder {} refuses direct I/O (O_DIRECT); \
                 use ext4, XFS or another that supports it",
                path.display()
            ),
            StartError::Alignment { path, bytes } => write!(
                f,
                "direct I/O on the data folder {} needs blocks of {bytes} bytes; at most {BLOCK_BYTES} are supported",
                path.display()
            ),
            StartError::Memlock { limit } => write!(
                f,
                "the limit on locked memory is {} KiB, but io_uring needs at least {} KiB; \
                 raise it with `ulimit -l` or LimitMEMLOCK=",
                limit / 1024,
                MEMLOCK_BYTES_MIN / 1024
            ),
            StartError::Descriptors { limit, needed } => write!(
                f,
                "the limit of {limit} open files is too low: the shards alone need {needed}; \
                 raise it with `ulimit -n` or LimitNOFILE="
            ),
            StartError::Ring(error) if error.raw_os_error() == Some(libc::ENOMEM) => {
                f.write_str(NO_RING_MEMORY)
            }
            StartError::Shard(reason) if reason.contains("os error 12") => f.write_str(NO_RING_MEMORY),
            StartError::Ring(error) => write!(
                f,
                "io_uring can't be used: {error}; it needs Linux 5.11, kernel.io_uring_disabled = 0 and, \
                 in a container, a seccomp profile that allows it"
            ),
            StartError::Shard(reason) => write!(f, "a shard can't start: {reason}"),
            StartError::Panicked => f.write_str("a shard panicked"),
        }
    }
}

impl std::error::Error for StartError {}

/// Checked and resolved: what every shard is made from.
#[derive(Clone)]
pub(super) struct Ready {
    pub(super) clock: Clock,
    pub(super) data_dir: PathBuf,
    pub(super) flush_scope: FlushScope,
    pub(super) file_memory_bytes: usize,
    pub(super) touch_ahead: bool,
    pub(super) net: Bounds,
    pub(super) stop: Stop,
    /// Whether there is locked memory for rings that rarely fill up.
    pub(super) roomy_rings: bool,
    pub(super) metrics: Registry,
    pub(super) grounds: Grounds,
}

/// Checks everything that can be checked before a shard runs. Raises soft limits to their hard limits.
pub(super) fn prepare(conf: &RtConf) -> Result<Ready, StartError> {
    let memlock = raise_limit(libc::RLIMIT_MEMLOCK);
    if memlock < MEMLOCK_BYTES_MIN {
        return Err(StartError::Memlock { limit: memlock });
    }
    let (limit, needed) =
        (raise_limit(libc::RLIMIT_NOFILE), u64::from(conf.shards) * DESCRIPTORS_PER_SHARD + 64);
    if limit < needed {
        return Err(StartError::Descriptors { limit, needed });
    }
    let no_files = conf.data_dir.as_os_str().is_empty();
    let data_dir = if no_files { PathBuf::new() } else { probe_data_dir(&conf.data_dir)? };
    let flush_scope = conf.flush_scope.unwrap_or_else(|| flush_scope(&data_dir));
    Ok(Ready {
        clock: Clock::start(),
        data_dir,
        flush_scope,
        file_memory_bytes: conf.file_memory_bytes,
        touch_ahead: conf.touch_ahead,
        net: Bounds {
            receive_bytes: conf.receive_bytes_max,
            receive_wait: conf.receive_wait_max,
            slow_frame: conf.slow_frame_max,
            send_stall: conf.send_stall_max,
            send_bytes: conf.send_bytes_max,
            send_pressed: conf.send_pressed_max,
            connections: conf.connections_max,
        },
        stop: conf.stop.clone(),
        roomy_rings: memlock / u64::from(conf.shards) >= MEMLOCK_BYTES_ROOMY,
        metrics: conf.metrics.clone().unwrap_or_else(|| Registry::new(conf.shards)),
        grounds: Grounds::new(conf.shards),
    })
}

/// The processors that this process may use, in order.
pub(super) fn processors() -> Vec<usize> {
    let mut set = MaybeUninit::<libc::cpu_set_t>::zeroed();
    // SAFETY: the call fills a set of the size it is told; all zero is a valid set as well.
    let set = unsafe {
        libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), set.as_mut_ptr());
        set.assume_init()
    };
    let count = usize::try_from(libc::CPU_SETSIZE).unwrap_or(0);
    // SAFETY: `processor` is below CPU_SETSIZE.
    (0..count).filter(|&processor| unsafe { libc::CPU_ISSET(processor, &set) }).collect()
}

/// Open files that this process may have.
pub(super) fn descriptors() -> u64 {
    raise_limit(libc::RLIMIT_NOFILE)
}

/// Raises a soft limit to the hard one and returns what holds then.
fn raise_limit(resource: libc::__rlimit_resource_t) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls get a structure of the right type.
    unsafe {
        if libc::getrlimit(resource, &raw mut limit) != 0 {
            return u64::MAX;
        }
        let raised = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
        if limit.rlim_cur < limit.rlim_max && libc::setrlimit(resource, &raw const raised) == 0 {
            return limit.rlim_max;
        }
    }
    limit.rlim_cur
}

/// Makes the folder and tries direct I/O in it. Returns its absolute path.
fn probe_data_dir(path: &Path) -> Result<PathBuf, StartError> {
    let failed = |error| StartError::DataDir { path: path.to_owned(), error };
    fs::create_dir_all(path).map_err(failed)?;
    let path = path.canonicalize().map_err(failed)?;
    let probe = path.join(format!(".direct-io-probe-{}", std::process::id()));
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true).custom_flags(libc::O_DIRECT).mode(0o600);
    let opened = options.open(&probe);
    let alignment = opened.as_ref().ok().and_then(|file| direct_io_alignment(file.as_raw_fd()));
    // O_CREAT may have made the file although O_DIRECT was refused.
    let _ = fs::remove_file(&probe);
    match opened {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Err(StartError::NoDirectIo(path)),
        Err(error) => Err(StartError::DataDir { path, error }),
        Ok(_) => match alignment {
            Some(0) => Err(StartError::NoDirectIo(path)),
            Some(bytes) if bytes as usize > BLOCK_BYTES => Err(StartError::Alignment { path, bytes }),
            _ => Ok(path),
        },
    }
}

/// The larger of the memory and offset alignments that direct I/O needs (statx, STATX_DIOALIGN); `None` where the
/// file system doesn't say.
fn direct_io_alignment(fd: libc::c_int) -> Option<u32> {
    let mut stat = MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: the path is an empty terminated string, which AT_EMPTY_PATH allows, and `stat` is memory of the
    // right type.
    let result = unsafe {
        libc::statx(fd, c"".as_ptr(), libc::AT_EMPTY_PATH, libc::STATX_DIOALIGN, stat.as_mut_ptr())
    };
    // SAFETY: the call filled it or left it zero, which is valid.
    let stat = unsafe { stat.assume_init() };
    let told = result == 0 && stat.stx_mask & libc::STATX_DIOALIGN != 0;
    told.then(|| match (stat.stx_dio_mem_align, stat.stx_dio_offset_align) {
        (0, _) | (_, 0) => 0,
        (memory, offset) => memory.max(offset),
    })
}

/// What one flush covers, by the kind of file system: measured for ext4 and XFS, cautious elsewhere.
fn flush_scope(path: &Path) -> FlushScope {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return FlushScope::File };
    let mut stat = MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: a terminated string and memory of the right type, which stays zero, and valid, if the call fails.
    let stat = unsafe {
        libc::statfs(path.as_ptr(), stat.as_mut_ptr());
        stat.assume_init()
    };
    if stat.f_type == libc::EXT4_SUPER_MAGIC || stat.f_type == libc::XFS_SUPER_MAGIC {
        FlushScope::Device
    } else {
        FlushScope::File
    }
}
