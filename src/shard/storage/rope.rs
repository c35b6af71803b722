//! Consecutive pieces of a segment, wherever they were: in the tail cache, in windows read before, read just now.

use crate::base::limits::BATCH_HEADER_BYTES;
use crate::wire::batch::BatchMeta;
use bytes::Bytes;
use std::collections::VecDeque;

/// Pieces that follow each other without a gap. A fetch of a log that was written in small flushes has thousands, so
/// none of them is looked for from the start.
#[derive(Debug)]
pub(super) struct Rope {
    start: u64,
    /// Where each begins, and its bytes; none is empty.
    pieces: VecDeque<(u64, Bytes)>,
    end: u64,
}

impl Rope {
    pub(super) fn at(start: u64) -> Self {
        Rope { start, pieces: VecDeque::new(), end: start }
    }

    pub(super) fn start(&self) -> u64 {
        self.start
    }

    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Adds a piece that begins at or before the rope's end.
    pub(super) fn push(&mut self, position: u64, bytes: &Bytes) {
        let skip = usize::try_from(self.end - position).expect("pieces are small");
        if skip < bytes.len() {
            self.pieces.push_back((self.end, bytes.slice(skip..)));
            self.end = position + bytes.len() as u64;
        }
    }

    /// Lets go of the pieces before a position: who walks along a segment must not hold all of it.
    pub(super) fn release(&mut self, position: u64) {
        while self.pieces.front().is_some_and(|(at, piece)| at + piece.len() as u64 <= position) {
            self.pieces.pop_front();
        }
        self.start = self.start.max(position.min(self.end));
    }

    /// The piece that has a position, by its index.
    fn index_of(&self, position: u64) -> usize {
        self.pieces.partition_point(|(at, _)| *at <= position).saturating_sub(1)
    }

    /// The bytes between two positions, as slices of the pieces.
    pub(super) fn slices(&self, from: u64, to: u64) -> Vec<Bytes> {
        assert!(self.start <= from && from <= to && to <= self.end, "the rope has it");
        let mut slices = Vec::new();
        for (at, piece) in self.pieces.range(self.index_of(from).min(self.pieces.len())..) {
            let (low, high) = (from.max(*at), to.min(at + piece.len() as u64));
            if low >= high {
                break;
            }
            let index = |position: u64| usize::try_from(position - at).expect("pieces are small");
            slices.push(piece.slice(index(low)..index(high)));
        }
        slices
    }

    /// The header of the batch at a position, if the rope has all of it.
    pub(super) fn header(&self, position: u64) -> Option<BatchMeta> {
        let end = position + BATCH_HEADER_BYTES as u64;
        if position < self.start || end > self.end {
            return None;
        }
        let (at, piece) = self.pieces.get(self.index_of(position))?;
        let index = usize::try_from(position - at).expect("pieces are small");
        if end <= at + piece.len() as u64 {
            return BatchMeta::read(&piece[index..]);
        }
        BatchMeta::read(&self.slices(position, end).concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::batch::{BatchBuilder, Codec};

    /// A rope over `bytes` from position 100 on, in pieces of `piece` bytes that overlap by 3.
    fn rope(bytes: &Bytes, piece: usize) -> Rope {
        let mut rope = Rope::at(100);
        while rope.end() < 100 + bytes.len() as u64 {
            let at = usize::try_from(rope.end() - 100).unwrap().saturating_sub(3);
            rope.push(100 + at as u64, &bytes.slice(at..bytes.len().min(at + piece)));
        }
        rope
    }

    #[test]
    fn any_range_comes_back_from_any_pieces() {
        let bytes: Bytes = (0..200_u8).collect::<Vec<_>>().into();
        for piece in [4, 7, 50, 500] {
            let rope = rope(&bytes, piece);
            for from in (0..200_u64).step_by(3) {
                for to in (from..200).step_by(7) {
                    let found = rope.slices(100 + from, 100 + to).concat();
                    assert_eq!(found, bytes[usize::try_from(from).unwrap()..usize::try_from(to).unwrap()]);
                }
            }
        }
    }

    #[test]
    fn headers_are_found_across_pieces_and_after_a_release() {
        let batch = BatchBuilder::new(Codec::None, 1).record(1, None, Some(&[1; 300])).build();
        let two: Bytes = [&batch[..], &batch[..]].concat().into();
        let second = 100 + batch.len() as u64;
        for piece in [10, 64, 1000] {
            let mut rope = rope(&two, piece);
            assert_eq!(rope.header(second), BatchMeta::read(&batch));
            rope.release(second);
            assert_eq!((rope.header(second), rope.header(100)), (BatchMeta::read(&batch), None));
            assert_eq!(rope.slices(second, rope.end()).concat(), batch);
            assert!(rope.pieces.iter().map(|(_, piece)| piece.len()).sum::<usize>() < batch.len() + piece);
        }
    }
}
