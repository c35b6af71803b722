//! Receive memory of one shard.
//!
//! Small frames share a slab: a socket that has something is read into the slab's free end, and frames are split off
//! it. A frame that doesn't fit gets a buffer of its own, into which the socket is read directly. Connections that
//! wait hold neither.
//!
//! Frames go to other shards and come back as `Bytes`. The shard keeps an empty handle on each buffer; when it is the
//! last one left, the buffer is free for its next frame (`BytesMut::try_reclaim`) and its share returns to the
//! budget.

use super::budget::Budget;
use bytes::{Bytes, BytesMut};
use std::cell::{Cell, RefCell};

/// Bytes of a slab.
const SLAB_BYTES: usize = 64 * 1024;

/// Slabs of a shard that readers may hold; beyond, what is received is copied out of the current one.
const SLABS_MAX: usize = 128;

/// Most bytes that one read takes from a socket at a frame's beginning, while its frames are small.
pub(super) const WINDOW_SMALL: usize = 16 * 1024;

/// The same while its frames are large: what is read here must be copied to the frame's own buffer.
pub(super) const WINDOW_LARGE: usize = 256;

/// A frame up to this size is copied out of the slab: a request that waits long (a fetch) must not hold a whole slab.
const COPY_BYTES_MAX: usize = 1024;

/// Smallest buffer of a frame's own.
const FRAME_BUFFER_MIN: usize = 16 * 1024;

/// Largest buffer that is kept for the next frame.
pub(super) const FRAME_BUFFER_KEPT_MAX: usize = 2 * 1024 * 1024;

/// Free frame buffers that a shard keeps.
const FREE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Returned buffers that one search looks for.
const SEARCH_MAX: usize = 32;

/// Buffers that one tick looks at.
const SWEEP_MAX: usize = 2048;

/// A buffer of one frame, in the hands of the connection that fills it.
pub(super) struct FrameBuffer {
    /// Received so far; the capacity is that of the buffer.
    pub(super) bytes: BytesMut,
    /// Bytes taken from the budget for it.
    pub(super) charge: usize,
}

/// A buffer that readers hold.
struct Lent {
    handle: BytesMut,
    capacity: usize,
    charge: usize,
}

/// Receive memory of one shard.
pub(super) struct Buffers {
    budget: Budget,
    slab: RefCell<Option<BytesMut>>,
    slabs: RefCell<Vec<BytesMut>>,
    lent: RefCell<Vec<Lent>>,
    cursor: Cell<usize>,
    free: RefCell<Vec<BytesMut>>,
    free_bytes: Cell<usize>,
}

impl Buffers {
    /// Buffers that may hold `budget_bytes` for incomplete and unread frames.
    pub(super) fn new(budget_bytes: usize) -> Self {
        Buffers {
            budget: Budget::new(budget_bytes),
            slab: RefCell::new(None),
            slabs: RefCell::new(Vec::new()),
            lent: RefCell::new(Vec::new()),
            cursor: Cell::new(0),
            free: RefCell::new(Vec::new()),
            free_bytes: Cell::new(0),
        }
    }

    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Offers `read` at most `window` bytes of the slab and returns those that it filled.
    pub(super) fn receive<T>(
        &self,
        window: usize,
        read: impl FnOnce(&mut [u8]) -> (usize, T),
    ) -> (BytesMut, T) {
        let mut slab = self.slab.borrow_mut();
        let mut current = match slab.take() {
            Some(current) if current.len() >= window => current,
            used_up => self.next_slab(used_up),
        };
        let (filled, answer) = read(&mut current[..window]);
        let crowded = self.slabs.borrow().len() >= SLABS_MAX;
        let bytes = if crowded { BytesMut::from(&current[..filled]) } else { current.split_to(filled) };
        *slab = Some(current);
        (bytes, answer)
    }

    /// A frame out of bytes of the slab.
    pub(super) fn frame(bytes: BytesMut) -> Bytes {
        if bytes.len() <= COPY_BYTES_MAX { Bytes::copy_from_slice(&bytes) } else { bytes.freeze() }
    }

    /// A fresh slab in place of one that is used up, which is looked for again when its readers are gone.
    fn next_slab(&self, used_up: Option<BytesMut>) -> BytesMut {
        let mut slabs = self.slabs.borrow_mut();
        if let Some(mut used_up) = used_up {
            used_up.clear();
            slabs.push(used_up);
        }
        let free = slabs.iter_mut().rposition(|slab| slab.try_reclaim(SLAB_BYTES));
        let mut next = free.map_or_else(|| BytesMut::with_capacity(SLAB_BYTES), |at| slabs.swap_remove(at));
        next.resize(SLAB_BYTES, 0);
        next
    }

    /// The capacity of the buffer that a frame of `len` bytes gets.
    pub(super) fn capacity_for(len: usize) -> usize {
        if len > FRAME_BUFFER_KEPT_MAX { len } else { len.next_power_of_two().max(FRAME_BUFFER_MIN) }
    }

    /// A buffer of `capacity_for(len)` bytes. Its memory is committed as bytes arrive.
    pub(super) fn take(&self, len: usize, charge: usize) -> FrameBuffer {
        let capacity = Self::capacity_for(len);
        let bytes = self.take_free(capacity).unwrap_or_else(|| BytesMut::with_capacity(capacity));
        FrameBuffer { bytes, charge }
    }

    fn take_free(&self, capacity: usize) -> Option<BytesMut> {
        if capacity > FRAME_BUFFER_KEPT_MAX {
            return None;
        }
        if let Some(found) = self.pop_free(capacity) {
            return Some(found);
        }
        self.sweep_some(SEARCH_MAX);
        self.pop_free(capacity)
    }

    fn pop_free(&self, capacity: usize) -> Option<BytesMut> {
        let mut free = self.free.borrow_mut();
        let found = free.iter().rposition(|buffer| buffer.capacity() == capacity)?;
        self.free_bytes.set(self.free_bytes.get() - capacity);
        Some(free.swap_remove(found))
    }

    /// The first `len` bytes as a frame; the buffer comes back when its readers are gone.
    pub(super) fn finish(&self, buffer: FrameBuffer, len: usize) -> Bytes {
        let FrameBuffer { mut bytes, charge } = buffer;
        let capacity = bytes.capacity();
        let frame = bytes.split_to(len).freeze();
        self.lent.borrow_mut().push(Lent { handle: bytes, capacity, charge });
        frame
    }

    /// Takes back a buffer whose frame never got complete.
    pub(super) fn abandon(&self, mut buffer: FrameBuffer) {
        buffer.bytes.clear();
        self.keep(buffer.bytes);
        self.budget.give(buffer.charge);
    }

    /// Looks for buffers whose readers are gone.
    pub(super) fn sweep(&self) {
        self.sweep_some(SWEEP_MAX);
        let mut slabs = self.slabs.borrow_mut();
        slabs.retain_mut(|slab| !slab.try_reclaim(SLAB_BYTES));
    }

    fn sweep_some(&self, most: usize) {
        let mut returned = 0;
        {
            let mut lent = self.lent.borrow_mut();
            for _ in 0..most.min(lent.len()) {
                let at = self.cursor.get().checked_rem(lent.len()).unwrap_or(0);
                self.cursor.set(at + 1);
                let Some(entry) = lent.get_mut(at) else { break };
                if entry.handle.try_reclaim(entry.capacity) {
                    let entry = lent.swap_remove(at);
                    self.cursor.set(at);
                    returned += entry.charge;
                    self.keep(entry.handle);
                }
            }
        }
        if returned > 0 {
            self.budget.give(returned);
        }
    }

    fn keep(&self, buffer: BytesMut) {
        let capacity = buffer.capacity();
        let room = capacity <= FRAME_BUFFER_KEPT_MAX && self.free_bytes.get() + capacity <= FREE_BYTES_MAX;
        if room && capacity >= FRAME_BUFFER_MIN {
            self.free_bytes.set(self.free_bytes.get() + capacity);
            self.free.borrow_mut().push(buffer);
        }
    }

    /// Frees what an idle shard doesn't need.
    pub(super) fn trim(&self) {
        self.free.take();
        self.free_bytes.set(0);
    }
}
