//! One shard's view of its machine.

use super::{Files, NetError, Stream};
use std::future::Future;
use std::time::Duration;

/// What one shard may ask of the machine. Cheap to clone; every clone is the same shard's.
pub trait World: Clone + 'static {
    /// Files of this shard's log directory.
    type Files: Files;
    /// Connections: those that were accepted, and those that were opened.
    type Stream: Stream;

    /// Time since an arbitrary start; never goes back. For timeouts and latencies.
    fn mono(&self) -> Duration;

    /// About what `mono` says, at next to no cost: when the shard's turn under way began. For what is measured often.
    fn turn(&self) -> Duration {
        self.mono()
    }

    /// Milliseconds since 1970-01-01 UTC; may jump. For record timestamps and retention only.
    fn wall_ms(&self) -> i64;

    /// 64 random bits: ids and jitter, not secrets.
    fn random(&self) -> u64;

    /// The files.
    fn files(&self) -> &Self::Files;

    /// Connects to HOST:PORT, in at most `patience`. Looking up a name holds up nobody else.
    ///
    /// # Errors
    /// `Unreachable`.
    fn connect(
        &self,
        address: &str,
        patience: Duration,
    ) -> impl Future<Output = Result<Self::Stream, NetError>>;

    /// Runs a task on this shard until it ends. A panic in it ends the process.
    fn spawn(&self, task: impl Future<Output = ()> + 'static);

    /// Completes after at least `duration`.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static;

    /// Lets other ready tasks of this shard run. A loop that may always find work must call it.
    fn yield_now(&self) -> impl Future<Output = ()> + 'static;

    /// Someone waits for memory that peers hold who don't take what is sent to them: those are ended sooner for a
    /// while.
    fn press_peers(&self);
}
