//! Who may commit and ask for offsets.

use super::{ConsumerGroup, Member};
use crate::base::mutant::{Mutant, planted};
use crate::base::{ErrorCode, TopicId};

/// First version of OffsetCommit that members of this protocol may use: older ones don't know its errors.
const CONSUMERS_COMMIT_FROM: i16 = 9;

/// What a commit may cover.
#[derive(Clone, Copy, Debug)]
pub(in crate::group) enum Commits<'a> {
    /// Anything.
    All,
    /// Partitions that the member has had since an epoch that it knows (KIP-1251): its heartbeat has moved it on, and a
    /// commit that was under way is still about what it has.
    Held(&'a Member, i32),
}

impl Commits<'_> {
    /// Whether it covers all of these partitions: what is asked for in one request is committed together or not at all.
    pub(in crate::group) fn check_all(
        self,
        partitions: impl IntoIterator<Item = (TopicId, i32)>,
    ) -> Result<(), ErrorCode> {
        partitions.into_iter().try_for_each(|(topic, partition)| self.check(topic, partition))
    }

    fn check(self, topic: TopicId, partition: i32) -> Result<(), ErrorCode> {
        match self {
            Commits::All => Ok(()),
            Commits::Held(member, epoch) => match member.epoch_of(topic, partition) {
                Some(since) if epoch >= since => Ok(()),
                _ if planted(Mutant::LateCommits) => Ok(()),
                _ => Err(member.stale()),
            },
        }
    }
}

impl Member {
    /// The error for an epoch that isn't its own, in its protocol's words.
    fn stale(&self) -> ErrorCode {
        if self.classic.is_some() { ErrorCode::IllegalGeneration } else { ErrorCode::StaleMemberEpoch }
    }

    /// What it may commit with this epoch.
    fn commits(&self, epoch: i32) -> Result<Commits<'_>, ErrorCode> {
        match epoch {
            epoch if epoch == self.epoch => Ok(Commits::All),
            epoch if epoch > self.epoch => Err(self.stale()),
            epoch => Ok(Commits::Held(self, epoch)),
        }
    }
}

impl ConsumerGroup {
    /// Checks who commits offsets.
    pub(in crate::group) fn check_commit(
        &self,
        member: &str,
        epoch: i32,
        version: i16,
    ) -> Result<Commits<'_>, ErrorCode> {
        // From a tool.
        if epoch < 0 && self.members.is_empty() {
            return Ok(Commits::All);
        }
        let member = self.members.get(member).ok_or(ErrorCode::UnknownMemberId)?;
        if member.classic.is_none() && version < CONSUMERS_COMMIT_FROM {
            return Err(ErrorCode::UnsupportedVersion);
        }
        member.commits(epoch)
    }

    /// Checks who commits offsets in a transaction. Old clients don't say who they are (KIP-447).
    pub(in crate::group) fn check_commit_in_transaction(
        &self,
        member: &str,
        instance: Option<&str>,
        epoch: i32,
    ) -> Result<Commits<'_>, ErrorCode> {
        let is_nobody = epoch == -1 && member.is_empty() && instance.is_none();
        if is_nobody || epoch < 0 && self.members.is_empty() {
            return Ok(Commits::All);
        }
        self.members.get(member).ok_or(ErrorCode::UnknownMemberId)?.commits(epoch)
    }

    /// Checks who asks for offsets.
    pub(in crate::group) fn check_fetch(&self, member: &str, epoch: i32) -> Result<(), ErrorCode> {
        match self.members.get(member) {
            None => Err(ErrorCode::UnknownMemberId),
            Some(member) if member.epoch != epoch => Err(member.stale()),
            Some(_) => Ok(()),
        }
    }
}
