//! What a leader checks of transactions: batches that belong to one, and the markers that end them. Rules: protocol
//! rows 65 to 77.

use super::{Append, Replica};
use crate::base::mutant::{Mutant, planted};
use crate::base::{ErrorCode, Guard};
use crate::log::producers::Verdict;
use crate::replica::rules::Refusal;
use crate::wire::batch::{BatchMeta, EndMarker};

/// Where a batch comes from, and what its transaction's coordinator says to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A client; if it begins a transaction here, nobody vouches for that.
    Client,
    /// A client whose transaction's coordinator knows of this partition.
    Vouched {
        /// The producer's last marker when the coordinator was asked.
        guard: Guard,
        /// The client leaves it to the broker to add partitions (KIP-890): its epoch rises with every transaction, so
        /// its first batch here has sequence 0.
        implicit: bool,
    },
    /// The coordinator of the groups of this partition, for a transaction whose coordinator knows of it. Its batches
    /// have no sequence.
    Group {
        /// As above; `None` if the transaction was open then.
        guard: Option<Guard>,
    },
}

impl Replica {
    pub(super) fn verdict(&self, meta: &BatchMeta, source: Source) -> Verdict {
        match source {
            Source::Client | Source::Vouched { .. } => self.producers.check(meta),
            Source::Group { .. } => {
                let checked = self.producers.check_epoch(meta.producer_id, meta.producer_epoch);
                checked.map_or_else(Verdict::Refuse, |()| Verdict::Append)
            }
        }
    }

    /// Whether a batch may belong to the transaction that it says it belongs to. One that begins it here needs the word
    /// of the transaction's coordinator, and no marker may have come since that was asked for: nobody would ever end
    /// what a late batch begins (KIP-890).
    pub(super) fn check_transaction(&self, meta: &BatchMeta, source: Source) -> Result<(), Refusal> {
        let (id, epoch) = (meta.producer_id, meta.producer_epoch);
        if !meta.is_transactional() {
            let why = "the producer has a transaction open, and the batch isn't part of it";
            let open = meta.is_idempotent() && self.producers.has_open(id);
            return if open { Err(Refusal::of(ErrorCode::InvalidTxnState, why)) } else { Ok(()) };
        }
        if self.producers.is_open(id, epoch) || planted(Mutant::LateBatches) {
            return Ok(());
        }
        let (guard, implicit) = match source {
            Source::Client => (None, false),
            Source::Vouched { guard, implicit } => (Some(guard), implicit),
            Source::Group { guard } => (guard, false),
        };
        if guard != Some(self.producers.guard(id)) {
            return Err(Refusal::of(
                ErrorCode::InvalidTxnState,
                "the partition isn't part of an open transaction",
            ));
        }
        if implicit && meta.base_sequence != 0 && self.producers.wrote_nothing(id) {
            let why = "the producer's first batch of a transaction doesn't have sequence 0";
            return Err(Refusal::of(ErrorCode::OutOfOrderSequenceNumber, why));
        }
        Ok(())
    }

    pub(super) fn accept_marker(
        &mut self,
        meta: &BatchMeta,
        marker: EndMarker,
        raised: bool,
        now_ms: i64,
    ) -> Result<Append, Refusal> {
        self.may_append(true)?;
        let (id, epoch) = (meta.producer_id, meta.producer_epoch);
        let why = "the marker comes from an old coordinator, or of an old epoch of its producer";
        let checked = self.producers.check_marker(id, epoch, marker.coordinator_epoch, raised);
        checked.map_err(|error| Refusal::of(error, why))?;
        let base_offset = self.log_end;
        self.producers.apply_marker(meta, marker, base_offset, now_ms);
        self.log_end = base_offset + 1;
        Ok(Append { base_offset, leader_epoch: self.epoch, stamp: None })
    }
}
