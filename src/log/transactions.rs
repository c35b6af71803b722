//! What a partition knows of the transactions in it: which are open, and which were aborted. Rules: protocol rows 70
//! to 72.

use crate::base::mutant::{Mutant, planted};
use crate::base::{Offset, ProducerId};
use crate::wire::{DecodeError, Reader, Writer};
use std::collections::{BTreeMap, BTreeSet};

/// A transaction that was aborted: its producer's records between the two offsets don't count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aborted {
    /// Whose.
    pub producer_id: ProducerId,
    /// Its first record.
    pub first_offset: Offset,
    /// Its marker.
    pub last_offset: Offset,
    /// Where the log was stable once it had ended: what was aborted later begins there or beyond.
    pub stable_offset: Offset,
}

/// The transactions of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transactions {
    /// First offsets of the open ones.
    open: BTreeSet<Offset>,
    /// Ended ones whose markers may yet be lost: first offset, marker's offset.
    ending: BTreeMap<Offset, Offset>,
    /// By the offset of the marker.
    aborted: Vec<Aborted>,
}

impl Transactions {
    /// A producer began one.
    pub(super) fn begin(&mut self, first_offset: Offset) {
        self.open.insert(first_offset);
    }

    /// A marker ended one that began at `first_offset`.
    pub(super) fn end(&mut self, id: ProducerId, first_offset: Offset, marker: Offset, committed: bool) {
        self.open.remove(&first_offset);
        self.ending.insert(first_offset, marker);
        if !committed {
            let stable_offset = self.open.first().copied().unwrap_or(marker + 1);
            let (producer_id, last_offset) = (id, marker);
            self.aborted.push(Aborted { producer_id, first_offset, last_offset, stable_offset });
        }
    }

    /// Everything below an offset survives a crash, markers too.
    pub(super) fn settle(&mut self, upto: Offset) {
        self.ending.retain(|_, marker| *marker >= upto);
    }

    /// First record whose fate isn't settled yet, if there is one: of an open transaction, or of one whose marker may
    /// yet be lost.
    #[must_use]
    pub fn first_unstable(&self) -> Option<Offset> {
        self.open.first().into_iter().chain(self.ending.keys().next()).min().copied()
    }

    /// Aborted transactions with records from `from` on and below `upto`.
    pub fn aborted(&self, from: Offset, upto: Offset) -> impl Iterator<Item = &Aborted> {
        let begin = self.aborted.partition_point(|aborted| aborted.last_offset < from);
        let mut over = false;
        let within = self.aborted[begin..].iter().take_while(move |aborted| {
            // None that ended after this one began below where the log was stable then.
            let go_on = !over;
            over = aborted.stable_offset >= upto;
            go_on
        });
        within.filter(move |aborted| aborted.first_offset < upto)
    }

    /// Records below an offset are gone, and with them what is known of their transactions.
    pub(super) fn truncate_start(&mut self, log_start: Offset) {
        let gone = self.aborted.partition_point(|aborted| aborted.last_offset < log_start);
        self.aborted.drain(..gone);
    }

    /// What is known without markers at or beyond an offset, given the transactions that are open then.
    pub(super) fn as_of(&self, offset: Offset, open: BTreeSet<Offset>) -> Self {
        let kept = self.aborted.iter().filter(|aborted| aborted.last_offset < offset);
        let aborted = if planted(Mutant::ForgetAborted) { Vec::new() } else { kept.copied().collect() };
        let ending = self.ending.iter().filter(|(_, marker)| **marker < offset);
        Transactions { open, ending: ending.map(|(first, marker)| (*first, *marker)).collect(), aborted }
    }

    /// Appends the ended ones whose markers may yet be lost.
    pub(super) fn encode_ending(&self, w: &mut Writer) {
        w.array_len(Some(self.ending.len()), true);
        for (first, marker) in &self.ending {
            w.i64(*first);
            w.i64(*marker);
        }
    }

    /// Reads what `encode_ending` wrote.
    pub(super) fn decode_ending(&mut self, r: &mut Reader) -> Result<(), DecodeError> {
        for _ in 0..r.array_len(true)?.ok_or(DecodeError::Length)? {
            self.ending.insert(r.i64()?, r.i64()?);
        }
        Ok(())
    }

    /// Records from an offset on are gone, given the transactions that are open then.
    pub(super) fn truncate_end(&mut self, offset: Offset, open: BTreeSet<Offset>) {
        self.open = open;
        self.ending.retain(|_, marker| *marker < offset);
        self.aborted.retain(|aborted| aborted.last_offset < offset);
    }

    /// Appends what the producers' own state doesn't tell.
    pub(super) fn encode(&self, w: &mut Writer) {
        w.array_len(Some(self.aborted.len()), true);
        for aborted in &self.aborted {
            w.i64(aborted.producer_id.0);
            w.i64(aborted.first_offset);
            w.i64(aborted.last_offset);
            w.i64(aborted.stable_offset);
        }
    }

    /// Reads what `encode` wrote.
    pub(super) fn decode(r: &mut Reader, open: BTreeSet<Offset>) -> Result<Self, DecodeError> {
        let mut aborted = Vec::new();
        for _ in 0..r.array_len(true)?.ok_or(DecodeError::Length)? {
            let (producer_id, first_offset) = (ProducerId(r.i64()?), r.i64()?);
            let (last_offset, stable_offset) = (r.i64()?, r.i64()?);
            aborted.push(Aborted { producer_id, first_offset, last_offset, stable_offset });
        }
        Ok(Transactions { open, ending: BTreeMap::new(), aborted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Transactions that begin and end in every order that four of them can: what `aborted` finds is what a search of
    /// all would.
    #[test]
    fn aborted_transactions_are_found_however_they_overlap() {
        let steps: Vec<Vec<usize>> = orders(&mut vec![0; 4], &mut Vec::new());
        for order in steps {
            let mut all = Transactions::default();
            let mut began = [None; 4];
            let mut plain: Vec<(Offset, Offset)> = Vec::new();
            for (offset, &which) in (0..).zip(&order) {
                match began[which] {
                    None => {
                        began[which] = Some(offset);
                        all.begin(offset);
                    }
                    Some(first) => {
                        all.end(ProducerId(which.try_into().unwrap()), first, offset, which == 3);
                        if which != 3 {
                            plain.push((first, offset));
                        }
                    }
                }
            }
            for from in 0..9 {
                for upto in from..=9 {
                    let found: Vec<_> =
                        all.aborted(from, upto).map(|one| (one.first_offset, one.last_offset)).collect();
                    let wanted: Vec<_> = plain
                        .iter()
                        .filter(|(first, last)| *last >= from && *first < upto)
                        .copied()
                        .collect();
                    assert_eq!(found, wanted, "{order:?} from {from} to {upto}");
                }
            }
        }
    }

    /// Every order of two steps each of four transactions.
    fn orders(used: &mut Vec<u8>, prefix: &mut Vec<usize>) -> Vec<Vec<usize>> {
        if prefix.len() == 8 {
            return vec![prefix.clone()];
        }
        let mut found = Vec::new();
        for which in 0..4 {
            if used[which] < 2 {
                used[which] += 1;
                prefix.push(which);
                found.extend(orders(used, prefix));
                prefix.pop();
                used[which] -= 1;
            }
        }
        found
    }

    #[test]
    fn the_log_is_stable_up_to_the_first_record_whose_fate_may_change() {
        let mut all = Transactions::default();
        assert_eq!(all.first_unstable(), None);
        all.begin(3);
        all.begin(5);
        assert_eq!(all.first_unstable(), Some(3));
        all.end(ProducerId(1), 3, 7, true);
        assert_eq!(all.first_unstable(), Some(3), "its marker may yet be lost");
        all.settle(7);
        assert_eq!(all.first_unstable(), Some(3));
        all.settle(8);
        assert_eq!(all.first_unstable(), Some(5));
    }
}
