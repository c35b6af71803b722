//! What a disk holds, now and after a power cut.
//!
//! A completed write is volatile until a flush that began after it has completed. Names change in one order, as in a
//! journal: after a power cut a prefix of the changes holds, at least up to the last completed `sync_dir`.

use crate::base::limits::BLOCK_BYTES;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A file's number, which outlives its name.
pub(super) type InodeId = u64;

/// One block's bytes.
pub(super) type Block = Vec<u8>;

/// A file's content.
#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    /// What reads see.
    pub(super) data: Vec<u8>,
    /// Blocks that were written since they were last flushed, and which write was the last.
    pub(super) dirty: BTreeMap<u64, u64>,
    /// What is flushed, each block with the write that it is of. A block that is here is allocated: any flush of the
    /// disk covers writes to it.
    pub(super) durable: BTreeMap<u64, (u64, Block)>,
    /// Length that is flushed, and which flush it was that covered it.
    pub(super) durable_len: u64,
    len_covered: u64,
}

/// A change of names.
#[derive(Clone, Debug)]
pub(super) enum NameChange {
    /// A new file.
    File(PathBuf, InodeId),
    /// A new folder.
    Dir(PathBuf),
    /// A file that went.
    Remove(PathBuf),
    /// A folder that went with all that was in it.
    RemoveDir(PathBuf),
    /// A file or a folder that took another name.
    Rename(PathBuf, PathBuf),
}

/// Names and what they stand for.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    pub(super) files: BTreeMap<PathBuf, InodeId>,
    pub(super) dirs: BTreeSet<PathBuf>,
}

impl Names {
    pub(super) fn apply(&mut self, change: &NameChange) {
        match change {
            NameChange::File(path, inode) => {
                self.files.insert(path.clone(), *inode);
            }
            NameChange::Dir(path) => {
                self.dirs.extend(path.ancestors().map(Path::to_owned));
            }
            NameChange::Remove(path) => {
                self.files.remove(path);
            }
            NameChange::RemoveDir(path) => {
                self.files.retain(|file, _| !file.starts_with(path));
                self.dirs.retain(|dir| !dir.starts_with(path));
            }
            NameChange::Rename(from, to) => {
                let moved = |path: &PathBuf| {
                    let rest = path.strip_prefix(from).ok()?;
                    // `join` of nothing would end a file's name with a slash.
                    Some(if rest.as_os_str().is_empty() { to.clone() } else { to.join(rest) })
                };
                let files = std::mem::take(&mut self.files).into_iter();
                self.files = files.map(|(path, inode)| (moved(&path).unwrap_or(path), inode)).collect();
                let dirs = std::mem::take(&mut self.dirs).into_iter();
                self.dirs = dirs.map(|path| moved(&path).unwrap_or(path)).collect();
            }
        }
    }
}

/// What a flush that begins now will make durable.
pub(super) struct Covered {
    pub(super) blocks: Vec<(InodeId, u64, u64, Block)>,
    pub(super) length: Option<(InodeId, u64)>,
    number: u64,
}

/// A write that the device has and hasn't confirmed.
#[derive(Clone, Debug)]
pub(super) struct InFlight {
    pub(super) inode: InodeId,
    pub(super) position: u64,
    pub(super) data: Block,
}

/// The disk.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) inodes: BTreeMap<InodeId, Inode>,
    pub(super) names: Names,
    pub(super) durable_names: Names,
    /// Changes of names that no `sync_dir` has covered, oldest first, with their numbers.
    pub(super) changes: Vec<(u64, NameChange)>,
    pub(super) in_flight: BTreeMap<u64, InFlight>,
    next: u64,
}

impl State {
    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(super) fn change(&mut self, change: NameChange) {
        self.names.apply(&change);
        let number = self.number();
        self.changes.push((number, change));
    }

    /// Makes all changes of names up to a number durable.
    pub(super) fn settle_names(&mut self, upto: u64) {
        let later = self.changes.partition_point(|(number, _)| *number <= upto);
        for (_, change) in self.changes.drain(..later) {
            self.durable_names.apply(&change);
        }
    }

    /// Puts a write into what reads see.
    pub(super) fn land(&mut self, InFlight { inode, position, data }: InFlight) {
        let number = self.number();
        let Some(file) = self.inodes.get_mut(&inode) else { return };
        let (from, to) = (index(position), index(position) + data.len());
        if file.data.len() < to {
            file.data.resize(to, 0);
        }
        file.data[from..to].copy_from_slice(&data);
        for block in (from / BLOCK_BYTES)..(to / BLOCK_BYTES) {
            file.dirty.insert(block as u64, number);
        }
    }

    /// Cuts or grows a file.
    pub(super) fn resize(&mut self, inode: InodeId, len: u64) {
        let Some(file) = self.inodes.get_mut(&inode) else { return };
        file.data.resize(index(len), 0);
        let blocks = len.div_ceil(BLOCK_BYTES as u64);
        file.dirty.retain(|block, _| *block < blocks);
    }

    /// What a flush of this file that begins now covers; with `device`, written blocks of all files that were
    /// allocated before.
    pub(super) fn begin_flush(&mut self, inode: InodeId, device: bool) -> Covered {
        let mut blocks = Vec::new();
        for (id, file) in &self.inodes {
            for (block, version) in &file.dirty {
                if *id == inode || (device && file.durable.contains_key(block)) {
                    blocks.push((*id, *block, *version, file.block(*block)));
                }
            }
        }
        let length = self.inodes.get(&inode).map(|file| (inode, file.data.len() as u64));
        Covered { blocks, length, number: self.number() }
    }

    pub(super) fn end_flush(&mut self, covered: Covered) {
        for (inode, block, version, data) in covered.blocks {
            let Some(file) = self.inodes.get_mut(&inode) else { continue };
            if file.dirty.get(&block) == Some(&version) {
                file.dirty.remove(&block);
            }
            // A flush that began earlier may end later: what it covers is older than what is there.
            if file.durable.get(&block).is_none_or(|(there, _)| *there < version) {
                file.durable.insert(block, (version, data));
            }
        }
        if let Some((inode, len)) = covered.length
            && let Some(file) = self.inodes.get_mut(&inode).filter(|file| file.len_covered < covered.number)
        {
            (file.durable_len, file.len_covered) = (len, covered.number);
            file.durable.retain(|block, _| *block < len.div_ceil(BLOCK_BYTES as u64));
        }
    }
}

impl Inode {
    /// A file all of which is flushed.
    pub(super) fn settled(durable: BTreeMap<u64, (u64, Block)>, len: u64) -> Self {
        let blocks: Vec<&[u8]> = durable.values().map(|(_, block)| block.as_slice()).collect();
        let mut data = blocks.concat();
        data.resize(index(len), 0);
        Inode { data, dirty: BTreeMap::new(), durable, durable_len: len, len_covered: 0 }
    }

    /// Turns a bit of what is there, flushed or not.
    pub(super) fn damage(&mut self) {
        self.data.iter_mut().take(1).for_each(|byte| *byte ^= 1);
        let first = self.durable.get_mut(&0).and_then(|(_, block)| block.first_mut());
        first.into_iter().for_each(|byte| *byte ^= 1);
    }

    pub(super) fn block(&self, block: u64) -> Block {
        let from = index(block) * BLOCK_BYTES;
        let mut bytes = vec![0; BLOCK_BYTES];
        if let Some(data) = self.data.get(from..) {
            let len = data.len().min(BLOCK_BYTES);
            bytes[..len].copy_from_slice(&data[..len]);
        }
        bytes
    }
}

pub(super) fn index(position: u64) -> usize {
    usize::try_from(position).expect("simulated files are small")
}
