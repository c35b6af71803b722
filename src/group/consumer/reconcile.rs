//! A member's way from its share to its target.

use super::{ConsumerGroup, Member, Share, State};
use crate::base::TopicId;
use std::collections::BTreeSet;

/// What a member says it has; `None`: nothing new.
pub(super) type Owned<'a> = Option<&'a Share>;

impl ConsumerGroup {
    /// The member one step further towards its target, if it can take one.
    pub(super) fn reconciled(&self, member: &Member, owned: Owned<'_>) -> Member {
        match member.state {
            State::Stable if member.epoch == self.assignment_epoch => member.clone(),
            State::Stable | State::Unreleased => self.next(member, member.epoch, owned),
            State::Unrevoked if still_owns(&member.revoking, owned) => member.clone(),
            State::Unrevoked => self.next(member, member.epoch + 1, owned),
        }
    }

    fn next(&self, member: &Member, epoch: i32, owned: Owned<'_>) -> Member {
        let empty = Share::new();
        let target = self.targets.get(&member.id).unwrap_or(&empty);
        let (mut keeps, mut revokes, mut gets) = (Share::new(), Share::new(), Share::new());
        let mut unreleased = false;
        let topics: BTreeSet<TopicId> = target.keys().chain(member.assigned.keys()).copied().collect();
        for topic in topics {
            let none = BTreeSet::new();
            let wanted = target.get(&topic).unwrap_or(&none);
            let has = member.assigned.get(&topic).unwrap_or(&none);
            put(&mut keeps, topic, has.intersection(wanted));
            put(&mut revokes, topic, has.difference(wanted));
            let missing = wanted.difference(has);
            let (free, held): (Vec<i32>, Vec<i32>) =
                missing.copied().partition(|partition| !self.is_held(member, topic, *partition));
            put(&mut gets, topic, free.iter());
            unreleased |= !held.is_empty();
        }
        let mut after = member.clone();
        let mut enter = |epoch: i32| {
            if after.epoch != epoch {
                (after.previous_epoch, after.epoch) = (after.epoch, epoch);
            }
        };
        if !revokes.is_empty() && still_owns(&revokes, owned) {
            enter(epoch);
            (after.state, after.assigned, after.revoking) = (State::Unrevoked, keeps, revokes);
            return after;
        }
        enter(self.assignment_epoch);
        for (topic, partitions) in gets {
            keeps.entry(topic).or_default().extend(partitions);
        }
        after.state = if unreleased { State::Unreleased } else { State::Stable };
        (after.assigned, after.revoking) = (keeps, Share::new());
        after
    }

    /// Whether another member has a partition. What this one was giving up it has given up by now.
    fn is_held(&self, member: &Member, topic: TopicId, partition: i32) -> bool {
        self.members.values().any(|other| other.id != member.id && other.has(topic, partition))
    }
}

fn put<'a>(share: &mut Share, topic: TopicId, partitions: impl Iterator<Item = &'a i32>) {
    let own: BTreeSet<i32> = partitions.copied().collect();
    if !own.is_empty() {
        share.insert(topic, own);
    }
}

/// Whether a member has something of what it must give up; one that doesn't say may.
fn still_owns(revoking: &Share, owned: Owned<'_>) -> bool {
    let Some(owned) = owned else { return true };
    let has = |topic: &TopicId, partition: &i32| owned.get(topic).is_some_and(|own| own.contains(partition));
    revoking.iter().any(|(topic, partitions)| partitions.iter().any(|partition| has(topic, partition)))
}
