//! Connections on their way from the accepting thread to this shard.

use crate::rt::local::Event;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::mpsc::Receiver;

/// What the accepting thread tells a shard.
pub(super) enum Arrival {
    /// The socket listens: whoever it is for can connect from now on.
    Open,
    /// Somebody connected.
    Connection(OwnedFd),
    /// A connection was closed at once, for others need the descriptors that are left.
    Crowded,
    /// A connection could not be accepted: no descriptors or no memory left.
    Failed(io::Error),
    /// The address can't be listened on.
    Refused(io::Error),
}

/// The shard's ends, one for each listener.
#[derive(Default)]
pub(in crate::rt) struct Arrivals(RefCell<Vec<Rc<Door>>>);

/// What arrives by one listener.
pub(super) struct Door {
    from: Receiver<Arrival>,
    queue: RefCell<VecDeque<Arrival>>,
    came: Event,
}

impl Arrivals {
    /// Takes in what a listener's thread sends, from now on.
    pub(super) fn attach(&self, from: Receiver<Arrival>) -> Rc<Door> {
        let door = Rc::new(Door { from, queue: RefCell::default(), came: Event::default() });
        self.0.borrow_mut().push(Rc::clone(&door));
        door
    }

    /// Takes in what has arrived; whether anything has.
    pub(in crate::rt) fn take_in(&self) -> bool {
        self.0.borrow().iter().fold(false, |any, door| door.take_in() | any)
    }
}

impl Door {
    fn take_in(&self) -> bool {
        let mut queue = self.queue.borrow_mut();
        let before = queue.len();
        queue.extend(self.from.try_iter());
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
