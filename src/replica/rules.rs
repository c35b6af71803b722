//! What a topic's configuration means to its partitions' replicas.

use crate::base::mutant::{Mutant, planted};
use crate::base::{ErrorCode, Offset};
use crate::wire::batch::{Contents, Demands};

/// What an acknowledgement promises (`durability` in the broker's config).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The device flushed the record: it survives a power cut. The default.
    Durable,
    /// The write completed: it survives the end of the process, not of the machine.
    Written,
    /// The record is in this process's memory only.
    Accepted,
}

/// The checked settings that appends of one partition obey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// `max.message.bytes`: the largest batch.
    pub max_message_bytes: usize,
    /// `segment.bytes`: no batch may be larger than a segment.
    pub segment_bytes: usize,
    /// `message.timestamp.type` is LogAppendTime.
    pub append_time: bool,
    /// `message.timestamp.before.max.ms`.
    pub before_max_ms: i64,
    /// `message.timestamp.after.max.ms`.
    pub after_max_ms: i64,
    /// `cleanup.policy` contains compact: every record needs a key.
    pub compacted: bool,
    /// `cleanup.policy` is compact alone: records can't be deleted by offset.
    pub compact_only: bool,
    /// `min.insync.replicas`, for acks=all.
    pub min_insync_replicas: usize,
    /// What an acknowledgement promises.
    pub durability: Durability,
    /// `producer.id.expiration.ms`.
    pub producer_expiry_ms: i64,
    /// `replica.lag.time.max.ms`: how long a follower may lack something before it is out of sync.
    pub replica_lag_max_ms: i64,
}

/// A batch that the rules refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// What the client is told.
    pub(super) error: ErrorCode,
    /// What a person is told.
    pub(super) message: &'static str,
    /// What its records don't meet, if it is they.
    pub(super) unmet: Option<Demands>,
}

impl Refusal {
    pub(super) fn of(error: ErrorCode, message: &'static str) -> Self {
        Refusal { error, message, unmet: None }
    }
}

impl Rules {
    /// Checks a batch that is whole and valid in itself against the topic's settings.
    pub(super) fn check(&self, contents: &Contents, bytes: usize, now_ms: i64) -> Result<(), Refusal> {
        if bytes > self.max_message_bytes {
            return Err(Refusal::of(
                ErrorCode::MessageTooLarge,
                "the batch is larger than the topic's max.message.bytes",
            ));
        }
        let demands = self.demands(now_ms);
        let unmet = |error, message| Err(Refusal { error, message, unmet: Some(demands) });
        if !demands.allow_times_of(contents) {
            return unmet(
                ErrorCode::InvalidTimestamp,
                "One or more records have been rejected due to invalid timestamp",
            );
        }
        if !demands.allow_keys_of(contents) {
            return unmet(ErrorCode::InvalidRecord, "a compacted topic can't take a record without a key");
        }
        if bytes > self.segment_bytes {
            return Err(Refusal::of(
                ErrorCode::RecordListTooLarge,
                "the batch is larger than the topic's segment.bytes",
            ));
        }
        Ok(())
    }

    /// What each record must be.
    fn demands(&self, now_ms: i64) -> Demands {
        let bounds = (now_ms.saturating_sub(self.before_max_ms), now_ms.saturating_add(self.after_max_ms));
        Demands { keyed: self.compacted, within: (!self.append_time).then_some(bounds) }
    }

    /// How far acknowledgements may go, given how far the log is appended, written and durable.
    pub(super) fn settled(&self, end: Offset, written: Offset, durable: Offset) -> Offset {
        match self.durability {
            _ if planted(Mutant::AckBeforeFlush) => end,
            Durability::Durable => durable,
            Durability::Written => written,
            Durability::Accepted => end,
        }
    }

    /// How far consumers may read. Never past what is written, so that no read needs memory that is still being filled.
    pub(super) fn visible(&self, written: Offset, durable: Offset) -> Offset {
        match self.durability {
            Durability::Durable => durable,
            Durability::Written | Durability::Accepted => written,
        }
    }
}
