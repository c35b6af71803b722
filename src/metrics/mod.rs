//! What a broker counts. A shard counts for itself, without locks; any thread may read all of it at any time.
//!
//! | file | duty |
//! |---|---|
//! | `counter` | numbers that one shard changes and anyone reads |
//! | `table` | metrics by name |
//! | `runtime`, `shard` | the tables: of a shard's runtime, and of what it does for clients |
//! | `export` | all tables as text for Prometheus |

mod counter;
mod export;
mod runtime;
mod shard;
mod table;

pub use counter::{Counter, Gauge};
pub use export::{CONTENT_TYPE, Registry, ShardTables};
pub use runtime::{RuntimeMetrics, RuntimeSnapshot};
pub use shard::{Refusal, ShardMetrics, ShardSnapshot};
pub use table::{Kind, Metric};
