//! What a broker counts. A shard counts for itself, without locks; any thread may read all of it at any time.
//!
//! | file | duty |
//! |---|---|
//! | `counter` | numbers that one shard changes and anyone reads |
//! | `table` | metrics by name |
//! | `runtime`, `shard` | the tables: of a shard's runtime, and of what it does for clients |
//! | `histogram`, `stages` | times; the stages of a request's way through the broker |
//! | `flight` | the slowest requests, each with its stages |
//! | `export` | all tables as text for Prometheus |

mod counter;
mod export;
mod flight;
mod histogram;
mod runtime;
mod shard;
mod sparing;
mod stages;
mod table;

pub use counter::{Counter, Gauge};
pub use export::{CONTENT_TYPE, Pick, Registry, ShardTables};
pub use flight::{FlightRecorder, Flown};
pub use histogram::{Histogram, Times};
pub use runtime::{RuntimeMetrics, RuntimeSnapshot};
pub use shard::{Refusal, ReplicasSeen, ShardMetrics, ShardSnapshot};
pub(crate) use sparing::Sparing;
pub use stages::{Journey, STAGES, Stage, StageTimes, Stages};
pub use table::{Kind, Metric};
