//! Coordinators of transactions: which producer a transactional id stands for, what its transaction has written to, and
//! how that ends (KIP-98, KIP-360, KIP-890).
//!
//! A coordinator is a pure machine over one partition of `__transaction_state`: it steps on requests, on time and on
//! the news that records are durable; it returns records to append, answers, and markers to write into the partitions
//! of transactions that are decided. Its state is what its records say, in Apache Kafka's own formats, and reading them
//! back gives the machine back.
//!
//! Invariant: an answer leaves, and a marker is ordered, only when every record appended before it is durable. So a
//! decision that anybody could have seen survives a crash, and what it decided is carried out to its end.

pub mod call;
mod coordinator;
mod record;
mod settings;
mod state;

pub use coordinator::{Coordinator, Effects, Event, MarkerOrder};
pub use record::TxnRecord;
pub use settings::Settings;

/// Name of the topic that keeps transactions.
pub const TRANSACTIONS_TOPIC: &str = "__transaction_state";
