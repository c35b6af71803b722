//! Ids and epochs as types of their own, so that two bare integers can't be swapped at a call.

use std::fmt;
use std::str::FromStr;

/// Position of a record in a partition's log, counted from 0.
pub type Offset = i64;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// A broker's id in the cluster (`node.id`), not negative.
    NodeId(i32)
}
id! {
    /// One pinned executor of this process, counted from 0. Never leaves the node.
    ShardId(u16)
}
id! {
    /// A partition's number within its topic, counted from 0.
    PartitionIndex(i32)
}
id! {
    /// Term of a partition's leader; rises with every election, never falls.
    LeaderEpoch(i32)
}
id! {
    /// Version of a partition's entry in the metadata; rises with every change of it, never falls. A change names the
    /// version that it is made to.
    PartitionEpoch(i32)
}
id! {
    /// Incarnation of a broker: given at its registration, rises with each. -1 means that it isn't known.
    BrokerEpoch(i64)
}
id! {
    /// Cluster-wide unique id of an idempotent or transactional producer (KIP-98); -1 means none.
    ProducerId(i64)
}
id! {
    /// Incarnation of a producer id (KIP-98); -1 means none.
    ProducerEpoch(i16)
}

impl ProducerId {
    /// "No producer": a batch that is not idempotent.
    pub const NONE: ProducerId = ProducerId(-1);
}

/// A topic's UUID (KIP-516). Stable for the topic's life; a topic created again under the same name gets another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TopicId(pub [u8; 16]);

impl TopicId {
    /// The all-zero id: "none" on the wire.
    pub const ZERO: TopicId = TopicId([0; 16]);

    /// Whether this is the all-zero id.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }
}

impl fmt::Display for TopicId {
    /// Kafka's text form: unpadded URL-safe base64 of the 16 bytes, 22 characters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let bits = u128::from_be_bytes(self.0);
        for i in 0..22u32 {
            let sextet = if i < 21 { (bits >> (122 - 6 * i)) & 63 } else { (bits << 4) & 63 };
            write!(f, "{}", char::from(ALPHABET[usize::try_from(sextet).unwrap_or(0)]))?;
        }
        Ok(())
    }
}

impl FromStr for TopicId {
    type Err = ();

    /// Reads the text form that `Display` writes.
    fn from_str(text: &str) -> Result<Self, ()> {
        let value = |c: u8| match c {
            b'A'..=b'Z' => Ok(c - b'A'),
            b'a'..=b'z' => Ok(c - b'a' + 26),
            b'0'..=b'9' => Ok(c - b'0' + 52),
            b'-' => Ok(62),
            b'_' => Ok(63),
            _ => Err(()),
        };
        let text = text.as_bytes();
        if text.len() != 22 {
            return Err(());
        }
        let mut bits: u128 = 0;
        for &c in &text[..21] {
            bits = (bits << 6) | u128::from(value(c)?);
        }
        let last = value(text[21])?;
        if last & 15 != 0 {
            return Err(());
        }
        Ok(TopicId(((bits << 2) | u128::from(last >> 4)).to_be_bytes()))
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A partition of a topic by id: the key under which a shard keeps it. Survives a rename of nothing and a re-creation
/// of the name, which is why it isn't the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's UUID.
    pub topic: TopicId,
    /// Partition number within the topic.
    pub partition: PartitionIndex,
}

impl TopicPartition {
    /// A number by which partitions are spread: those of a topic follow each other, and topics start at different ones.
    #[must_use]
    pub fn spread(self) -> u32 {
        let topic = self.topic.0.iter();
        let start = topic.fold(0u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(*byte)));
        start.wrapping_add(self.partition.0.cast_unsigned())
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

impl FromStr for TopicPartition {
    type Err = ();

    /// Reads the text form that `Display` writes, and no other: it is the name of a folder.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (topic, partition) = text.rsplit_once('-').ok_or(())?;
        let partition = PartitionIndex(partition.parse().map_err(drop)?);
        let key = TopicPartition { topic: topic.parse()?, partition };
        if partition.0 >= 0 && key.to_string() == text { Ok(key) } else { Err(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::{PartitionIndex, TopicId, TopicPartition};

    #[test]
    fn folders_of_partitions_are_told_from_others() {
        let key = TopicPartition { topic: TopicId([0xff; 16]), partition: PartitionIndex(7) };
        assert_eq!(key.to_string().parse(), Ok(key));
        for other in
            ["", "-", "_____________________w", "_____________________w-07", "_____________________w--1"]
        {
            assert_eq!(other.parse::<TopicPartition>(), Err(()), "{other}");
        }
        assert_eq!(format!("{key}.damaged").parse::<TopicPartition>(), Err(()));
    }

    #[test]
    fn topic_ids_print_as_kafka_prints_them() {
        assert_eq!(TopicId::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(TopicId([0xff; 16]).to_string(), "_____________________w");
    }

    #[test]
    fn topic_ids_round_trip() {
        for seed in 0..=255u8 {
            let id = TopicId(std::array::from_fn(|i| {
                seed.wrapping_mul(31).wrapping_add(u8::try_from(i).unwrap() * 7)
            }));
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        assert_eq!("short".parse::<TopicId>(), Err(()));
        assert_eq!("_____________________x".parse::<TopicId>(), Err(()));
    }
}
