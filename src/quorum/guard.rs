//! What the crate takes for granted of a message is looked at here: it asserts Raft's rules, and an assertion ends the
//! process. A voter that lost its disk, or another one's fault, mustn't.

use super::store::Store;
use raft::eraftpb::{Message, MessageType};
use raft::{RawNode, StateRole};

/// What to do with a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Step it.
    Take,
    /// It says what can't be.
    Drop,
    /// The leader knows that this voter acknowledged entries up to here; it doesn't have them.
    Forgotten(u64),
    /// The leader lacks what is committed here: the cluster has two histories.
    TwoHistories(u64),
}

/// Judges a message before it is stepped.
pub(super) fn judge(node: &RawNode<Store>, message: &Message) -> Verdict {
    let (raft, log) = (&node.raft, &node.raft.raft_log);
    if message.term == 0 {
        return Verdict::Drop;
    }
    // Raft itself has nothing but an answer for old terms.
    if message.term < raft.term {
        return Verdict::Take;
    }
    let known = |index: u64| {
        let there = index >= log.first_index() - 1 && index <= log.last_index();
        there.then(|| log.term(index).ok()).flatten()
    };
    match message.get_msg_type() {
        MessageType::MsgHeartbeat if message.commit > log.last_index() => Verdict::Forgotten(message.commit),
        MessageType::MsgAppend if !follows(message) => Verdict::Drop,
        MessageType::MsgAppend
            if message.index <= log.committed
                && known(message.index).is_some_and(|term| term != message.log_term) =>
        {
            Verdict::TwoHistories(message.index)
        }
        MessageType::MsgSnapshot => {
            let meta = message.get_snapshot().get_metadata();
            let odd = !message.has_snapshot() || meta.index == 0 || meta.term > message.term;
            if odd { Verdict::Drop } else { Verdict::Take }
        }
        MessageType::MsgAppendResponse
            if raft.state == StateRole::Leader && !message.reject && message.index > log.last_index() =>
        {
            Verdict::Drop
        }
        _ => Verdict::Take,
    }
}

/// Whether a message's entries follow each other, in index and term.
fn follows(message: &Message) -> bool {
    let (mut index, mut term) = (message.index, message.log_term);
    message.entries.iter().all(|entry| {
        let fits = entry.index == index + 1 && entry.term >= term && entry.term <= message.term;
        (index, term) = (entry.index, entry.term);
        fits
    })
}
