//! The machine driven as a shard drives it: every record goes into a log, flushes come when the test says so.

use super::*;
use crate::base::ShardId;
use crate::group::call::Client;
use crate::wire::generated::join_group_request::JoinGroupRequestProtocol;
use crate::wire::generated::leave_group_request::MemberIdentity;
use crate::wire::generated::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use crate::wire::generated::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use crate::wire::generated::sync_group_request::SyncGroupRequestAssignment;
use crate::wire::generated::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, OffsetCommitRequest,
    OffsetDeleteRequest, SyncGroupRequest, SyncGroupResponse,
};

mod chronicle;
mod classic;
mod consumer;
mod migration;
mod offsets;
mod random;
mod transactional;

const GROUP: &str = "g";
const SESSION_MS: i32 = 10_000;
const REBALANCE_MS: i32 = 60_000;

/// A coordinator with its log and its clock.
struct Bench {
    coordinator: Coordinator,
    log: Vec<GroupRecord>,
    now: Now,
    asked: u64,
    replies: BTreeMap<u64, GroupReply>,
    /// Whether records are durable at once.
    flushes: bool,
}

impl Bench {
    fn new() -> Self {
        Self::with(Settings::default())
    }

    fn with(settings: Settings) -> Self {
        let mut bench = Bench {
            coordinator: Coordinator::new(settings),
            log: Vec::new(),
            now: Now { mono_ms: 1000, wall_ms: 1_700_000_000_000 },
            asked: 0,
            replies: BTreeMap::new(),
            flushes: true,
        };
        bench.begin();
        bench
    }

    fn begin(&mut self) {
        let mut out = Effects::default();
        self.coordinator.loaded(self.end(), self.now, &mut out);
        self.take(out);
    }

    fn end(&self) -> Offset {
        Offset::try_from(self.log.len()).expect("a short log")
    }

    /// Ends the coordinator and makes one of what the log holds.
    fn restart(&mut self) {
        let mut fresh = Coordinator::new(self.coordinator.settings.clone());
        for record in &self.log {
            fresh
                .replay(record.key.clone(), record.value.clone())
                .expect("it was written by the coordinator");
        }
        self.coordinator = fresh;
        self.begin();
    }

    fn take(&mut self, mut out: Effects) {
        if !out.records.is_empty() {
            self.log.append(&mut out.records);
            self.coordinator.placed(self.end(), &mut out);
            assert!(out.records.is_empty(), "placing appends nothing");
            if self.flushes {
                let upto = self.end();
                self.coordinator.step(self.now, Event::Durable { upto }, &mut out);
            }
        }
        for (asker, reply) in out.replies {
            assert!(self.replies.insert(asker.set, reply).is_none(), "a question is answered once");
        }
    }

    fn step(&mut self, event: Event) {
        let mut out = Effects::default();
        self.coordinator.step(self.now, event, &mut out);
        self.take(out);
    }

    fn flush(&mut self) {
        let upto = self.end();
        self.step(Event::Durable { upto });
    }

    /// Asks; the number is the question's.
    fn ask(&mut self, op: GroupOp) -> u64 {
        self.asked += 1;
        let asker = Asker { shard: ShardId(0), set: self.asked, index: 0 };
        self.step(Event::Request { asker, op: Box::new(op) });
        self.asked
    }

    /// Lets time pass, a timer at a time.
    fn pass(&mut self, ms: u64) {
        let end = self.now.mono_ms + ms;
        while let Some(at) = self.coordinator.deadline_ms().filter(|at| *at <= end) {
            self.forward(at.max(self.now.mono_ms));
            self.step(Event::Tick);
        }
        self.forward(end);
    }

    /// Lets the initial delay pass, with the extension for whoever came during it; sessions outlive it.
    fn gather(&mut self) {
        self.pass(6000);
    }

    fn forward(&mut self, to: u64) {
        self.now.wall_ms += i64::try_from(to - self.now.mono_ms).expect("a short time");
        self.now.mono_ms = to;
    }

    fn reply(&mut self, question: u64) -> Option<GroupReply> {
        self.replies.remove(&question)
    }

    fn join_with(&mut self, version: i16, request: JoinGroupRequest) -> u64 {
        let client = Client { id: "client".into(), host: "/127.0.0.1".into() };
        let uuid = format!("{:036}", self.asked).into();
        self.ask(GroupOp::Join { request, version, client, uuid })
    }

    fn joined(&mut self, question: u64) -> JoinGroupResponse {
        match self.reply(question) {
            Some(GroupReply::Join(response)) => response,
            other => panic!("no answer to a JoinGroup: {other:?}"),
        }
    }

    fn synced(&mut self, question: u64) -> SyncGroupResponse {
        match self.reply(question) {
            Some(GroupReply::Sync(response)) => response,
            other => panic!("no answer to a SyncGroup: {other:?}"),
        }
    }

    /// A dynamic member's id, as version 4 gives it.
    fn new_member(&mut self) -> Str {
        let question = self.join_with(9, join(""));
        let response = self.joined(question);
        assert_eq!(response.error_code, ErrorCode::MemberIdRequired.code());
        response.member_id
    }

    fn sync(&mut self, member: &str, generation: i32, shares: &[(&str, &'static [u8])]) -> u64 {
        let share = |(id, bytes): &(&str, &'static [u8])| SyncGroupRequestAssignment {
            member_id: (*id).into(),
            assignment: Bytes::from_static(bytes),
        };
        self.ask(GroupOp::Sync(SyncGroupRequest {
            group_id: GROUP.into(),
            generation_id: generation,
            member_id: member.into(),
            assignments: shares.iter().map(share).collect(),
            ..Default::default()
        }))
    }

    fn heartbeat(&mut self, member: &str, generation: i32) -> ErrorCode {
        let request = HeartbeatRequest {
            group_id: GROUP.into(),
            generation_id: generation,
            member_id: member.into(),
            ..Default::default()
        };
        let question = self.ask(GroupOp::Heartbeat(request));
        match self.reply(question) {
            Some(GroupReply::Heartbeat(response)) => code(response.error_code),
            other => panic!("no answer to a heartbeat: {other:?}"),
        }
    }

    fn leave(&mut self, members: &[(&str, Option<&str>)]) -> Vec<ErrorCode> {
        let identity = |(id, instance): &(&str, Option<&str>)| MemberIdentity {
            member_id: (*id).into(),
            group_instance_id: instance.map(Into::into),
            reason: None,
        };
        let members = members.iter().map(identity).collect();
        let request = LeaveGroupRequest { group_id: GROUP.into(), members, ..Default::default() };
        let question = self.ask(GroupOp::Leave(request));
        match self.reply(question) {
            Some(GroupReply::Leave(response)) => {
                response.members.iter().map(|member| code(member.error_code)).collect()
            }
            other => panic!("no answer to a LeaveGroup: {other:?}"),
        }
    }

    fn state(&self) -> Option<&'static str> {
        self.coordinator.groups.get(GROUP).map(|group| group.state().name())
    }

    /// A stable group of `count` dynamic members: their ids, the leader first, and the generation.
    fn stable(&mut self, count: usize) -> (Vec<Str>, i32) {
        let mut ids: Vec<Str> = (0..count).map(|_| self.new_member()).collect();
        let joins: Vec<u64> = ids.iter().map(|id| self.join_with(9, join(id))).collect();
        self.gather();
        let answers: Vec<_> = joins.into_iter().map(|question| self.joined(question)).collect();
        let (leader, generation) = (answers[0].leader.clone(), answers[0].generation_id);
        ids.sort_by_key(|id| *id != leader);
        let shares: Vec<(&str, &'static [u8])> = ids.iter().map(|id| (id.as_str(), &b"share"[..])).collect();
        let syncs: Vec<u64> = ids.iter().map(|id| self.sync(id, generation, &shares)).collect();
        for question in syncs {
            assert_eq!(self.synced(question).error_code, 0);
        }
        assert_eq!(self.state(), Some("Stable"));
        (ids, generation)
    }
}

fn code(number: i16) -> ErrorCode {
    ErrorCode::from_code(number).expect("a code of the protocol")
}

/// What a consumer of the topic `t` sends.
fn join(member: &str) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: GROUP.into(),
        session_timeout_ms: SESSION_MS,
        rebalance_timeout_ms: REBALANCE_MS,
        member_id: member.into(),
        protocol_type: "consumer".into(),
        protocols: vec![protocol("range")],
        ..Default::default()
    }
}

fn protocol(name: &str) -> JoinGroupRequestProtocol {
    JoinGroupRequestProtocol {
        name: name.into(),
        // Version 0, one topic "t", no user data.
        metadata: Bytes::from_static(b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff"),
    }
}

fn commit(member: &str, generation: i32, offset: i64) -> OffsetCommitRequest {
    OffsetCommitRequest {
        group_id: GROUP.into(),
        generation_id_or_member_epoch: generation,
        member_id: member.into(),
        topics: vec![OffsetCommitRequestTopic {
            name: "t".into(),
            partitions: vec![OffsetCommitRequestPartition {
                partition_index: 0,
                committed_offset: offset,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}
