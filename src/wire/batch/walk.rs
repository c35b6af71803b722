//! Whole batches in a range of bytes, by their headers.

use super::header::BatchMeta;

/// Headers of the whole batches in `bytes`, in order, each with its position. Ends before a batch that isn't whole.
#[derive(Clone, Debug)]
pub struct Walk<'a> {
    bytes: &'a [u8],
    position: usize,
}

/// Walks over the batches in `bytes`.
#[must_use]
pub fn walk(bytes: &[u8]) -> Walk<'_> {
    Walk { bytes, position: 0 }
}

impl Walk<'_> {
    /// Where the next batch would begin.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }
}

impl Iterator for Walk<'_> {
    type Item = (usize, BatchMeta);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.position..)?;
        let meta = BatchMeta::read(rest).filter(|meta| meta.bytes <= rest.len())?;
        let position = self.position;
        self.position += meta.bytes;
        Some((position, meta))
    }
}
