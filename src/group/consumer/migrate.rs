//! From a classic group to a consumer group and back, with all members.

use super::classic::identified;
use super::{ConsumerGroup, Held, Member, Share, Topics};
use crate::base::mutant::{Mutant, planted};
use crate::group::coordinator::Turn;
use crate::group::migration::{self, ClassicSide, Migrant, Named};
use crate::group::record::GroupRecord;
use crate::wire::Str;
use std::collections::BTreeSet;

impl ConsumerGroup {
    /// A group of the members of a classic one: each has what it had, in the epoch that the generation becomes. `None`
    /// if one of them says what no consumer says.
    pub(in crate::group) fn upgraded(
        id: Str,
        generation: i32,
        migrants: Vec<Migrant>,
        topics: &Topics,
    ) -> Option<Self> {
        let mut group = ConsumerGroup::new(id);
        (group.epoch, group.assignment_epoch) = (generation, generation);
        // A leader may have given a partition to two members; the coordinator knows one owner.
        let mut taken = BTreeSet::new();
        for migrant in migrants {
            let subscription = migration::subscription(&migrant.side.protocols.first()?.1)?;
            let mut share = identified(&migrant.owned, topics);
            if planted(Mutant::ForgetSharesAtUpgrade) {
                share.clear();
            }
            for (topic, own) in &mut share {
                own.retain(|partition| taken.insert((*topic, *partition)));
            }
            share.retain(|_, own| !own.is_empty());
            let since = |own: &BTreeSet<i32>| own.iter().map(|partition| (*partition, generation)).collect();
            let member = Member {
                instance: migrant.instance,
                rack: subscription.rack_id.as_ref().map(Str::detached),
                client_id: migrant.client_id,
                client_host: migrant.client_host,
                names: subscription.topics.iter().map(Str::detached).collect(),
                rebalance_timeout_ms: migrant.rebalance_timeout_ms,
                classic: Some(migrant.side),
                epoch: generation,
                previous_epoch: generation,
                assigned: share.iter().map(|(topic, own)| (*topic, since(own))).collect::<Held>(),
                ..Member::new(migrant.id)
            };
            group.targets.insert(member.id.clone(), share);
            if let Some(instance) = &member.instance {
                group.instances.insert(instance.clone(), member.id.clone());
            }
            group.members.insert(member.id.clone(), member);
        }
        group.metadata_hash = group.hash_of(topics);
        group.recount();
        Some(group)
    }

    /// What a log must hold of a group that has just become one of this protocol; its members' sessions begin.
    pub(in crate::group) fn arrive(&self, turn: &mut Turn<'_>) {
        let records: Vec<GroupRecord> = self.all_records(turn.now.wall_ms);
        turn.out.records.extend(records);
        self.begin(turn);
    }

    /// Whether all members speak the classic protocol, so that the group may become a classic one again.
    pub(in crate::group) fn is_all_classic(&self) -> bool {
        !self.members.is_empty() && self.members.values().all(|member| member.classic.is_some())
    }

    /// Whether every member has its share and knows it.
    pub(in crate::group) fn is_settled(&self) -> bool {
        self.members.values().all(|member| member.is_reconciled_to(self.epoch))
    }

    pub(in crate::group) fn member_count(&self) -> usize {
        self.members.len()
    }

    /// The members with what each shall have.
    pub(in crate::group) fn migrants(&self, topics: &Topics) -> Vec<Migrant> {
        let named = |share: &Share| -> Named {
            share.iter().filter_map(|(id, own)| Some((topics.name(*id)?.clone(), own.clone()))).collect()
        };
        let migrant = |member: &Member| Migrant {
            id: member.id.clone(),
            instance: member.instance.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            side: member
                .classic
                .clone()
                .unwrap_or(ClassicSide { session_timeout_ms: 0, protocols: Vec::new() }),
            owned: self.targets.get(&member.id).map(named).unwrap_or_default(),
        };
        self.members.values().map(migrant).collect()
    }

    /// Timers end with the group.
    pub(in crate::group) fn depart(&self, turn: &mut Turn<'_>) {
        for id in self.members.keys() {
            turn.timers.cancel(&self.session(id));
            turn.timers.cancel(&self.step(id));
        }
    }
}
