//! `ringlog cluster`: a cluster on this machine, for people who try it. Each node is a process of its own with its own
//! configuration, data and log; whoever wants to see one fail may kill it, and start it again with the command that is
//! in its configuration file.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "it runs no shard")]

use super::cli::ClusterFlags;
use super::{memory, say, sources};
use crate::base::TopicId;
use crate::base::random::Random;
use crate::rt::Children;
use std::fmt::Write;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// How far the ports of peers are from those of clients.
const PEERS_APART: u16 = 1000;

/// Looks at the processes until all must have said that they serve: 60 s.
const STARTING_LOOKS: u32 = 1200;

/// Looks at them until they must have stopped: 30 s.
const STOPPING_LOOKS: u32 = 600;

/// What a node says once it serves.
const SERVES: &str = "\n  clients: bootstrap server ";

/// One node.
struct Member {
    id: u16,
    /// Where clients reach it; `None` if it only coordinates.
    port: Option<u16>,
    peer_port: u16,
    name: String,
}

/// Starts a cluster and runs it until it is asked to stop.
///
/// # Errors
/// What to tell the operator.
pub(super) fn cluster(flags: &ClusterFlags) -> Result<(), Vec<String>> {
    run(flags).map_err(|problem| vec![problem])
}

fn run(flags: &ClusterFlags) -> Result<(), String> {
    let members = members(flags)?;
    let dir = absolute(&flags.data_dir)?;
    let program = std::env::current_exe().map_err(|error| format!("this program's own file: {error}"))?;
    let cluster_id = cluster_id(&dir)?;
    let mut children = Children::default();
    for member in &members {
        let config = dir.join(format!("{}.toml", member.name));
        write(&config, &configuration(member, &members, flags, &dir, &cluster_id))?;
        let log = log_of(&dir, member);
        let output = File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        let args = ["start".to_owned(), "--config".to_owned(), config.display().to_string()];
        let started = children.start(&member.name, &program, &args, output);
        started.map_err(|error| format!("{}: {error}", member.name))?;
    }
    let asked_to_stop = wait_until_they_serve(&mut children, &members, &dir)?;
    if !asked_to_stop {
        tell(&members, &dir, &program);
        watch(&mut children, &dir);
    }
    stop(&mut children);
    Ok(())
}

fn members(flags: &ClusterFlags) -> Result<Vec<Member>, String> {
    let (brokers, coordinators) = (flags.brokers, flags.coordinators.unwrap_or(0));
    if brokers == 0 {
        return Err("--brokers: at least 1".to_owned());
    }
    let last = u32::from(flags.port) + u32::from(PEERS_APART) + u32::from(brokers) + u32::from(coordinators);
    if last > u32::from(u16::MAX) {
        return Err(format!("--port {}: leaves no ports for so many nodes and their peers", flags.port));
    }
    let member = |nth: u16| {
        let (is_broker, id) = (nth < brokers, nth + 1);
        Member {
            id,
            port: is_broker.then(|| flags.port + nth),
            peer_port: flags.port + PEERS_APART + nth,
            name: format!("{}-{id}", if is_broker { "broker" } else { "coordinator" }),
        }
    };
    Ok((0..brokers + coordinators).map(member).collect())
}

/// A node's configuration file.
fn configuration(
    member: &Member,
    members: &[Member],
    flags: &ClusterFlags,
    dir: &Path,
    cluster_id: &str,
) -> String {
    let apart = members.iter().any(|member| member.port.is_none());
    let votes = |member: &&Member| !apart || member.port.is_none();
    let voters: Vec<String> = members
        .iter()
        .filter(votes)
        .map(|member| format!("{}@127.0.0.1:{}", member.id, member.peer_port))
        .collect();
    let roles = match (member.port, apart) {
        (None, _) => "coordinator",
        (Some(_), true) => "broker",
        (Some(_), false) => "broker,coordinator",
    };
    let factor = flags.brokers.min(3);
    let min_isr = if factor > 2 { 2 } else { 1 };
    let nodes = u64::try_from(members.len()).unwrap_or(1).max(1);
    let text = |value: &dyn std::fmt::Display| format!("\"{value}\"");
    let mut keys = vec![
        ("node.id", member.id.to_string()),
        ("cluster.id", text(&cluster_id)),
        ("process.roles", text(&roles)),
        ("data.dir", text(&dir.join(&member.name).display())),
        ("peer.listen", text(&format_args!("127.0.0.1:{}", member.peer_port))),
        ("coordinator.voters", text(&voters.join(","))),
        ("shards", flags.shards.to_string()),
        ("memory.bytes", (memory::ram_bytes() / 8 / nodes).to_string()),
    ];
    if let Some(port) = member.port {
        keys.push(("listen", text(&format_args!("127.0.0.1:{port}"))));
    }
    keys.extend([
        ("default.replication.factor", factor.to_string()),
        ("offsets.topic.replication.factor", factor.to_string()),
        ("transaction.state.log.replication.factor", factor.to_string()),
        ("min.insync.replicas", min_isr.to_string()),
        ("transaction.state.log.min.isr", min_isr.to_string()),
    ]);
    let mut out = format!(
        "# Written by `ringlog cluster`. To run this node alone: ringlog start --config {}.toml\n",
        member.name
    );
    for (key, value) in &keys {
        let _ = writeln!(out, "{key} = {value}");
    }
    for pair in &flags.set {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let bare = value.parse::<i64>().is_ok() || value == "true" || value == "false";
        let value = if bare { value.to_owned() } else { text(&value) };
        out = without(&out, key.trim());
        let _ = writeln!(out, "{} = {value}", key.trim());
    }
    out
}

/// A file's text without the line that sets a key.
fn without(text: &str, key: &str) -> String {
    let sets = |line: &&str| line.split_once(" = ").is_some_and(|(name, _)| name == key);
    text.lines().filter(|line| !sets(line)).fold(String::new(), |out, line| out + line + "\n")
}

/// The id of the cluster whose data is there, or of a new one.
fn cluster_id(dir: &Path) -> Result<String, String> {
    let path = dir.join("cluster.id");
    match fs::read_to_string(&path) {
        Ok(id) => Ok(id.trim().to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut random = Random::new(sources::entropy());
            let bits = (u128::from(random.next_u64()) << 64) | u128::from(random.next_u64());
            let id = TopicId(bits.to_be_bytes()).to_string();
            write(&path, &id)?;
            Ok(id)
        }
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

fn absolute(dir: &Path) -> Result<PathBuf, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", dir.display());
    fs::create_dir_all(dir).map_err(failed)?;
    dir.canonicalize().map_err(failed)
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

fn log_of(dir: &Path, member: &Member) -> PathBuf {
    dir.join(format!("{}.log", member.name))
}

/// Waits until all brokers serve; true if the process was asked to stop before.
fn wait_until_they_serve(children: &mut Children, members: &[Member], dir: &Path) -> Result<bool, String> {
    let serves = |member: &&Member| {
        let log = fs::read_to_string(log_of(dir, member)).unwrap_or_default();
        member.port.is_none() || log.contains(SERVES)
    };
    for _ in 0..STARTING_LOOKS {
        if let Some((name, status)) = children.ended().into_iter().next() {
            let log = dir.join(format!("{name}.log"));
            let text = fs::read_to_string(&log).unwrap_or_default();
            let last = text.lines().last().unwrap_or("it said nothing").to_owned();
            stop(children);
            return Err(format!("{name} ended ({status}): {last}\n  its log: {}", log.display()));
        }
        if members.iter().all(|member| serves(&member)) {
            return Ok(false);
        }
        if children.pause() {
            return Ok(true);
        }
    }
    stop(children);
    Err(format!("not all nodes serve after a minute; their logs are in {}", dir.display()))
}

fn tell(members: &[Member], dir: &Path, program: &Path) {
    let servers: Vec<String> =
        members.iter().filter_map(|member| Some(format!("127.0.0.1:{}", member.port?))).collect();
    let mut out = format!("cluster of {} nodes in {}\n", members.len(), dir.display());
    for member in members {
        let clients =
            member.port.map_or_else(|| "no clients".to_owned(), |port| format!("clients 127.0.0.1:{port}"));
        let _ = writeln!(out, "  {}: {clients}, peers 127.0.0.1:{}", member.name, member.peer_port);
    }
    let first = &members[0].name;
    let _ = writeln!(out, "bootstrap servers: {}", servers.join(","));
    let _ = writeln!(out, "logs: {}", dir.join("*.log").display());
    let config = dir.join(format!("{first}.toml"));
    let _ = writeln!(out, "a node alone: {} start --config {}", program.display(), config.display());
    out.push_str("Ctrl-C stops all");
    say(&out);
}

/// Waits until the process is asked to stop, or no node is left.
fn watch(children: &mut Children, dir: &Path) {
    while !children.is_empty() && !children.pause() {
        for (name, status) in children.ended() {
            let log = dir.join(format!("{name}.log"));
            say(&format!("{name} ended ({status}), the others go on; its log: {}", log.display()));
        }
    }
}

/// Stops all: in good order, and those that take too long anyhow.
fn stop(children: &mut Children) {
    children.ask_to_stop();
    for _ in 0..STOPPING_LOOKS {
        for (name, status) in children.ended() {
            say(&format!("{name} stopped ({status})"));
        }
        if children.is_empty() {
            return;
        }
        if children.pause() {
            // Asked again: somebody is in a hurry.
            break;
        }
    }
    children.kill();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf::{BrokerConf, Layers, Source};

    fn flags(brokers: u16, coordinators: Option<u16>) -> ClusterFlags {
        ClusterFlags {
            brokers,
            coordinators,
            port: 9092,
            data_dir: "c".into(),
            shards: 1,
            set: vec!["num.partitions=7".to_owned(), "min.insync.replicas=1".to_owned()],
        }
    }

    fn confs(flags: &ClusterFlags) -> Vec<BrokerConf> {
        let members = members(flags).unwrap();
        let id = TopicId([7; 16]).to_string();
        let conf = |member: &Member| {
            let mut layers = Layers::default();
            let text = configuration(member, &members, flags, Path::new("/c"), &id);
            layers.toml(&text, &Source::File(member.name.clone()));
            BrokerConf::check(layers, 8 << 30).unwrap()
        };
        members.iter().map(conf).collect()
    }

    #[test]
    fn brokers_coordinate_themselves_by_default() {
        let confs = confs(&flags(3, None));
        assert_eq!(confs.len(), 3);
        assert!(confs.iter().all(|conf| conf.cluster.voters == confs[0].cluster.voters));
        assert!(confs.iter().all(|conf| conf.cluster.roles.broker && conf.cluster.roles.coordinator));
        assert_eq!(confs[2].net.listen, "127.0.0.1:9094");
        assert_eq!(confs[2].cluster.peer_advertised, "127.0.0.1:10094");
        assert_eq!(confs[1].topics.replication_factor, 3);
        assert_eq!(confs[1].topics.partitions, 7);
        assert_eq!(confs[1].layers.value("min.insync.replicas").0, "1", "what is asked for goes before");
    }

    #[test]
    fn coordinators_may_stand_apart() {
        let confs = confs(&flags(2, Some(3)));
        let voters: Vec<i32> = confs[0].cluster.voters.iter().map(|voter| voter.id.0).collect();
        assert_eq!(voters, [3, 4, 5]);
        assert!(confs[..2].iter().all(|conf| conf.cluster.roles.broker && !conf.cluster.roles.coordinator));
        assert!(confs[2..].iter().all(|conf| !conf.cluster.roles.broker && conf.cluster.roles.coordinator));
    }

    #[test]
    fn what_cannot_be_is_told() {
        assert!(members(&flags(0, None)).is_err());
        assert!(members(&ClusterFlags { port: 64_600, ..flags(3, None) }).is_err());
    }
}
