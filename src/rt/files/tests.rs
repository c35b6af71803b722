//! Files on a real disk with O_DIRECT.

use super::DirectFiles;
use crate::base::limits::READ_BYTES_MAX;
use crate::rt::testing::{Scratch, on_one_shard};
use crate::rt::{Mesh, World, run};
use crate::seam::{File, Files, FlushScope, IoError, Mesh as _, SealedBuf, World as _, WriteBuf};
use bytes::Bytes;
use std::path::Path;

fn pattern(position: u64) -> u8 {
    (position.wrapping_mul(2_654_435_761) >> 13) as u8
}

async fn write_pattern(files: &DirectFiles, path: &str, len: usize) -> super::DirectFile {
    let file = files.create(Path::new(path)).await.unwrap();
    let mut at = 0;
    while at < len {
        let part = (len - at).min(1024 * 1024);
        let mut buffer = files.alloc(part);
        for (index, byte) in buffer.bytes_mut().iter_mut().enumerate() {
            *byte = pattern((at + index) as u64);
        }
        let sealed = buffer.seal(part);
        if at == 0 {
            file.write_durable(0, &sealed).await.unwrap();
        } else {
            file.write(at as u64, &sealed).await.unwrap();
        }
        at += part;
    }
    file
}

fn assert_pattern(bytes: &Bytes, position: u64) {
    for (index, byte) in bytes.iter().enumerate() {
        assert_eq!(*byte, pattern(position + index as u64), "at {position}+{index}");
    }
}

#[test]
fn what_is_written_is_read_at_any_position_and_length() {
    on_one_shard("files-round-trip", |world: World| async move {
        let files = world.files();
        let len = 3 * 1024 * 1024 / 2;
        let file = write_pattern(files, "log", len).await;
        file.sync().await.unwrap();
        assert_eq!(file.size().await.unwrap(), len as u64);
        for (position, wanted) in [
            (0, 1),
            (1, 4095),
            (4095, 2),
            (4097, 100_000),
            (0, READ_BYTES_MAX),
            (123_457, READ_BYTES_MAX),
            (5, 1_400_000),
        ] {
            let bytes = file.read(position, wanted).await.unwrap();
            assert_eq!(bytes.len(), wanted, "at {position}");
            assert_pattern(&bytes, position);
        }
        let end = len as u64;
        assert_eq!(file.read(end - 10, 100).await.unwrap().len(), 10);
        assert_eq!(file.read(end - 10, READ_BYTES_MAX * 2).await.unwrap().len(), 10);
        assert!(file.read(end, 100).await.unwrap().is_empty());
        assert!(file.read(end + 5000, 100).await.unwrap().is_empty());
        assert!(file.read(7, 0).await.unwrap().is_empty());
    });
}

#[test]
fn zeros_truncation_and_reopening() {
    on_one_shard("files-zeros", |world: World| async move {
        let files = world.files();
        let file = write_pattern(files, "segment", 64 * 1024).await;
        file.write_zeros(4096..8192).await.unwrap();
        file.write_zeros(65_536..65_536 + 2 * 1024 * 1024 + 12_288).await.unwrap();
        file.sync().await.unwrap();
        drop(file);
        let file = files.open(Path::new("segment")).await.unwrap();
        assert_eq!(file.size().await.unwrap(), 65_536 + 2 * 1024 * 1024 + 12_288);
        assert!(file.read(4096, 4096).await.unwrap().iter().all(|&byte| byte == 0));
        assert_pattern(&file.read(8192, 1000).await.unwrap(), 8192);
        assert!(file.read(65_536, 300_000).await.unwrap().iter().all(|&byte| byte == 0));
        file.truncate(10_000).await.unwrap();
        assert_eq!(file.size().await.unwrap(), 10_000);
        assert_eq!(file.read(8192, 4096).await.unwrap().len(), 10_000 - 8192);
    });
}

#[test]
fn names_and_folders() {
    on_one_shard("files-names", |world: World| async move {
        let files = world.files();
        files.create_dir(Path::new("topic-0/deep")).await.unwrap();
        files.create_dir(Path::new("topic-0/deep")).await.unwrap();
        for name in ["b", "a", "c"] {
            files.create(&Path::new("topic-0").join(name)).await.unwrap();
        }
        files.rename(Path::new("topic-0/c"), Path::new("topic-0/b")).await.unwrap();
        files.remove(Path::new("topic-0/a")).await.unwrap();
        files.sync_dir(Path::new("topic-0")).await.unwrap();
        assert_eq!(files.list(Path::new("topic-0")).await.unwrap(), ["b", "deep"]);
        files.remove_dir(Path::new("topic-0")).await.unwrap();
        assert!(matches!(files.list(Path::new("topic-0")).await, Err(IoError::NotFound(_))));
        let (total, usable) = files.space().await.unwrap();
        assert!(total >= usable && usable > 0);
        assert_eq!(files.flush_scope(), world.files().flush_scope());
    });
}

#[test]
fn errors_are_told_apart() {
    on_one_shard("files-errors", |world: World| async move {
        let files = world.files();
        let missing = files.open(Path::new("missing")).await.err().unwrap();
        assert!(matches!(&missing, IoError::NotFound(path) if path.ends_with("missing")), "{missing}");
        assert!(matches!(files.remove(Path::new("missing")).await, Err(IoError::NotFound(_))));
        let bad = files.create(Path::new("a\0b")).await.err().unwrap();
        assert!(matches!(bad, IoError::Failed { code: libc::EINVAL, .. }));
        files.create_dir(Path::new("folder")).await.unwrap();
        let folder = files.create(Path::new("folder")).await.err().unwrap();
        assert!(matches!(folder, IoError::Failed { code: libc::EISDIR, .. }), "{folder}");
        let sealed = files.alloc(4096).seal(4096);
        let file = files.create(Path::new("full")).await.unwrap();
        let beyond = file.write(1 << 62, &sealed).await.err().unwrap();
        assert!(matches!(beyond, IoError::Failed { code: libc::EFBIG | libc::EINVAL, .. }), "{beyond}");
    });
}

#[test]
fn memory_lives_as_long_as_its_readers_and_comes_back() {
    on_one_shard("files-loans", |world: World| async move {
        let files = world.files();
        let mut buffer = files.alloc(8192);
        buffer.bytes_mut().fill(7);
        let sealed = buffer.seal(8192);
        assert_eq!((sealed.len(), sealed.is_empty()), (8192, false));
        let (slice, address) = (sealed.share(100..200), sealed.share(0..1).as_ptr());
        let copy = sealed.clone();
        drop(sealed);
        assert_eq!(world.stats().lent_bytes, 8192);
        drop(copy);
        let used = world.stats().file_memory_bytes;
        assert_eq!(world.stats().lent_bytes, 8192, "a reader is left");
        assert!(slice.iter().all(|&byte| byte == 7));
        drop(slice);
        world.sleep(std::time::Duration::from_millis(150)).await;
        assert_eq!(world.stats().lent_bytes, 0);
        assert_eq!(world.stats().file_memory_bytes, used - 8192);
        let mut again = files.alloc(8192);
        assert_eq!(again.bytes_mut().as_ptr(), address, "the same memory serves again");
        let sealed = again.seal(4096);
        assert_eq!(world.stats().file_memory_bytes, used - 4096, "what isn't filled comes back at once");
        drop(sealed);
        assert_eq!(world.stats().file_memory_bytes, used - 8192, "back at once without a reader");
    });
}

#[test]
fn a_write_in_flight_keeps_its_memory() {
    on_one_shard("files-in-flight", |world: World| async move {
        let files = world.files();
        let file = files.create(Path::new("log")).await.unwrap();
        let mut buffer = files.alloc(1024 * 1024);
        buffer.bytes_mut().fill(9);
        let sealed = buffer.seal(1024 * 1024);
        {
            let mut write = Box::pin(file.write(0, &sealed));
            assert!(futures_lite::future::poll_once(&mut write).await.is_none());
        }
        drop(sealed);
        assert!(world.stats().file_memory_bytes >= 1024 * 1024, "the ring still has it");
        let mut other = files.alloc(1024 * 1024);
        other.bytes_mut().fill(1);
        file.write(1024 * 1024, &other.seal(1024 * 1024)).await.unwrap();
        while world.stats().file_memory_bytes >= 1024 * 1024 {
            world.yield_now().await;
        }
        assert!(file.read(0, 1024 * 1024).await.unwrap().iter().all(|&byte| byte == 9));
    });
}

/// Readers on other shards hold slices of one shard's memory, read and drop them, while the owner goes on; every byte
/// is right and all memory comes home.
#[test]
fn loans_across_shards() {
    const ROUNDS: u64 = 300;
    let scratch = Scratch::new("files-cross");
    let main = |shard: crate::base::ShardId, world: World, mesh: Mesh<Option<(u64, Bytes)>>| async move {
        if shard.0 == 0 {
            lend_to_others(&world, &mesh, ROUNDS).await;
            return 0;
        }
        let (mut inbox, mut kept, mut seen) = (Vec::new(), std::collections::VecDeque::new(), 0);
        loop {
            mesh.receive(&mut inbox).await;
            for message in inbox.drain(..) {
                let Some((position, bytes)) = message else { return seen };
                seen += 1;
                kept.push_back((position, bytes));
                if kept.len() > 20 {
                    let (position, bytes) = kept.pop_front().unwrap();
                    assert_pattern(&bytes, position);
                }
            }
        }
    };
    let answers = run(&scratch.conf(3), main).unwrap();
    assert_eq!(answers, [0, ROUNDS, ROUNDS]);
}

async fn lend_to_others(world: &World, mesh: &Mesh<Option<(u64, Bytes)>>, rounds: u64) {
    let files = world.files();
    let file = write_pattern(files, "log", 256 * 1024).await;
    for round in 0..rounds {
        let position = round * 37 % 200_000;
        let from_disk = file.read(position, 10_000).await.unwrap();
        let mut buffer = files.alloc(16_384);
        for (index, byte) in buffer.bytes_mut().iter_mut().enumerate() {
            *byte = pattern(position + index as u64);
        }
        let sealed = buffer.seal(16_384);
        mesh.send(crate::base::ShardId(1), Some((position, from_disk))).unwrap();
        mesh.send(crate::base::ShardId(2), Some((position + 5, sealed.share(5..9000)))).unwrap();
    }
    for other in [1, 2] {
        mesh.send(crate::base::ShardId(other), None).unwrap();
    }
    for _ in 0..1000 {
        if world.stats().lent_bytes == 0 {
            return;
        }
        world.sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("{} bytes never came back", world.stats().lent_bytes);
}

#[test]
fn the_flush_scope_can_be_told() {
    let scratch = Scratch::new("files-scope");
    for scope in [FlushScope::File, FlushScope::Device] {
        let conf = crate::rt::RtConf { flush_scope: Some(scope), ..scratch.conf(1) };
        let main = |_, world: World, _: Mesh<()>| async move { world.files().flush_scope() };
        assert_eq!(run(&conf, main).unwrap(), [scope]);
    }
}
