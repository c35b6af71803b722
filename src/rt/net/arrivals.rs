//! Connections on their way from the accepting thread to this shard.

use crate::rt::local::Event;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::mpsc::Receiver;

/// What the accepting thread tells a shard.
pub(super) enum Arrival {
    /// The socket listens: clients can connect from now on.
    Open,
    /// A client connected.
    Connection(OwnedFd),
    /// A connection was closed at once, for others need the descriptors that are left.
    Crowded,
    /// A connection could not be accepted: no descriptors or no memory left.
    Failed(io::Error),
    /// The address can't be listened on.
    Refused(io::Error),
}

/// The shard's end.
#[derive(Default)]
pub(in crate::rt) struct Arrivals {
    from: RefCell<Vec<Receiver<Arrival>>>,
    queue: RefCell<VecDeque<Arrival>>,
    came: Event,
}

impl Arrivals {
    pub(super) fn attach(&self, from: Receiver<Arrival>) {
        self.from.borrow_mut().push(from);
    }

    /// Takes in what has arrived; whether anything has.
    pub(in crate::rt) fn take_in(&self) -> bool {
        let mut queue = self.queue.borrow_mut();
        let before = queue.len();
        self.from.borrow().iter().for_each(|from| queue.extend(from.try_iter()));
        let any = queue.len() > before;
        if any {
            self.came.set();
        }
        any
    }

    pub(super) async fn next(&self) -> Arrival {
        loop {
            let next = self.queue.borrow_mut().pop_front();
            match next {
                Some(arrival) => return arrival,
                None => self.came.wait().await,
            }
        }
    }
}
