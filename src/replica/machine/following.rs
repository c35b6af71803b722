//! What a follower does with what its leader tells it.
//!
//! Rules: `replication-and-durability` 2.2, 8 and 9. A follower never cuts its log to its high watermark, which may be
//! old: it asks with the epoch of its last record, and the leader says where the logs part (KIP-101, KIP-279, KIP-595).

use super::{Replica, Role};
use crate::base::mutant::{Mutant, planted};
use crate::base::{LeaderEpoch, NodeId, Offset};
use crate::log::epochs::EpochCache;
use crate::log::producers::ProducerStates;
use crate::replica::event::{Append, Effects, FetchPosition};
use crate::wire::batch::{BatchMeta, EndMarker};

/// A follower's state.
#[derive(Debug, Default)]
pub(in crate::replica) struct Following {
    leader: Option<NodeId>,
    /// A part of the log is being removed, or all of it.
    cutting: bool,
}

impl Replica {
    /// Follows, from now on or still; nobody, if there is no leader.
    pub(super) fn begin_following(&mut self, leader: Option<NodeId>, out: &mut Effects) {
        let cutting = matches!(self.role, Role::Following(Following { cutting: true, .. }));
        self.role = Role::Following(Following { leader, cutting });
        if planted(Mutant::TruncateToHighWatermark) && self.high_watermark < self.log_end && leader.is_some()
        {
            self.cut_to(self.high_watermark, out);
        }
    }

    /// Whether it leads, or follows somebody.
    #[must_use]
    pub fn has_leader(&self) -> bool {
        match &self.role {
            Role::Leading(_) => true,
            Role::Following(following) => following.leader.is_some(),
        }
    }

    /// From where it goes on; `None` if it has nobody to ask, or may not now.
    #[must_use]
    pub fn fetch_position(&self) -> Option<FetchPosition> {
        let Role::Following(Following { leader: Some(leader), cutting: false }) = self.role else {
            return None;
        };
        Some(FetchPosition {
            leader,
            leader_epoch: self.epoch,
            offset: self.log_end,
            flushed: self.settled(),
            last_epoch: self.last_epoch(),
            log_start: self.log_start,
        })
    }

    /// Epoch of the last record; -1 if there is none.
    fn last_epoch(&self) -> LeaderEpoch {
        let last = (self.log_end > self.log_start).then(|| self.epochs.epoch_at(self.log_end - 1));
        last.flatten().unwrap_or(LeaderEpoch(-1))
    }

    /// Takes a batch as it is, if it follows what is here; compaction may have left nothing before it.
    pub(super) fn copy(
        &mut self,
        meta: &BatchMeta,
        marker: Option<EndMarker>,
        now_ms: i64,
        out: &mut Effects,
    ) {
        let follows = self.fetch_position().is_some()
            && meta.base_offset >= self.log_end
            && meta.last_offset_delta >= 0
            && meta.leader_epoch >= self.last_epoch()
            && meta.leader_epoch <= self.epoch;
        let Some(end) = meta.last_offset().checked_add(1).filter(|_| follows) else { return };
        let (base_offset, leader_epoch) = (meta.base_offset, meta.leader_epoch);
        self.epochs.assign(leader_epoch, base_offset);
        match marker {
            Some(marker) => self.producers.apply_marker(meta, marker, base_offset, now_ms),
            None => self.producers.apply(meta, base_offset, now_ms),
        }
        self.log_end = end;
        out.append = Some(Append { base_offset, leader_epoch, stamp: None });
    }

    /// Takes over how far the leader is, as far as the records are here.
    pub(super) fn follow(&mut self, high_watermark: Offset, log_start: Offset, out: &mut Effects) {
        if self.fetch_position().is_none() {
            return;
        }
        self.commit_to(high_watermark.min(self.log_end), out);
        let start = log_start.min(self.high_watermark);
        if start > self.log_start {
            self.start_at(start);
        }
        self.producers.settle(self.durable.min(self.high_watermark));
    }

    /// This log parts from the leader's: what lies behind that goes.
    pub(super) fn diverge(&mut self, epoch: LeaderEpoch, end_offset: Offset, out: &mut Effects) {
        if self.fetch_position().is_none() {
            return;
        }
        let (known, own_end) = self.epochs.end_for(epoch, self.epoch, self.log_end);
        // No epoch at all: there is nothing that both could have.
        let own_end = if known.0 < 0 { self.log_start } else { own_end };
        let end_offset = if planted(Mutant::IgnoreOwnEpochs) { end_offset } else { end_offset.min(own_end) };
        self.cut_to(end_offset.clamp(self.log_start, self.log_end), out);
    }

    fn cut_to(&mut self, to: Offset, out: &mut Effects) {
        if let Role::Following(following) = &mut self.role {
            following.cutting = true;
            out.truncate = Some(to);
        }
    }

    /// The leader's log begins behind the end of this one, or this one is empty.
    pub(super) fn fall_out(&mut self, log_start: Offset, out: &mut Effects) {
        let is_empty = self.log_start == self.log_end;
        if self.fetch_position().is_none() || !(is_empty || self.log_end < log_start) {
            return;
        }
        if let Role::Following(following) = &mut self.role {
            following.cutting = true;
            out.restart_at = Some(log_start);
        }
    }

    /// What lay beyond an offset is gone.
    pub(super) fn truncated(&mut self, to: Offset) {
        assert!(to <= self.log_end, "cut within the log");
        // The batch that has the first offset to keep may begin before it.
        self.log_start = self.log_start.min(to);
        self.producers.truncate_end(to);
        if !planted(Mutant::KeepCutEpochs) {
            self.epochs.truncate_end(to);
        }
        self.end_at(to);
        self.high_watermark = self.high_watermark.min(to);
    }

    /// Everything is gone.
    pub(super) fn restarted(&mut self, at: Offset) {
        self.producers = ProducerStates::default();
        self.epochs = EpochCache::default();
        (self.log_start, self.high_watermark) = (at, at);
        self.end_at(at);
    }

    fn end_at(&mut self, end: Offset) {
        (self.log_end, self.sealed, self.written, self.durable) = (end, end, end, end);
        if let Role::Following(following) = &mut self.role {
            following.cutting = false;
        }
    }

    /// Whether it keeps its promise for all that it has.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.settled() >= self.log_end
    }

    /// Whether the log is empty, at an offset that lies inside of this batch.
    #[must_use]
    pub fn is_empty_inside(&self, meta: &BatchMeta) -> bool {
        self.log_start == self.log_end
            && meta.base_offset < self.log_end
            && self.log_end <= meta.last_offset()
    }

    /// Producers and leader epochs as they were at an offset, for the checkpoint that goes before a cut.
    #[must_use]
    pub fn as_of(&self, offset: Offset) -> (ProducerStates, EpochCache) {
        let (mut producers, mut epochs) = (self.producers.clone(), self.epochs.clone());
        producers.truncate_end(offset);
        epochs.truncate_end(offset);
        (producers, epochs)
    }
}
