//! The runtime: `seam` on glommio's executors and a ring of our own. The only folder that names glommio, io_uring,
//! sockets, threads or the clock.
//!
//! `run` starts one executor per shard, each pinned to a processor, and hands its main task a `World` (clock, files,
//! network, tasks) and its end of the `Mesh`. Everything of a shard stays on its thread; what crosses are messages
//! and `Bytes`.
//!
//! | file | duty |
//! |---|---|
//! | `conf`, `start`, `run` | what it is told; what must hold before it starts; starting, waiting, ending |
//! | `world`, `drive`, `stop` | one shard's world; its turns, sleep and tick; stop requests and signals |
//! | `ring`, `timers`, `blocking`, `bell` | I/O; time; calls that may block; waking a shard from outside |
//! | `memory` | the shard's arena for direct I/O, and loans of it to readers on other shards |
//! | `files` | direct I/O; names and folders |
//! | `net` | the listener, frames in, slices out, the receive budget, timeouts |
//! | `mesh` | messages between shards, one batch and one wake per turn |
//! | `local`, `clock` | waiting inside a shard; clocks and randomness |
//! | `children` | processes that end with this one |
//! | `http`, `desk` | pages for operators, from a thread of their own; what it asks the shards |
//!
//! Rules that must not be broken:
//! - The driver's task is always ready: glommio 0.9 may park an executor although tasks are ready, and so must never
//!   park one. No task queue with `Latency::Matters`.
//! - Tasks are queued, never run at once inside their spawner, and every step of one is counted: the driver puts the
//!   shard to sleep when none was.
//! - Blocks are dropped on the shard that made them: `memory::loan` sees to it.

mod awake;
mod bell;
mod blocking;
mod children;
mod clock;
mod conf;
mod desk;
mod dir_lock;
mod drive;
mod files;
mod http;
mod local;
mod memory;
mod mesh;
mod net;
mod ring;
mod run;
mod start;
mod stop;
#[cfg(test)]
mod testing;
mod timers;
mod world;

pub use children::Children;
pub use conf::{FILE_MEMORY_BYTES, RECEIVE_BYTES_MAX, RtConf, SEND_BYTES_MAX};
pub use desk::{Clerk, Desk, desk};
pub use dir_lock::DirLock;
pub use files::{DirectBuf, DirectFile, DirectFiles, SealedDirectBuf};
pub use http::{Page, ask_page, ask_page_at, serve_pages, serve_pages_at};
pub use local::{Event, Latch};
pub use mesh::Mesh;
pub use net::{Guests, ListenError, Listeners, SocketReader, SocketStream, SocketWriter};
pub use run::run;
pub use start::StartError;
pub use stop::Stop;
pub use world::World;
