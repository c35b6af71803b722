//! One client connection: requests in, responses out in request order.
//!
//! Produce requests of a connection overlap, so that many of them share a flush; every other request waits until the
//! ones before it are answered and is answered before the next one starts, as in Kafka, where a connection's requests
//! are handled one after the other (row 7).

use super::answers::Answers;
use super::journey::Asked;
use super::notify::Notify;
use super::{Broker, Shard};
use crate::api::RequestHeader;
use crate::base::limits::PIPELINE_MAX;
use crate::metrics::{Journey, Refusal};
use crate::seam::{FrameReader, FrameWriter, NetError, Stream, World};
use crate::wire::Str;
use bytes::Bytes;
use futures_lite::future::or;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

/// Time between two words to the runtime that someone waits for memory that peers hold.
const PRESS_PAUSE: Duration = Duration::from_secs(1);

/// Bytes that one vectored send takes from ready responses before the next send begins.
const SEND_BYTES: usize = 1024 * 1024;

/// What became of a request.
#[derive(Debug, Default)]
enum Slot {
    /// Still being worked on.
    #[default]
    Pending,
    /// Answered; these pieces go out.
    Ready(Vec<Bytes>, Rc<Asked>),
    /// Answered with silence (acks=0).
    Silent,
}

impl Slot {
    fn bytes(&self) -> usize {
        match self {
            Slot::Ready(pieces, _) => pieces.iter().map(Bytes::len).sum(),
            Slot::Pending | Slot::Silent => 0,
        }
    }
}

/// Answers on their way out.
#[derive(Default)]
struct Outgoing {
    pieces: Vec<Bytes>,
    /// Whose they are, and how many bytes each.
    asked: Vec<(usize, Rc<Asked>)>,
}

/// The shared state of a connection's two tasks and of the requests in flight.
#[derive(Debug)]
pub(crate) struct Connection {
    slots: RefCell<VecDeque<Slot>>,
    /// Number of the first slot in `slots`.
    first: Cell<u64>,
    closing: Cell<bool>,
    /// Why it ends was told.
    told: Cell<bool>,
    /// Bytes of answers that its client hasn't taken, of the shard's budget for them.
    unsent: Cell<usize>,
    answers: Answers,
    /// Set when a slot was answered or the connection closes.
    changed: Notify,
    /// The peer, for log lines.
    pub(crate) peer: String,
    /// The peer's address, without its port.
    host: Str,
}

/// The address in `ADDRESS:PORT`.
fn host_of(peer: &str) -> Str {
    let host = peer.rsplit_once(':').map_or(peer, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']').into()
}

/// A request's place in its connection's order of answers.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    connection: Rc<Connection>,
    number: u64,
    /// What the answer needs to know of the request.
    pub(crate) header: Rc<Asked>,
}

impl Connection {
    fn new(peer: String, answers: Answers) -> Rc<Self> {
        Rc::new(Connection {
            slots: RefCell::default(),
            first: Cell::new(0),
            closing: Cell::new(false),
            told: Cell::new(false),
            unsent: Cell::new(0),
            answers,
            changed: Notify::default(),
            host: host_of(&peer),
            peer,
        })
    }

    fn hold(&self, bytes: usize) {
        self.unsent.set(self.unsent.get() + bytes);
        self.answers.take(bytes);
    }

    fn release(&self, bytes: usize) {
        self.unsent.set(self.unsent.get() - bytes);
        self.answers.give(bytes);
    }

    fn ticket(self: &Rc<Self>, header: Rc<Asked>) -> Ticket {
        let mut slots = self.slots.borrow_mut();
        let number = self.first.get() + slots.len() as u64;
        slots.push_back(Slot::Pending);
        Ticket { connection: self.clone(), number, header }
    }

    fn in_flight(&self) -> usize {
        self.slots.borrow().len()
    }

    /// Moves answers that are next in order to `out`, and says how many bytes; `None` if there was none.
    fn take_ready(&self, out: &mut Outgoing) -> Option<usize> {
        let mut slots = self.slots.borrow_mut();
        let (mut bytes, mut any) = (0, false);
        while bytes < SEND_BYTES {
            match slots.front_mut() {
                None | Some(Slot::Pending) => break,
                Some(slot) => bytes += slot.bytes(),
            }
            if let Some(Slot::Ready(mut answer, asked)) = slots.pop_front() {
                out.asked.push((answer.iter().map(Bytes::len).sum(), asked));
                out.pieces.append(&mut answer);
            }
            self.first.set(self.first.get() + 1);
            any = true;
        }
        any.then_some(bytes)
    }

    /// Ends the connection; answers not yet sent are dropped.
    pub(crate) fn close(&self) {
        self.closing.set(true);
        let mut dropped = 0;
        for slot in self.slots.borrow_mut().iter_mut().filter(|slot| matches!(slot, Slot::Ready(..))) {
            dropped += slot.bytes();
            *slot = Slot::Silent;
        }
        self.release(dropped);
        self.changed.notify();
    }

    fn is_closing(&self) -> bool {
        self.closing.get()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.answers.give(self.unsent.get());
    }
}

impl Ticket {
    /// Whether its request came over this connection.
    pub(crate) fn is_of(&self, connection: &Rc<Connection>) -> bool {
        Rc::ptr_eq(&self.connection, connection)
    }

    /// Answers the request. A second answer, or one after the connection ended, is dropped.
    pub(crate) fn answer(&self, pieces: Vec<Bytes>) {
        self.settle(Slot::Ready(pieces, self.header.clone()));
    }

    /// Answers with silence.
    pub(crate) fn silence(&self) {
        self.settle(Slot::Silent);
    }

    fn settle(&self, outcome: Slot) {
        let connection = &self.connection;
        let first = connection.first.get();
        let index = self.number.checked_sub(first).and_then(|index| usize::try_from(index).ok());
        let outcome = if connection.is_closing() { Slot::Silent } else { outcome };
        let bytes = outcome.bytes();
        let settled = index.is_some_and(|index| {
            let mut slots = connection.slots.borrow_mut();
            let Some(slot) = slots.get_mut(index) else { return false };
            let before = std::mem::replace(slot, outcome);
            assert!(matches!(before, Slot::Pending | Slot::Silent), "a request is answered once");
            true
        });
        if settled {
            connection.hold(bytes);
        }
        connection.changed.notify();
    }
}

impl<B: Broker> Shard<B> {
    /// Serves one connection until either side ends it.
    pub async fn serve(self, stream: <B::World as World>::Stream) {
        let connection = Connection::new(stream.peer(), self.0.answers.clone());
        let (reader, writer) = stream.split();
        self.world().spawn(self.clone().send_answers(connection.clone(), writer));
        let end = self.receive_requests(&connection, reader).await;
        self.metrics().connection_ended();
        if let Some(error) = end {
            let refusal = match error {
                NetError::Closed | NetError::Unreachable(_) => None,
                NetError::FrameLength(_) => Some(Refusal::Oversize),
                NetError::TimedOut => Some(Refusal::Slow),
                NetError::Budget => Some(Refusal::Starved),
            };
            refusal.into_iter().for_each(|refusal| self.tell_end(&connection, refusal, &error.to_string()));
        }
        connection.close();
        self.forget_waits_of(&connection);
    }

    /// Ends the connection of a request, and tells why.
    pub(super) fn refuse(&self, ticket: &Ticket, refusal: Refusal, reason: &str) {
        let RequestHeader { api_key, version, .. } = **ticket.header;
        let reason = format!("{reason} (API {api_key}, version {version})");
        self.tell_end(&ticket.connection, refusal, &reason);
        ticket.connection.close();
    }

    /// Counts why the broker ends a connection, once, and logs it unless there are very many.
    fn tell_end(&self, connection: &Connection, refusal: Refusal, reason: &str) {
        if connection.told.replace(true) {
            return;
        }
        self.metrics().refused(refusal);
        if let Some(left_out) = self.spare() {
            tracing::info!(peer = %connection.peer, reason, left_out, "closing a connection");
        }
    }

    async fn receive_requests(
        &self,
        connection: &Rc<Connection>,
        mut reader: impl FrameReader,
    ) -> Option<NetError> {
        let (bytes_max, idle) = self.frame_bounds();
        let closing = || connection.is_closing();
        let alone = || connection.in_flight() == 0 || closing();
        loop {
            connection.changed.until(|| connection.in_flight() < PIPELINE_MAX || closing()).await;
            self.produce_room().await;
            self.mesh_room().await;
            let frame = match reader.next(bytes_max, idle).await {
                Ok(frame) => frame,
                Err(error) => return Some(error),
            };
            let (began, complete) = (reader.began(), self.world().turn());
            if self.is_draining() {
                // Whoever sent it sends it again, to the next process; what came before is still answered.
                connection.changed.until(alone).await;
                return None;
            }
            let overlaps = frame.starts_with(&[0, 0]);
            if !overlaps {
                connection.changed.until(alone).await;
            }
            if !overlaps || connection.unsent.get() > 0 {
                self.wait_for_memory().await;
            }
            if !closing() {
                self.take_request(connection, frame, self.begin_journey(began, complete));
            }
            self.0.answers.through();
            if !overlaps {
                connection.changed.until(alone).await;
            }
            if closing() {
                return None;
            }
        }
    }

    fn take_request(&self, connection: &Rc<Connection>, frame: Bytes, journey: Journey) {
        match RequestHeader::parse(frame) {
            Ok((mut header, body)) => {
                header.client_host = connection.host.clone();
                self.request(connection.ticket(Asked::new(header, journey)), body);
            }
            Err(error) => {
                let reason = format!("malformed request header: {error}");
                self.tell_end(connection, Refusal::Malformed, &reason);
                connection.close();
            }
        }
    }

    /// Waits until there is memory for an answer. Meanwhile those who hold it and don't take what they asked for don't
    /// have long: they could keep all others waiting for as long as any peer may take.
    async fn wait_for_memory(&self) {
        let press = async {
            loop {
                self.world().press_peers();
                self.world().sleep(PRESS_PAUSE).await;
            }
        };
        or(self.0.answers.room(), press).await;
    }

    /// Sends answers in order until the connection ends.
    async fn send_answers(self, connection: Rc<Connection>, mut writer: impl FrameWriter) {
        let mut out = Outgoing::default();
        loop {
            let mut taken = None;
            let ready = || {
                taken = connection.take_ready(&mut out);
                taken.is_some() || connection.is_closing()
            };
            connection.changed.until(ready).await;
            if connection.is_closing() {
                connection.release(taken.unwrap_or_default());
                break;
            }
            // The slots are free before the bytes are out: a request may begin while answers are still being sent.
            connection.changed.notify();
            let sent = if out.pieces.is_empty() { Ok(()) } else { writer.send(&mut out.pieces).await };
            for (bytes, asked) in out.asked.drain(..) {
                self.arrive(&asked, bytes, &connection.peer);
            }
            connection.release(taken.unwrap_or_default());
            if let Err(error) = sent {
                if error == NetError::TimedOut {
                    self.tell_end(&connection, Refusal::Unread, "it doesn't take its answers");
                }
                connection.close();
                break;
            }
        }
        writer.close();
    }
}
