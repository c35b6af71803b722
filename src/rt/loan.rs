//! Loans: memory that belongs to one shard, read by others.
//!
//! glommio's direct-I/O buffers are `!Send`: their reference counts aren't atomic and they must be freed on the shard
//! that made them. A loan lets any shard read such memory without a copy: the reader gets a `Bytes` over a pointer, a
//! length and a token; the owner keeps the memory until the token is back. The owner looks for tokens that are back
//! when it lets go of a buffer and on its tick (`Ledger::sweep`), so memory comes home at most a tick late and is
//! never freed by another thread.
//!
//! This is the only module that makes such a `Bytes`; its `unsafe` rests on three facts: nobody writes to lent memory
//! (a `Keep` is sealed), the memory doesn't move when its handle does (both kinds of `Keep` own heap memory), and a
//! `Ledger` never drops a `Keep` whose token is still out: at the end of a shard it leaks them instead.
#![expect(unsafe_code, reason = "lends memory of !Send owners to other shards; see the module's three facts")]

use super::files::BufPool;
use bytes::Bytes;
use glommio::io::{DmaBuffer, ReadResult};
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

/// Loans that one sweep looks at: bounds the work of one tick.
const SWEEP_MAX: usize = 2048;

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

/// What a reader holds. The token's reference count tells the owner when the last reader is gone.
struct Loan {
    start: *const u8,
    len: usize,
    _token: Arc<()>,
}

// SAFETY: the memory is readable from any thread, isn't written while lent, and dropping a `Loan` only decrements the
// token's atomic count: the memory itself is freed by its owner alone.
unsafe impl Send for Loan {}

impl AsRef<[u8]> for Loan {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `Lender` keeps the memory alive, in place and unwritten until the token is unique again, and this
        // loan holds a count of the token.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

/// Memory of this shard together with the token of its loans.
struct Lent {
    keep: Keep,
    token: Arc<()>,
}

impl Lent {
    fn new(keep: Keep) -> Self {
        Lent { keep, token: Arc::new(()) }
    }

    fn loan(&self) -> Bytes {
        let bytes = self.keep.bytes();
        Bytes::from_owner(Loan { start: bytes.as_ptr(), len: bytes.len(), _token: Arc::clone(&self.token) })
    }

    /// Whether every loan is back. `get_mut` has the acquire ordering that makes the readers' last reads happen
    /// before what follows; a plain load of the count would not.
    fn is_back(&mut self) -> bool {
        Arc::get_mut(&mut self.token).is_some()
    }
}

/// The memory that one shard has lent and no longer uses itself.
pub(super) struct Ledger {
    lent: RefCell<VecDeque<Lent>>,
    lent_bytes: Cell<usize>,
    pool: BufPool,
}

impl Ledger {
    /// A ledger whose returned write buffers go to `pool`.
    pub(super) fn new(pool: BufPool) -> Rc<Self> {
        Rc::new(Ledger { lent: RefCell::new(VecDeque::new()), lent_bytes: Cell::new(0), pool })
    }

    /// Where returned write buffers wait for their next use.
    pub(super) fn pool(&self) -> &BufPool {
        &self.pool
    }

    /// Bytes that only readers hold, as of the last sweep.
    pub(super) fn lent_bytes(&self) -> usize {
        self.lent_bytes.get()
    }

    /// Lends memory of which the shard itself keeps no handle.
    pub(super) fn lend(&self, keep: Keep) -> Bytes {
        let lent = Lent::new(keep);
        let loan = lent.loan();
        self.push(lent);
        loan
    }

    /// Frees what has come back, at most `SWEEP_MAX` entries a call, the oldest first.
    pub(super) fn sweep(&self) {
        let mut lent = self.lent.borrow_mut();
        for _ in 0..lent.len().min(SWEEP_MAX) {
            let Some(mut entry) = lent.pop_front() else { break };
            if entry.is_back() {
                self.lent_bytes.set(self.lent_bytes.get() - entry.keep.bytes().len());
                self.free(entry.keep);
            } else {
                lent.push_back(entry);
            }
        }
    }

    fn push(&self, entry: Lent) {
        self.lent_bytes.set(self.lent_bytes.get() + entry.keep.bytes().len());
        self.lent.borrow_mut().push_back(entry);
    }

    fn free(&self, keep: Keep) {
        if let Keep::Buffer(buffer) = keep
            && let Ok(buffer) = Rc::try_unwrap(buffer)
        {
            // A write in flight holds a count of its own; then the ring frees the memory when the write completes.
            self.pool.put(buffer);
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        for mut entry in self.lent.get_mut().drain(..) {
            if !entry.is_back() {
                std::mem::forget(entry.keep);
            }
        }
    }
}

/// A shard's own handle on memory that it lends: the memory lives until this handle and all loans are gone.
pub(super) struct Lender {
    entry: Option<Lent>,
    whole: OnceCell<Bytes>,
    ledger: Rc<Ledger>,
}

impl Lender {
    pub(super) fn new(keep: Keep, ledger: Rc<Ledger>) -> Self {
        Lender { entry: Some(Lent::new(keep)), whole: OnceCell::new(), ledger }
    }

    fn entry(&self) -> &Lent {
        self.entry.as_ref().expect("only drop takes the entry")
    }

    /// The memory, for this shard.
    pub(super) fn keep(&self) -> &Keep {
        &self.entry().keep
    }

    /// Bytes of the memory.
    pub(super) fn len(&self) -> usize {
        self.entry().keep.bytes().len()
    }

    /// The whole memory as a loan. The loan is made once; what readers get are slices of it, one atomic increment each.
    pub(super) fn whole(&self) -> &Bytes {
        self.whole.get_or_init(|| self.entry().loan())
    }
}

impl Drop for Lender {
    fn drop(&mut self) {
        let mut entry = self.entry.take().expect("drop runs once");
        drop(self.whole.take());
        if entry.is_back() {
            self.ledger.free(entry.keep);
        } else {
            self.ledger.push(entry);
        }
        self.ledger.sweep_some();
    }
}

impl Ledger {
    /// A few entries on every release, so that a busy shard needn't wait for its tick.
    fn sweep_some(&self) {
        for _ in 0..2 {
            let Some(mut entry) = self.lent.borrow_mut().pop_front() else { return };
            if entry.is_back() {
                self.lent_bytes.set(self.lent_bytes.get() - entry.keep.bytes().len());
                self.free(entry.keep);
            } else {
                self.lent.borrow_mut().push_back(entry);
            }
        }
    }
}
