//! Markers that end a transaction in one partition (KIP-98): control batches of one record.

use super::header::{BatchMeta, CONTROL, TRANSACTIONAL};
use super::records::{BatchBuilder, visit_records};
use crate::base::{ProducerEpoch, ProducerId};
use bytes::Bytes;

/// Types of control records that end transactions (`ControlRecordType`).
const ABORT: i16 = 0;
const COMMIT: i16 = 1;

/// How a transaction ended, as the log tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndMarker {
    /// Its records count; or they were aborted.
    pub committed: bool,
    /// Term of the coordinator that decided it.
    pub coordinator_epoch: i32,
}

impl EndMarker {
    /// The marker's batch, at offset 0.
    #[must_use]
    pub fn build(
        self,
        ProducerId(id): ProducerId,
        ProducerEpoch(epoch): ProducerEpoch,
        now_ms: i64,
    ) -> Bytes {
        let kind = if self.committed { COMMIT } else { ABORT };
        let mut key = [0; 4];
        key[2..].copy_from_slice(&kind.to_be_bytes());
        // A version and the coordinator's epoch; decoders of clients want all six bytes (row 69).
        let mut value = [0; 6];
        value[2..].copy_from_slice(&self.coordinator_epoch.to_be_bytes());
        BatchBuilder::new(super::Codec::None, now_ms)
            .producer(id, epoch, -1)
            .attributes(TRANSACTIONAL | CONTROL)
            .record(now_ms, Some(&key), Some(&value))
            .build()
    }

    /// What a whole batch says, if it is such a marker.
    #[must_use]
    pub fn read(batch: &[u8]) -> Option<EndMarker> {
        BatchMeta::read(batch).filter(BatchMeta::is_control)?;
        let mut found = None;
        visit_records(batch, |record| {
            let kind =
                record.key.and_then(|key| key.get(2..4)).map(|kind| i16::from_be_bytes([kind[0], kind[1]]));
            let committed = match kind {
                Some(ABORT) => false,
                Some(COMMIT) => true,
                _ => return,
            };
            let epoch = record.value.and_then(|value| value.get(2..6)?.try_into().ok());
            let coordinator_epoch = i32::from_be_bytes(epoch.unwrap_or([0; 4]));
            found = Some(EndMarker { committed, coordinator_epoch });
        })
        .ok()?;
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_have_kafkas_bytes_and_are_read_back() {
        for committed in [false, true] {
            let marker = EndMarker { committed, coordinator_epoch: 7 };
            let batch = marker.build(ProducerId(3), ProducerEpoch(2), 99);
            let meta = BatchMeta::read(&batch).unwrap();
            assert!(meta.is_control() && meta.is_transactional() && meta.crc_fits(&batch));
            assert_eq!((meta.producer_id, meta.producer_epoch), (ProducerId(3), ProducerEpoch(2)));
            assert_eq!((meta.base_sequence, meta.count), (-1, 1));
            // Length, attributes, deltas, key of 4 bytes, value of 6 bytes, no headers.
            let kind = u8::from(committed);
            assert_eq!(&batch[61..], &[32, 0, 0, 0, 8, 0, 0, 0, kind, 12, 0, 0, 0, 0, 0, 7, 0]);
            assert_eq!(EndMarker::read(&batch), Some(marker));
        }
    }

    #[test]
    fn other_batches_are_no_markers() {
        let builder = BatchBuilder::new(super::super::Codec::None, 1);
        let data = builder.clone().record(1, Some(&[0, 0, 0, 1]), None).build();
        assert_eq!(EndMarker::read(&data), None);
        let leader_change = builder.attributes(CONTROL).record(1, Some(&[0, 0, 0, 2]), Some(&[0; 6])).build();
        assert_eq!(EndMarker::read(&leader_change), None);
        assert_eq!(EndMarker::read(&[]), None);
    }
}
