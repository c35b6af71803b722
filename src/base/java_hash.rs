//! Java's hash of a string, by which Kafka shares groups and transactional ids out over partitions.

/// The partition of a name, of `partitions` (more than none): Kafka's `Utils.abs(name.hashCode()) % partitions`.
#[must_use]
pub fn partition_for(name: &str, partitions: i32) -> i32 {
    // `abs` of the one number that has no positive counterpart is 0 in Kafka.
    java_hash(name).checked_abs().unwrap_or(0) % partitions.max(1)
}

/// `String.hashCode()` of Java: over UTF-16 units, wrapping.
fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

#[cfg(test)]
mod tests {
    use super::{java_hash, partition_for};

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
    fn every_name_has_a_partition() {
        assert_eq!(partition_for("polygenelubricants", 50), 0);
        for name in ["", "a", "group", "console-consumer-12345", "😀"] {
            assert!((0..50).contains(&partition_for(name, 50)), "{name}");
        }
    }
}
