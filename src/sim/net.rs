//! Connections in memory: frames one way, frames the other, in order, each after a moment of its own.
//!
//! Hosts are the nodes and, as one, all clients. Between two of them the network can be cut, in either direction: what
//! is sent then arrives when it is whole again, as TCP repeats it, and nobody is told.

use super::exec::{Exec, Group};
use crate::seam::{FrameReader, FrameWriter, NetError, Stream};
use bytes::{Bytes, BytesMut};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::poll_fn;
use std::rc::{Rc, Weak};
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

/// Where a connection ends: a node by its id, or the clients, who are all in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Host(pub i32);

/// The clients' place.
pub const CLIENTS: Host = Host(-1);

/// Takes a connection that another node opened.
type Door = Rc<dyn Fn(BrokerEnd)>;

#[derive(Default)]
struct Lines {
    /// From where to where nothing arrives.
    cut: RefCell<BTreeSet<(Host, Host)>>,
    /// From where to where everything arrives late.
    slow: RefCell<BTreeSet<(Host, Host)>>,
    /// Who waits for a cut to end.
    waiting: RefCell<Vec<Waker>>,
    /// Who answers at an address.
    doors: RefCell<BTreeMap<String, (Host, Door)>>,
    /// Hosts without power: nobody is there to refuse a connection.
    dark: RefCell<BTreeSet<Host>>,
    wires: RefCell<Vec<Weak<Wire>>>,
    lives: Cell<u32>,
}

/// The network. A clone is the same one.
#[derive(Clone)]
pub struct Network {
    exec: Exec,
    lines: Rc<Lines>,
}

impl Network {
    /// A network without nodes, in which nothing is cut.
    #[must_use]
    pub fn new(exec: &Exec) -> Self {
        Network { exec: exec.clone(), lines: Rc::default() }
    }

    /// The group of a process that starts.
    #[must_use]
    pub fn next_life(&self) -> Group {
        self.lines.lives.set(self.lines.lives.get() + 1);
        Group(self.lines.lives.get())
    }

    /// Cuts one direction.
    pub fn cut(&self, from: Host, to: Host) {
        self.lines.cut.borrow_mut().insert((from, to));
    }

    /// Makes one direction whole again.
    pub fn heal(&self, from: Host, to: Host) {
        self.lines.cut.borrow_mut().remove(&(from, to));
        self.lines.waiting.borrow_mut().drain(..).for_each(Waker::wake);
    }

    /// Makes one direction slow, or no longer so.
    pub fn slow_down(&self, from: Host, to: Host, slow: bool) {
        let mut all = self.lines.slow.borrow_mut();
        let _ = if slow { all.insert((from, to)) } else { all.remove(&(from, to)) };
    }

    /// Nothing is cut or slow any more.
    pub fn heal_all(&self) {
        self.lines.cut.borrow_mut().clear();
        self.lines.slow.borrow_mut().clear();
        self.lines.waiting.borrow_mut().drain(..).for_each(Waker::wake);
    }

    fn is_cut(&self, from: Host, to: Host) -> bool {
        self.lines.cut.borrow().contains(&(from, to))
    }

    /// Waits until something gets through.
    async fn pass(&self, from: Host, to: Host) {
        if self.lines.slow.borrow().contains(&(from, to)) {
            self.exec.sleep(self.exec.micros(100, 60_000)).await;
        }
        poll_fn(|context| {
            if !self.is_cut(from, to) {
                return Poll::Ready(());
            }
            self.lines.waiting.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// A node's process listens at an address.
    pub fn listen(&self, address: &str, host: Host, door: impl Fn(BrokerEnd) + 'static) {
        self.lines.dark.borrow_mut().remove(&host);
        self.lines.doors.borrow_mut().insert(address.to_owned(), (host, Rc::new(door)));
    }

    /// Nobody listens any more: doors hold the nodes that hold this network.
    pub fn close(&self) {
        self.lines.doors.borrow_mut().clear();
    }

    /// A node's process has ended; with the power gone its connections only fall silent, and are reset when the
    /// machine is back or a peer's patience ends.
    pub fn end_host(&self, host: Host, dark: bool) {
        self.lines.doors.borrow_mut().retain(|_, (there, _)| *there != host);
        let mut wires = self.lines.wires.borrow_mut();
        wires.retain(|wire| wire.strong_count() > 0);
        let of_host: Vec<Rc<Wire>> = wires
            .iter()
            .filter_map(Weak::upgrade)
            .filter(|wire| wire.ends.0 == host || wire.ends.1 == host)
            .collect();
        drop(wires);
        if dark {
            self.lines.dark.borrow_mut().insert(host);
            of_host.iter().for_each(|wire| wire.frozen.set(true));
            let (exec, after) = (self.exec.clone(), self.exec.micros(0, 4_000_000));
            self.exec.spawn(Group(0), async move {
                exec.sleep(after).await;
                of_host.iter().for_each(|wire| wire.close());
            });
        } else {
            of_host.iter().for_each(|wire| wire.close());
        }
    }

    /// Breaks some of the connections between two hosts.
    pub fn break_connections(&self, one: Host, other: Host) {
        let wires: Vec<Rc<Wire>> = self.lines.wires.borrow().iter().filter_map(Weak::upgrade).collect();
        let between = |wire: &&Rc<Wire>| wire.ends == (one, other) || wire.ends == (other, one);
        for wire in wires.iter().filter(between) {
            if self.exec.chance(70) {
                wire.close();
            }
        }
    }

    /// A connection between two hosts: the end that opened it, and the end that takes it.
    fn wire(&self, from: Host, to: Host) -> Rc<Wire> {
        let wire = Rc::new(Wire {
            exec: self.exec.clone(),
            requests: Pipe::default(),
            answers: Pipe::default(),
            ends: (from, to),
            network: self.clone(),
            frozen: Cell::new(false),
        });
        self.lines.wires.borrow_mut().push(Rc::downgrade(&wire));
        wire
    }

    /// A client's connection to a node's process.
    #[must_use]
    pub fn connect_client(&self, to: Host) -> (ClientEnd, BrokerEnd) {
        let wire = self.wire(CLIENTS, to);
        (ClientEnd(wire.clone()), BrokerEnd(wire, Side::Accepted))
    }

    /// Connects a node to an address, as `seam::World::connect` says.
    pub(super) async fn connect(
        &self,
        from: Host,
        address: &str,
        patience: Duration,
    ) -> Result<BrokerEnd, NetError> {
        let until = self.exec.now() + patience;
        self.exec.sleep(self.exec.micros(20, 400)).await;
        let found = self.lines.doors.borrow().get(address).cloned();
        let unreachable = || Err(NetError::Unreachable(address.to_owned()));
        let Some((to, door)) = found else {
            if !self.lines.dark.borrow().is_empty() {
                // Perhaps nobody is there to refuse it.
                self.exec.sleep(until.saturating_sub(self.exec.now())).await;
            }
            return unreachable();
        };
        if self.is_cut(from, to) || self.is_cut(to, from) {
            self.exec.sleep(until.saturating_sub(self.exec.now())).await;
            return unreachable();
        }
        let wire = self.wire(from, to);
        door(BrokerEnd(wire.clone(), Side::Accepted));
        Ok(BrokerEnd(wire, Side::Opened))
    }
}

struct Wire {
    exec: Exec,
    requests: Pipe<Bytes>,
    answers: Pipe<Bytes>,
    /// Who opened it, and to whom.
    ends: (Host, Host),
    network: Network,
    /// One end has lost its power: it closes nothing any more.
    frozen: Cell<bool>,
}

/// The client's end of a connection.
#[derive(Clone)]
pub struct ClientEnd(Rc<Wire>);

/// Which end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Opened,
    Accepted,
}

/// A node's end, not split yet.
pub struct BrokerEnd(Rc<Wire>, Side);

/// A node's receiving half.
pub struct Incoming(Rc<Wire>, Side);

/// A node's sending half.
pub struct Outgoing(Rc<Wire>, Side, BytesMut);

impl Wire {
    async fn delay(&self) {
        self.exec.sleep(self.exec.micros(1, 150)).await;
    }

    fn close(&self) {
        self.requests.close();
        self.answers.close();
    }

    /// What a side receives from.
    fn incoming(&self, side: Side) -> &Pipe<Bytes> {
        match side {
            Side::Opened => &self.answers,
            Side::Accepted => &self.requests,
        }
    }

    /// What a side sends to.
    fn outgoing(&self, side: Side) -> &Pipe<Bytes> {
        match side {
            Side::Opened => &self.requests,
            Side::Accepted => &self.answers,
        }
    }

    /// The next frame for a side, or the news that there is none, once it gets through.
    async fn next(&self, side: Side) -> Option<Bytes> {
        let frame = self.incoming(side).next().await;
        if frame.is_some() {
            self.delay().await;
        }
        let (opener, taker) = self.ends;
        let (from, to) = if side == Side::Opened { (taker, opener) } else { (opener, taker) };
        self.network.pass(from, to).await;
        frame
    }
}

impl ClientEnd {
    /// Sends a frame.
    pub fn send(&self, frame: Bytes) {
        self.0.requests.push(frame);
    }

    /// The next answer's frame; `None` if the connection is over.
    pub async fn receive(&self) -> Option<Bytes> {
        self.0.next(Side::Opened).await
    }

    /// Ends the connection, as the broker's end would see a reset.
    pub fn close(&self) {
        self.0.close();
    }
}

impl Stream for BrokerEnd {
    type Reader = Incoming;
    type Writer = Outgoing;

    fn peer(&self) -> String {
        "client".to_owned()
    }

    fn split(self) -> (Incoming, Outgoing) {
        (Incoming(self.0.clone(), self.1), Outgoing(self.0, self.1, BytesMut::new()))
    }
}

impl FrameReader for Incoming {
    async fn next(&mut self, bytes_max: usize, _idle: Duration) -> Result<Bytes, NetError> {
        let frame = self.0.next(self.1).await.ok_or(NetError::Closed)?;
        assert!(frame.len() <= bytes_max, "simulated frames are small");
        Ok(frame)
    }

    fn began(&self) -> Duration {
        self.0.exec.now()
    }
}

impl FrameWriter for Outgoing {
    async fn send(&mut self, pieces: &mut Vec<Bytes>) -> Result<(), NetError> {
        pieces.drain(..).for_each(|piece| self.2.extend_from_slice(&piece));
        self.0.delay().await;
        while let Some(head) = self.2.first_chunk::<4>() {
            let len = usize::try_from(u32::from_be_bytes(*head)).expect("fits");
            if self.2.len() < 4 + len {
                break;
            }
            let frame = self.2.split_to(4 + len).freeze();
            self.0.outgoing(self.1).push(frame.slice(4..));
        }
        Ok(())
    }

    fn close(&mut self) {
        self.0.close();
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        // Connections that were accepted are closed by who serves them, or end with their process.
        if self.1 == Side::Opened && !self.0.frozen.get() {
            self.0.close();
        }
    }
}
