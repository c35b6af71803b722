//! Records of `__consumer_offsets` in Kafka's formats: two bytes that say what it is, then a message of that schema.

use super::consumer::{Kept, read};
use crate::wire::generated::{
    GroupMetadataKey, GroupMetadataValue, LegacyOffsetCommitKey, OffsetCommitKey, OffsetCommitValue,
};
use crate::wire::{Decode, DecodeError, Encode, Reader, Str, Writer};
use bytes::Bytes;

/// A record to append: its key, and its value or `None` for a tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRecord {
    /// What it is about.
    pub key: Bytes,
    /// What holds now; `None`: nothing.
    pub value: Option<Bytes>,
}

impl GroupRecord {
    /// Bytes that it takes in a batch, at most.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Bytes::len) + RECORD_OVERHEAD
    }
}

/// Length, attributes, deltas, lengths of key and value, count of headers, each at its longest.
const RECORD_OVERHEAD: usize = 32;

/// What a key says a record is (the schemas' `apiKey`).
const LEGACY_OFFSET: i16 = 0;
const OFFSET: i16 = 1;
const GROUP: i16 = 2;

/// Versions in which values are written: Kafka 4's.
const OFFSET_VALUE_VERSION: i16 = 4;
/// The only one that says when an offset expires, for clients that still ask for that.
const EXPIRING_OFFSET_VALUE_VERSION: i16 = 1;
const GROUP_VALUE_VERSION: i16 = 3;

/// A record that was read back.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Replayed {
    /// An offset, or its end.
    Offset { group: Str, topic: Str, partition: i32, value: Option<OffsetCommitValue> },
    /// A group of the classic protocol, or its end.
    Group { group: Str, value: Option<GroupMetadataValue> },
    /// Something of a group of the consumer protocol.
    Consumer(Kept),
    /// Something that this version doesn't keep.
    Other,
}

/// Writes a version and a message.
pub(super) fn written(kind: i16, message: &impl Encode, version: i16) -> Bytes {
    let mut writer = Writer::new();
    writer.i16(kind);
    message.encode(&mut writer, version).expect("the version has every field that is set");
    writer.into_pieces().concat().into()
}

fn offset_key(group: &Str, topic: &Str, partition: i32) -> Bytes {
    let key = OffsetCommitKey { group: group.clone(), topic: topic.clone(), partition };
    written(OFFSET, &key, 0)
}

/// An offset.
pub(super) fn offset(group: &Str, topic: &Str, partition: i32, value: &OffsetCommitValue) -> GroupRecord {
    let version =
        if value.expire_timestamp == -1 { OFFSET_VALUE_VERSION } else { EXPIRING_OFFSET_VALUE_VERSION };
    let value = written(version, value, version);
    GroupRecord { key: offset_key(group, topic, partition), value: Some(value) }
}

/// The end of an offset.
pub(super) fn offset_tombstone(group: &Str, topic: &Str, partition: i32) -> GroupRecord {
    GroupRecord { key: offset_key(group, topic, partition), value: None }
}

fn group_key(group: &Str) -> Bytes {
    written(GROUP, &GroupMetadataKey { group: group.clone() }, 0)
}

/// A group.
pub(super) fn group(group: &Str, value: &GroupMetadataValue) -> GroupRecord {
    let value = written(GROUP_VALUE_VERSION, value, GROUP_VALUE_VERSION);
    GroupRecord { key: group_key(group), value: Some(value) }
}

/// The end of a group.
pub(super) fn group_tombstone(group: &Str) -> GroupRecord {
    GroupRecord { key: group_key(group), value: None }
}

/// Reads a value in the version that it says it has.
pub(super) fn value<T: Decode>(value: Option<Bytes>) -> Result<Option<T>, DecodeError> {
    let Some(bytes) = value else { return Ok(None) };
    let mut reader = Reader::new(bytes);
    let version = reader.i16()?;
    T::decode(&mut reader, version).map(Some)
}

/// Reads a record back.
///
/// # Errors
/// It isn't what its key says.
pub(super) fn replayed(key: Bytes, bytes: Option<Bytes>) -> Result<Replayed, DecodeError> {
    let mut reader = Reader::new(key);
    Ok(match reader.i16()? {
        LEGACY_OFFSET => {
            let LegacyOffsetCommitKey { group, topic, partition } = Decode::decode(&mut reader, 0)?;
            Replayed::Offset { group, topic, partition, value: value(bytes)? }
        }
        OFFSET => {
            let OffsetCommitKey { group, topic, partition } = Decode::decode(&mut reader, 0)?;
            Replayed::Offset { group, topic, partition, value: value(bytes)? }
        }
        GROUP => {
            let GroupMetadataKey { group } = Decode::decode(&mut reader, 0)?;
            Replayed::Group { group, value: value(bytes)? }
        }
        kind => read(kind, &mut reader, bytes)?.map_or(Replayed::Other, Replayed::Consumer),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_kafkas_bytes() {
        let value = OffsetCommitValue {
            offset: 5,
            leader_epoch: 1,
            metadata: "m".into(),
            commit_timestamp: 9,
            ..Default::default()
        };
        let record = offset(&"g".into(), &"t".into(), 2, &value);
        assert_eq!(&record.key[..], b"\0\x01\0\x01g\0\x01t\0\0\0\x02");
        assert_eq!(
            record.value.as_deref(),
            Some(&b"\0\x04\0\0\0\0\0\0\0\x05\0\0\0\x01\x02m\0\0\0\0\0\0\0\x09\0"[..])
        );
        let expiring = OffsetCommitValue { expire_timestamp: 10, ..value };
        assert_eq!(
            offset(&"g".into(), &"t".into(), 2, &expiring).value.as_deref(),
            Some(&b"\0\x01\0\0\0\0\0\0\0\x05\0\x01m\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x0a"[..])
        );
        assert_eq!(group_tombstone(&"g".into()).key, &b"\0\x02\0\x01g"[..]);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let value = OffsetCommitValue { offset: 7, metadata: "".into(), ..Default::default() };
        let GroupRecord { key, value: bytes } = offset(&"g".into(), &"t".into(), 3, &value);
        let read = replayed(key, bytes).unwrap();
        let expected =
            Replayed::Offset { group: "g".into(), topic: "t".into(), partition: 3, value: Some(value) };
        assert_eq!(read, expected);
        let GroupRecord { key, value: bytes } = group_tombstone(&"g".into());
        assert_eq!(replayed(key, bytes), Ok(Replayed::Group { group: "g".into(), value: None }));
        assert_eq!(replayed(Bytes::from_static(b"\0\x09zz"), None), Ok(Replayed::Other));
        assert!(replayed(Bytes::from_static(b"\0\x01"), None).is_err());
    }
}
