//! What the operator decides about transactions.

/// Settings of a coordinator. They hold from the next event on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `transactional.id.expiration.ms`.
    pub id_expiration_ms: i64,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms`.
    pub expiration_check_ms: u64,
    /// Largest record that the partition takes.
    pub record_bytes_max: usize,
}

impl Default for Settings {
    /// Apache Kafka's defaults.
    fn default() -> Self {
        Settings {
            id_expiration_ms: 7 * 24 * 3_600_000,
            expiration_check_ms: 3_600_000,
            record_bytes_max: 1_000_000,
        }
    }
}
