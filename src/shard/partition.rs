//! A partition on the shard that owns it: its machine, its log, and the bookkeeping that ties them together.

use super::storage::PartitionLog;
use crate::replica::{Leader, Rules};
use crate::seam::Files;
use crate::wire::Str;

/// One partition that this shard leads.
pub(super) struct Partition<F: Files> {
    /// What decides.
    pub(super) leader: Leader,
    /// What holds the bytes.
    pub(super) log: PartitionLog<F>,
    /// The topic's name, for log lines.
    pub(super) topic: Str,
    /// A flush of it is under way or its log directory failed: see `flush`.
    pub(super) state: PartitionState,
    /// Compaction met damage in it.
    pub(super) uncompactable: bool,
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
    /// A partition that leads from what its log brought back.
    pub(super) fn new(leader: Leader, log: PartitionLog<F>, topic: Str) -> Self {
        Partition { leader, log, topic, state: PartitionState::Online, uncompactable: false }
    }

    /// New settings; they hold from the next batch on.
    pub(super) fn set_rules(&mut self, rules: Rules) {
        self.leader.set_rules(rules);
    }
}
