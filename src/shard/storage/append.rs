//! Appending: one copy of each batch from the receive buffer into an aligned chunk, which is also the tail cache.

use super::PartitionLog;
use super::segment::Segment;
use crate::base::Offset;
use crate::base::limits::BATCH_HEADER_BYTES;
use crate::replica::Append;
use crate::seam::Files;
use crate::wire::batch::{BatchMeta, patch_offsets, rewrite_stamp};

impl<F: Files> PartitionLog<F> {
    /// Appends one whole batch as its leader says. Its bytes are readable once a flush has written them. Answers how
    /// many bytes it copied.
    pub fn append(&mut self, batch: &[u8], meta: &BatchMeta, how: Append, now_ms: i64) -> usize {
        assert_eq!(batch.len(), meta.bytes, "exactly one batch");
        self.roll_if_due(batch.len(), how.base_offset, now_ms);
        let mut placed = *meta;
        placed.base_offset = how.base_offset;
        placed.leader_epoch = how.leader_epoch;
        if let Some(stamp) = how.stamp {
            // The stamp lies inside the CRC: the batch is copied once more to compute it anew.
            let mut rewritten = batch.to_vec();
            rewrite_stamp(&mut rewritten, stamp);
            placed.max_timestamp = stamp.max_timestamp;
            rewritten.len() + self.place(&rewritten, &placed)
        } else {
            self.place(batch, &placed)
        }
    }

    /// Appends a batch exactly as its leader has it. Compaction may have left nothing before it: then the segment says
    /// that it has gaps, for else a restart would take it for damage.
    pub fn append_copy(&mut self, batch: &[u8], meta: &BatchMeta, now_ms: i64) -> usize {
        assert_eq!(batch.len(), meta.bytes, "exactly one batch");
        let next = self.active().next;
        self.roll_if_due(batch.len(), next, now_ms);
        let emptied = meta.count == 0;
        if (meta.base_offset > next || emptied) && !self.active().holes {
            self.begin_holes(next, now_ms);
        }
        self.place(batch, meta)
    }

    fn begin_holes(&mut self, base: Offset, now_ms: i64) {
        let cache = self.cache.clone();
        if self.active().is_empty() {
            // Its file, if it has one, has nothing but a header: it is made anew.
            self.segments.pop_back();
        } else {
            self.active().seal_open(&cache);
        }
        let fresh = Segment { holes: true, ..Segment::new(&self.dir, base, now_ms) };
        self.segments.push_back(fresh);
    }

    fn place(&mut self, batch: &[u8], placed: &BatchMeta) -> usize {
        let cache = self.cache.clone();
        let segment = self.segments.back_mut().expect("a log has an active segment");
        let follows =
            segment.next == placed.base_offset || segment.holes && segment.next < placed.base_offset;
        assert!(follows, "batches follow each other");
        segment.index.borrow_mut().push(placed, segment.end);
        let mut header = [0; BATCH_HEADER_BYTES];
        header.copy_from_slice(&batch[..BATCH_HEADER_BYTES]);
        patch_offsets(&mut header, placed.base_offset, placed.leader_epoch);
        let rest = &batch[BATCH_HEADER_BYTES..];
        let mut copied = segment.copy_in(&self.files, &cache, &header, rest.len());
        copied += segment.copy_in(&self.files, &cache, rest, 0);
        segment.next = placed.last_offset() + 1;
        cache.appended(batch.len());
        self.unflushed += batch.len();
        self.undurable += batch.len() as u64;
        self.since_checkpoint += batch.len() as u64;
        copied
    }

    /// Begins a new segment where the batch doesn't fit the active one, or that one is too old.
    fn roll_if_due(&mut self, bytes: usize, base: Offset, now_ms: i64) {
        let segment_bytes = self.conf.segment_bytes;
        // What must be compacted by then has to be in a closed segment (KIP-354).
        let max_lag_ms = self.conf.compaction.map_or(i64::MAX, |policy| policy.max_lag_ms);
        let segment_ms = self.conf.segment_ms.min(max_lag_ms);
        let active = self.active();
        let full = active.batch_bytes() + bytes as u64 > segment_bytes;
        let old = now_ms.saturating_sub(active.created_ms) > segment_ms;
        if !active.is_empty() && (full || old) {
            let cache = self.cache.clone();
            self.active().seal_open(&cache);
            let fresh = Segment::new(&self.dir, base, now_ms);
            self.segments.push_back(fresh);
        }
    }
}
