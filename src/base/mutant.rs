//! Planted faults: each undoes one rule that the broker's promises rest on. A test plants one at a time and expects the
//! simulator to notice. Outside of tests nothing is ever planted, and the branches cost nothing.

/// A rule that can be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// Acknowledge and show what no flush has covered yet.
    AckBeforeFlush,
    /// Write zeros ahead from the durable extent on, over a flush that is under way.
    ZerosOverFlush,
    /// Let a flush that met zeros under way be forgotten.
    ForgetDeferredFlush,
    /// Cover files that grew by the flush of another file.
    SharedFlushOfGrownFile,
    /// Don't make a new segment's name durable.
    NamelessSegment,
    /// Leave what lies behind the last good batch as it is.
    KeepTornTail,
    /// Take for durable what recovery finds in a file.
    TrustUnflushed,
    /// Let a checkpoint tell of producers' batches that may yet be lost.
    SnapshotAhead,
    /// Forget producers at recovery.
    ForgetProducers,
    /// Read from the file what no flush has written yet.
    ReadUnwritten,
    /// Begin the next chunk without the last bytes of the one before.
    LoseCarry,
    /// Take a flush to cover what was written while it was under way.
    FlushCoversLater,
    /// Answer metadata changes before the journal is flushed.
    UnflushedJournal,
    /// Take a flush that failed for one that succeeded.
    IgnoreFlushError,
    /// Let coordinators of groups answer before the flush.
    AnswerGroupsEarly,
    /// Take a coordinator of groups into service before its log is read to the end.
    ReadGroupsInPart,
    /// Let members of an old generation commit and take shares.
    StaleGeneration,
    /// Let members of consumer groups take partitions that others haven't given up.
    TakeUnreleased,
    /// Let members of consumer groups commit what they have given up.
    LateCommits,
    /// Forget what members have when their group becomes a consumer group.
    ForgetSharesAtUpgrade,
    /// Let a checkpoint tell of no open transactions.
    ForgetOpenTransactions,
    /// Let a checkpoint tell of no aborted transactions.
    ForgetAborted,
    /// Show read_committed consumers everything below the high watermark.
    ReadUncommitted,
    /// Let a transaction that has ended be opened again by a batch that comes late: its coordinator isn't asked.
    LateBatches,
    /// Write markers before the decision that they carry survives a crash.
    MarkersFirst,
    /// Leave transactions that a restart finds decided as they are.
    ForgetDecided,
    /// Let a producer that was fenced end transactions.
    ZombiesEnd,
    /// Take offsets of a transaction for committed before it is.
    OffsetsFirst,
    /// Give a compacted segment its name before it is flushed.
    SwapBeforeFlush,
    /// Move a log's dirty point before the round of compaction is through.
    CleanBeforeRound,
    /// Let compaction remove tombstones when it first meets them.
    DropTombstonesAtOnce,
    /// Let compaction take a marker away while a batch of its transaction is left.
    DropMarkersEarly,
    /// Let compaction take aborted records for committed ones.
    KeepAborted,
    /// Let compaction take away what tells of a producer's last sequence number.
    ForgetLastSequence,
    /// Let a new follower cut its log to its high watermark (KIP-101).
    TruncateToHighWatermark,
    /// Let a follower cut its log where the leader's epoch ends, whatever epochs it has itself (KIP-279).
    IgnoreOwnEpochs,
    /// Let a leader serve followers of any leader epoch.
    AnyLeaderEpoch,
    /// Let a leader take for a part of its log what isn't.
    IgnoreDivergence,
    /// Commit what the in-sync set of the metadata has, whatever was proposed.
    CommittedIsrOnly,
    /// Let a follower be in sync that hasn't what the leader found in its log when it became one.
    JoinBeforeEpochStart,
    /// Let a follower be in sync that hasn't flushed what is committed.
    JoinUnflushed,
    /// Copy a damaged log anew without telling the coordinator, which goes on relying on what was in it.
    RelyOnDamaged,
    /// Leave the logs of partitions that have no replica here as they are.
    KeepStrays,
    /// Take for a follower what fetched in an earlier life of it (KIP-903).
    AdmitStaleBrokers,
    /// Lead because an earlier life of the node did.
    LeadFromEarlierLife,
    /// Commit though fewer are in sync than there must be.
    CommitUnderMinIsr,
    /// Take for kept what a follower hasn't flushed.
    CountUnflushed,
    /// Leave what a follower cut off in its files.
    UndurableCut,
    /// Forget leader epochs at a restart.
    ForgetEpochs,
    /// Keep leader epochs of what was cut off.
    KeepCutEpochs,
    /// Let votes leave before they survive a crash.
    UnflushedVote,
    /// Let a voter acknowledge entries before they survive a crash.
    UnflushedAppend,
    /// Let a voter forget whom it voted for when it starts.
    ForgetVote,
    /// Cut a voter's log at damage in its middle, and go on voting.
    CutDamage,
    /// Let a leader act before it knows what is committed.
    ActEarly,
    /// Let a voter start with the members that its log began with, whatever it says of others.
    ForgetMembers,
    /// Let the quorum's members change while another change isn't applied.
    OverlapChanges,
    /// Let a broker that may have lost records stay in sync or eligible.
    TrustLossyRestart,
    /// Leave who is fenced in sync.
    FencedInSync,
    /// Let who is fenced join those in sync.
    FencedJoin,
    /// Take other in-sync replicas whatever registrations they fetched under.
    AnyBrokerEpoch,
    /// Take other in-sync replicas whatever they were decided upon.
    AnyPartitionEpoch,
    /// Let who was eligible stay so while those in sync are enough to acknowledge.
    KeepEligible,
    /// Let any replica lead where nobody may.
    ElectAnyone,
    /// Let a new leader lead in the old one's term.
    KeepTerm,
}

impl Mutant {
    /// Those that the simulator must notice.
    pub const ALL: &'static [Mutant] = &[
        Mutant::AckBeforeFlush,
        Mutant::ZerosOverFlush,
        Mutant::ForgetDeferredFlush,
        Mutant::SharedFlushOfGrownFile,
        Mutant::NamelessSegment,
        Mutant::KeepTornTail,
        Mutant::TrustUnflushed,
        Mutant::SnapshotAhead,
        Mutant::ForgetProducers,
        Mutant::ReadUnwritten,
        Mutant::LoseCarry,
        Mutant::FlushCoversLater,
        Mutant::UnflushedJournal,
        Mutant::IgnoreFlushError,
        Mutant::AnswerGroupsEarly,
        Mutant::ReadGroupsInPart,
        Mutant::StaleGeneration,
        Mutant::TakeUnreleased,
        Mutant::LateCommits,
        Mutant::ForgetSharesAtUpgrade,
        Mutant::ForgetOpenTransactions,
        Mutant::ForgetAborted,
        Mutant::ReadUncommitted,
        Mutant::LateBatches,
        Mutant::MarkersFirst,
        Mutant::ForgetDecided,
        Mutant::ZombiesEnd,
        Mutant::OffsetsFirst,
        Mutant::SwapBeforeFlush,
        Mutant::CleanBeforeRound,
        Mutant::DropTombstonesAtOnce,
    ];

    /// Those of replication that the model of it must notice.
    pub const OF_REPLICATION: &'static [Mutant] = &[
        Mutant::TruncateToHighWatermark,
        Mutant::IgnoreOwnEpochs,
        Mutant::AnyLeaderEpoch,
        Mutant::IgnoreDivergence,
        Mutant::CommittedIsrOnly,
        Mutant::JoinBeforeEpochStart,
        Mutant::JoinUnflushed,
        Mutant::AdmitStaleBrokers,
        Mutant::LeadFromEarlierLife,
        Mutant::CommitUnderMinIsr,
        Mutant::CountUnflushed,
        Mutant::ForgetEpochs,
        Mutant::KeepCutEpochs,
    ];

    /// Those of elections that the exhaustive model of `cluster` must notice.
    pub const OF_ELECTIONS: &'static [Mutant] = &[
        Mutant::TrustLossyRestart,
        Mutant::FencedInSync,
        Mutant::FencedJoin,
        Mutant::AnyBrokerEpoch,
        Mutant::AnyPartitionEpoch,
        Mutant::KeepEligible,
        Mutant::ElectAnyone,
        Mutant::KeepTerm,
    ];

    /// Those that the simulator of clusters must notice.
    pub const OF_CLUSTERS: &'static [Mutant] = &[
        Mutant::AckBeforeFlush,
        Mutant::CommitUnderMinIsr,
        Mutant::CommittedIsrOnly,
        Mutant::IgnoreDivergence,
        Mutant::TruncateToHighWatermark,
        Mutant::ForgetEpochs,
        Mutant::ElectAnyone,
        Mutant::JoinBeforeEpochStart,
        Mutant::RelyOnDamaged,
        Mutant::KeepStrays,
    ];

    /// Those of compaction that its own random histories must notice, for they take transactions.
    pub const OF_COMPACTION: &'static [Mutant] = &[
        Mutant::DropTombstonesAtOnce,
        Mutant::DropMarkersEarly,
        Mutant::KeepAborted,
        Mutant::ForgetLastSequence,
    ];

    /// Those of the coordinators' quorum that its little network must notice.
    pub const OF_QUORUM: &'static [Mutant] = &[
        Mutant::UnflushedVote,
        Mutant::UnflushedAppend,
        Mutant::ForgetVote,
        Mutant::CutDamage,
        Mutant::ActEarly,
    ];

    /// Those of the quorum that take members who change.
    pub const OF_MEMBERS: &'static [Mutant] = &[Mutant::ForgetMembers, Mutant::OverlapChanges];
}

#[cfg(test)]
std::thread_local! {
    static PLANTED: std::cell::Cell<Option<Mutant>> = const { std::cell::Cell::new(None) };
}

/// Plants a fault on this thread, or none.
#[cfg(test)]
pub(crate) fn plant(mutant: Option<Mutant>) {
    PLANTED.set(mutant);
}

/// The first seed whose run fails while a fault is planted.
#[cfg(test)]
pub(crate) fn first_noticing<T>(
    mutant: Mutant,
    mut seeds: impl Iterator<Item = u64>,
    run: impl Fn(u64) -> T,
) -> Option<u64> {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    plant(Some(mutant));
    let found = seeds.find(|seed| catch_unwind(AssertUnwindSafe(|| run(*seed))).is_err());
    plant(None);
    found
}

/// Asserts that a seed is found for each fault.
#[cfg(test)]
pub(crate) fn all_noticed(mutants: &[Mutant], noticing: impl Fn(Mutant) -> Option<u64>) {
    let is_missed = |mutant: &&Mutant| {
        let seed = noticing(**mutant);
        println!("{mutant:?}: seed {seed:?}");
        seed.is_none()
    };
    let missed: Vec<_> = mutants.iter().filter(is_missed).collect();
    assert!(missed.is_empty(), "no seed notices {missed:?}");
}

/// Whether this fault is planted.
#[cfg(test)]
#[must_use]
pub(crate) fn planted(mutant: Mutant) -> bool {
    PLANTED.get() == Some(mutant)
}

/// Whether this fault is planted: never.
#[cfg(not(test))]
#[must_use]
#[inline(always)]
pub(crate) const fn planted(_mutant: Mutant) -> bool {
    false
}
