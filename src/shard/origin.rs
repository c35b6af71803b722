//! Requests on the shard where they arrived: plans are performed, questions go to the shards that can answer, answers
//! come back in any order and resume the plan.

use super::connection::{Connection, Ticket};
use super::journey::FlushTimes;
use super::message::{Calls, Message, Origin};
use super::notify::Slot;
use super::peers::{Abroad, told_of};
use super::txns::parked::Spot;
use super::{Broker, Shard};
use crate::api::{Plan, Then};
use crate::base::{ErrorCode, NodeId, ShardId, TopicPartition};
use crate::cluster::{Command, Outcome, owner_shard};
use crate::group::call::{Asker, GroupCall, GroupReply};
use crate::metrics::{Refusal, Stage};
use crate::peer::{Ask, Told};
use crate::replica::Waiter;
use crate::replica::call::{PartitionCall, PartitionOp, PartitionReply, Produced};
use crate::txn::MarkerOrder;
use crate::txn::call::{TxnCall, TxnReply};
use crate::wire::Reader;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Questions whose answers are awaited.
#[derive(Default)]
pub(super) struct Pending {
    next: u64,
    calls: Requests<PartitionReply>,
    groups: Requests<GroupReply>,
    txns: Requests<TxnReply>,
    proposals: BTreeMap<u64, (Ticket, Then<Vec<Outcome>>)>,
    /// Proposals of this shard's own.
    commands: BTreeMap<u64, Slot<Vec<Outcome>>>,
    /// Markers that coordinators of transactions had written.
    marks: BTreeMap<u64, CallSet<PartitionReply, Marks>>,
    /// Markers that other brokers have written here.
    peer_marks: BTreeMap<u64, Slot<Told>>,
    /// Questions to such coordinators.
    vouchers: BTreeMap<u64, Voucher>,
}

/// Who asks a transaction's coordinator about partitions.
enum Voucher {
    /// Batches that wait: where, and the version of their requests.
    Batches(Vec<Spot>, i16),
    /// Another broker, about so many partitions.
    Peer(Slot<Told>, usize),
}

/// A request that goes on with what was answered.
struct Request<R> {
    ticket: Ticket,
    then: Then<Vec<R>>,
}

/// Requests that wait for answers of one kind, by the number of their set.
type Requests<R> = BTreeMap<u64, CallSet<R, Request<R>>>;

/// A question to the shard that owns a partition, or to the broker that leads it.
trait Question: Abroad + Sized + 'static {
    /// What answers it.
    type Reply;
    /// The partition that it is about.
    fn partition(&self) -> TopicPartition;
    /// The requests that wait for such answers.
    fn requests(pending: &mut Pending) -> &mut Requests<Self::Reply>;
    /// Questions as a message to another shard.
    fn message(calls: Calls<Self>) -> Message;
    /// Answers questions of this shard to itself.
    fn answer<B: Broker>(shard: &Shard<B>, calls: Calls<Self>);
}

macro_rules! question {
    ($call:ty, $reply:ty, $requests:ident, $message:ident, $answer:ident) => {
        impl Question for $call {
            type Reply = $reply;

            fn partition(&self) -> TopicPartition {
                self.partition
            }

            fn requests(pending: &mut Pending) -> &mut Requests<$reply> {
                &mut pending.$requests
            }

            fn message(calls: Calls<Self>) -> Message {
                Message::$message(calls)
            }

            fn answer<B: Broker>(shard: &Shard<B>, calls: Calls<Self>) {
                shard.$answer(calls);
            }
        }
    };
}

question!(PartitionCall, PartitionReply, calls, Calls, answer_calls);
question!(GroupCall, GroupReply, groups, GroupCalls, answer_group_calls);
question!(TxnCall, TxnReply, txns, TxnCalls, answer_txn_calls);

/// Markers that a coordinator has written.
pub(super) struct Marks {
    /// The coordinator's partition.
    pub(super) coordinator: TopicPartition,
    /// What it ordered.
    pub(super) order: MarkerOrder,
    /// For each partition of the order, whether there is such a one.
    pub(super) places: Vec<bool>,
}

/// Questions, and who goes on with the answers.
struct CallSet<R, T> {
    then: T,
    replies: Vec<Option<R>>,
    missing: usize,
}

impl<R, T> CallSet<R, T> {
    fn new(then: T, missing: usize) -> Self {
        CallSet { then, replies: std::iter::repeat_with(|| None).take(missing).collect(), missing }
    }

    /// The answers, once none is missing.
    fn into_replies(self) -> (T, Vec<R>) {
        let replies = self.replies.into_iter().map(|reply| reply.expect("none is missing"));
        (self.then, replies.collect())
    }
}

/// Puts an answer into its set; the set, if that was the last one.
fn fill<R, T>(
    sets: &mut BTreeMap<u64, CallSet<R, T>>,
    set: u64,
    index: u32,
    reply: R,
) -> Option<CallSet<R, T>> {
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

    /// Whether nobody waits for an answer from a partition or a coordinator.
    pub(super) fn is_empty(&self) -> bool {
        let requests = self.calls.is_empty() && self.groups.is_empty() && self.txns.is_empty();
        let own = requests && self.proposals.is_empty() && self.marks.is_empty() && self.vouchers.is_empty();
        own && self.peer_marks.is_empty()
    }

    /// Whether a set is of markers, which answer no request.
    fn is_mark(&self, set: u64) -> bool {
        self.marks.contains_key(&set) || self.peer_marks.contains_key(&set)
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
            Plan::Partitions(calls, then) => {
                let asked = ticket.clone();
                if self.ask(ticket, calls, then) {
                    self.pass(&asked, Stage::Append);
                }
            }
            Plan::Groups(calls, then) => drop(self.ask(ticket, calls, then)),
            Plan::Txns(calls, then) => drop(self.ask(ticket, calls, then)),
            Plan::Cluster(commands, then) => self.propose(ticket, commands, then),
            Plan::Fetch(plan) => self.start_fetch(ticket, *plan),
        }
    }

    /// Asks, and goes on with the plan when all is answered; true if some questions went to this shard.
    fn ask<Q: Question>(&self, ticket: Ticket, calls: Vec<Q>, then: Then<Vec<Q::Reply>>) -> bool {
        if calls.is_empty() {
            let plan = self.with_context(&ticket.header, |context| then(context, Vec::new()));
            self.perform(ticket, plan);
            return false;
        }
        let set = {
            let mut pending = self.origin().borrow_mut();
            let set = pending.number();
            Q::requests(&mut pending).insert(set, CallSet::new(Request { ticket, then }, calls.len()));
            set
        };
        self.send_calls(set, calls)
    }

    /// Has markers written for a coordinator of this shard.
    pub(super) fn ask_for_marks(&self, marks: Marks, calls: Vec<PartitionCall>) {
        let set = {
            let mut pending = self.origin().borrow_mut();
            let set = pending.number();
            pending.marks.insert(set, CallSet::new(marks, calls.len()));
            set
        };
        self.send_calls(set, calls);
    }

    /// Asks a coordinator of transactions about batches that wait.
    pub(super) fn ask_for_voucher(&self, spots: Vec<Spot>, version: i16, call: TxnCall) {
        let set = {
            let mut pending = self.origin().borrow_mut();
            let set = pending.number();
            pending.vouchers.insert(set, Voucher::Batches(spots, version));
            set
        };
        self.send_calls(set, vec![call]);
    }

    /// Asks a coordinator of transactions for another broker.
    pub(super) fn ask_txn_for_peer(&self, call: TxnCall) -> Slot<Told> {
        let later = Slot::default();
        let partitions = call.ask().map_or(0, |ask| ask.partitions());
        let set = {
            let mut pending = self.origin().borrow_mut();
            let set = pending.number();
            pending.vouchers.insert(set, Voucher::Peer(later.clone(), partitions));
            set
        };
        self.send_calls(set, vec![call]);
        later
    }

    /// Has a marker written for another broker.
    pub(super) fn ask_mark_for_peer(&self, call: PartitionCall) -> Slot<Told> {
        let later = Slot::default();
        let set = {
            let mut pending = self.origin().borrow_mut();
            let set = pending.number();
            pending.peer_marks.insert(set, later.clone());
            set
        };
        self.send_calls(set, vec![call]);
        later
    }

    /// Sends questions to the shards that own their partitions, or to the brokers that lead them, each with its place
    /// in the request; true if some went to this shard.
    fn send_calls<Q: Question>(&self, set: u64, calls: Vec<Q>) -> bool {
        let mut by_owner: BTreeMap<ShardId, Vec<(u32, Q)>> = BTreeMap::new();
        let mut abroad: BTreeMap<NodeId, Vec<(u32, Ask)>> = BTreeMap::new();
        for (index, call) in (0u32..).zip(calls) {
            let leader = self.elsewhere(call.partition());
            if let Some((leader, ask)) = leader.and_then(|leader| Some((leader, call.ask()?))) {
                abroad.entry(leader).or_default().push((index, ask));
                continue;
            }
            by_owner.entry(owner_shard(call.partition(), self.shards())).or_default().push((index, call));
        }
        abroad.into_iter().for_each(|(leader, asks)| self.ask_abroad::<Q>(leader, set, asks));
        let seen = self.0.view.borrow().applied();
        let mut here = false;
        for (shard, calls) in by_owner {
            let calls = Calls { from: Origin { shard: self.this(), set }, seen, calls };
            if shard == self.this() {
                Q::answer(self, calls);
                here = true;
            } else {
                self.send(shard, Q::message(calls));
            }
        }
        here
    }

    /// Takes answers to calls of this shard and resumes the plans that have all of theirs.
    pub(super) fn take_replies(&self, replies: Vec<(Waiter, PartitionReply)>, flush: Option<FlushTimes>) {
        for (waiter, reply) in replies {
            if self.origin().borrow().is_mark(waiter.set) {
                self.take_mark(waiter, &reply);
                continue;
            }
            let complete = {
                let mut pending = self.origin().borrow_mut();
                fill(&mut pending.calls, waiter.set, waiter.index, reply)
            };
            if let (Some(times), Some(set)) = (flush, &complete) {
                self.pass_flush(&set.then.ticket, times);
            }
            self.resume(complete);
        }
    }

    fn take_mark(&self, waiter: Waiter, reply: &PartitionReply) {
        let error = |reply: &PartitionReply| match reply {
            PartitionReply::Produced(produced) => produced.error,
            _ => ErrorCode::UnknownServerError,
        };
        if let Some(peer) = self.origin().borrow_mut().peer_marks.remove(&waiter.set) {
            return peer.give(vec![error(reply)]);
        }
        let complete = {
            let mut pending = self.origin().borrow_mut();
            fill(&mut pending.marks, waiter.set, waiter.index, reply.clone())
        };
        if let Some(set) = complete {
            let (marks, replies) = set.into_replies();
            self.end_marks(marks, replies.iter().map(error).collect());
        }
    }

    fn resume<R>(&self, complete: Option<CallSet<R, Request<R>>>) {
        if let Some(set) = complete {
            let (Request { ticket, then }, replies) = set.into_replies();
            let plan = self.with_context(&ticket.header, |context| then(context, replies));
            self.perform(ticket, plan);
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
        self.origin().borrow_mut().groups.retain(|_, set| !set.then.ticket.is_of(connection));
    }

    /// Takes answers of coordinators of transactions: for requests, or for batches that wait.
    pub(super) fn take_txn_replies(&self, replies: Vec<(Asker, TxnReply)>) {
        for (asker, reply) in replies {
            let voucher = self.origin().borrow_mut().vouchers.remove(&asker.set);
            match voucher {
                Some(Voucher::Batches(spots, version)) => {
                    self.take_voucher(&spots, version, &reply);
                    continue;
                }
                Some(Voucher::Peer(later, partitions)) => {
                    later.give(told_of(&reply, partitions));
                    continue;
                }
                None => {}
            }
            let complete = {
                let mut pending = self.origin().borrow_mut();
                fill(&mut pending.txns, asker.set, asker.index, reply)
            };
            self.resume(complete);
        }
    }

    fn propose(&self, ticket: Ticket, commands: Vec<Command>, then: Then<Vec<Outcome>>) {
        let set = {
            let mut pending = self.origin().borrow_mut();
            let set = pending.number();
            pending.proposals.insert(set, (ticket, then));
            set
        };
        self.send_proposal(set, commands);
    }

    /// Has the coordinator decide commands of this shard's own: what became of each, once all shards of this node
    /// follow.
    pub(super) async fn command(&self, commands: Vec<Command>) -> Vec<Outcome> {
        let slot = Slot::default();
        let set = {
            let mut pending = self.origin().borrow_mut();
            let set = pending.number();
            pending.commands.insert(set, slot.clone());
            set
        };
        self.send_proposal(set, commands);
        slot.taken().await
    }

    fn send_proposal(&self, set: u64, commands: Vec<Command>) {
        let from = Origin { shard: self.this(), set };
        if self.this() == COORDINATOR {
            self.take_proposal(from, commands);
        } else {
            self.send(COORDINATOR, Message::Propose { from, commands });
        }
    }

    /// Takes what became of a proposal of this shard.
    pub(super) fn take_outcomes(&self, set: u64, outcomes: Vec<Outcome>) {
        if let Some(slot) = self.origin().borrow_mut().commands.remove(&set) {
            return slot.give(outcomes);
        }
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
        PartitionOp::Produce(_) | PartitionOp::Mark(_) => {
            PartitionReply::Produced(Produced::refused(error, None))
        }
        PartitionOp::Guard { .. } => PartitionReply::Guarded { error, guard: None },
        PartitionOp::Producers => PartitionReply::Producers { error, producers: Vec::new() },
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
