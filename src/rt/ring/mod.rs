//! The shard's own ring: file I/O and readiness of sockets, submitted and taken in once per turn (see `drive`).
//!
//! glommio's reactor enters the kernel several times for each sleep and takes whole buffers of its own making only;
//! this ring has one call per turn, writes from any block of the shard's arena, and is where the shard sleeps.
//!
//! What an operation works on (memory, descriptor) is held here until the kernel is done with it, whoever has lost
//! interest meanwhile.
#![expect(unsafe_code, reason = "submission entries name memory and descriptors; the slots keep both alive")]

mod op;
mod readiness;

pub(super) use op::Op;
pub(super) use readiness::Readiness;

use super::awake::Lone;
use super::memory::Block;
use io_uring::{IoUring, Probe, opcode, squeue, types};
use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

/// Submissions that wait for the turn's end at most (more are submitted early), and completions that the kernel keeps
/// before it falls back to a list of its own. The smaller pair is for machines of many cores with the usual limit of
/// 8 MiB on locked memory, to which both are charged: 100 KiB against 12.
const SIZES: [(u32, u32); 2] = [(512, 4096), (64, 256)];

/// A durable write up to this takes hardly longer than its flush.
const SMALL_BYTES: u32 = 16 * 1024;

/// What an operation needs to stay alive.
struct Hold {
    /// The file or socket.
    _file: Rc<OwnedFd>,
    /// The memory that it reads or writes.
    _memory: Option<Rc<Block>>,
}

enum Slot {
    Vacant,
    /// An operation under way or done, and who waits for it.
    Op {
        result: Option<i32>,
        waker: Option<Waker>,
        wanted: bool,
        /// It is a durable write of few bytes.
        small: bool,
        _hold: Hold,
    },
    /// Readiness of a socket.
    Poll {
        readiness: Rc<Readiness>,
        _socket: Rc<OwnedFd>,
    },
}

/// One shard's ring.
pub(super) struct Ring {
    uring: RefCell<IoUring>,
    slots: RefCell<Vec<Slot>>,
    vacant: RefCell<Vec<usize>>,
    /// Operations and questions that aren't complete.
    under_way: Cell<usize>,
    /// Those that are for files, and how many of them are durable writes of few bytes.
    for_files: Cell<(usize, usize)>,
}

impl Ring {
    /// A ring for the calling thread; a small one unless there is room.
    pub(super) fn new(roomy: bool) -> io::Result<Rc<Self>> {
        let uring = build(roomy)?;
        let mut probe = Probe::new();
        uring.submitter().register_probe(&mut probe)?;
        let needed = [opcode::Read::CODE, opcode::Write::CODE, opcode::Fsync::CODE, opcode::PollAdd::CODE];
        if !uring.params().is_feature_ext_arg() || !needed.iter().all(|code| probe.is_supported(*code)) {
            return Err(io::Error::from_raw_os_error(libc::ENOSYS));
        }
        Ok(Rc::new(Ring {
            uring: RefCell::new(uring),
            slots: RefCell::default(),
            vacant: RefCell::default(),
            under_way: Cell::new(0),
            for_files: Cell::new((0, 0)),
        }))
    }

    fn slot(&self, slot: Slot) -> usize {
        let mut slots = self.slots.borrow_mut();
        self.under_way.set(self.under_way.get() + 1);
        match self.vacant.borrow_mut().pop() {
            Some(number) => {
                slots[number] = slot;
                number
            }
            None => {
                slots.push(slot);
                slots.len() - 1
            }
        }
    }

    fn free(&self, number: usize) -> Slot {
        self.vacant.borrow_mut().push(number);
        std::mem::replace(&mut self.slots.borrow_mut()[number], Slot::Vacant)
    }

    fn push(&self, entry: squeue::Entry, number: usize) {
        let entry = entry.user_data(number as u64);
        let mut uring = self.uring.borrow_mut();
        loop {
            // SAFETY: the slot of this number holds the memory and the descriptor that the entry names until its
            // completion was taken in.
            if unsafe { uring.submission().push(&entry) }.is_ok() {
                return;
            }
            // The queue is full: what is in it goes out before the turn's end.
            let _ = uring.submit();
        }
    }

    /// Reads into the block, which nobody else may have.
    pub(super) fn read(self: &Rc<Self>, file: &Rc<OwnedFd>, at: u64, into: &Rc<Block>, skip: usize) -> Op {
        let (start, len) = part(into, skip);
        let entry = opcode::Read::new(types::Fd(file.as_raw_fd()), start, len).offset(at).build();
        self.operation(entry, Hold { _file: Rc::clone(file), _memory: Some(Rc::clone(into)) })
    }

    /// Writes the block from `skip` on.
    pub(super) fn write(self: &Rc<Self>, file: &Rc<OwnedFd>, at: u64, from: &Rc<Block>, skip: usize) -> Op {
        let (start, len) = part(from, skip);
        let entry =
            opcode::Write::new(types::Fd(file.as_raw_fd()), start.cast_const(), len).offset(at).build();
        self.operation(entry, Hold { _file: Rc::clone(file), _memory: Some(Rc::clone(from)) })
    }

    /// The same, complete once it is durable. The kernel makes one device write of it where the device can
    /// (force unit access), and a write and a flush otherwise.
    pub(super) fn write_durable(
        self: &Rc<Self>,
        file: &Rc<OwnedFd>,
        at: u64,
        from: &Rc<Block>,
        skip: usize,
    ) -> Op {
        let (start, len) = part(from, skip);
        let entry = opcode::Write::new(types::Fd(file.as_raw_fd()), start.cast_const(), len).offset(at);
        let entry = entry.rw_flags(libc::RWF_DSYNC).build();
        let hold = Hold { _file: Rc::clone(file), _memory: Some(Rc::clone(from)) };
        self.operation_of(entry, hold, len <= SMALL_BYTES)
    }

    /// `fdatasync`.
    pub(super) fn sync(self: &Rc<Self>, file: &Rc<OwnedFd>) -> Op {
        let entry = opcode::Fsync::new(types::Fd(file.as_raw_fd()));
        let entry = entry.flags(types::FsyncFlags::DATASYNC).build();
        self.operation(entry, Hold { _file: Rc::clone(file), _memory: None })
    }

    fn operation(self: &Rc<Self>, entry: squeue::Entry, hold: Hold) -> Op {
        self.operation_of(entry, hold, false)
    }

    fn operation_of(self: &Rc<Self>, entry: squeue::Entry, hold: Hold, small: bool) -> Op {
        let (all, of_them_small) = self.for_files.get();
        self.for_files.set((all + 1, of_them_small + usize::from(small)));
        let number = self.slot(Slot::Op { result: None, waker: None, wanted: true, small, _hold: hold });
        self.push(entry, number);
        Op::new(Rc::clone(self), number)
    }

    /// Asks to be told when one of `events` (as `poll` has them) holds for the socket.
    fn poll(&self, socket: &Rc<OwnedFd>, events: u32, readiness: &Rc<Readiness>) {
        let number = self.slot(Slot::Poll { readiness: Rc::clone(readiness), _socket: Rc::clone(socket) });
        self.push(opcode::PollAdd::new(types::Fd(socket.as_raw_fd()), events).build(), number);
    }

    /// What the shard waits for, if it is at most one operation that should soon be over.
    pub(super) fn lone(&self) -> Option<Lone> {
        match self.for_files.get() {
            (0, _) => Some(Lone::Request),
            (1, 1) => Some(Lone::Flush),
            _ => None,
        }
    }

    /// Submits what the turn has brought, without waiting; the kernel posts what it has completed.
    pub(super) fn submit(&self) {
        let mut uring = self.uring.borrow_mut();
        let (pending, deferred) = {
            let queue = uring.submission();
            (!queue.is_empty(), queue.taskrun())
        };
        if pending || deferred {
            // Interrupted or busy: the next turn tries again.
            let _ = uring.submit();
        }
    }

    /// Submits and sleeps until something completes, at most so long.
    pub(super) fn wait(&self, at_most: Duration) {
        let mut uring = self.uring.borrow_mut();
        if !uring.completion().is_empty() {
            return;
        }
        let time = types::Timespec::from(at_most);
        let args = types::SubmitArgs::new().timespec(&time);
        // ETIME and EINTR are as good as a completion: the caller looks.
        let _ = uring.submitter().submit_with_args(1, &args);
    }

    /// Takes in what is complete and wakes who waits for it; how many there were.
    pub(super) fn reap(&self) -> usize {
        let mut count = 0;
        loop {
            let next = self.uring.borrow_mut().completion().next();
            let Some(entry) = next else { return count };
            count += 1;
            self.complete(usize::try_from(entry.user_data()).expect("a slot's number"), entry.result());
        }
    }

    fn complete(&self, number: usize, outcome: i32) {
        self.under_way.set(self.under_way.get() - 1);
        let waker = {
            let mut slots = self.slots.borrow_mut();
            if let Slot::Op { small, .. } = &slots[number] {
                let (all, of_them_small) = self.for_files.get();
                self.for_files.set((all - 1, of_them_small - usize::from(*small)));
            }
            match &mut slots[number] {
                Slot::Op { result, waker, wanted: true, .. } => {
                    *result = Some(outcome);
                    waker.take()
                }
                Slot::Op { .. } | Slot::Poll { .. } => {
                    drop(slots);
                    // Dropping what it held may close a file.
                    if let Slot::Poll { readiness, .. } = self.free(number) {
                        readiness.fired();
                    }
                    return;
                }
                Slot::Vacant => unreachable!("an operation completes once"),
            }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if self.under_way.get() > 0 {
            // The kernel may still write into memory of operations that it cancels when the ring goes.
            self.slots.get_mut().drain(..).for_each(std::mem::forget);
        }
    }
}

/// Where the part of a block from `skip` on begins, and its length.
fn part(block: &Block, skip: usize) -> (*mut u8, u32) {
    assert!(skip < block.len(), "at least one byte");
    let len = u32::try_from(block.len() - skip).expect("a block is below 4 GiB");
    // SAFETY: `skip` lies within the block.
    (unsafe { block.start().add(skip) }, len)
}

/// A ring with what this kernel offers of: one thread submits, completions run when that thread asks (6.1), or at
/// least without interrupting it (5.19).
fn build(roomy: bool) -> io::Result<IoUring> {
    let (depth, completions) = SIZES[usize::from(!roomy)];
    let mut best = IoUring::builder();
    best.setup_cqsize(completions).setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag();
    let mut good = IoUring::builder();
    good.setup_cqsize(completions).setup_coop_taskrun().setup_taskrun_flag();
    let mut plain = IoUring::builder();
    plain.setup_cqsize(completions);
    best.build(depth).or_else(|_| good.build(depth)).or_else(|_| plain.build(depth))
}
