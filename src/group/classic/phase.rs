//! From one generation to the next: who is waited for, and for how long.

use super::{ClassicGroup, State};
use crate::base::ErrorCode;
use crate::group::call::GroupReply;
use crate::group::chronicle::Why;
use crate::group::coordinator::Turn;
use crate::group::timers::Timer;
use crate::wire::Str;

impl ClassicGroup {
    fn join_timer(&self) -> Timer {
        Timer::Join(self.id.clone())
    }

    fn sync_timer(&self) -> Timer {
        Timer::Sync(self.id.clone())
    }

    /// Starts a rebalance, or ends the one under way if everybody is here.
    pub(super) fn rebalance_or_complete(&mut self, turn: &mut Turn<'_>) {
        if self.state == State::PreparingRebalance {
            self.complete_join_if_all_are_here(turn);
        } else {
            self.prepare_rebalance(turn);
        }
    }

    fn all_are_here(&self) -> bool {
        self.members.len() == self.members.joining() && self.pending_join.is_empty()
    }

    /// Ends the join phase early; never the initial one, whose delay is meant to gather members.
    pub(super) fn complete_join_if_all_are_here(&mut self, turn: &mut Turn<'_>) {
        let gathering = self.previous == State::Empty;
        if self.state == State::PreparingRebalance && !gathering && self.all_are_here() {
            self.complete_join(turn);
        }
    }

    /// Asks all members to join again.
    pub(in crate::group) fn prepare_rebalance(&mut self, turn: &mut Turn<'_>) {
        if self.state == State::CompletingRebalance {
            self.fail_syncs(ErrorCode::RebalanceInProgress, turn);
        }
        self.pending_sync.clear();
        turn.timers.cancel(&self.sync_timer());
        let initial = self.state == State::Empty;
        if initial {
            let delay = turn.settings.initial_rebalance_delay_ms;
            let rest = self.rebalance_timeout_ms().saturating_sub(delay);
            self.initial_delay = Some((delay, rest));
            turn.timers.set(self.join_timer(), turn.now.mono_ms + delay);
        }
        self.enter(State::PreparingRebalance, turn.now.wall_ms);
        if initial {
            return;
        }
        self.initial_delay = None;
        if self.all_are_here() {
            self.complete_join(turn);
        } else {
            turn.timers.set(self.join_timer(), turn.now.mono_ms + self.rebalance_timeout_ms());
        }
    }

    /// The wait for members is over.
    pub(in crate::group) fn join_timed_out(&mut self, turn: &mut Turn<'_>) {
        if self.state != State::PreparingRebalance {
            return;
        }
        match self.initial_delay.take() {
            Some((ran, rest)) if self.new_member_added && rest > 0 => {
                self.new_member_added = false;
                let delay = turn.settings.initial_rebalance_delay_ms.min(rest);
                self.initial_delay = Some((delay, rest.saturating_sub(ran)));
                turn.timers.set(self.join_timer(), turn.now.mono_ms + delay);
            }
            _ => self.complete_join(turn),
        }
    }

    /// Begins the next generation with those who joined; the others are out.
    pub(super) fn complete_join(&mut self, turn: &mut Turn<'_>) {
        turn.timers.cancel(&self.join_timer());
        (self.initial_delay, self.new_member_added) = (None, false);
        let absent =
            self.members.iter().filter(|member| member.joining.is_none() && member.instance.is_none());
        let absent: Vec<Str> = absent.map(|member| member.id.clone()).collect();
        for id in &absent {
            turn.timers.cancel(&self.session(id));
            self.blame(id, Why::Overdue, turn);
            self.remove(id);
        }
        if !self.elect_leader_that_joined() && !self.members.is_empty() {
            // Static members only, none of whom came: their sessions decide.
            turn.timers.set(self.join_timer(), turn.now.mono_ms + self.rebalance_timeout_ms());
            return;
        }
        self.generation = self.generation.wrapping_add(1).max(1);
        self.pending_sync.clear();
        if self.members.is_empty() {
            self.protocol = None;
            self.subscribed = self.subscription();
            self.enter(State::Empty, turn.now.wall_ms);
            turn.out.records.push(self.record());
            return;
        }
        self.protocol = self.vote();
        self.subscribed = self.subscription();
        self.enter(State::CompletingRebalance, turn.now.wall_ms);
        for id in self.members.ids() {
            let asker = self.members.change(&id, |member| {
                member.is_new = false;
                member.joining.take()
            });
            if let Some(Some(asker)) = asker {
                let answer = self.joined(&id, self.is_leader(&id), false);
                turn.reply(asker, GroupReply::Join(answer));
            }
            self.renew_session(&id, turn);
            self.pending_sync.insert(id);
        }
        turn.timers.set(self.sync_timer(), turn.now.mono_ms + self.rebalance_timeout_ms());
    }

    /// A leader that didn't join gives way to a member that did; false if there is no leader.
    fn elect_leader_that_joined(&mut self) -> bool {
        let Some(leader) = self.leader.as_deref().and_then(|id| self.members.get(id)) else { return false };
        if leader.joining.is_some() {
            return true;
        }
        let joined = self.members.iter().find(|member| member.joining.is_some());
        let Some(id) = joined.map(|member| member.id.clone()) else { return false };
        self.leader = Some(id);
        true
    }

    /// Takes a member off all lists; the lead goes to another.
    pub(super) fn remove(&mut self, id: &str) {
        self.members.remove(id);
        self.pending_join.remove(id);
        self.pending_sync.remove(id);
        if self.is_leader(id) {
            self.leader = self.members.iter().next().map(|member| member.id.clone());
        }
    }

    /// The time for asking for shares is over: who didn't is out.
    pub(in crate::group) fn sync_timed_out(&mut self, turn: &mut Turn<'_>) {
        let phase = matches!(self.state, State::CompletingRebalance | State::Stable);
        if !phase || self.pending_sync.is_empty() {
            return;
        }
        for id in std::mem::take(&mut self.pending_sync) {
            turn.timers.cancel(&self.session(&id));
            self.blame(&id, Why::Overdue, turn);
            self.remove(&id);
        }
        self.prepare_rebalance(turn);
    }

    /// A member's session ended.
    pub(in crate::group) fn session_timed_out(&mut self, id: &str, turn: &mut Turn<'_>) {
        if self.pending_join.remove(id) {
            self.complete_join_when_removed(turn);
        } else if self.members.get(id).is_some_and(|member| !member.is_waiting()) {
            self.dismiss(id, Why::Silent, turn);
            match self.state {
                State::Stable | State::CompletingRebalance => self.prepare_rebalance(turn),
                State::PreparingRebalance => self.complete_join_when_removed(turn),
                State::Empty => {}
            }
        }
    }

    /// Kafka ends even an initial delay when the last one who was waited for is gone.
    fn complete_join_when_removed(&mut self, turn: &mut Turn<'_>) {
        if self.state == State::PreparingRebalance && self.all_are_here() {
            self.complete_join(turn);
        }
    }

    /// Takes a member out of the group; a JoinGroup of it that waits is told, so that a living client joins anew.
    pub(super) fn dismiss(&mut self, id: &str, why: Why, turn: &mut Turn<'_>) {
        self.blame(id, why, turn);
        turn.timers.cancel(&self.session(id));
        let askers = self.members.change(id, |member| (member.joining.take(), member.syncing.take()));
        if let Some((joining, syncing)) = askers {
            if let Some(asker) = joining {
                let answer = super::join::refused(Str::EMPTY, ErrorCode::UnknownMemberId);
                turn.reply(asker, GroupReply::Join(answer));
            }
            if let Some(asker) = syncing {
                turn.reply(asker, GroupReply::Sync(super::sync::refused(ErrorCode::UnknownMemberId)));
            }
        }
        self.remove(id);
    }

    /// The coordinator is going: whoever waits is sent to find it again.
    pub(in crate::group) fn turn_away(&mut self, error: ErrorCode, turn: &mut Turn<'_>) {
        for id in self.members.ids() {
            let askers = self.members.change(&id, |member| (member.joining.take(), member.syncing.take()));
            let Some((joining, syncing)) = askers else { continue };
            if let Some(asker) = joining {
                turn.reply(asker, GroupReply::Join(super::join::refused(id, error)));
            }
            if let Some(asker) = syncing {
                turn.reply(asker, GroupReply::Sync(super::sync::refused(error)));
            }
        }
    }
}
