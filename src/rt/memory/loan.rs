//! Loans: memory that belongs to one shard, read by others.
//!
//! A shard's blocks are freed on the shard alone: nothing about them is atomic. A loan lets any shard read such memory
//! without a copy: the reader gets a `Bytes` over a pointer and a length; the owner keeps the memory until the last
//! reader is gone. That reader sends the loan's number home; the owner looks for numbers that came back when it lends
//! or lets go of memory and on its tick (`Ledger::sweep`), so memory comes home at most a tick late, is never freed by
//! another thread, and costs nothing while it is lent.
//!
//! This is the only module that makes such a `Bytes`; its `unsafe` rests on three facts: nobody writes to lent memory
//! (it is sealed), it doesn't move, and a `Ledger` never drops memory whose number is still out: at the end of a shard
//! it leaks it instead, and with it the arena.
#![expect(unsafe_code, reason = "lends memory of one shard to others; see the module's three facts")]

use super::arena::Block;
use bytes::Bytes;
use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Loans that one sweep takes back: bounds the work of one tick.
const SWEEP_MAX: usize = 4096;

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
pub(in crate::rt) struct Ledger {
    lent: RefCell<Vec<Option<Rc<Block>>>>,
    vacant: RefCell<Vec<usize>>,
    lent_bytes: Cell<usize>,
    returned: Receiver<usize>,
    home: Sender<usize>,
}

impl Ledger {
    /// Nothing is lent yet.
    pub(in crate::rt) fn new() -> Rc<Self> {
        let (home, returned) = channel();
        Rc::new(Ledger {
            lent: RefCell::new(Vec::new()),
            vacant: RefCell::new(Vec::new()),
            lent_bytes: Cell::new(0),
            returned,
            home,
        })
    }

    /// Bytes that are lent, as of the last sweep.
    pub(in crate::rt) fn lent_bytes(&self) -> usize {
        self.lent_bytes.get()
    }

    /// Lends memory that nobody writes to any more. What is returned is the loan's first reader.
    pub(in crate::rt) fn lend(&self, block: Rc<Block>) -> Bytes {
        self.take_back(2);
        let (start, len) = (block.start().cast_const(), block.len());
        let mut lent = self.lent.borrow_mut();
        let number = self.vacant.borrow_mut().pop().unwrap_or_else(|| {
            lent.push(None);
            lent.len() - 1
        });
        assert!(lent[number].is_none(), "a number stands for one loan at a time");
        lent[number] = Some(block);
        self.lent_bytes.set(self.lent_bytes.get() + len);
        Bytes::from_owner(Loan { start, len, number, home: self.home.clone() })
    }

    /// Frees what has come back.
    pub(in crate::rt) fn sweep(&self) {
        self.take_back(SWEEP_MAX);
    }

    fn take_back(&self, most: usize) {
        for number in self.returned.try_iter().take(most) {
            let block = self.lent.borrow_mut()[number].take().expect("a loan comes back once");
            self.vacant.borrow_mut().push(number);
            self.lent_bytes.set(self.lent_bytes.get() - block.len());
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.take_back(usize::MAX);
        self.lent.get_mut().drain(..).for_each(std::mem::forget);
    }
}

/// A shard's own handle on sealed memory, which lives until this handle, its loan and all writes are gone.
pub(in crate::rt) struct Sealed {
    block: Rc<Block>,
    whole: OnceCell<Bytes>,
    ledger: Rc<Ledger>,
}

impl Sealed {
    pub(in crate::rt) fn new(block: Block, ledger: Rc<Ledger>) -> Self {
        Sealed { block: Rc::new(block), whole: OnceCell::new(), ledger }
    }

    /// The memory, for this shard.
    pub(in crate::rt) fn block(&self) -> &Rc<Block> {
        &self.block
    }

    /// The whole memory as a loan. The loan is made once; what readers get are slices of it, one atomic increment each.
    pub(in crate::rt) fn whole(&self) -> &Bytes {
        self.whole.get_or_init(|| self.ledger.lend(Rc::clone(&self.block)))
    }
}
