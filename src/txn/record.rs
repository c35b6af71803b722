//! Records of `__transaction_state` in Kafka's formats: two bytes of version, then a message of that schema.

use super::state::Txn;
use crate::wire::generated::{TransactionLogKey, TransactionLogValue};
use crate::wire::{Decode, DecodeError, Encode, Reader, Str, Writer};
use bytes::Bytes;

/// A record to append: its key, and its value or `None` for a tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnRecord {
    /// The transactional id that it is about.
    pub key: Bytes,
    /// What holds now; `None`: nothing.
    pub value: Option<Bytes>,
}

/// Versions that are written: Kafka 4's where transaction.version is 1 or more.
const KEY_VERSION: i16 = 0;
const VALUE_VERSION: i16 = 1;

fn written(version: i16, message: &impl Encode) -> Bytes {
    let mut writer = Writer::new();
    writer.i16(version);
    message.encode(&mut writer, version).expect("the version has every field that is set");
    writer.into_pieces().concat().into()
}

fn key(id: &Str) -> Bytes {
    written(KEY_VERSION, &TransactionLogKey { transactional_id: id.clone() })
}

/// What holds of a transactional id.
pub(super) fn state(txn: &Txn) -> TxnRecord {
    TxnRecord { key: key(&txn.id), value: Some(written(VALUE_VERSION, &txn.value())) }
}

/// The end of a transactional id.
pub(super) fn tombstone(id: &Str) -> TxnRecord {
    TxnRecord { key: key(id), value: None }
}

/// Reads a record back: the transactional id and what holds of it. `None` for a key of a version to come.
///
/// # Errors
/// It isn't what its versions say.
pub(super) fn replayed(
    key: Bytes,
    value: Option<Bytes>,
) -> Result<Option<(Str, Option<TransactionLogValue>)>, DecodeError> {
    let mut reader = Reader::new(key);
    if reader.i16()? != KEY_VERSION {
        return Ok(None);
    }
    let TransactionLogKey { transactional_id } = Decode::decode(&mut reader, KEY_VERSION)?;
    let value = match value {
        None => None,
        Some(bytes) => {
            let mut reader = Reader::new(bytes);
            let version = reader.i16()?;
            Some(TransactionLogValue::decode(&mut reader, version)?)
        }
    };
    Ok(Some((transactional_id, value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ProducerEpoch, ProducerId};
    use crate::txn::call::Protocol;
    use crate::txn::state::State;

    fn example() -> Txn {
        let mut txn = Txn::new("t".into(), ProducerId(5), 60_000);
        txn.state = State::Ongoing;
        txn.epoch = ProducerEpoch(3);
        txn.partitions = [("a".into(), 1), ("a".into(), 2), ("b".into(), 0)].into();
        (txn.started_ms, txn.updated_ms) = (7, 9);
        txn
    }

    #[test]
    fn records_have_kafkas_bytes() {
        let record = state(&example());
        assert_eq!(&record.key[..], b"\0\0\0\x01t");
        let fixed = b"\0\x01\0\0\0\0\0\0\0\x05\0\x03\0\0\xea\x60\x01";
        let partitions = b"\x03\x02a\x03\0\0\0\x01\0\0\0\x02\0\x02b\x02\0\0\0\0\0";
        let times = b"\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x07\0";
        assert_eq!(record.value.as_deref(), Some(&[&fixed[..], partitions, times].concat()[..]));
        assert_eq!(tombstone(&"t".into()).key, record.key);
    }

    #[test]
    fn what_only_version_1_has_is_tagged() {
        let mut txn = example();
        (txn.previous, txn.next, txn.protocol) = (ProducerId(4), ProducerId(6), Protocol::V2);
        let value = state(&txn).value.unwrap();
        let tags = b"\x03\0\x08\0\0\0\0\0\0\0\x04\x01\x08\0\0\0\0\0\0\0\x06\x02\x02\0\x02";
        assert!(value.ends_with(tags), "{value:?}");
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut txn = example();
        (txn.previous, txn.next, txn.protocol) = (ProducerId(4), ProducerId(6), Protocol::V2);
        for state_now in State::ALL {
            txn.state = *state_now;
            if txn.state == State::Empty {
                txn.partitions.clear();
            } else {
                txn.partitions = example().partitions;
            }
            let TxnRecord { key, value } = state(&txn);
            let (id, value) = replayed(key, value).unwrap().unwrap();
            assert_eq!(Txn::replayed(id, value.unwrap()), Some(txn.clone()));
        }
        let TxnRecord { key, value } = tombstone(&txn.id);
        assert_eq!(replayed(key, value), Ok(Some(("t".into(), None))));
        assert_eq!(replayed(Bytes::from_static(b"\0\x09zz"), None), Ok(None));
        assert!(replayed(Bytes::from_static(b"\0\0"), None).is_err());
    }
}
