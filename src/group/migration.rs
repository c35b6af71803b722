//! What members of the classic protocol are while their group changes its protocol (KIP-848): the coordinator, which
//! otherwise hands their bytes on unread, reads what they say and writes what they get.

use crate::wire::generated::consumer_protocol_assignment::TopicPartition;
use crate::wire::generated::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
use crate::wire::{Decode, Encode, Reader, Str, Writer};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// Protocol type of all groups that can change.
pub(super) const CONSUMER: &str = "consumer";

/// Newest version of what consumers tell each other that is written here.
const ASSIGNMENT_VERSION_MAX: i16 = 3;
const SUBSCRIPTION_VERSION_MAX: i16 = 3;

/// Partitions by topic name, as members of the classic protocol know them.
pub(super) type Named = BTreeMap<Str, BTreeSet<i32>>;

/// What a member of the classic protocol brings along, and a member of a consumer group keeps of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClassicSide {
    pub(super) session_timeout_ms: i32,
    /// Protocols that it knows, the best first, each with its subscription.
    pub(super) protocols: Vec<(Str, Bytes)>,
}

/// A member on its way from one kind of group into the other.
#[derive(Clone, Debug)]
pub(super) struct Migrant {
    pub(super) id: Str,
    pub(super) instance: Option<Str>,
    pub(super) client_id: Str,
    pub(super) client_host: Str,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) side: ClassicSide,
    /// What it has.
    pub(super) owned: Named,
}

/// A version as it stands in front of what consumers tell each other.
fn version_of(bytes: &Bytes) -> Option<i16> {
    Reader::new(bytes.clone()).i16().ok().filter(|version| *version >= 0)
}

/// Reads a subscription; a version from the future reads like the newest known one.
pub(super) fn subscription(bytes: &Bytes) -> Option<ConsumerProtocolSubscription> {
    let mut reader = Reader::new(bytes.clone());
    let version = reader.i16().ok().filter(|version| *version >= 0)?;
    ConsumerProtocolSubscription::decode(&mut reader, version.min(SUBSCRIPTION_VERSION_MAX)).ok()
}

/// The topics of a subscription. All versions begin like version 0, so what is wrong behind them doesn't matter.
pub(super) fn topics(bytes: &Bytes) -> Option<Vec<Str>> {
    let mut reader = Reader::new(bytes.clone());
    reader.i16().ok().filter(|version| *version >= 0)?;
    let subscription = ConsumerProtocolSubscription::decode(&mut reader, 0).ok()?;
    Some(subscription.topics.iter().map(Str::detached).collect())
}

/// Reads an assignment; nothing at all is one of nothing.
pub(super) fn assignment(bytes: &Bytes) -> Option<Named> {
    if bytes.is_empty() {
        return Some(Named::new());
    }
    let mut reader = Reader::new(bytes.clone());
    let version = reader.i16().ok().filter(|version| *version >= 0)?;
    let read = ConsumerProtocolAssignment::decode(&mut reader, version.min(ASSIGNMENT_VERSION_MAX)).ok()?;
    let mut named = Named::new();
    for own in read.assigned_partitions {
        named.entry(own.topic.detached()).or_default().extend(own.partitions);
    }
    Some(named)
}

/// Writes an assignment in the version that its reader's subscription has.
pub(super) fn assignment_bytes(named: &Named, subscription: &Bytes) -> Bytes {
    let version = version_of(subscription).unwrap_or(0).min(ASSIGNMENT_VERSION_MAX);
    let own = |(topic, partitions): (&Str, &BTreeSet<i32>)| TopicPartition {
        topic: topic.clone(),
        partitions: partitions.iter().copied().collect(),
    };
    let message =
        ConsumerProtocolAssignment { assigned_partitions: named.iter().map(own).collect(), user_data: None };
    let mut writer = Writer::new();
    writer.i16(version);
    message.encode(&mut writer, version).expect("every version has every field that is set");
    writer.into_pieces().concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_are_written_in_the_readers_version_and_read_back() {
        let named = Named::from([("t".into(), BTreeSet::from([0, 2])), ("u".into(), BTreeSet::from([1]))]);
        for version in 0..=5i16 {
            let subscription = Bytes::copy_from_slice(&version.to_be_bytes());
            let bytes = assignment_bytes(&named, &subscription);
            assert_eq!(version_of(&bytes), Some(version.min(ASSIGNMENT_VERSION_MAX)));
            assert_eq!(assignment(&bytes), Some(named.clone()));
        }
        assert_eq!(assignment(&Bytes::new()), Some(Named::new()));
        assert_eq!(assignment(&Bytes::from_static(b"\0\0\x7f")), None);
        assert!(subscription(&Bytes::from_static(b"\xff\xff")).is_none());
    }
}
