//! Aligned memory: filled by one owner, then sealed, written and read at the same time.

use crate::rt::memory::{Block, Ledger, Sealed};
use crate::seam::{SealedBuf, WriteBuf};
use bytes::Bytes;
use std::ops::Range;
use std::rc::Rc;

/// Memory of one shard that is being filled for a direct write.
pub struct DirectBuf {
    block: Block,
    ledger: Rc<Ledger>,
}

impl DirectBuf {
    pub(super) fn new(block: Block, ledger: Rc<Ledger>) -> Self {
        DirectBuf { block, ledger }
    }
}

impl WriteBuf for DirectBuf {
    type Sealed = SealedDirectBuf;

    fn bytes_mut(&mut self) -> &mut [u8] {
        self.block.bytes_mut()
    }

    fn seal(mut self, len: usize) -> SealedDirectBuf {
        self.block.trim(len);
        SealedDirectBuf { sealed: Rc::new(Sealed::new(self.block, self.ledger)) }
    }
}

/// Memory of one shard that nobody changes any more. Its slices may go to any shard.
#[derive(Clone)]
pub struct SealedDirectBuf {
    sealed: Rc<Sealed>,
}

impl SealedDirectBuf {
    /// What a write carries.
    pub(super) fn block(&self) -> &Rc<Block> {
        self.sealed.block()
    }
}

impl SealedBuf for SealedDirectBuf {
    fn len(&self) -> usize {
        self.sealed.block().len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn share(&self, range: Range<usize>) -> Bytes {
        self.sealed.whole().slice(range)
    }
}
