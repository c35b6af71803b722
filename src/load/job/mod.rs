//! What a run shall do: one table of keys for the command line and for job files, checked into typed values.
//!
//! | file | duty |
//! |---|---|
//! | `keys` | every key with its kind, default and meaning: flags, job files and help come from it |
//! | `value` | the texts of values: sizes, times, counts, rates, distributions |
//! | `settings` | values by source, with the nearest key for a mistyped one |
//! | `load` | the typed form of one phase |
//! | `file` | job files: phases over common values |
//! | `builtin` | the jobs that come with the binary |

mod builtin;
mod file;
mod keys;
mod load;
mod settings;
mod value;

pub use builtin::{BUILTIN, BuiltinJob, builtin};
pub use file::{Job, Phase};
pub use keys::{Group, KEYS, Key, Kind, Uses};
pub use load::{Acks, Check, From, Load, Stamps, Until, Warmup};
pub use settings::Settings;
pub use value::{parse_bytes, parse_count, parse_duration};
