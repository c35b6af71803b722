//! The runtime: `seam` on io_uring, by glommio. The only folder that names glommio, sockets, threads or the clock.
//!
//! `run` starts one executor per shard, each pinned to a processor, and hands its main task a `World` (clock, files,
//! network, tasks) and its end of the `Mesh`. Everything of a shard stays on its thread; what crosses are messages
//! and `Bytes`.
//!
//! | file | duty |
//! |---|---|
//! | `conf`, `start`, `run` | what it is told; what must hold before it starts; starting, waiting, ending |
//! | `world`, `tick`, `stop` | one shard's world; its standing tick; stop requests and signals |
//! | `loan` | memory of one shard, read by others; the only place that makes such `Bytes` |
//! | `files` | direct I/O; names and folders on a blocking thread |
//! | `net` | listeners, frames in, slices out, the receive budget, timeouts |
//! | `mesh` | messages between shards, one batch and one wake per turn |
//! | `local`, `clock`, `counters` | waiting inside a shard; clocks and randomness; counts |
//!
//! Rules that follow from glommio 0.9 and must not be broken:
//! - No task queue with `Latency::Matters`, and a tick that always stands: an executor may sleep although tasks
//!   are ready.
//! - Tasks are queued, never run at once inside their spawner.
//! - `DmaBuffer` and `ReadResult` are dropped on the shard that made them: `loan` sees to it.
//! - A shard waits for its blocking thread before it ends.

mod clock;
mod conf;
mod counters;
mod dir_lock;
mod files;
mod loan;
mod local;
mod mesh;
mod net;
mod run;
mod start;
mod stop;
#[cfg(test)]
mod testing;
mod tick;
mod world;

pub use conf::{RECEIVE_BYTES_MAX, RtConf};
pub use counters::Stats;
pub use dir_lock::DirLock;
pub use files::{DirectBuf, DirectFile, DirectFiles, READ_BYTES_MAX, SealedDirectBuf};
pub use mesh::Mesh;
pub use net::{ListenError, Listeners, SocketReader, SocketStream, SocketWriter};
pub use run::run;
pub use start::StartError;
pub use stop::Stop;
pub use world::World;
