//! The data directory before any shard runs: who owns it, which node it belongs to, whether it was left in good order.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "runs once at start and stop, before and after the shards"
)]

use crate::base::random::Random;
use crate::base::{BrokerEpoch, TopicId};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::{Path, PathBuf};

/// What a data directory says of itself. Written once, when it is first used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Layout of the directory; this build writes and reads 1.
    pub format: u32,
    /// `node.id` of the broker that made it.
    pub node_id: i32,
    /// Id of the cluster it belongs to: 16 bytes in Kafka's base64 form.
    pub cluster_id: String,
}

/// A data directory that this process has for itself.
#[derive(Debug)]
pub struct DataDir {
    /// Where it is.
    pub path: PathBuf,
    /// What it says of itself.
    pub identity: Identity,
    /// The last process that used it closed everything in good order.
    pub was_clean: bool,
    /// The epoch under which the broker was registered then, if it was one of a cluster.
    pub clean_epoch: Option<BrokerEpoch>,
    /// It was made just now.
    pub is_new: bool,
    _lock: crate::rt::DirLock,
}

const IDENTITY: &str = "ringlog.toml";
const CLEAN: &str = "clean-shutdown";
const EPOCH: &str = "broker epoch ";

impl DataDir {
    /// Takes a directory, making it if it isn't there.
    ///
    /// # Errors
    /// What to tell the operator: it is in use, belongs to another node or cluster, or can't be written.
    pub fn open(path: &Path, node_id: i32, cluster_id: Option<&str>, seed: u64) -> Result<Self, String> {
        let at =
            |what: &str, error: std::io::Error| format!("data directory {}: {what}: {error}", path.display());
        std::fs::create_dir_all(path).map_err(|error| at("can't be created", error))?;
        let lock = crate::rt::DirLock::take(path)?;
        let file = path.join(IDENTITY);
        let (identity, is_new) = match std::fs::read_to_string(&file) {
            Ok(text) => (check(path, &text, node_id, cluster_id)?, false),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let identity = Identity { format: 1, node_id, cluster_id: new_cluster_id(cluster_id, seed) };
                let text =
                    toml::to_string(&identity).map_err(|error| format!("can't write {IDENTITY}: {error}"))?;
                write_durably(path, IDENTITY, &text).map_err(|error| at("can't be written", error))?;
                (identity, true)
            }
            Err(error) => return Err(at("can't be read", error)),
        };
        // The marker goes before the first write, so that a crash can't leave a stale one behind.
        let clean_epoch = std::fs::read_to_string(path.join(CLEAN)).ok().as_deref().and_then(epoch_in);
        let was_clean = std::fs::remove_file(path.join(CLEAN)).is_ok();
        sync_dir(path).map_err(|error| at("can't be synced", error))?;
        Ok(DataDir { path: path.to_owned(), identity, was_clean, clean_epoch, is_new, _lock: lock })
    }

    /// Leaves the marker of a clean shutdown, with the epoch under which the broker was registered.
    ///
    /// # Errors
    /// The marker can't be written; the next start scans the logs.
    pub fn mark_clean(&self, epoch: Option<BrokerEpoch>) -> std::io::Result<()> {
        let epoch = epoch.map_or(-1, |epoch| epoch.0);
        write_durably(&self.path, CLEAN, &format!("{EPOCH}{epoch}\n"))
    }
}

/// The epoch in the marker of a clean shutdown.
fn epoch_in(marker: &str) -> Option<BrokerEpoch> {
    marker.strip_prefix(EPOCH)?.trim().parse().ok().filter(|epoch| *epoch >= 0).map(BrokerEpoch)
}

fn check(path: &Path, text: &str, node_id: i32, cluster_id: Option<&str>) -> Result<Identity, String> {
    let place = path.join(IDENTITY);
    let identity: Identity = toml::from_str(text).map_err(|error| format!("{}: {error}", place.display()))?;
    if identity.format != 1 {
        return Err(format!(
            "{}: format {} is not one this build knows (1)",
            place.display(),
            identity.format
        ));
    }
    if identity.node_id != node_id {
        let theirs = identity.node_id;
        return Err(format!(
            "{}: belongs to node {theirs}, not {node_id}; set node.id = {theirs}",
            place.display()
        ));
    }
    if cluster_id.is_some_and(|wanted| wanted != identity.cluster_id) {
        return Err(format!("{}: belongs to cluster {}", place.display(), identity.cluster_id));
    }
    Ok(identity)
}

fn new_cluster_id(configured: Option<&str>, seed: u64) -> String {
    let mut random = Random::new(seed);
    let mut id = [0; 16];
    id[..8].copy_from_slice(&random.next_u64().to_be_bytes());
    id[8..].copy_from_slice(&random.next_u64().to_be_bytes());
    configured.map_or_else(|| TopicId(id).to_string(), str::to_owned)
}

fn write_durably(dir: &Path, name: &str, text: &str) -> std::io::Result<()> {
    let fresh = dir.join(format!("{name}.new"));
    let mut file = std::fs::File::create(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&fresh, dir.join(name))?;
    sync_dir(dir)
}

fn sync_dir(dir: &Path) -> std::io::Result<()> {
    std::fs::File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marker_tells_the_epoch() {
        assert_eq!(epoch_in(&format!("{EPOCH}17\n")), Some(BrokerEpoch(17)));
        assert_eq!(epoch_in(&format!("{EPOCH}-1\n")), None, "it was alone");
        assert_eq!(epoch_in("1\n"), None, "as builds before wrote it");
    }
}
