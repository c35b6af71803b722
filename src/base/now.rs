//! Time, as machines are told it.

/// What time it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Now {
    /// Never goes back: for timeouts.
    pub mono_ms: u64,
    /// Wall clock, may jump: for what is kept in records.
    pub wall_ms: i64,
}
