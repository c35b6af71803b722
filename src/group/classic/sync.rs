//! SyncGroup: the leader brings the shares, every member takes its own.

use super::{ClassicGroup, State};
use crate::base::ErrorCode;
use crate::base::mutant::{Mutant, planted};
use crate::group::call::{Asker, GroupReply};
use crate::group::coordinator::Turn;
use crate::group::timers::Timer;
use crate::wire::Str;
use crate::wire::generated::{SyncGroupRequest, SyncGroupResponse};
use bytes::Bytes;
use std::collections::BTreeMap;

/// A refusal.
pub(in crate::group) fn refused(error: ErrorCode) -> SyncGroupResponse {
    SyncGroupResponse { error_code: error.code(), ..Default::default() }
}

/// Names that both sides give must be the same.
fn differs(said: Option<&Str>, known: Option<&Str>) -> bool {
    matches!((said, known), (Some(said), Some(known)) if said != known)
}

impl ClassicGroup {
    /// Takes a SyncGroup. A follower's answer waits for the leader.
    pub(in crate::group) fn sync(&mut self, asker: Asker, request: &SyncGroupRequest, turn: &mut Turn<'_>) {
        if let Err(error) = self.check_sync(request) {
            return turn.reply(asker, GroupReply::Sync(refused(error)));
        }
        let id = &request.member_id;
        match self.state {
            State::Empty => turn.reply(asker, GroupReply::Sync(refused(ErrorCode::UnknownMemberId))),
            State::PreparingRebalance => {
                turn.reply(asker, GroupReply::Sync(refused(ErrorCode::RebalanceInProgress)));
            }
            State::CompletingRebalance => {
                let older = self.members.change(id, |member| member.syncing.replace(asker));
                if let Some(Some(older)) = older {
                    turn.reply(older, GroupReply::Sync(refused(ErrorCode::RebalanceInProgress)));
                }
                self.has_synced(id, turn);
                if self.is_leader(id) {
                    self.take_shares(request, turn);
                }
            }
            State::Stable => {
                self.has_synced(id, turn);
                let answer = self.synced(id);
                turn.reply(asker, GroupReply::Sync(answer));
            }
        }
    }

    fn check_sync(&self, request: &SyncGroupRequest) -> Result<(), ErrorCode> {
        self.check_member(&request.member_id, request.group_instance_id.as_deref())?;
        if request.generation_id != self.generation && !planted(Mutant::StaleGeneration) {
            return Err(ErrorCode::IllegalGeneration);
        }
        if differs(request.protocol_type.as_ref(), self.protocol_type.as_ref())
            || differs(request.protocol_name.as_ref(), self.protocol.as_ref())
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        Ok(())
    }

    fn has_synced(&mut self, id: &str, turn: &mut Turn<'_>) {
        self.pending_sync.remove(id);
        if self.pending_sync.is_empty() {
            turn.timers.cancel(&Timer::Sync(self.id.clone()));
        }
    }

    /// Keeps the shares and hands them out. The answers leave once the record is durable.
    fn take_shares(&mut self, request: &SyncGroupRequest, turn: &mut Turn<'_>) {
        let shares: BTreeMap<&str, &Bytes> =
            request.assignments.iter().map(|share| (share.member_id.as_str(), &share.assignment)).collect();
        for id in self.members.ids() {
            let share =
                shares.get(id.as_str()).map_or_else(Bytes::new, |share| Bytes::copy_from_slice(share));
            self.members.change(&id, |member| member.assignment = share);
        }
        let record = self.record();
        if record.bytes() > turn.settings.record_bytes_max {
            // As in Kafka: nobody gets a share, and the group tries again.
            self.fail_syncs(ErrorCode::UnknownServerError, turn);
            self.prepare_rebalance(turn);
            return;
        }
        turn.out.records.push(record);
        self.enter(State::Stable, turn.now.wall_ms);
        for id in self.members.ids() {
            if let Some(Some(asker)) = self.members.change(&id, |member| member.syncing.take()) {
                let answer = self.synced(&id);
                turn.reply(asker, GroupReply::Sync(answer));
                self.renew_session(&id, turn);
            }
        }
    }

    fn synced(&self, id: &str) -> SyncGroupResponse {
        SyncGroupResponse {
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol.clone(),
            assignment: self.members.get(id).map(|member| member.assignment.clone()).unwrap_or_default(),
            ..Default::default()
        }
    }

    /// Takes all shares back and tells whoever waits for one.
    pub(super) fn fail_syncs(&mut self, error: ErrorCode, turn: &mut Turn<'_>) {
        for id in self.members.ids() {
            let asker = self.members.change(&id, |member| {
                member.assignment = Bytes::new();
                member.syncing.take()
            });
            if let Some(Some(asker)) = asker {
                turn.reply(asker, GroupReply::Sync(refused(error)));
                self.renew_session(&id, turn);
            }
        }
    }
}
