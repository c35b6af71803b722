//! What the operator decides about groups.

pub use crate::base::Now;

/// `group.consumer.migration.policy`: which way groups may change their protocol while they have members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Migration {
    /// None.
    Disabled,
    /// From classic to consumer.
    Upgrade,
    /// From consumer to classic.
    Downgrade,
    /// Both.
    #[default]
    Bidirectional,
}

impl Migration {
    /// The policy of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Some(match name {
            "disabled" => Migration::Disabled,
            "upgrade" => Migration::Upgrade,
            "downgrade" => Migration::Downgrade,
            "bidirectional" => Migration::Bidirectional,
            _ => return None,
        })
    }

    pub(super) fn upgrades(self) -> bool {
        matches!(self, Migration::Upgrade | Migration::Bidirectional)
    }

    pub(super) fn downgrades(self) -> bool {
        matches!(self, Migration::Downgrade | Migration::Bidirectional)
    }
}

/// Settings of a coordinator. They hold from the next event on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `group.initial.rebalance.delay.ms`: how long an empty group waits for more members.
    pub initial_rebalance_delay_ms: u64,
    /// `group.min.session.timeout.ms`.
    pub session_timeout_min_ms: i32,
    /// `group.max.session.timeout.ms`.
    pub session_timeout_max_ms: i32,
    /// `group.max.size`: members of one group.
    pub members_max: usize,
    /// `group.consumer.session.timeout.ms`.
    pub consumer_session_ms: u64,
    /// `group.consumer.heartbeat.interval.ms`.
    pub consumer_heartbeat_ms: i32,
    /// `group.consumer.max.size`.
    pub consumer_members_max: usize,
    /// `group.consumer.migration.policy`.
    pub migration: Migration,
    /// `offset.metadata.max.bytes`: characters of the text that goes with an offset.
    pub offset_metadata_max: usize,
    /// `offsets.retention.minutes`, in ms.
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`.
    pub retention_check_ms: u64,
    /// Largest record that the partition takes.
    pub record_bytes_max: usize,
}

impl Default for Settings {
    /// Apache Kafka's defaults.
    fn default() -> Self {
        Settings {
            initial_rebalance_delay_ms: 3000,
            session_timeout_min_ms: 6000,
            session_timeout_max_ms: 1_800_000,
            members_max: usize::MAX,
            consumer_session_ms: 45_000,
            consumer_heartbeat_ms: 5000,
            consumer_members_max: usize::MAX,
            migration: Migration::Bidirectional,
            offset_metadata_max: 4096,
            offsets_retention_ms: 7 * 24 * 3_600_000,
            retention_check_ms: 600_000,
            record_bytes_max: 1_000_000,
        }
    }
}
