//! Which partition of `__consumer_offsets` a group's coordinator has (row 112).

/// Name of the topic that keeps groups and offsets.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// The partition of this group, of `partitions` (more than none).
#[must_use]
pub fn partition_of(group: &str, partitions: i32) -> i32 {
    crate::base::partition_for(group, partitions)
}
