//! Questions to a replica that change nothing. Rules: protocol rows 78 to 99.

use super::machine::Replica;
use super::rules::Rules;
use crate::base::mutant::{Mutant, planted};
use crate::base::{ErrorCode, Guard, LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use crate::log::epochs::EpochCache;
use crate::log::producers::{ProducerStates, Verdict};
use crate::replica::call::{FollowerRead, ReadOp, ReadReply};
use crate::wire::batch::BatchMeta;

/// What a read may return: from the batch that holds `from`, up to but not including `upto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadBounds {
    /// First offset wanted.
    pub from: Offset,
    /// End of what the reader may see. `from == upto`, or below it, means nothing yet.
    pub upto: Offset,
}

impl Replica {
    /// Checks the leader epoch that a client or a follower believes in (KIP-320); -1 means that it doesn't say.
    ///
    /// # Errors
    /// Fenced for an older epoch, unknown for a newer one.
    pub fn check_epoch(&self, current: LeaderEpoch) -> Result<(), ErrorCode> {
        match current {
            LeaderEpoch(-1) => Ok(()),
            _ if planted(Mutant::AnyLeaderEpoch) => Ok(()),
            older if older < self.epoch => Err(ErrorCode::FencedLeaderEpoch),
            newer if newer > self.epoch => Err(ErrorCode::UnknownLeaderEpoch),
            _ => Ok(()),
        }
    }

    /// An empty answer with this partition's bounds.
    #[must_use]
    pub fn read_reply(&self, read_committed: bool) -> ReadReply {
        ReadReply {
            high_watermark: self.high_watermark,
            last_stable_offset: self.last_stable_offset(),
            log_start_offset: self.log_start,
            aborted: read_committed.then(Vec::new),
            ..ReadReply::default()
        }
    }

    /// Decides what a read may see.
    ///
    /// # Errors
    /// The finished answer where there is nothing to read by the rules: wrong epoch, offset out of range, divergence.
    pub fn read_bounds(&self, op: &ReadOp) -> Result<ReadBounds, ReadReply> {
        self.check_epoch(op.current_leader_epoch).map_err(ReadReply::failed)?;
        match op.follower {
            // Consumers may read from a follower too (KIP-392).
            None if !self.has_leader() => return Err(ReadReply::failed(ErrorCode::NotLeaderOrFollower)),
            None => {}
            Some(FollowerRead { id, broker_epoch, .. }) => {
                self.admit(id, broker_epoch).map_err(ReadReply::failed)?;
            }
        }
        if op.last_fetched_epoch.0 >= 0 {
            match self.divergence(op.last_fetched_epoch, op.offset) {
                // An epoch that this leader never saw: there is no place where the logs part.
                Some((LeaderEpoch(-1), _)) => return Err(ReadReply::failed(ErrorCode::OffsetOutOfRange)),
                Some(_) if planted(Mutant::IgnoreDivergence) => {}
                Some(diverging) => {
                    let reply = self.read_reply(op.read_committed);
                    return Err(ReadReply { diverging: Some(diverging), ..reply });
                }
                None => {}
            }
        }
        if op.offset < self.log_start || op.offset > self.log_end {
            let reply = ReadReply::failed(ErrorCode::OffsetOutOfRange);
            // A follower begins anew where this log does.
            let log_start_offset = if op.follower.is_some() { self.log_start } else { -1 };
            return Err(ReadReply { log_start_offset, ..reply });
        }
        let upto = match op.follower {
            Some(_) => self.sealed,
            None if op.read_committed => self.last_stable_offset(),
            None => self.high_watermark,
        };
        Ok(ReadBounds { from: op.offset, upto })
    }

    /// Where a reader's log parts from this one, if it does (KIP-595's check on each fetch).
    fn divergence(&self, epoch: LeaderEpoch, offset: Offset) -> Option<(LeaderEpoch, Offset)> {
        let (known, end) = self.epochs.end_for(epoch, self.epoch, self.log_end);
        (known < epoch || end < offset).then_some((known, end))
    }

    /// Answers OffsetForLeaderEpoch: (epoch, end offset), both -1 where the epoch is unknown (row 98).
    #[must_use]
    pub fn epoch_end(&self, epoch: LeaderEpoch) -> (LeaderEpoch, Offset) {
        self.epochs.end_for(epoch, self.epoch, self.log_end)
    }

    /// First offset that is still there.
    #[must_use]
    pub fn log_start(&self) -> Offset {
        self.log_start
    }

    /// Next offset to append.
    #[must_use]
    pub fn log_end(&self) -> Offset {
        self.log_end
    }

    /// End of what consumers may see.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// End of what read_committed consumers may see: the high watermark, or below it the first record whose
    /// transaction isn't over (row 70). It never goes back: a transaction begins at the log's end.
    #[must_use]
    pub fn last_stable_offset(&self) -> Offset {
        let unstable = self.producers.transactions().first_unstable();
        let unstable = unstable.filter(|_| !planted(Mutant::ReadUncommitted));
        // DeleteRecords may have deleted the beginning of an open transaction.
        unstable.map_or(self.high_watermark, |first| self.high_watermark.min(first.max(self.log_start)))
    }

    /// Aborted transactions with records from `from` on and below `upto`: producer and first record, which may lie
    /// below `from` (row 71).
    #[must_use]
    pub fn aborted(&self, from: Offset, upto: Offset) -> Vec<(i64, Offset)> {
        let aborted = self.producers.transactions().aborted(from, upto);
        aborted.map(|aborted| (aborted.producer_id.0, aborted.first_offset)).collect()
    }

    /// What has to be unchanged when a transaction of this producer begins here; `None` if it has.
    #[must_use]
    pub fn guard(&self, id: ProducerId, epoch: ProducerEpoch) -> Option<Guard> {
        (!self.producers.is_open(id, epoch)).then(|| self.producers.guard(id))
    }

    /// Whether a group's coordinator may write for a producer's transaction now.
    ///
    /// # Errors
    /// The producer was fenced, or the transaction isn't open.
    pub fn check_group_batch(
        &self,
        id: ProducerId,
        epoch: ProducerEpoch,
        guard: Option<Guard>,
    ) -> Result<(), ErrorCode> {
        self.producers.check_epoch(id, epoch)?;
        match self.guard(id, epoch) {
            now @ Some(_) if now != guard => Err(ErrorCode::InvalidTxnState),
            _ => Ok(()),
        }
    }

    /// Whether a batch would begin a transaction here that its coordinator has to vouch for, and what must not change
    /// until it has.
    #[must_use]
    pub fn needs_voucher(&self, meta: &BatchMeta) -> Option<Guard> {
        let begins =
            meta.is_transactional() && !self.producers.is_open(meta.producer_id, meta.producer_epoch);
        // What is refused or answered anyway needs no vouching.
        let begins = begins && self.producers.check(meta) == Verdict::Append;
        begins.then(|| self.producers.guard(meta.producer_id))
    }

    /// The leader's epoch that it knows of.
    #[must_use]
    pub fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    /// End of what survives a loss of power.
    #[must_use]
    pub fn durable(&self) -> Offset {
        self.durable
    }

    /// The settings in force.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Producers and their transactions.
    #[must_use]
    pub fn producers(&self) -> &ProducerStates {
        &self.producers
    }

    /// Leader epochs, for snapshots.
    #[must_use]
    pub fn epochs(&self) -> &EpochCache {
        &self.epochs
    }
}
