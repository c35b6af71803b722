//! Loans: memory that belongs to one shard, read by others.
//!
//! glommio's direct-I/O buffers are `!Send`: their reference counts aren't atomic and they must be freed on the shard
//! that made them. A loan lets any shard read such memory without a copy: the reader gets a `Bytes` over a pointer and
//! a length; the owner keeps the memory until the last reader is gone. That reader sends the loan's number home; the
//! owner looks for numbers that came back when it lends or lets go of memory and on its tick (`Ledger::sweep`), so
//! memory comes home at most a tick late, is never freed by another thread, and costs nothing while it is lent.
//!
//! This is the only module that makes such a `Bytes`; its `unsafe` rests on three facts: nobody writes to lent memory
//! (a `Keep` is sealed), the memory doesn't move when its handle does (both kinds of `Keep` own heap memory), and a
//! `Ledger` never drops a `Keep` whose number is still out: at the end of a shard it leaks them instead.
#![expect(unsafe_code, reason = "lends memory of !Send owners to other shards; see the module's three facts")]

use super::files::BufPool;
use bytes::Bytes;
use glommio::io::{DmaBuffer, ReadResult};
use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Loans that one sweep takes back: bounds the work of one tick.
const SWEEP_MAX: usize = 4096;

/// Shard-owned memory that nobody writes to any more.
pub(super) enum Keep {
    /// A sealed write buffer.
    Buffer(Rc<DmaBuffer>),
    /// What a direct read returned.
    Read(ReadResult),
}

impl Keep {
    fn bytes(&self) -> &[u8] {
        match self {
            Keep::Buffer(buffer) => buffer.as_bytes(),
            Keep::Read(result) => result,
        }
    }
}

/// What the readers of one loan share. Dropped by the last of them, on its own thread.
struct Loan {
    start: *const u8,
    len: usize,
    number: usize,
    home: Sender<usize>,
}

// SAFETY: the memory is readable from any thread, isn't written while lent, and dropping a `Loan` only sends a number:
// the memory itself is freed by its owner alone.
unsafe impl Send for Loan {}

impl AsRef<[u8]> for Loan {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the ledger keeps the memory alive, in place and unwritten until this loan's number is back, which
        // its drop sends.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        // The channel orders the readers' last reads before what the owner does next. Its other end is gone only when
        // the shard is, and then the memory was leaked.
        let _ = self.home.send(self.number);
    }
}

/// The memory that one shard has lent, by the loans' numbers.
pub(super) struct Ledger {
    lent: RefCell<Vec<Option<Keep>>>,
    free: RefCell<Vec<usize>>,
    lent_bytes: Cell<usize>,
    returned: Receiver<usize>,
    home: Sender<usize>,
    pool: BufPool,
}

impl Ledger {
    /// A ledger whose returned write buffers go to `pool`.
    pub(super) fn new(pool: BufPool) -> Rc<Self> {
        let (home, returned) = channel();
        Rc::new(Ledger {
            lent: RefCell::new(Vec::new()),
            free: RefCell::new(Vec::new()),
            lent_bytes: Cell::new(0),
            returned,
            home,
            pool,
        })
    }

    /// Where returned write buffers wait for their next use.
    pub(super) fn pool(&self) -> &BufPool {
        &self.pool
    }

    /// Bytes that are lent, as of the last sweep.
    pub(super) fn lent_bytes(&self) -> usize {
        self.lent_bytes.get()
    }

    /// Lends memory. What is returned is the loan's first reader.
    pub(super) fn lend(&self, keep: Keep) -> Bytes {
        self.take_back(2);
        let (start, len) = (keep.bytes().as_ptr(), keep.bytes().len());
        let mut lent = self.lent.borrow_mut();
        let number = self.free.borrow_mut().pop().unwrap_or_else(|| {
            lent.push(None);
            lent.len() - 1
        });
        assert!(lent[number].is_none(), "a number stands for one loan at a time");
        lent[number] = Some(keep);
        self.lent_bytes.set(self.lent_bytes.get() + len);
        Bytes::from_owner(Loan { start, len, number, home: self.home.clone() })
    }

    /// Frees what has come back.
    pub(super) fn sweep(&self) {
        self.take_back(SWEEP_MAX);
    }

    fn take_back(&self, most: usize) {
        for number in self.returned.try_iter().take(most) {
            let keep = self.lent.borrow_mut()[number].take().expect("a loan comes back once");
            self.free.borrow_mut().push(number);
            self.lent_bytes.set(self.lent_bytes.get() - keep.bytes().len());
            self.release(keep);
        }
    }

    fn release(&self, keep: Keep) {
        if let Keep::Buffer(buffer) = keep
            && let Ok(buffer) = Rc::try_unwrap(buffer)
        {
            // A write in flight and the shard's own handle hold counts of their own; the last one frees the memory.
            self.pool.put(buffer);
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.take_back(usize::MAX);
        self.lent.get_mut().drain(..).for_each(std::mem::forget);
    }
}

/// A shard's own handle on a sealed buffer: the memory lives until this handle, its loan and all writes are gone.
pub(super) struct Lender {
    buffer: Option<Rc<DmaBuffer>>,
    whole: OnceCell<Bytes>,
    ledger: Rc<Ledger>,
}

impl Lender {
    pub(super) fn new(buffer: DmaBuffer, ledger: Rc<Ledger>) -> Self {
        Lender { buffer: Some(Rc::new(buffer)), whole: OnceCell::new(), ledger }
    }

    /// The memory, for this shard.
    pub(super) fn buffer(&self) -> &Rc<DmaBuffer> {
        self.buffer.as_ref().expect("only drop takes the buffer")
    }

    /// The whole memory as a loan. The loan is made once; what readers get are slices of it, one atomic increment each.
    pub(super) fn whole(&self) -> &Bytes {
        self.whole.get_or_init(|| self.ledger.lend(Keep::Buffer(Rc::clone(self.buffer()))))
    }
}

impl Drop for Lender {
    fn drop(&mut self) {
        drop(self.whole.take());
        self.ledger.take_back(2);
        let buffer = self.buffer.take().expect("drop runs once");
        self.ledger.release(Keep::Buffer(buffer));
    }
}
