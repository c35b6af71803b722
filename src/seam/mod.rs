//! The world a shard may touch: clock, files, network, mesh, tasks, randomness. Traits only.
//!
//! `rt` implements them on io_uring, `sim` on a seeded executor. Everything is single-threaded (`!Send`): a shard's
//! futures never leave its core. No trait method has a default: an implementation that lacks one must say so.

mod files;
mod mesh;
mod net;
mod world;

pub use files::{File, Files, FlushScope, IoError, SealedBuf, WriteBuf};
pub use mesh::Mesh;
pub use net::{FrameReader, FrameWriter, NetError, Stream};
pub use world::World;
