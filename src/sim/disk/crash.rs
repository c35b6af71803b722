//! What is left after the process, or the machine, ends.

use super::state::{Block, InFlight, Inode, InodeId, State, index};
use crate::base::limits::BLOCK_BYTES;
use crate::sim::exec::Exec;
use std::collections::BTreeMap;

/// The unit in which a device writes all or nothing.
const SECTOR: usize = 512;

impl State {
    /// The process ends: writes that the device has may still land, each or not.
    pub(super) fn end_process(&mut self, exec: &Exec) {
        for write in std::mem::take(&mut self.in_flight).into_values() {
            match exec.below(3) {
                0 => {}
                1 => self.land(write),
                _ => {
                    let blocks = (write.data.len() / BLOCK_BYTES) as u64;
                    let kept = index(exec.below(blocks + 1)) * BLOCK_BYTES;
                    let data = write.data[..kept].to_vec();
                    self.land(InFlight { data, ..write });
                }
            }
        }
    }

    /// The power fails: what is flushed is there; of the rest each block is there, or not, or torn.
    pub(super) fn cut_power(&mut self, exec: &Exec) {
        self.end_process(exec);
        let kept = exec.below(self.changes.len() as u64 + 1);
        if kept > 0 {
            let upto = self.changes[index(kept) - 1].0;
            self.settle_names(upto);
        }
        self.changes.clear();
        self.names = self.durable_names.clone();
        let named: BTreeMap<InodeId, ()> = self.names.files.values().map(|inode| (*inode, ())).collect();
        self.inodes.retain(|inode, _| named.contains_key(inode));
        for file in self.inodes.values_mut() {
            *file = survive(file, exec);
        }
    }
}

/// A file after a power cut.
fn survive(file: &Inode, exec: &Exec) -> Inode {
    let now = file.data.len() as u64;
    let len = if now == file.durable_len || exec.chance(50) { file.durable_len } else { now };
    let blocks = len.div_ceil(BLOCK_BYTES as u64);
    let mut durable = BTreeMap::new();
    for block in 0..blocks {
        let old = file.durable.get(&block).map_or_else(|| vec![0; BLOCK_BYTES], |(_, bytes)| bytes.clone());
        let bytes = if file.dirty.contains_key(&block) { mix(old, &file.block(block), exec) } else { old };
        durable.insert(block, (0, bytes));
    }
    Inode::settled(durable, len)
}

/// A block of which neither the old nor the new content is sure.
fn mix(old: Block, new: &Block, exec: &Exec) -> Block {
    match exec.below(5) {
        0 | 1 => old,
        2 | 3 => new.clone(),
        _ => {
            let mut torn = old;
            for (into, from) in torn.chunks_mut(SECTOR).zip(new.chunks(SECTOR)) {
                if exec.chance(50) {
                    into.copy_from_slice(from);
                }
            }
            torn
        }
    }
}
