//! Group members that come and go: one after the other leaves its group and joins again, and each time the whole group
//! rebalances. Measured is how long a member takes from asking to join until it has its assignment.

use super::context::Context;
use crate::base::ErrorCode;
use crate::load::client::{ClientError, CoordinatorOf, Wire, api, coordinator};
use crate::seam::World as _;
use crate::wire::Str;
use crate::wire::generated::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use crate::wire::generated::leave_group_request::{LeaveGroupRequest, MemberIdentity};
use crate::wire::generated::sync_group_request::{SyncGroupRequest, SyncGroupRequestAssignment};
use crate::wire::generated::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupResponse, LeaveGroupResponse, SyncGroupResponse,
};
use bytes::Bytes;
use std::rc::Rc;
use std::time::Duration;

/// Session and rebalance timeouts of the members.
const SESSION_MS: i32 = 10_000;

/// Time between two heartbeats.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// Heartbeats of a member of place 0 before it leaves; the others stay longer, so that they take turns.
const STAY_BEATS: u32 = 4;

/// The first version of LeaveGroup that names several members.
const LEAVE_MEMBERS_FROM: i16 = 3;

const PROTOCOL_TYPE: Str = Str::from_static("consumer");
const PROTOCOL: Str = Str::from_static("range");

/// Starts the members of a group.
pub(super) fn start(ctx: &Rc<Context>, group: u32) {
    for place in 0..ctx.load.members {
        let ctx = Rc::clone(ctx);
        let world = ctx.world.clone();
        world.spawn(async move {
            while !ctx.closing.get() && ctx.now() < ctx.end() {
                if let Err(error) = live(&ctx, group, place).await {
                    note(&ctx, &error);
                    ctx.world.sleep(Duration::from_millis(200)).await;
                }
            }
        });
    }
}

fn note(ctx: &Context, error: &ClientError) {
    let mut measures = ctx.measures.borrow_mut();
    match error {
        ClientError::Refused { code, .. } => *measures.counts.errors.entry(*code).or_default() += 1,
        _ => measures.counts.disconnects += 1,
    }
}

/// One member's life: it joins, stays for a few heartbeats (joining again when others come and go) and leaves.
async fn live(ctx: &Context, group: u32, place: u32) -> Result<(), ClientError> {
    let name = Str::from(format!("ringlog-load-{:08x}-{group}", ctx.run));
    let mut wire =
        coordinator(&ctx.world, &ctx.dial, &ctx.load.bootstrap, (&name, CoordinatorOf::Group)).await?;
    let mut member = Str::default();
    let mut generation = join(ctx, &mut wire, &name, &mut member).await?;
    let beats = STAY_BEATS * (1 + place);
    for _ in 0..beats {
        if ctx.closing.get() || ctx.now() >= ctx.end() {
            break;
        }
        ctx.world.sleep(HEARTBEAT).await;
        let request = HeartbeatRequest {
            group_id: name.clone(),
            generation_id: generation,
            member_id: member.clone(),
            ..HeartbeatRequest::default()
        };
        let answer: HeartbeatResponse = wire.call(api::HEARTBEAT, &request).await?;
        match ErrorCode::from_code(answer.error_code) {
            Some(ErrorCode::None) => {}
            Some(ErrorCode::RebalanceInProgress | ErrorCode::IllegalGeneration) => {
                generation = join(ctx, &mut wire, &name, &mut member).await?;
            }
            _ => return Err(wire.refused(api::HEARTBEAT, &name, answer.error_code, None)),
        }
    }
    leave(&mut wire, &name, &member).await?;
    wire.close();
    Ok(())
}

/// Joins and gets an assignment; the group's generation.
async fn join(ctx: &Context, wire: &mut Wire, name: &Str, member: &mut Str) -> Result<i32, ClientError> {
    let began = ctx.now();
    loop {
        let request = JoinGroupRequest {
            group_id: name.clone(),
            session_timeout_ms: SESSION_MS,
            rebalance_timeout_ms: SESSION_MS,
            member_id: member.clone(),
            protocol_type: PROTOCOL_TYPE,
            protocols: vec![JoinGroupRequestProtocol { name: PROTOCOL, metadata: Bytes::new() }],
            ..JoinGroupRequest::default()
        };
        let answer: JoinGroupResponse = wire.call(api::JOIN_GROUP, &request).await?;
        *member = answer.member_id.clone();
        match ErrorCode::from_code(answer.error_code) {
            Some(ErrorCode::None) => {}
            Some(ErrorCode::MemberIdRequired | ErrorCode::RebalanceInProgress) => continue,
            Some(ErrorCode::UnknownMemberId) => {
                *member = Str::default();
                continue;
            }
            _ => return Err(wire.refused(api::JOIN_GROUP, name, answer.error_code, None)),
        }
        let assignment = |id: &Str| SyncGroupRequestAssignment {
            member_id: id.clone(),
            assignment: Bytes::from_static(b"ringlog-load"),
        };
        let leads = answer.leader == answer.member_id;
        let members = answer.members.iter().filter(|_| leads);
        let request = SyncGroupRequest {
            group_id: name.clone(),
            generation_id: answer.generation_id,
            member_id: member.clone(),
            protocol_type: Some(PROTOCOL_TYPE),
            protocol_name: Some(PROTOCOL),
            assignments: members.map(|other| assignment(&other.member_id)).collect(),
            ..SyncGroupRequest::default()
        };
        let synced: SyncGroupResponse = wire.call(api::SYNC_GROUP, &request).await?;
        match ErrorCode::from_code(synced.error_code) {
            Some(ErrorCode::None) => {
                let took = ctx.now() - began;
                let mut measures = ctx.measures.borrow_mut();
                measures.counts.rejoined += 1;
                // A member that waits for the others waits for the group, not for a place in a queue: no correction.
                measures.e2e.saturating_record(took);
                return Ok(answer.generation_id);
            }
            Some(ErrorCode::RebalanceInProgress | ErrorCode::IllegalGeneration) => {}
            _ => return Err(wire.refused(api::SYNC_GROUP, name, synced.error_code, None)),
        }
    }
}

async fn leave(wire: &mut Wire, name: &Str, member: &Str) -> Result<(), ClientError> {
    // From version 3 on (KIP-345) a request names several members, before that one.
    let names_several = wire.versions().pick(api::LEAVE_GROUP, wire.broker())? >= LEAVE_MEMBERS_FROM;
    let identity = MemberIdentity { member_id: member.clone(), ..MemberIdentity::default() };
    let request = LeaveGroupRequest {
        group_id: name.clone(),
        member_id: if names_several { Str::default() } else { member.clone() },
        members: if names_several { vec![identity] } else { Vec::new() },
    };
    let answer: LeaveGroupResponse = wire.call(api::LEAVE_GROUP, &request).await?;
    match answer.error_code {
        0 => Ok(()),
        code => Err(wire.refused(api::LEAVE_GROUP, name, code, None)),
    }
}
