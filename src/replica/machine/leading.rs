//! What a leader knows of its followers, and who is in sync.
//!
//! Rules: `replication-and-durability` 2.2, 3 to 5; KIP-903 (broker epochs), KIP-966. The high watermark is what all
//! members of the maximal in-sync set keep: those that the metadata names, those that were proposed and may be in it
//! already, and those that are about to be proposed.

use super::{Replica, Role};
use crate::base::mutant::{Mutant, planted};
use crate::base::{BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, Offset, PartitionEpoch};
use crate::replica::event::{Assignment, Effects, IsrProposal, Member};
use crate::replica::rules::Refusal;

/// How long the high watermark waits for a follower that has caught up and hasn't flushed that yet.
const JOIN_PATIENCE_MS: i64 = 1000;

/// Another replica, as its leader sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Follower {
    member: Member,
    /// The incarnation that fetched last.
    fetched_as: BrokerEpoch,
    /// Where its log ends, and how much of that it keeps; -1 until it has fetched under this leader's epoch.
    end: Offset,
    flushed: Offset,
    /// When it last had all that there was.
    caught_up_ms: i64,
    /// When it last asked, and what there was then.
    asked: (i64, Offset),
    /// In sync by the metadata.
    in_sync: bool,
    /// In the set that was proposed.
    proposed: bool,
    /// It has caught up and shall be proposed once it has flushed: since when.
    joining_since: Option<i64>,
}

impl Follower {
    fn new(member: Member) -> Self {
        Follower {
            member,
            fetched_as: BrokerEpoch(-1),
            end: -1,
            flushed: -1,
            caught_up_ms: 0,
            asked: (0, Offset::MAX),
            in_sync: false,
            proposed: false,
            joining_since: None,
        }
    }

    /// Whether the high watermark must not pass what it keeps.
    fn counts(&self) -> bool {
        let may_be = (self.proposed || self.joining_since.is_some()) && !planted(Mutant::CommittedIsrOnly);
        self.in_sync || may_be
    }

    fn fetched(&mut self, end: Offset, flushed: Offset, there: Offset, now_ms: i64) {
        if end >= there {
            self.caught_up_ms = now_ms;
        } else if end >= self.asked.1 {
            self.caught_up_ms = self.caught_up_ms.max(self.asked.0);
        }
        (self.end, self.flushed) = (end, flushed.min(end));
        self.asked = (now_ms, there);
    }
}

/// How far a follower is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerFacts {
    /// Which broker.
    pub id: NodeId,
    /// It is in sync.
    pub in_sync: bool,
    /// Records that it lacks, if it has said what it has.
    pub lag: Option<i64>,
}

/// A leader's state.
#[derive(Debug)]
pub(in crate::replica) struct Leading {
    /// Where its epoch begins.
    pub(super) epoch_start: Offset,
    followers: Vec<Follower>,
    /// Its own incarnation.
    broker_epoch: BrokerEpoch,
    /// How many the metadata says are in sync.
    in_sync: usize,
    /// A proposal is under way, to this version of the metadata; `true` once it may be made again.
    proposal: Option<(PartitionEpoch, bool)>,
    /// The coordinator refused one a moment ago.
    resting: bool,
}

impl Leading {
    fn find(&mut self, id: NodeId) -> Option<&mut Follower> {
        self.followers.iter_mut().find(|follower| follower.member.id == id)
    }

    /// The followers as the metadata has them; what is known of them stays.
    fn take_members(&mut self, me: NodeId, members: &[Member]) {
        let known = std::mem::take(&mut self.followers);
        for member in members {
            if member.id == me {
                self.broker_epoch = member.broker_epoch;
                continue;
            }
            let old = known.iter().find(|follower| follower.member.id == member.id);
            self.followers
                .push(Follower { member: *member, ..old.copied().unwrap_or(Follower::new(*member)) });
        }
    }

    fn take_isr(&mut self, isr: &[NodeId]) {
        for follower in &mut self.followers {
            follower.in_sync = isr.contains(&follower.member.id);
            (follower.proposed, follower.joining_since) = (false, None);
        }
        self.in_sync = isr.len();
        self.proposal = None;
    }
}

impl Replica {
    /// Leads, from now on or still.
    pub(super) fn lead(&mut self, assignment: Assignment, now_ms: i64, out: &mut Effects) {
        let Assignment { leader_epoch, partition_epoch, replicas, isr, .. } = assignment;
        let goes_on = leader_epoch == self.epoch && self.is_leading();
        if !goes_on {
            self.begin_leading(leader_epoch);
        }
        let me = self.me;
        let is_news = !goes_on || partition_epoch > self.partition_epoch;
        let Role::Leading(leading) = &mut self.role else { return };
        leading.take_members(me, &replicas);
        if is_news {
            self.partition_epoch = partition_epoch;
            leading.take_isr(&isr);
        }
        if !goes_on {
            for follower in leading.followers.iter_mut().filter(|follower| follower.in_sync) {
                follower.caught_up_ms = now_ms;
            }
        }
        self.turn_away_if_few(out);
        self.settle(out);
    }

    fn begin_leading(&mut self, epoch: LeaderEpoch) {
        self.epoch = epoch;
        self.epochs.assign(epoch, self.log_end);
        self.role = Role::Leading(Leading {
            epoch_start: self.log_end,
            followers: Vec::new(),
            broker_epoch: BrokerEpoch(-1),
            in_sync: 1,
            proposal: None,
            resting: false,
        });
    }

    /// Whether it takes appends; `for_all`: such as are to be kept by all that are in sync.
    pub(super) fn may_append(&self, for_all: bool) -> Result<(), Refusal> {
        if !self.is_leading() {
            let why = "another broker leads the partition";
            return Err(Refusal::of(ErrorCode::NotLeaderOrFollower, why));
        }
        if for_all && !self.has_enough() {
            let why = "fewer replicas are in sync than min.insync.replicas demands";
            return Err(Refusal::of(ErrorCode::NotEnoughReplicas, why));
        }
        Ok(())
    }

    /// Why no append is taken now, if none is; `for_all`: none that is to be kept by all that are in sync.
    #[must_use]
    pub fn refuses_for_now(&self, for_all: bool) -> Option<ErrorCode> {
        self.may_append(for_all).err().map(|refusal| refusal.error)
    }

    /// Whether it leads.
    #[must_use]
    pub fn is_leading(&self) -> bool {
        matches!(self.role, Role::Leading(_))
    }

    /// Whether as many replicas are in sync as acks=all needs. As in Kafka, no more than there are.
    #[must_use]
    pub fn has_enough(&self) -> bool {
        let Role::Leading(leading) = &self.role else { return false };
        let needed = self.rules.min_insync_replicas.min(leading.followers.len() + 1);
        leading.in_sync >= needed || planted(Mutant::CommitUnderMinIsr)
    }

    /// Whether all that this leader found in its log is known to be committed: until then nobody knows where the log
    /// that consumers may see ends (KIP-207).
    #[must_use]
    pub fn is_established(&self) -> bool {
        let Role::Leading(leading) = &self.role else { return false };
        self.high_watermark >= leading.epoch_start
    }

    /// How far all others keep what they have that the high watermark must not pass.
    pub(super) fn replicated(&self) -> Offset {
        let Role::Leading(leading) = &self.role else { return -1 };
        if leading.followers.is_empty() {
            return Offset::MAX;
        }
        if !self.has_enough() {
            return -1;
        }
        let counted = leading.followers.iter().filter(|follower| follower.counts());
        let kept = |follower: &Follower| {
            if planted(Mutant::CountUnflushed) { follower.end } else { follower.flushed }
        };
        counted.map(kept).min().unwrap_or(Offset::MAX)
    }

    /// How far acknowledgements to acks=all may go.
    pub(super) fn settled_on_all(&self) -> Offset {
        self.high_watermark.max(self.settled().min(self.replicated()))
    }

    /// Whether a follower may fetch from here.
    ///
    /// # Errors
    /// This isn't the leader, or that isn't a replica, or an earlier life of one (KIP-903).
    pub fn admit(&self, follower: NodeId, broker_epoch: BrokerEpoch) -> Result<(), ErrorCode> {
        let Role::Leading(leading) = &self.role else { return Err(ErrorCode::NotLeaderOrFollower) };
        let found = leading.followers.iter().find(|other| other.member.id == follower);
        let found = found.ok_or(ErrorCode::UnknownLeaderEpoch)?;
        let stale = broker_epoch < found.member.broker_epoch && !planted(Mutant::AdmitStaleBrokers);
        if stale { Err(ErrorCode::NotLeaderOrFollower) } else { Ok(()) }
    }

    /// A follower's log is a part of this one, up to an offset.
    pub(super) fn note_fetch(
        &mut self,
        id: NodeId,
        broker_epoch: BrokerEpoch,
        (offset, flushed): (Offset, Offset),
        now_ms: i64,
        out: &mut Effects,
    ) {
        let sealed = self.sealed;
        let Role::Leading(leading) = &mut self.role else { return };
        let Some(follower) = leading.find(id) else { return };
        follower.fetched_as = broker_epoch;
        follower.fetched(offset, flushed, sealed, now_ms);
        if !follower.in_sync {
            self.consider_joining(id, now_ms);
            self.propose(now_ms, out);
        }
        self.settle(out);
    }

    /// Whether a follower has what it takes to be in sync but for a flush (rule 5).
    fn may_join(&self, leading: &Leading, follower: &Follower) -> bool {
        let knows_epoch = follower.end >= leading.epoch_start || planted(Mutant::JoinBeforeEpochStart);
        let same_life =
            follower.fetched_as == follower.member.broker_epoch || planted(Mutant::AdmitStaleBrokers);
        follower.end >= self.high_watermark && knows_epoch && follower.member.able && same_life
    }

    /// A follower that has caught up holds the high watermark until it has flushed what it has: what is committed by
    /// then it keeps. If it waited for a moment at which it has flushed all that is committed, under load that would
    /// never come.
    fn consider_joining(&mut self, id: NodeId, now_ms: i64) {
        let Role::Leading(leading) = &self.role else { return };
        let Some(at) = leading.followers.iter().position(|follower| follower.member.id == id) else { return };
        let may_join = self.may_join(leading, &leading.followers[at]);
        let Role::Leading(leading) = &mut self.role else { return };
        let follower = &mut leading.followers[at];
        follower.joining_since = if may_join { follower.joining_since.or(Some(now_ms)) } else { None };
    }

    /// Proposes another in-sync set where one is due and none is under way.
    fn propose(&mut self, now_ms: i64, out: &mut Effects) {
        let (high_watermark, partition_epoch, lag_max) =
            (self.high_watermark, self.partition_epoch, self.rules.replica_lag_max_ms);
        let (me, leader_epoch, sealed) = (self.me, self.epoch, self.sealed);
        let Role::Leading(leading) = &mut self.role else { return };
        if leading.proposal.is_some() || leading.resting {
            return;
        }
        let epoch_start = leading.epoch_start;
        let wanted = |follower: &Follower| {
            if follower.in_sync {
                let behind = now_ms.saturating_sub(follower.caught_up_ms) > lag_max;
                return follower.end >= sealed || !behind;
            }
            let kept = if planted(Mutant::JoinUnflushed) { follower.end } else { follower.flushed };
            let knows_epoch = kept >= epoch_start || planted(Mutant::JoinBeforeEpochStart);
            follower.joining_since.is_some() && kept >= high_watermark && knows_epoch
        };
        if leading.followers.iter().all(|follower| wanted(follower) == follower.in_sync) {
            return;
        }
        for follower in &mut leading.followers {
            follower.proposed = wanted(follower);
        }
        leading.proposal = Some((partition_epoch, false));
        out.alter = Some(leading.proposal_now(me, leader_epoch, partition_epoch));
    }

    /// Shrinks the in-sync set where followers are behind, gives up on those that don't join, and repeats a proposal
    /// that may not have arrived.
    pub(super) fn look_at_followers(&mut self, now_ms: i64, out: &mut Effects) {
        let (me, leader_epoch) = (self.me, self.epoch);
        let Role::Leading(leading) = &mut self.role else { return };
        if leading.followers.is_empty() {
            return;
        }
        for follower in &mut leading.followers {
            let late = |since: &mut i64| now_ms.saturating_sub(*since) > JOIN_PATIENCE_MS;
            if !follower.proposed {
                follower.joining_since.take_if(late);
            }
        }
        leading.resting = false;
        if let Some((partition_epoch, again @ true)) = &mut leading.proposal {
            *again = false;
            let partition_epoch = *partition_epoch;
            out.alter = Some(leading.proposal_now(me, leader_epoch, partition_epoch));
        }
        self.propose(now_ms, out);
        self.settle(out);
    }

    /// The coordinator took a proposal, refused it, or couldn't be asked.
    pub(super) fn altered(
        &mut self,
        base: PartitionEpoch,
        result: Result<PartitionEpoch, ErrorCode>,
        out: &mut Effects,
    ) {
        let Role::Leading(leading) = &mut self.role else { return };
        let Some((_, again)) = leading.proposal.as_mut().filter(|(asked, _)| *asked == base) else { return };
        match result {
            // The metadata tells it, and everybody has heard of it before the answer comes.
            Ok(_) => {}
            // Refused for good: it isn't in force and won't be. Why, the metadata will tell.
            Err(ErrorCode::IneligibleReplica | ErrorCode::InvalidRequest) => {
                for follower in &mut leading.followers {
                    (follower.proposed, follower.joining_since) = (false, None);
                }
                (leading.proposal, leading.resting) = (None, true);
            }
            // The metadata is ahead: it will tell whether an earlier try came through.
            Err(
                ErrorCode::FencedLeaderEpoch
                | ErrorCode::NewLeaderElected
                | ErrorCode::NotLeaderOrFollower
                | ErrorCode::UnknownTopicOrPartition
                | ErrorCode::UnknownTopicId,
            ) => {}
            Err(_) => *again = true,
        }
        self.settle(out);
    }

    fn turn_away_if_few(&mut self, out: &mut Effects) {
        if !self.has_enough() {
            let why = "replicas fell out of sync after the append; the record may still be committed";
            let refusal = Refusal::of(ErrorCode::NotEnoughReplicasAfterAppend, why);
            self.turn_waiters_for_all_away(refusal, out);
        }
    }

    /// How many are in sync, itself included; 0 if it doesn't lead.
    #[must_use]
    pub fn in_sync(&self) -> usize {
        match &self.role {
            Role::Leading(leading) => leading.in_sync,
            Role::Following(_) => 0,
        }
    }

    /// Its followers; none if it doesn't lead.
    pub fn followers(&self) -> impl Iterator<Item = FollowerFacts> {
        let followers = match &self.role {
            Role::Leading(leading) => &leading.followers[..],
            Role::Following(_) => &[],
        };
        followers.iter().map(|follower| FollowerFacts {
            id: follower.member.id,
            in_sync: follower.in_sync,
            lag: (follower.end >= 0).then(|| (self.log_end - follower.end).max(0)),
        })
    }
}

impl Leading {
    fn proposal_now(
        &self,
        me: NodeId,
        leader_epoch: LeaderEpoch,
        partition_epoch: PartitionEpoch,
    ) -> IsrProposal {
        let proposed = self.followers.iter().filter(|follower| follower.proposed);
        // A follower that stays in sync may not have fetched from this leader yet.
        let life = |follower: &Follower| match follower.fetched_as {
            BrokerEpoch(-1) => follower.member.broker_epoch,
            _ if planted(Mutant::AdmitStaleBrokers) => follower.member.broker_epoch,
            fetched => fetched,
        };
        let others = proposed.map(|follower| (follower.member.id, life(follower)));
        let isr = std::iter::once((me, self.broker_epoch)).chain(others).collect();
        IsrProposal { isr, leader_epoch, partition_epoch }
    }
}
