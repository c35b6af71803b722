//! A member's way from its share to its target.

use super::{ConsumerGroup, Held, Member, Share, State};
use crate::base::TopicId;
use crate::base::mutant::{Mutant, planted};
use crate::group::coordinator::Turn;
use std::collections::{BTreeMap, BTreeSet};

/// What a member says it has; `None`: nothing new.
pub(super) type Owned<'a> = Option<&'a Share>;

impl ConsumerGroup {
    /// Takes a member one step further towards its target, if it can take one.
    pub(super) fn reconcile(&mut self, member: Member, owned: Owned<'_>, turn: &mut Turn<'_>) -> Member {
        if member.is_reconciled_to(self.assignment_epoch) {
            return member;
        }
        let after = self.reconciled(&member, owned);
        if after != member {
            turn.out.records.push(self.current_record(&after));
            // A classic member's time runs from one JoinGroup to the next.
            if after.classic.is_none() {
                if after.state == State::Unrevoked {
                    self.await_step(&after, turn);
                } else {
                    turn.timers.cancel(&self.step(&after.id));
                }
            }
            self.members.insert(after.id.clone(), after.clone());
        }
        after
    }

    fn reconciled(&self, member: &Member, owned: Owned<'_>) -> Member {
        if member.state == State::Unrevoked && still_owns(&member.revoking, owned) {
            return member.clone();
        }
        let (none_wanted, none_held) = (BTreeSet::new(), BTreeMap::new());
        let targets = self.targets.get(&member.id);
        let wanted = |topic: &TopicId| targets.and_then(|share| share.get(topic)).unwrap_or(&none_wanted);
        let (mut keeps, mut revokes, mut gets) = (Held::new(), Held::new(), Held::new());
        for (topic, has) in &member.assigned {
            for (partition, since) in has {
                let side = if wanted(topic).contains(partition) { &mut keeps } else { &mut revokes };
                side.entry(*topic).or_default().insert(*partition, *since);
            }
        }
        let mut unreleased = false;
        for (topic, wanted) in targets.into_iter().flatten() {
            let has = member.assigned.get(topic).unwrap_or(&none_held);
            for partition in wanted.iter().filter(|partition| !has.contains_key(partition)) {
                if self.is_held_by_another(member, *topic, *partition) && !planted(Mutant::TakeUnreleased) {
                    unreleased = true;
                } else {
                    gets.entry(*topic).or_default().insert(*partition, self.assignment_epoch);
                }
            }
        }
        let revokes_first = !revokes.is_empty() && still_owns(&revokes, owned);
        let mut after = member.clone();
        after.previous_epoch = member.epoch;
        if revokes_first {
            (after.state, after.assigned, after.revoking) = (State::Unrevoked, keeps, revokes);
            return after;
        }
        for (topic, partitions) in gets {
            keeps.entry(topic).or_default().extend(partitions);
        }
        after.epoch = self.assignment_epoch;
        after.state = if unreleased { State::Unreleased } else { State::Stable };
        (after.assigned, after.revoking) = (keeps, Held::new());
        after
    }

    /// Whether another member has a partition. What this one was giving up it has given up by now.
    fn is_held_by_another(&self, member: &Member, topic: TopicId, partition: i32) -> bool {
        self.members.values().any(|other| other.id != member.id && other.has(topic, partition))
    }

    /// Whether all that a member still waits for is with others.
    pub(super) fn waits_for_others(&self, member: &Member) -> bool {
        let targets = self.targets.get(&member.id).into_iter().flatten();
        targets.flat_map(|(topic, own)| own.iter().map(|partition| (*topic, *partition))).any(
            |(topic, partition)| {
                !member.has(topic, partition) && self.is_held_by_another(member, topic, partition)
            },
        )
    }
}

/// Whether a member has something of what it must give up; one that doesn't say may.
fn still_owns(revoking: &Held, owned: Owned<'_>) -> bool {
    let Some(owned) = owned else { return true };
    let has = |topic: &TopicId, partition: &i32| owned.get(topic).is_some_and(|own| own.contains(partition));
    revoking.iter().any(|(topic, partitions)| partitions.keys().any(|partition| has(topic, partition)))
}
