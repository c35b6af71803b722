//! What makes a node a member of a cluster: its roles, its peers, and how patient it is with them.

use super::layers::Layers;
use crate::base::NodeId;
use std::time::Duration;

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    /// Has partitions and serves clients.
    pub broker: bool,
    /// Is a voter of the coordinators' quorum, or may become one.
    pub coordinator: bool,
}

/// A voter of the coordinators' quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voter {
    /// Its node.
    pub id: NodeId,
    /// HOST:PORT where peers reach it; empty for a node that is alone.
    pub address: String,
}

/// The node's place in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterConf {
    /// What this process does.
    pub roles: Roles,
    /// HOST:PORT to accept peers on; `None` for a node that has none.
    pub peer_listen: Option<String>,
    /// HOST:PORT that peers are told to connect to.
    pub peer_advertised: String,
    /// The voters that the metadata's log begins with, by id; a node that is alone is the only one. Later the log says
    /// who votes.
    pub voters: Vec<Voter>,
    /// How often a broker says that it lives.
    pub heartbeat: Duration,
    /// How long the acting coordinator believes it.
    pub session: Duration,
    /// How often the quorum's leader says that it lives.
    pub quorum_heartbeat: Duration,
    /// How long others believe it at least; each draws up to twice that.
    pub quorum_election: Duration,
    /// How long a follower may not have caught up before it is out of sync.
    pub replica_lag_max: Duration,
    /// How long a follower's fetch may wait.
    pub fetch_wait: Duration,
    /// Bytes that it waits for.
    pub fetch_min_bytes: i32,
    /// Bytes of one partition in a follower's fetch.
    pub fetch_partition_bytes: i32,
    /// Bytes of all of them together.
    pub fetch_response_bytes: i32,
    /// Whether consumers are sent to replicas in their rack.
    pub rack_aware_reads: bool,
    /// Whether leaders are moved back to the preferred replicas.
    pub balance_leaders: bool,
    /// How often that is looked at.
    pub balance_interval: Duration,
    /// Whether a broker that stops hands its leaders over first.
    pub controlled_shutdown: bool,
}

impl ClusterConf {
    /// Reads the keys, each of which was checked when it was set.
    pub(super) fn of(layers: &Layers) -> Self {
        let value = |name: &str| layers.value(name).0;
        let int = |name: &str| value(name).parse::<i64>().expect("checked when it was set");
        let small = |name: &str| i32::try_from(int(name)).expect("checked");
        let ms = |name: &str| Duration::from_millis(int(name).unsigned_abs());
        let is = |name: &str| value(name) == "true";
        let listen = Some(value("peer.listen").to_owned()).filter(|address| !address.is_empty());
        let advertised = Some(value("peer.advertised").to_owned()).filter(|address| !address.is_empty());
        let peer_advertised = advertised.or_else(|| listen.clone()).unwrap_or_default();
        let mut voters = read_voters(value("coordinator.voters")).expect("checked when it was set");
        if voters.is_empty() {
            let id = NodeId(small("node.id"));
            voters.push(Voter { id, address: peer_advertised.clone() });
        }
        ClusterConf {
            roles: roles(value("process.roles")),
            peer_listen: listen,
            peer_advertised,
            voters,
            heartbeat: ms("broker.heartbeat.interval.ms"),
            session: ms("broker.session.timeout.ms"),
            quorum_heartbeat: ms("coordinator.heartbeat.interval.ms"),
            quorum_election: ms("coordinator.election.timeout.ms"),
            replica_lag_max: ms("replica.lag.time.max.ms"),
            fetch_wait: ms("replica.fetch.wait.max.ms"),
            fetch_min_bytes: small("replica.fetch.min.bytes"),
            fetch_partition_bytes: small("replica.fetch.max.bytes"),
            fetch_response_bytes: small("replica.fetch.response.max.bytes"),
            rack_aware_reads: value("replica.selector.class").ends_with("RackAwareReplicaSelector"),
            balance_leaders: is("auto.leader.rebalance.enable"),
            balance_interval: Duration::from_secs(
                int("leader.imbalance.check.interval.seconds").unsigned_abs(),
            ),
            controlled_shutdown: is("controlled.shutdown.enable"),
        }
    }

    /// Whether there are other nodes, or may be.
    #[must_use]
    pub fn has_peers(&self) -> bool {
        self.peer_listen.is_some()
    }

    /// Whether the node with this id is one of the voters that the log begins with.
    #[must_use]
    pub fn is_voter(&self, id: NodeId) -> bool {
        self.voters.iter().any(|voter| voter.id == id)
    }

    /// What doesn't fit together.
    pub(super) fn problems(&self, node: NodeId, cluster_id: Option<&str>) -> Vec<String> {
        let Roles { broker, coordinator } = self.roles;
        let mut problems = Vec::new();
        let mut claim = |holds: bool, why: String| {
            if !holds {
                problems.push(why);
            }
        };
        claim(
            broker || coordinator,
            "process.roles: must not be empty; give broker, coordinator or both".to_owned(),
        );
        let others = self.voters.iter().any(|voter| voter.id != node);
        claim(
            !others || self.has_peers(),
            "peer.listen: must be set, for coordinator.voters names other nodes; give HOST:PORT".to_owned(),
        );
        claim(
            broker || self.has_peers(),
            "peer.listen: must be set, for this process is no broker (process.roles)".to_owned(),
        );
        claim(
            !self.has_peers() || cluster_id.is_some(),
            "cluster.id: must be set where peer.listen is, the same on all nodes of the cluster".to_owned(),
        );
        // As in Kafka, the last character may have bits that no id needs.
        let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        claim(
            cluster_id.is_none_or(|id| id.len() == 22 && id.bytes().all(is_base64)),
            format!(
                "cluster.id = {}: must be 22 characters of base64 for URLs",
                cluster_id.unwrap_or_default()
            ),
        );
        claim(
            coordinator || !self.is_voter(node),
            format!("coordinator.voters: names node {node}, whose process.roles lacks coordinator"),
        );
        for (at, voter) in self.voters.iter().enumerate() {
            let again = self.voters[..at].iter().any(|other| other.id == voter.id);
            claim(!again, format!("coordinator.voters: node {} is named twice", voter.id));
        }
        let wild = |address: &str| ["0.0.0.0:", "[::]:"].iter().any(|any| address.starts_with(any));
        claim(
            !wild(&self.peer_advertised),
            format!("peer.advertised: must be set, for nobody can connect to {}", self.peer_advertised),
        );
        claim(
            self.session > self.heartbeat,
            "broker.session.timeout.ms: must be longer than broker.heartbeat.interval.ms".to_owned(),
        );
        claim(
            self.replica_lag_max > self.fetch_wait,
            "replica.lag.time.max.ms: must be longer than replica.fetch.wait.max.ms, or followers fall out of sync \
             over the first record after a rest"
                .to_owned(),
        );
        claim(
            self.quorum_election > self.quorum_heartbeat,
            "coordinator.election.timeout.ms: must be longer than coordinator.heartbeat.interval.ms"
                .to_owned(),
        );
        problems
    }
}

fn roles(text: &str) -> Roles {
    let has = |word: &str| text.split(',').any(|role| role.trim() == word);
    Roles { broker: has("broker"), coordinator: has("coordinator") || has("controller") }
}

/// Reads `ID@HOST:PORT,...`, by id.
pub(super) fn read_voters(text: &str) -> Option<Vec<Voter>> {
    let voter = |part: &str| {
        let (id, address) = part.trim().split_once('@')?;
        let id = id.parse().ok().filter(|id| *id >= 0)?;
        let (host, port) = address.rsplit_once(':')?;
        let whole = !host.is_empty() && port.parse::<u16>().is_ok();
        whole.then(|| Voter { id: NodeId(id), address: address.to_owned() })
    };
    let parts = text.split(',').filter(|_| !text.trim().is_empty());
    let mut voters = parts.map(voter).collect::<Option<Vec<_>>>()?;
    voters.sort_by_key(|voter| voter.id);
    Some(voters)
}

#[cfg(test)]
mod tests {
    use super::super::{BrokerConf, Layers, Source};
    use super::*;

    fn check(pairs: &[(&str, &str)]) -> Result<BrokerConf, String> {
        let mut layers = Layers::default();
        for (name, value) in pairs {
            layers.set(name, value, Source::Flag("test".into()));
        }
        BrokerConf::check(layers, 4 << 30).map_err(|problems| problems.join("\n"))
    }

    const ID: (&str, &str) = ("cluster.id", "AAAAAAAAAAAAAAAAAAAAAA");
    const THREE: (&str, &str) = ("coordinator.voters", "3@c:3,1@a:1,2@b:2");

    #[test]
    fn a_node_alone_is_its_only_voter() {
        let conf = check(&[("node.id", "5")]).unwrap().cluster;
        assert_eq!(conf.voters, [Voter { id: NodeId(5), address: String::new() }]);
        assert!(!conf.has_peers() && conf.is_voter(NodeId(5)));
        assert_eq!(conf.roles, Roles { broker: true, coordinator: true });
    }

    #[test]
    fn a_member_of_three_is_read() {
        let conf = check(&[ID, THREE, ("node.id", "2"), ("peer.listen", "b:2")]).unwrap().cluster;
        assert_eq!(conf.voters.iter().map(|voter| voter.id.0).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(conf.voters[2].address, "c:3");
        assert_eq!(conf.peer_advertised, "b:2");
        let apart =
            check(&[ID, THREE, ("node.id", "9"), ("peer.listen", "b:2"), ("process.roles", "broker")]);
        assert!(!apart.unwrap().cluster.is_voter(NodeId(9)));
        let joins = [ID, THREE, ("node.id", "4"), ("peer.listen", "d:4"), ("process.roles", "coordinator")];
        assert!(!check(&joins).unwrap().cluster.is_voter(NodeId(4)), "it waits to be added");
    }

    #[test]
    fn what_does_not_fit_together_is_told() {
        let listen = ("peer.listen", "a:1");
        for (pairs, told) in [
            (&[THREE][..], "peer.listen: must be set"),
            (&[THREE, listen], "cluster.id: must be set"),
            (&[("cluster.id", "mine"), listen], "22 characters"),
            (&[ID, THREE, listen, ("process.roles", "broker")], "lacks coordinator"),
            (&[("process.roles", "")], "process.roles: must not be empty"),
            (&[("process.roles", "coordinator")], "this process is no broker"),
            (&[ID, listen, ("coordinator.voters", "1@a:1,1@b:2")], "named twice"),
            (&[ID, ("peer.listen", "0.0.0.0:1")], "peer.advertised: must be set"),
            (&[("coordinator.voters", "1@a")], "ID@HOST:PORT"),
            (&[("broker.session.timeout.ms", "100")], "must be longer"),
            (&[("replica.lag.time.max.ms", "500")], "must be longer"),
            (&[("coordinator.election.timeout.ms", "20")], "must be longer"),
        ] {
            let problems = check(pairs).unwrap_err();
            assert!(problems.contains(told), "{pairs:?}: {problems}");
        }
    }
}
