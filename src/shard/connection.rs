//! One client connection: requests in, responses out in request order.
//!
//! Produce requests of a connection overlap, so that many of them share a flush; every other request waits until the
//! ones before it are answered and is answered before the next one starts, as in Kafka, where a connection's requests
//! are handled one after the other (row 7).

use super::notify::Notify;
use super::{Broker, Shard};
use crate::api::RequestHeader;
use crate::base::limits::PIPELINE_MAX;
use crate::seam::{FrameReader, FrameWriter, NetError, Stream, World};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

/// Bytes that one vectored send takes from ready responses before the next send begins.
const SEND_BYTES: usize = 1024 * 1024;

/// What became of a request.
#[derive(Debug, Default)]
enum Slot {
    /// Still being worked on.
    #[default]
    Pending,
    /// Answered; these pieces go out.
    Ready(Vec<Bytes>),
    /// Answered with silence (acks=0).
    Silent,
}

/// The shared state of a connection's two tasks and of the requests in flight.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    slots: RefCell<VecDeque<Slot>>,
    /// Number of the first slot in `slots`.
    first: Cell<u64>,
    closing: Cell<bool>,
    /// Set when a slot was answered or the connection closes.
    changed: Notify,
    /// The peer, for log lines.
    pub(crate) peer: String,
}

/// A request's place in its connection's order of answers.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    connection: Rc<Connection>,
    number: u64,
    /// What the answer needs to know of the request.
    pub(crate) header: Rc<RequestHeader>,
}

impl Connection {
    fn new(peer: String) -> Rc<Self> {
        Rc::new(Connection { peer, ..Connection::default() })
    }

    fn ticket(self: &Rc<Self>, header: RequestHeader) -> Ticket {
        let mut slots = self.slots.borrow_mut();
        let number = self.first.get() + slots.len() as u64;
        slots.push_back(Slot::Pending);
        Ticket { connection: self.clone(), number, header: Rc::new(header) }
    }

    fn in_flight(&self) -> usize {
        self.slots.borrow().len()
    }

    /// Moves answers that are next in order to `pieces`; true if there was any.
    fn take_ready(&self, pieces: &mut Vec<Bytes>) -> bool {
        let mut slots = self.slots.borrow_mut();
        let (mut bytes, mut any) = (0, false);
        while bytes < SEND_BYTES {
            match slots.front_mut() {
                Some(Slot::Ready(answer)) => {
                    bytes += answer.iter().map(Bytes::len).sum::<usize>();
                    pieces.append(answer);
                }
                Some(Slot::Silent) => {}
                Some(Slot::Pending) | None => break,
            }
            slots.pop_front();
            self.first.set(self.first.get() + 1);
            any = true;
        }
        any
    }

    /// Ends the connection; answers not yet sent are dropped.
    pub(crate) fn close(&self) {
        self.closing.set(true);
        self.changed.notify();
    }

    fn is_closing(&self) -> bool {
        self.closing.get()
    }
}

impl Ticket {
    /// Answers the request. A second answer, or one after the connection ended, is dropped.
    pub(crate) fn answer(&self, pieces: Vec<Bytes>) {
        self.settle(Slot::Ready(pieces));
    }

    /// Answers with silence.
    pub(crate) fn silence(&self) {
        self.settle(Slot::Silent);
    }

    /// Ends the connection, with one log line that says why.
    pub(crate) fn close(&self, reason: &str) {
        let (peer, key, version) = (&self.connection.peer, self.header.api_key, self.header.version);
        tracing::info!(%peer, key, version, reason, "closing a connection");
        self.connection.close();
    }

    fn settle(&self, outcome: Slot) {
        let first = self.connection.first.get();
        let index = self.number.checked_sub(first).and_then(|index| usize::try_from(index).ok());
        if let Some(slot) =
            index.and_then(|index| self.connection.slots.borrow_mut().get_mut(index).map(std::mem::take))
        {
            assert!(matches!(slot, Slot::Pending), "a request is answered once");
            if let Some(index) = index {
                self.connection.slots.borrow_mut()[index] = outcome;
            }
        }
        self.connection.changed.notify();
    }
}

impl<B: Broker> Shard<B> {
    /// Serves one connection until either side ends it.
    pub async fn serve(self, stream: <B::World as World>::Stream) {
        let connection = Connection::new(stream.peer());
        let (reader, writer) = stream.split();
        self.world().spawn(send_answers(connection.clone(), writer));
        let end = self.receive_requests(&connection, reader).await;
        self.metrics().connection_ended(matches!(end, Some(NetError::FrameLength(_))));
        if let Some(error) = end.filter(|error| *error != NetError::Closed) {
            tracing::info!(peer = %connection.peer, reason = %error, "closing a connection");
        }
        connection.close();
    }

    async fn receive_requests(
        &self,
        connection: &Rc<Connection>,
        mut reader: impl FrameReader,
    ) -> Option<NetError> {
        let (bytes_max, idle) = self.frame_bounds();
        loop {
            connection
                .changed
                .until(|| connection.in_flight() < PIPELINE_MAX || connection.is_closing())
                .await;
            self.produce_room().await;
            self.mesh_room().await;
            let frame = match reader.next(bytes_max, idle).await {
                Ok(frame) => frame,
                Err(error) => return Some(error),
            };
            if self.is_draining() {
                // Whoever sent it sends it again, to the next process; what came before is still answered.
                connection.changed.until(|| connection.in_flight() == 0 || connection.is_closing()).await;
                return None;
            }
            if connection.is_closing() {
                return None;
            }
            let overlaps = frame.starts_with(&[0, 0]);
            if !overlaps {
                connection.changed.until(|| connection.in_flight() == 0 || connection.is_closing()).await;
            }
            match RequestHeader::parse(frame) {
                Ok((header, body)) => self.request(connection.ticket(header), body),
                Err(error) => {
                    tracing::info!(peer = %connection.peer, %error, "closing a connection: malformed request header");
                    self.metrics().malformed_frame();
                    return None;
                }
            }
            if !overlaps {
                connection.changed.until(|| connection.in_flight() == 0 || connection.is_closing()).await;
            }
            if connection.is_closing() {
                return None;
            }
        }
    }
}

/// Sends answers in order until the connection ends.
async fn send_answers(connection: Rc<Connection>, mut writer: impl FrameWriter) {
    let mut pieces = Vec::new();
    loop {
        connection.changed.until(|| connection.take_ready(&mut pieces) || connection.is_closing()).await;
        if connection.is_closing() {
            break;
        }
        // The slots are free before the bytes are out: a request may begin while answers are still being sent.
        connection.changed.notify();
        if !pieces.is_empty() && writer.send(&mut pieces).await.is_err() {
            connection.close();
            break;
        }
    }
    writer.close();
}
