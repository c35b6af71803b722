//! From a classic group to a consumer group and back: members with what they have.

use super::members::{Member, Members};
use super::{CONSUMER, ClassicGroup, State};
use crate::base::ErrorCode;
use crate::group::coordinator::Turn;
use crate::group::migration::{self, ClassicSide, Migrant};
use crate::group::timers::Timer;
use crate::wire::Str;

impl ClassicGroup {
    pub(in crate::group) fn generation(&self) -> i32 {
        self.generation
    }

    pub(in crate::group) fn member_count(&self) -> usize {
        self.members.len()
    }

    /// The members with what each was last given; `None` if that isn't what consumers are given.
    pub(in crate::group) fn migrants(&self) -> Option<Vec<Migrant>> {
        let migrant = |member: &Member| {
            Some(Migrant {
                id: member.id.clone(),
                instance: member.instance.clone(),
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                rebalance_timeout_ms: member.rebalance_timeout_ms,
                side: ClassicSide {
                    session_timeout_ms: member.session_timeout_ms,
                    protocols: member.protocols.clone(),
                },
                owned: migration::assignment(&member.assignment)?,
            })
        };
        self.members.iter().map(migrant).collect()
    }

    /// The members of a consumer group as a classic one, stable with what each shall have.
    pub(in crate::group) fn downgraded(
        id: Str,
        generation: i32,
        migrants: Vec<Migrant>,
        wall_ms: i64,
    ) -> Self {
        let mut group = ClassicGroup::new(id, wall_ms);
        let mut owned = Vec::with_capacity(migrants.len());
        let mut members = Members::default();
        for migrant in migrants {
            owned.push((migrant.id.clone(), migrant.owned));
            members.add(Member {
                id: migrant.id,
                instance: migrant.instance,
                client_id: migrant.client_id,
                client_host: migrant.client_host,
                rebalance_timeout_ms: migrant.rebalance_timeout_ms,
                session_timeout_ms: migrant.side.session_timeout_ms,
                protocols: migrant.side.protocols,
                assignment: Default::default(),
                joining: None,
                syncing: None,
                is_new: false,
            });
        }
        group.leader = members.iter().next().map(|member| member.id.clone());
        group.members = members;
        group.generation = generation;
        group.protocol_type = Some(Str::from_static(CONSUMER));
        group.protocol = group.vote();
        group.subscribed = group.subscription();
        group.enter(State::Stable, wall_ms);
        let protocol = group.protocol.clone().unwrap_or_default();
        for (id, owned) in owned {
            group.members.change(&id, |member| {
                member.assignment = migration::assignment_bytes(&owned, &member.metadata(&protocol));
            });
        }
        group
    }

    /// The group gives way to one of the other protocol: whoever waits rejoins there.
    pub(in crate::group) fn depart(&mut self, turn: &mut Turn<'_>) {
        self.turn_away(ErrorCode::RebalanceInProgress, turn);
        turn.timers.cancel(&Timer::Join(self.id.clone()));
        turn.timers.cancel(&Timer::Sync(self.id.clone()));
        for id in &self.pending_join {
            turn.timers.cancel(&Timer::Session(self.id.clone(), id.clone()));
        }
    }

    /// What a log must hold of a group that has just become one of this protocol; its members' sessions begin. Unless
    /// everybody has what the group says, all are asked to join again.
    pub(in crate::group) fn arrive(&mut self, is_settled: bool, turn: &mut Turn<'_>) {
        turn.out.records.push(self.record());
        self.begin(turn);
        if !is_settled {
            self.prepare_rebalance(turn);
        }
    }
}
