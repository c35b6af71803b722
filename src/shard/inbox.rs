//! Messages from other shards.

use super::message::Message;
use super::{Broker, Shard};
use crate::seam::Mesh;

impl<B: Broker> Shard<B> {
    /// Handles messages until the shard ends.
    pub(super) async fn inbox_task(self) {
        let mut inbox = Vec::new();
        loop {
            self.0.mesh.receive(&mut inbox).await;
            for message in inbox.drain(..) {
                self.handle(message);
            }
        }
    }

    fn handle(&self, message: Message) {
        match message {
            Message::Calls(calls) => self.answer_calls(calls),
            Message::Replies { replies, flush } => self.take_replies(replies, flush),
            Message::GroupCalls(calls) => self.answer_group_calls(calls),
            Message::GroupReplies(replies) => self.take_group_replies(replies),
            Message::TxnCalls(calls) => self.answer_txn_calls(calls),
            Message::TxnReplies(replies) => self.take_txn_replies(replies),
            Message::Read { watcher, round, budget, reads } => {
                self.answer_reads(watcher, round, budget, reads)
            }
            Message::ReadDone { set, round, replies } => self.take_reads(set, round, replies),
            Message::Wake { set } => self.wake_fetch(set),
            Message::Unwatch { watcher, partitions } => self.unwatch(watcher, &partitions),
            Message::Propose { from, commands } => self.take_proposal(from, commands),
            Message::Outcomes { set, outcomes } => self.take_outcomes(set, outcomes),
            Message::Install { index, state } => self.install(index, state),
            Message::Apply { change, records } => self.apply(change, records),
            Message::Applied { shard, change, records } => self.applied(shard, change, records),
            Message::Acting(node) => self.0.acting.set(node),
            Message::Raft { from, messages } => self.take_raft(from, messages),
            Message::PeerAsks { from, request } => self.take_peer_request(from, *request),
            Message::PeerAnswer { set, reply } => self.take_peer_reply(set, *reply),
            Message::HandedOver => self.note_handed_over(),
            Message::LogDirFailed => self.note_failed_log_dir(),
            Message::Serve => self.begin_serving(),
            Message::Drained(shard) => self.note_drained(shard),
        }
    }
}
