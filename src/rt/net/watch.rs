//! Timeouts of all connections of a shard, without a timer each.
//!
//! A connection notes until when it waits; the tick looks at a part of all connections at a time, each about four
//! times a second, and ends those that are overdue by shutting the socket down, which wakes whoever waits on it.

use super::sys;
use std::cell::{Cell, RefCell};
use std::os::fd::RawFd;
use std::rc::Rc;
use std::time::Duration;

/// How often each connection is looked at: timeouts are late by at most this much.
pub(super) const ROUND: Duration = Duration::from_millis(250);

/// One connection's deadlines, on the shard's clock.
pub(super) struct Watch {
    fd: RawFd,
    place: Cell<usize>,
    read_by: Cell<Duration>,
    write_by: Cell<Duration>,
    /// Since when the peer owes a part of what is sent to it.
    write_since: Cell<Duration>,
    expired: Cell<bool>,
}

/// Which direction a deadline is for.
#[derive(Clone, Copy)]
pub(super) enum Side {
    /// Receiving.
    Read,
    /// Sending.
    Write,
}

impl Watch {
    fn deadline(&self, side: Side) -> &Cell<Duration> {
        match side {
            Side::Read => &self.read_by,
            Side::Write => &self.write_by,
        }
    }

    /// Whether the connection was ended because it was overdue.
    pub(super) fn expired(&self) -> bool {
        self.expired.get()
    }

    /// The peer has taken its due, or owes nothing yet.
    pub(super) fn begin_sending(&self, now: Duration) {
        self.write_since.set(now);
    }

    /// Whether the connection waits for longer than it may. `pressed`: how long a peer may owe what it is sent.
    fn is_overdue(&self, now: Duration, pressed: Option<Duration>) -> bool {
        let waits = self.write_by.get() != Duration::MAX;
        let owes = |max: Duration| waits && now.saturating_sub(self.write_since.get()) >= max;
        now >= self.read_by.get() || now >= self.write_by.get() || pressed.is_some_and(owes)
    }

    /// Sets a deadline until the guard goes.
    pub(super) fn until(&self, side: Side, deadline: Duration) -> Until<'_> {
        self.deadline(side).set(deadline);
        Until { watch: self, side }
    }
}

/// A wait with a deadline; dropping it ends the deadline.
pub(super) struct Until<'a> {
    watch: &'a Watch,
    side: Side,
}

impl Drop for Until<'_> {
    fn drop(&mut self) {
        self.watch.deadline(self.side).set(Duration::MAX);
    }
}

/// All connections of a shard.
#[derive(Default)]
pub(super) struct Watches {
    all: RefCell<Vec<Rc<Watch>>>,
    cursor: Cell<usize>,
}

impl Watches {
    /// Connections there are.
    pub(super) fn len(&self) -> usize {
        self.all.borrow().len()
    }

    /// Adds a connection, whose descriptor stays open until `remove`.
    pub(super) fn add(&self, fd: RawFd) -> Rc<Watch> {
        let mut all = self.all.borrow_mut();
        let watch = Rc::new(Watch {
            fd,
            place: Cell::new(all.len()),
            read_by: Cell::new(Duration::MAX),
            write_by: Cell::new(Duration::MAX),
            write_since: Cell::new(Duration::ZERO),
            expired: Cell::new(false),
        });
        all.push(Rc::clone(&watch));
        watch
    }

    /// Forgets a connection before its descriptor is closed.
    pub(super) fn remove(&self, watch: &Watch) {
        let mut all = self.all.borrow_mut();
        let place = watch.place.get();
        all.swap_remove(place);
        if let Some(moved) = all.get(place) {
            moved.place.set(place);
        }
    }

    /// Looks at the part of the connections that is due after `elapsed` since the last look. Returns how many it ended.
    /// While memory for sending is short, peers that owe for as long as `pressed` are ended as well.
    pub(super) fn sweep(&self, now: Duration, elapsed: Duration, pressed: Option<Duration>) -> usize {
        let all = self.all.borrow();
        let part = elapsed.as_secs_f64() / ROUND.as_secs_f64();
        let count = ((all.len() as f64 * part).ceil() as usize).min(all.len());
        let mut ended = 0;
        for _ in 0..count {
            let at = self.cursor.get() % all.len();
            self.cursor.set(at + 1);
            let watch = &all[at];
            if watch.is_overdue(now, pressed) && !watch.expired.replace(true) {
                sys::shutdown(watch.fd);
                ended += 1;
            }
        }
        ended
    }

    /// Ends all connections.
    pub(super) fn shutdown_all(&self) {
        self.all.borrow().iter().for_each(|watch| sys::shutdown(watch.fd));
    }
}
