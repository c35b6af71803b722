//! The profiles in `config/profiles`: each is part of the build, loads, and says why.
#![expect(clippy::disallowed_methods, reason = "the test reads the files of this repository")]

use ringlog::conf::{BrokerConf, Layers, PROFILES, Source};
use std::path::Path;

const RAM_BYTES: u64 = 8 << 30;

/// Names and texts of all files there.
fn files() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/profiles");
    let entries =
        std::fs::read_dir(&folder).expect("the folder").map(|entry| entry.expect("an entry").path());
    let name = |path: &Path| path.file_stem().expect("a name").to_string_lossy().into_owned();
    entries.map(|path| (name(&path), std::fs::read_to_string(&path).expect("a text"))).collect()
}

/// Lines that set something without a comment in the line before: no reason is given.
fn unexplained(text: &str) -> Vec<&str> {
    let lines: Vec<&str> = text.lines().collect();
    let sets = |line: &str| !line.trim().is_empty() && !line.starts_with('#');
    let bare = |nth: &usize| *nth == 0 || !lines[nth - 1].starts_with('#');
    (0..lines.len()).filter(|nth| sets(lines[*nth]) && bare(nth)).map(|nth| lines[nth]).collect()
}

#[test]
fn every_file_is_a_profile_that_makes_a_valid_configuration() {
    let files = files();
    assert!(
        ["balanced", "latency", "throughput", "durable", "dev"]
            .iter()
            .all(|name| PROFILES.iter().any(|p| p.0 == *name))
    );
    assert_eq!(files.len(), PROFILES.len());
    for (name, text) in files {
        assert!(PROFILES.contains(&(name.as_str(), text.as_str())), "{name} isn't part of the build");
        let mut layers = Layers::default();
        layers.profile(&name);
        if let Err(problems) = BrokerConf::check(layers, RAM_BYTES) {
            panic!("{name}: {problems:?}");
        }
    }
}

#[test]
fn every_value_has_its_reason() {
    for (name, text) in files() {
        assert_eq!(unexplained(&text), [] as [&str; 0], "{name}");
    }
    assert_eq!(unexplained("# why\na = 1\nb = 2\n\nc = 3\n"), ["b = 2", "c = 3"]);
}

#[test]
fn balanced_is_what_holds_without_a_profile() {
    let mut layers = Layers::default();
    layers.profile("balanced");
    let table: toml::Table =
        PROFILES.iter().find(|(name, _)| *name == "balanced").expect("it").1.parse().expect("TOML");
    let defaults = Layers::default();
    for key in keys("", &table) {
        assert_eq!(layers.value(&key).0, defaults.value(&key).0, "{key}");
        assert_eq!(layers.value(&key).1, Source::Profile("balanced".to_owned()), "{key}");
    }
}

#[test]
fn the_sample_cluster_is_one() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/cluster");
    let conf = |node: i32| {
        let name = format!("node-{node}.toml");
        let text = std::fs::read_to_string(folder.join(&name)).expect("a text");
        let mut layers = Layers::default();
        layers.toml(&text, &Source::File(name));
        BrokerConf::check(layers, RAM_BYTES).unwrap_or_else(|problems| panic!("node {node}: {problems:?}"))
    };
    let nodes: Vec<BrokerConf> = (1..=3).map(conf).collect();
    for (node, id) in nodes.iter().zip(1..) {
        assert_eq!(node.node_id, id);
        assert_eq!(
            (&node.cluster_id, &node.cluster.voters),
            (&nodes[0].cluster_id, &nodes[0].cluster.voters)
        );
        let own = node.cluster.voters.iter().find(|voter| voter.id.0 == id).expect("each is a voter");
        assert_eq!(own.address, node.cluster.peer_advertised);
    }
}

/// All keys of a table, dotted.
fn keys(prefix: &str, table: &toml::Table) -> Vec<String> {
    let mut found = Vec::new();
    for (name, value) in table {
        let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            toml::Value::Table(inner) => found.extend(keys(&name, inner)),
            _ => found.push(name),
        }
    }
    found
}
