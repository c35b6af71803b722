//! Which partition of `__consumer_offsets` a group's coordinator has (row 112).

/// Name of the topic that keeps groups and offsets.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// The partition of this group, of `partitions` (more than none): Kafka's `Utils.abs(id.hashCode()) % partitions`.
#[must_use]
pub fn partition_of(group: &str, partitions: i32) -> i32 {
    // `abs` of the one number that has no positive counterpart is 0 in Kafka.
    java_hash(group).checked_abs().unwrap_or(0) % partitions.max(1)
}

/// `String.hashCode()` of Java: over UTF-16 units, wrapping.
fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

#[cfg(test)]
mod tests {
    use super::{java_hash, partition_of};

    #[test]
    fn hashes_are_javas() {
        assert_eq!(java_hash(""), 0);
        assert_eq!(java_hash("a"), 97);
        assert_eq!(java_hash("my-group"), -1_906_497_762);
        assert_eq!(java_hash("console-consumer-12345"), 158_455_506);
        assert_eq!(java_hash("polygenelubricants"), i32::MIN);
        assert_eq!(java_hash("ä€😀"), 16_603_051);
    }

    #[test]
    fn every_group_has_a_partition() {
        assert_eq!(partition_of("polygenelubricants", 50), 0);
        for group in ["", "a", "group", "console-consumer-12345", "😀"] {
            assert!((0..50).contains(&partition_of(group, 50)), "{group}");
        }
    }
}
