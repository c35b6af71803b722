//! One connection to another node, as its callers see it: what is to be sent, and who waits for which answer.

use super::PeerError;
use crate::base::limits::PEER_CALLS_MAX;
use crate::peer::{Kind, Reply, Request, read_reply, write_request};
use crate::shard::notify::Notify;
use crate::wire::DecodeError;
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

/// What became of a call.
pub(super) type Outcome = Result<Reply, PeerError>;

/// A call that waits for its answer.
#[derive(Debug)]
pub(super) struct Call {
    kind: Kind,
    outcome: RefCell<Option<Outcome>>,
    settled: Notify,
}

impl Call {
    fn settle(&self, outcome: Outcome) {
        *self.outcome.borrow_mut() = Some(outcome);
        self.settled.notify();
    }

    /// Waits for the answer.
    pub(super) async fn outcome(&self) -> Outcome {
        self.settled.until(|| self.outcome.borrow().is_some()).await;
        self.outcome.borrow_mut().take().unwrap_or(Err(PeerError::Unreachable))
    }
}

/// The callers' side of a connection.
#[derive(Debug, Default)]
pub(super) struct Link {
    /// Frames that wait to be sent.
    outgoing: RefCell<VecDeque<Vec<Bytes>>>,
    waiting: RefCell<BTreeMap<i32, Rc<Call>>>,
    next: Cell<i32>,
    /// Until when it rests: there is no connection, and none is tried.
    resting: Cell<Option<Duration>>,
    /// When something came over it last, or it was begun.
    heard: Cell<Duration>,
    /// A caller found it silent for too long.
    given_up: Cell<bool>,
    /// There is something to send, or it was given up.
    changed: Notify,
}

impl Link {
    /// Queues a request.
    ///
    /// # Errors
    /// The link rests, or too many calls wait.
    pub(super) fn begin(&self, request: &Request, now: Duration) -> Result<Rc<Call>, PeerError> {
        if self.resting.get().is_some_and(|until| now < until) {
            return Err(PeerError::Unreachable);
        }
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= PEER_CALLS_MAX {
            return Err(PeerError::Busy);
        }
        if waiting.is_empty() {
            self.heard.set(now);
        }
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        let call =
            Rc::new(Call { kind: request.kind(), outcome: RefCell::default(), settled: Notify::default() });
        waiting.insert(number, call.clone());
        self.outgoing.borrow_mut().push_back(write_request(request, number));
        self.changed.notify();
        Ok(call)
    }

    /// Waits until somebody calls.
    pub(super) async fn wanted(&self) {
        self.changed.until(|| !self.outgoing.borrow().is_empty()).await;
    }

    /// Waits until there is something to send, and moves it to `pieces`; false if the link was given up instead.
    pub(super) async fn take_outgoing(&self, pieces: &mut Vec<Bytes>) -> bool {
        self.changed.until(|| self.given_up.get() || !self.outgoing.borrow().is_empty()).await;
        self.outgoing.borrow_mut().drain(..).for_each(|mut frame| pieces.append(&mut frame));
        !self.given_up.get()
    }

    /// Takes a frame that came.
    ///
    /// # Errors
    /// It is no answer to anything that was asked.
    pub(super) fn take_frame(&self, frame: Bytes, now: Duration) -> Result<(), DecodeError> {
        self.heard.set(now);
        let kind = |number| self.waiting.borrow().get(&number).map(|call| call.kind);
        let (number, reply) = read_reply(frame, kind)?;
        if let Some(call) = self.waiting.borrow_mut().remove(&number) {
            call.settle(Ok(reply));
        }
        Ok(())
    }

    /// A caller has waited in vain. If nothing at all has come for `silence`, the connection is given up: whoever is at
    /// its other end has stopped, or is cut off.
    pub(super) fn doubt(&self, now: Duration, silence: Duration) {
        if now.saturating_sub(self.heard.get()) >= silence {
            self.given_up.set(true);
            self.changed.notify();
        }
    }

    /// There is no connection any more: every call fails, and so do those until the rest is over.
    pub(super) fn rest(&self, until: Duration, error: PeerError) {
        self.resting.set(Some(until));
        self.given_up.set(false);
        self.outgoing.borrow_mut().clear();
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        waiting.into_values().for_each(|call| call.settle(Err(error)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::NodeId;
    use crate::peer::write_reply;
    use futures_lite::future::{block_on, poll_once};
    use std::pin::pin;

    const START: Duration = Duration::from_secs(1);

    fn vote() -> Request {
        Request::Raft { from: NodeId(1), messages: vec![Bytes::from_static(b"vote")] }
    }

    fn follow() -> Request {
        Request::Follow { broker: NodeId(1), from: 7, wait_ms: 100 }
    }

    fn answer(reply: &Reply, number: i32) -> Bytes {
        Bytes::from(write_reply(reply, number).concat()).slice(4..)
    }

    #[test]
    fn answers_find_their_callers_in_any_order() {
        let link = Link::default();
        let (poll, quick) = (link.begin(&follow(), START).unwrap(), link.begin(&vote(), START).unwrap());
        let mut pieces = Vec::new();
        assert!(block_on(link.take_outgoing(&mut pieces)));
        let more = block_on(poll_once(pin!(link.take_outgoing(&mut Vec::new()))));
        assert_eq!(more, None, "both go out together");
        assert_eq!(link.take_frame(answer(&Reply::Raft, 1), START), Ok(()));
        assert_eq!(block_on(quick.outcome()), Ok(Reply::Raft));
        assert_eq!(block_on(poll_once(pin!(poll.outcome()))), None, "the poll goes on waiting");
        let followed = Reply::Follow(Ok(crate::peer::Followed::default()));
        assert_eq!(link.take_frame(answer(&followed, 0), START), Ok(()));
        assert_eq!(block_on(poll.outcome()), Ok(followed));
        assert!(link.take_frame(answer(&Reply::Raft, 1), START).is_err(), "an answer comes once");
    }

    #[test]
    fn a_broken_link_fails_its_calls_at_once_and_then_rests() {
        let link = Link::default();
        let call = link.begin(&vote(), START).unwrap();
        link.rest(START * 2, PeerError::Unreachable);
        assert_eq!(block_on(call.outcome()), Err(PeerError::Unreachable));
        assert_eq!(link.begin(&vote(), START).err(), Some(PeerError::Unreachable));
        assert!(link.begin(&vote(), START * 2).is_ok());
    }

    #[test]
    fn calls_have_a_bound() {
        let link = Link::default();
        let calls: Vec<_> = (0..PEER_CALLS_MAX).map(|_| link.begin(&vote(), START).unwrap()).collect();
        assert_eq!(link.begin(&vote(), START).err(), Some(PeerError::Busy));
        assert_eq!(link.take_frame(answer(&Reply::Raft, 0), START), Ok(()));
        assert!(link.begin(&vote(), START).is_ok());
        assert_eq!(calls.len(), PEER_CALLS_MAX);
    }

    #[test]
    fn only_a_silent_link_is_given_up() {
        let (link, silence) = (Link::default(), Duration::from_secs(3));
        let _calls = [link.begin(&vote(), START).unwrap(), link.begin(&vote(), START).unwrap()];
        let mut pieces = Vec::new();
        assert!(block_on(link.take_outgoing(&mut pieces)));
        assert_eq!(link.take_frame(answer(&Reply::Raft, 0), START * 2), Ok(()));
        link.doubt(START * 4, silence);
        assert!(
            block_on(poll_once(pin!(link.take_outgoing(&mut pieces)))).is_none(),
            "it spoke not long ago"
        );
        link.doubt(START * 5, silence);
        assert!(!block_on(link.take_outgoing(&mut pieces)));
    }
}
