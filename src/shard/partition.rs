//! A partition on the shard that owns it: its machine, its log, and the bookkeeping that ties them together.

use super::storage::PartitionLog;
use crate::base::limits::TURNED_AWAY_MAX;
use crate::base::{ErrorCode, ProducerEpoch, ProducerId};
use crate::group::lag::Course;
use crate::replica::{Replica, Rules};
use crate::seam::Files;
use crate::wire::Str;
use crate::wire::batch::BatchMeta;
use std::collections::BTreeMap;

/// How long it is remembered that a producer was turned away: what it had sent behind has arrived by then, and it may
/// have given that batch up.
const TURNED_AWAY_MS: i64 = 10_000;

/// One partition of which this node has a replica.
pub(super) struct Partition<F: Files> {
    /// What decides.
    pub(super) replica: Replica,
    /// What holds the bytes.
    pub(super) log: PartitionLog<F>,
    /// The topic's name, for log lines.
    pub(super) topic: Str,
    /// A flush of it is under way or its log directory failed: see `flush`.
    pub(super) state: PartitionState,
    /// When its end was where, for whoever asks how far behind a group is.
    pub(super) course: Course,
    /// Compaction met damage in it.
    pub(super) uncompactable: bool,
    /// Producers that the log doesn't know and whose batch was turned away for the moment.
    turned_away: BTreeMap<(ProducerId, ProducerEpoch), TurnedAway>,
}

/// A batch that was turned away.
#[derive(Clone, Copy, Debug)]
struct TurnedAway {
    sequence: i32,
    why: ErrorCode,
    at_ms: i64,
}

/// Whether a partition takes requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PartitionState {
    /// It does.
    Online,
    /// What was appended last couldn't be written for want of space or descriptors. It is tried again; until then
    /// nothing more is appended, and all else goes on.
    Short,
    /// Its log directory failed, or its log is damaged: every request gets a storage error until the operator acts.
    Offline,
}

impl<F: Files> Partition<F> {
    /// A partition with what its log brought back.
    pub(super) fn new(replica: Replica, log: PartitionLog<F>, topic: Str) -> Self {
        Partition {
            replica,
            log,
            topic,
            state: PartitionState::Online,
            course: Course::default(),
            uncompactable: false,
            turned_away: BTreeMap::new(),
        }
    }

    /// New settings; they hold from the next batch on.
    pub(super) fn set_rules(&mut self, rules: Rules) {
        self.replica.set_rules(rules);
    }

    /// Why a batch is turned away although the replica may take it, if it is: there is no room, or it was sent behind
    /// one that was turned away. An unknown producer may start with any sequence number; so where its first batch was
    /// turned away for the moment, here or by the replica, those that it had sent behind are too, though all be well
    /// again: to take them would break its sequence.
    pub(super) fn turns_away(&mut self, meta: &BatchMeta, for_all: bool, now_ms: i64) -> Option<ErrorCode> {
        let short = (self.state == PartitionState::Short).then_some(ErrorCode::KafkaStorageError);
        let why = short.or_else(|| self.replica.refuses_for_now(for_all));
        if !meta.is_idempotent() || why.is_none() && self.turned_away.is_empty() {
            return short;
        }
        self.turned_away.retain(|_, away| now_ms.saturating_sub(away.at_ms) < TURNED_AWAY_MS);
        if self.replica.producers().knows(meta.producer_id) {
            return short;
        }
        let (producer, sequence) = ((meta.producer_id, meta.producer_epoch), meta.base_sequence);
        match (self.turned_away.get(&producer), why) {
            (Some(away), _) if away.sequence != sequence => Some(away.why),
            (_, Some(why)) => {
                if self.turned_away.len() < TURNED_AWAY_MAX {
                    self.turned_away.insert(producer, TurnedAway { sequence, why, at_ms: now_ms });
                }
                short
            }
            (_, None) => {
                self.turned_away.remove(&producer);
                None
            }
        }
    }
}
