//! Reading configuration from where it is: file, environment, flags.

#![expect(clippy::disallowed_methods, reason = "configuration is read once, before any shard runs")]

use super::cli::ConfigFlags;
use crate::conf::{Layers, Source};

/// All layers, lowest first.
pub(super) fn layers(flags: &ConfigFlags) -> Layers {
    let mut layers = Layers::default();
    if let Some(name) = &flags.profile {
        layers.profile(name);
    }
    if let Some(path) = &flags.config {
        match std::fs::read_to_string(path) {
            Ok(text) => layers.toml(&text, &Source::File(path.display().to_string())),
            Err(error) => layers.problem(format!("--config {}: {error}", path.display())),
        }
    }
    layers.environment(std::env::vars());
    let named = [
        ("data.dir", "--data-dir", flags.data_dir.as_ref().map(|dir| dir.display().to_string())),
        ("listen", "--listen", flags.listen.clone()),
        ("advertise", "--advertise", flags.advertise.clone()),
        ("process.roles", "--role", flags.role.clone()),
        ("node.id", "--node-id", flags.node_id.map(|id| id.to_string())),
        ("shards", "--shards", flags.shards.map(|shards| shards.to_string())),
    ];
    for (key, flag, value) in named {
        if let Some(value) = value {
            layers.set(key, &value, Source::Flag(flag.to_owned()));
        }
    }
    for pair in &flags.set {
        match pair.split_once('=') {
            Some((key, value)) => layers.set(key.trim(), value.trim(), Source::Flag("--set".to_owned())),
            None => layers.problem(format!("--set {pair}: must be KEY=VALUE")),
        }
    }
    layers
}

/// Bits that differ from start to start, for the ids of a new data directory.
pub(super) fn entropy() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish()
}
