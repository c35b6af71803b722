//! Aligned memory: filled by one owner, then sealed, written and read at the same time.

use crate::base::limits::BLOCK_BYTES;
use crate::rt::loan::{Ledger, Lender};
use crate::seam::{SealedBuf, WriteBuf};
use bytes::Bytes;
use glommio::io::DmaBuffer;
use std::ops::Range;
use std::rc::Rc;

/// Memory of one shard that is being filled for a direct write.
pub struct DirectBuf {
    buffer: DmaBuffer,
    ledger: Rc<Ledger>,
}

impl DirectBuf {
    pub(super) fn new(buffer: DmaBuffer, ledger: Rc<Ledger>) -> Self {
        DirectBuf { buffer, ledger }
    }
}

impl WriteBuf for DirectBuf {
    type Sealed = SealedDirectBuf;

    fn bytes_mut(&mut self) -> &mut [u8] {
        self.buffer.as_bytes_mut()
    }

    fn seal(mut self, len: usize) -> SealedDirectBuf {
        assert!(
            len > 0 && len.is_multiple_of(BLOCK_BYTES),
            "a direct write takes whole blocks, not {len} bytes"
        );
        if len < self.buffer.len() {
            self.buffer.trim_to_size(len);
        }
        SealedDirectBuf { lender: Rc::new(Lender::new(self.buffer, self.ledger)) }
    }
}

/// Memory of one shard that nobody changes any more. Its slices may go to any shard.
#[derive(Clone)]
pub struct SealedDirectBuf {
    lender: Rc<Lender>,
}

impl SealedDirectBuf {
    /// What the ring writes from; it holds a count of its own while the write is in flight.
    pub(super) fn buffer(&self) -> Rc<DmaBuffer> {
        Rc::clone(self.lender.buffer())
    }
}

impl SealedBuf for SealedDirectBuf {
    fn len(&self) -> usize {
        self.lender.buffer().len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn share(&self, range: Range<usize>) -> Bytes {
        self.lender.whole().slice(range)
    }
}
