//! Requests on the shard where they arrived: plans are performed, questions go to the shards that can answer, answers
//! come back in any order and resume the plan.

use super::connection::{Connection, Ticket};
use super::journey::FlushTimes;
use super::message::{Calls, Message, Origin};
use super::{Broker, Shard};
use crate::api::{Plan, Then};
use crate::base::{ErrorCode, ShardId, TopicPartition};
use crate::cluster::{Command, Outcome, owner_shard};
use crate::group::call::{Asker, GroupCall, GroupReply};
use crate::metrics::{Refusal, Stage};
use crate::replica::Waiter;
use crate::replica::call::{PartitionCall, PartitionOp, PartitionReply, Produced};
use crate::wire::Reader;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Questions whose answers are awaited.
#[derive(Default)]
pub(super) struct Pending {
    next: u64,
    calls: BTreeMap<u64, CallSet<PartitionReply>>,
    groups: BTreeMap<u64, CallSet<GroupReply>>,
    proposals: BTreeMap<u64, (Ticket, Then<Vec<Outcome>>)>,
}

struct CallSet<R> {
    ticket: Ticket,
    then: Then<Vec<R>>,
    replies: Vec<Option<R>>,
    missing: usize,
}

impl<R> CallSet<R> {
    fn new(ticket: Ticket, then: Then<Vec<R>>, missing: usize) -> Self {
        CallSet { ticket, then, replies: std::iter::repeat_with(|| None).take(missing).collect(), missing }
    }
}

/// Puts an answer into its set; the set, if that was the last one.
fn fill<R>(sets: &mut BTreeMap<u64, CallSet<R>>, set: u64, index: u32, reply: R) -> Option<CallSet<R>> {
    let waiting = sets.get_mut(&set)?;
    let slot = &mut waiting.replies[index as usize];
    assert!(slot.is_none(), "a call is answered once");
    *slot = Some(reply);
    waiting.missing -= 1;
    if waiting.missing == 0 { sets.remove(&set) } else { None }
}

impl Pending {
    /// A number that no set of this shard had before.
    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Whether nobody waits for an answer from a partition or the coordinator.
    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.groups.is_empty() && self.proposals.is_empty()
    }
}

impl<B: Broker> Shard<B> {
    /// Starts one request. Its answer comes through the ticket, now or later.
    pub(super) fn request(&self, ticket: Ticket, body: Reader) {
        self.metrics().request(ticket.header.api_key);
        let plan = self.with_context(&ticket.header, |context| crate::api::plan(context, body));
        self.pass(&ticket, Stage::Decode);
        match plan {
            Ok(plan) => self.perform(ticket, plan),
            Err(error) => self.refuse(&ticket, Refusal::Malformed, &error.to_string()),
        }
    }

    /// Does what a plan needs next.
    pub(super) fn perform(&self, ticket: Ticket, plan: Plan) {
        match plan {
            Plan::Respond(frame) => {
                self.pass(&ticket, Stage::Answer);
                ticket.answer(frame);
            }
            Plan::NoResponse => ticket.silence(),
            Plan::Close(reason) => self.refuse(&ticket, Refusal::Request, reason),
            Plan::Partitions(calls, then) => self.ask_partitions(ticket, calls, then),
            Plan::Groups(calls, then) => self.ask_groups(ticket, calls, then),
            Plan::Cluster(commands, then) => self.propose(ticket, commands, then),
            Plan::Fetch(plan) => self.start_fetch(ticket, *plan),
        }
    }

    fn ask_partitions(&self, ticket: Ticket, calls: Vec<PartitionCall>, then: Then<Vec<PartitionReply>>) {
        if calls.is_empty() {
            let plan = self.with_context(&ticket.header, |context| then(context, Vec::new()));
            return self.perform(ticket, plan);
        }
        let set = {
            let mut pending = self.origin().borrow_mut();
            let set = pending.number();
            pending.calls.insert(set, CallSet::new(ticket.clone(), then, calls.len()));
            set
        };
        let seen = self.0.view.borrow().applied();
        for (shard, calls) in self.by_owner(calls, |call| call.partition) {
            let from = Origin { shard: self.this(), set };
            let calls = Calls { from, seen, calls };
            if shard == self.this() {
                self.answer_calls(calls);
                self.pass(&ticket, Stage::Append);
            } else {
                self.send(shard, Message::Calls(calls));
            }
        }
    }

    /// Calls by the shard that owns their partition, each with its place in the request.
    fn by_owner<C>(
        &self,
        calls: Vec<C>,
        partition: impl Fn(&C) -> TopicPartition,
    ) -> BTreeMap<ShardId, Vec<(u32, C)>> {
        let mut by_owner: BTreeMap<ShardId, Vec<(u32, C)>> = BTreeMap::new();
        for (index, call) in (0u32..).zip(calls) {
            let shard = owner_shard(partition(&call), self.shards());
            by_owner.entry(shard).or_default().push((index, call));
        }
        by_owner
    }

    /// Takes answers to calls of this shard and resumes the plans that have all of theirs.
    pub(super) fn take_replies(&self, replies: Vec<(Waiter, PartitionReply)>, flush: Option<FlushTimes>) {
        for (waiter, reply) in replies {
            let complete = {
                let mut pending = self.origin().borrow_mut();
                fill(&mut pending.calls, waiter.set, waiter.index, reply)
            };
            if let (Some(times), Some(set)) = (flush, &complete) {
                self.pass_flush(&set.ticket, times);
            }
            self.resume(complete);
        }
    }

    fn resume<R>(&self, complete: Option<CallSet<R>>) {
        if let Some(CallSet { ticket, then, replies, .. }) = complete {
            let replies = replies.into_iter().map(|reply| reply.expect("none is missing")).collect();
            let plan = self.with_context(&ticket.header, |context| then(context, replies));
            self.perform(ticket, plan);
        }
    }

    fn ask_groups(&self, ticket: Ticket, calls: Vec<GroupCall>, then: Then<Vec<GroupReply>>) {
        if calls.is_empty() {
            let plan = self.with_context(&ticket.header, |context| then(context, Vec::new()));
            return self.perform(ticket, plan);
        }
        let set = {
            let mut pending = self.origin().borrow_mut();
            let set = pending.number();
            pending.groups.insert(set, CallSet::new(ticket, then, calls.len()));
            set
        };
        let seen = self.0.view.borrow().applied();
        for (shard, calls) in self.by_owner(calls, |call| call.partition) {
            let calls = Calls { from: Origin { shard: self.this(), set }, seen, calls };
            if shard == self.this() {
                self.answer_group_calls(calls);
            } else {
                self.send(shard, Message::GroupCalls(calls));
            }
        }
    }

    /// Takes answers of coordinators and resumes the plans that have all of theirs. Who is gone needs none.
    pub(super) fn take_group_replies(&self, replies: Vec<(Asker, GroupReply)>) {
        for (asker, reply) in replies {
            let complete = {
                let mut pending = self.origin().borrow_mut();
                fill(&mut pending.groups, asker.set, asker.index, reply)
            };
            self.resume(complete);
        }
    }

    /// A connection ended: what its member waits for, maybe for minutes, is of no use to it any more.
    pub(super) fn forget_waits_of(&self, connection: &Rc<Connection>) {
        self.origin().borrow_mut().groups.retain(|_, set| !set.ticket.is_of(connection));
    }

    fn propose(&self, ticket: Ticket, commands: Vec<Command>, then: Then<Vec<Outcome>>) {
        let set = {
            let mut pending = self.origin().borrow_mut();
            let set = pending.number();
            pending.proposals.insert(set, (ticket, then));
            set
        };
        let from = Origin { shard: self.this(), set };
        if self.this() == COORDINATOR {
            self.take_proposal(from, commands);
        } else {
            self.send(COORDINATOR, Message::Propose { from, commands });
        }
    }

    /// Takes what became of a proposal of this shard.
    pub(super) fn take_outcomes(&self, set: u64, outcomes: Vec<Outcome>) {
        let proposal = self.origin().borrow_mut().proposals.remove(&set);
        if let Some((ticket, then)) = proposal {
            let plan = self.with_context(&ticket.header, |context| then(context, outcomes));
            self.perform(ticket, plan);
        }
    }
}

/// The shard that has the embedded coordinator.
pub(super) const COORDINATOR: ShardId = ShardId(0);

/// The answer to a call that couldn't be made, with the -1s that Kafka sends.
pub(super) fn failed_reply(op: &PartitionOp, error: ErrorCode) -> PartitionReply {
    match op {
        PartitionOp::Produce(_) => PartitionReply::Produced(Produced::refused(error, None)),
        PartitionOp::ListOffset { .. } => PartitionReply::Offset {
            error,
            timestamp: -1,
            offset: -1,
            leader_epoch: crate::base::LeaderEpoch(-1),
        },
        PartitionOp::DeleteRecords { .. } => PartitionReply::Deleted { error, low_watermark: -1 },
        PartitionOp::EpochEnd { .. } => {
            PartitionReply::EpochEnd { error, epoch: crate::base::LeaderEpoch(-1), end_offset: -1 }
        }
        PartitionOp::Describe => PartitionReply::Described { error, size_bytes: 0, log_start_offset: -1 },
    }
}
