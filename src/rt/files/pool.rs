//! Write buffers that wait for their next use.
//!
//! A fresh buffer has to be zeroed (the seam promises initialised memory) and its pages have to be faulted in; a used
//! one needs neither. Sizes are kept apart because a glommio buffer that was trimmed can't grow back.

use glommio::io::DmaBuffer;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// Free write buffers of one shard, at most `bytes_max` of them.
pub(in crate::rt) struct BufPool {
    free: RefCell<BTreeMap<usize, Vec<DmaBuffer>>>,
    bytes: Cell<usize>,
    bytes_max: usize,
}

impl BufPool {
    /// An empty pool.
    pub(in crate::rt) fn new(bytes_max: usize) -> Self {
        BufPool { free: RefCell::new(BTreeMap::new()), bytes: Cell::new(0), bytes_max }
    }

    /// Bytes that wait here.
    pub(in crate::rt) fn bytes(&self) -> usize {
        self.bytes.get()
    }

    /// An initialised buffer of exactly `len` bytes.
    pub(in crate::rt) fn take(&self, len: usize) -> DmaBuffer {
        if let Some(buffer) = self.free.borrow_mut().get_mut(&len).and_then(Vec::pop) {
            self.bytes.set(self.bytes.get() - len);
            return buffer;
        }
        let mut buffer = glommio::allocate_dma_buffer_global(len);
        buffer.as_bytes_mut().fill(0);
        buffer
    }

    /// Keeps a buffer, or frees it if the pool is full.
    pub(in crate::rt) fn put(&self, buffer: DmaBuffer) {
        let len = buffer.len();
        if self.bytes.get() + len > self.bytes_max {
            self.drop_smaller(len);
        }
        if self.bytes.get() + len <= self.bytes_max {
            self.bytes.set(self.bytes.get() + len);
            self.free.borrow_mut().entry(len).or_default().push(buffer);
        }
    }

    /// Odd sizes that nobody asks for any more must not fill the pool for good: a newcomer evicts other sizes.
    fn drop_smaller(&self, len: usize) {
        let mut free = self.free.borrow_mut();
        free.retain(|&size, buffers| {
            if size == len {
                return true;
            }
            while self.bytes.get() + len > self.bytes_max && buffers.pop().is_some() {
                self.bytes.set(self.bytes.get() - size);
            }
            !buffers.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::BufPool;

    #[test]
    fn a_buffer_comes_back_and_is_initialised() {
        let pool = BufPool::new(8192);
        let mut first = pool.take(4096);
        assert!(first.as_bytes().iter().all(|&byte| byte == 0));
        first.as_bytes_mut()[0] = 7;
        pool.put(first);
        assert_eq!(pool.bytes(), 4096);
        assert_eq!(pool.take(4096).as_bytes()[0], 7);
        assert_eq!(pool.bytes(), 0);
    }

    #[test]
    fn the_pool_stays_within_its_bound_and_prefers_what_is_used_now() {
        let pool = BufPool::new(3 * 4096);
        (0..3).map(|_| pool.take(4096)).collect::<Vec<_>>().into_iter().for_each(|buffer| pool.put(buffer));
        assert_eq!(pool.bytes(), 3 * 4096);
        pool.put(pool.take(8192));
        assert_eq!(pool.bytes(), 3 * 4096);
        pool.put(pool.take(64 * 1024));
        assert!(pool.bytes() <= 3 * 4096);
    }
}
