//! What a run found: the outcome as data (JSON), as a text for people, and as a page with pictures.
//!
//! | file | duty |
//! |---|---|
//! | `outcome` | everything that is known of a run, as it is written to JSON |
//! | `latency` | a histogram's values and its percentile curve |
//! | `summary` | the text at the end of a run |
//! | `page` | the HTML page |
//! | `cards` | the few figures at its top |
//! | `svg` | its pictures |
//! | `stages` | where a broker's own time goes, on that page |
//! | `units` | numbers as people read them |

mod cards;
mod latency;
mod outcome;
mod page;
mod stages;
mod summary;
mod svg;
mod units;

pub use latency::{LATENCIES, Latency};
pub use outcome::{
    Broker, Cluster, Exit, Flowed, Host, Moment, Outcome, OutcomeError, PhaseInput, PhaseOutcome,
    StageOutcome, Verification,
};
pub use page::{overlay_page, page};
pub use summary::{phase_text, summary};
pub use units::{bytes, count, ms, utc};
