//! `seam::Mesh` between the shards of one process.
//!
//! A message waits in its sender's outbox until the end of the turn. Then each destination gets one batch, over a
//! lock-free queue, and its bell is rung, which wakes it if it sleeps: one wake per turn and destination, whatever the
//! number of messages. The destination looks for batches in each turn and moves them to the inbox, from which `receive`
//! takes them.

#[cfg(test)]
mod tests;

use super::bell::Bell;
use super::local::Event;
use crate::base::ShardId;
use crate::base::limits::MESH_OUTBOX_MAX;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

/// Messages that one `receive` takes at most: bounds the turn of the task that handles them.
const RECEIVE_MAX: usize = 1024;

/// What one shard sent to another in one turn.
struct Batch<M> {
    from: usize,
    messages: Vec<M>,
}

/// A shard as the others see it. Process-wide.
struct Port<M> {
    queue: Sender<Batch<M>>,
    bell: Arc<Bell>,
    /// Messages handed over and not yet received, by sender.
    waiting: Box<[AtomicUsize]>,
}

/// A shard's end that has not yet moved to its thread.
pub(super) struct MeshEnd<M> {
    this: ShardId,
    ports: Arc<[Port<M>]>,
    queue: Receiver<Batch<M>>,
}

impl<M> MeshEnd<M> {
    /// The shard it is for.
    pub(super) fn this(&self) -> ShardId {
        self.this
    }
}

/// The ends of a mesh of as many shards as there are bells, in order.
pub(super) fn mesh_ends<M: Send + 'static>(bells: &[Arc<Bell>]) -> Vec<MeshEnd<M>> {
    let shards = u16::try_from(bells.len()).expect("the number of shards is bounded");
    let mut queues = Vec::new();
    let mut ports = Vec::new();
    for bell in bells {
        let (sender, receiver) = channel();
        queues.push(receiver);
        let waiting = (0..shards).map(|_| AtomicUsize::new(0)).collect();
        ports.push(Port { queue: sender, bell: Arc::clone(bell), waiting });
    }
    let ports: Arc<[Port<M>]> = ports.into();
    let end = |(this, queue)| MeshEnd { this: ShardId(this), ports: Arc::clone(&ports), queue };
    (0..shards).zip(queues).map(end).collect()
}

/// One shard's end of the mesh.
pub struct Mesh<M> {
    inner: Rc<Inner<M>>,
}

impl<M> Clone for Mesh<M> {
    fn clone(&self) -> Self {
        Mesh { inner: Rc::clone(&self.inner) }
    }
}

struct Inner<M> {
    this: ShardId,
    ports: Arc<[Port<M>]>,
    queue: Receiver<Batch<M>>,
    outboxes: RefCell<Vec<Vec<M>>>,
    inbox: RefCell<VecDeque<(usize, M)>>,
    incoming: Event,
}

impl<M: Send + 'static> Mesh<M> {
    /// The shard's end, on its own thread.
    pub(super) fn new(end: MeshEnd<M>) -> Self {
        let outboxes = end.ports.iter().map(|_| Vec::new()).collect();
        Mesh {
            inner: Rc::new(Inner {
                this: end.this,
                ports: end.ports,
                queue: end.queue,
                outboxes: RefCell::new(outboxes),
                inbox: RefCell::new(VecDeque::new()),
                incoming: Event::default(),
            }),
        }
    }

    /// A turn's part: sends what it queued, takes in what others sent; whether there was any of that.
    pub(super) fn exchange(&self) -> bool {
        self.inner.flush();
        let any = self.inner.take_batches();
        if any {
            self.inner.incoming.set();
        }
        any
    }
}

impl<M> Inner<M> {
    fn this(&self) -> usize {
        usize::from(self.this.0)
    }

    fn flush(&self) {
        let mut outboxes = self.outboxes.borrow_mut();
        for (port, outbox) in self.ports.iter().zip(outboxes.iter_mut()) {
            if outbox.is_empty() {
                continue;
            }
            let room = outbox.len().min(64);
            let messages = std::mem::replace(outbox, Vec::with_capacity(room));
            port.waiting[self.this()].fetch_add(messages.len(), Ordering::Relaxed);
            // The other end is gone only when its shard has ended; what was sent to it has no reader then.
            let _ = port.queue.send(Batch { from: self.this(), messages });
            port.bell.ring();
        }
    }

    /// Moves all batches that are there to the inbox; false if there were none.
    fn take_batches(&self) -> bool {
        let mut inbox = self.inbox.borrow_mut();
        let mut any = false;
        while let Ok(batch) = self.queue.try_recv() {
            any = true;
            inbox.extend(batch.messages.into_iter().map(|message| (batch.from, message)));
        }
        any
    }

    /// Moves at most `RECEIVE_MAX` messages out of the inbox and gives their senders room; false if there were none.
    fn take_messages(&self, into: &mut Vec<M>) -> bool {
        let mut inbox = self.inbox.borrow_mut();
        let waiting = &self.ports[self.this()].waiting;
        let count = inbox.len().min(RECEIVE_MAX);
        let mut run = (self.this(), 0);
        for (from, message) in inbox.drain(..count) {
            if from != run.0 {
                waiting[run.0].fetch_sub(run.1, Ordering::Relaxed);
                run = (from, 0);
            }
            run.1 += 1;
            into.push(message);
        }
        waiting[run.0].fetch_sub(run.1, Ordering::Relaxed);
        count > 0
    }
}

impl<M: Send + 'static> crate::seam::Mesh<M> for Mesh<M> {
    fn shards(&self) -> u16 {
        u16::try_from(self.inner.ports.len()).expect("made from a u16")
    }

    fn this(&self) -> ShardId {
        self.inner.this
    }

    fn send(&self, to: ShardId, message: M) -> Result<(), M> {
        let inner = &self.inner;
        let port = &inner.ports[usize::from(to.0)];
        let waiting = port.waiting[inner.this()].load(Ordering::Relaxed);
        let mut outboxes = inner.outboxes.borrow_mut();
        let outbox = &mut outboxes[usize::from(to.0)];
        if outbox.len() + waiting >= MESH_OUTBOX_MAX {
            return Err(message);
        }
        if to == inner.this {
            port.waiting[inner.this()].fetch_add(1, Ordering::Relaxed);
            inner.inbox.borrow_mut().push_back((inner.this(), message));
            inner.incoming.set();
        } else {
            outbox.push(message);
        }
        Ok(())
    }

    async fn receive(&self, inbox: &mut Vec<M>) {
        while !self.inner.take_messages(inbox) {
            self.inner.incoming.wait().await;
        }
    }
}
