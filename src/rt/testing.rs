//! What the tests of this folder share.
#![expect(clippy::disallowed_methods, reason = "tests make and remove their own folders")]

use super::{Mesh, RtConf, World, run};
use crate::base::ShardId;
use std::fs;
use std::future::Future;
use std::path::PathBuf;

/// A folder of one test on a real disk, emptied at the start and removed at the end.
pub(super) struct Scratch(pub(super) PathBuf);

impl Scratch {
    pub(super) fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/rt-tests").join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    pub(super) fn conf(&self, shards: u16) -> RtConf {
        RtConf { pin: shards <= 2, ..RtConf::new(shards, &self.0) }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs `main` on one shard over a folder of its own.
pub(super) fn on_one_shard<Fut, T>(name: &str, main: impl Fn(World) -> Fut + Clone + Send + 'static) -> T
where
    Fut: Future<Output = T> + 'static,
    T: Send + 'static,
{
    let scratch = Scratch::new(name);
    let main = move |_: ShardId, world: World, _: Mesh<()>| main(world);
    run(&scratch.conf(1), main).unwrap().pop().unwrap()
}
