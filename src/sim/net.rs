//! Connections in memory: frames to the broker, bytes back, in order, each after a moment of its own.

use super::exec::Exec;
use crate::seam::{FrameReader, FrameWriter, NetError, Stream};
use bytes::{Bytes, BytesMut};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

/// A queue with one reader, which either side may close.
pub(super) struct Pipe<T> {
    queue: RefCell<VecDeque<T>>,
    closed: Cell<bool>,
    reader: RefCell<Option<Waker>>,
}

impl<T> Default for Pipe<T> {
    fn default() -> Self {
        Pipe { queue: RefCell::default(), closed: Cell::new(false), reader: RefCell::default() }
    }
}

impl<T> Pipe<T> {
    pub(super) fn push(&self, item: T) {
        self.queue.borrow_mut().push_back(item);
        self.wake();
    }

    pub(super) fn close(&self) {
        self.closed.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.reader.borrow_mut().take() {
            waker.wake();
        }
    }

    /// The next item; `None` once it is closed, what was queued is dropped then as on a reset.
    pub(super) async fn next(&self) -> Option<T> {
        poll_fn(|context| {
            if self.closed.get() {
                return Poll::Ready(None);
            }
            if let Some(item) = self.queue.borrow_mut().pop_front() {
                return Poll::Ready(Some(item));
            }
            *self.reader.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    pub(super) fn take_queued(&self, bound: usize) -> Vec<T> {
        let mut queue = self.queue.borrow_mut();
        let count = queue.len().min(bound);
        queue.drain(..count).collect()
    }
}

struct Wire {
    exec: Exec,
    requests: Pipe<Bytes>,
    answers: Pipe<Bytes>,
}

/// The client's end of a connection.
#[derive(Clone)]
pub struct ClientEnd(Rc<Wire>);

/// The broker's end, not split yet.
pub struct BrokerEnd(Rc<Wire>);

/// The broker's receiving half.
pub struct Requests(Rc<Wire>);

/// The broker's sending half.
pub struct Answers(Rc<Wire>, BytesMut);

/// A connection.
#[must_use]
pub fn connect(exec: &Exec) -> (ClientEnd, BrokerEnd) {
    let wire = Rc::new(Wire { exec: exec.clone(), requests: Pipe::default(), answers: Pipe::default() });
    (ClientEnd(wire.clone()), BrokerEnd(wire))
}

impl Wire {
    async fn delay(&self) {
        self.exec.sleep(self.exec.micros(1, 150)).await;
    }

    fn close(&self) {
        self.requests.close();
        self.answers.close();
    }
}

impl ClientEnd {
    /// Sends a frame.
    pub fn send(&self, frame: Bytes) {
        self.0.requests.push(frame);
    }

    /// The next answer's frame; `None` if the connection is over.
    pub async fn receive(&self) -> Option<Bytes> {
        let frame = self.0.answers.next().await?;
        self.0.delay().await;
        Some(frame)
    }

    /// Ends the connection, as the broker's end would see a reset.
    pub fn close(&self) {
        self.0.close();
    }
}

impl Stream for BrokerEnd {
    type Reader = Requests;
    type Writer = Answers;

    fn peer(&self) -> String {
        "client".to_owned()
    }

    fn split(self) -> (Requests, Answers) {
        (Requests(self.0.clone()), Answers(self.0, BytesMut::new()))
    }
}

impl FrameReader for Requests {
    async fn next(&mut self, bytes_max: usize, _idle: Duration) -> Result<Bytes, NetError> {
        let frame = self.0.requests.next().await.ok_or(NetError::Closed)?;
        self.0.delay().await;
        assert!(frame.len() <= bytes_max, "simulated clients send small frames");
        Ok(frame)
    }

    fn began(&self) -> Duration {
        self.0.exec.now()
    }
}

impl FrameWriter for Answers {
    async fn send(&mut self, pieces: &mut Vec<Bytes>) -> Result<(), NetError> {
        pieces.drain(..).for_each(|piece| self.1.extend_from_slice(&piece));
        self.0.delay().await;
        while let Some(head) = self.1.first_chunk::<4>() {
            let len = usize::try_from(u32::from_be_bytes(*head)).expect("fits");
            if self.1.len() < 4 + len {
                break;
            }
            let frame = self.1.split_to(4 + len).freeze();
            self.0.answers.push(frame.slice(4..));
        }
        Ok(())
    }

    fn close(&mut self) {
        self.0.close();
    }
}
