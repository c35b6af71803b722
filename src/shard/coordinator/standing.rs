//! How the quorum fares, for whoever asks this node while it acts.

use crate::base::NodeId;
use crate::cluster::{QuorumFacts, VoterFacts};
use crate::seam::World;
use crate::shard::{Broker, Shard};
use crate::wire::Str;

impl<B: Broker> Shard<B> {
    /// What this node knows of the quorum.
    pub(super) fn quorum_facts(&self) -> QuorumFacts {
        let (this, now_ms) = (self.this_node(), self.world().wall_ms());
        let facts = self.coordinator(|it| {
            let standing = it.voter.as_ref()?.quorum.standing();
            let heard = it.voter.as_ref().map(|voter| voter.heard.clone()).unwrap_or_default();
            let one = |id: NodeId, end: Option<u64>| {
                let (host, port) =
                    self.address_of(id, it.state.broker(id).map(|it| (it.host.clone(), it.port)));
                let heard_ms = if id == this { now_ms } else { heard.get(&id).copied().unwrap_or(-1) };
                let end = end.unwrap_or(0);
                let caught_up_ms = if end >= standing.committed { heard_ms } else { -1 };
                VoterFacts { id, host, port, end, heard_ms, caught_up_ms }
            };
            let voters = standing.voters.iter().map(|voter| one(voter.node, voter.last)).collect();
            let is_voter = |id: NodeId| standing.voters.iter().any(|voter| voter.node == id);
            let observers = it.state.brokers().filter(|(id, _)| !is_voter(*id));
            Some(QuorumFacts {
                leader: standing.leader.unwrap_or(NodeId(-1)),
                term: i32::try_from(standing.term).unwrap_or(i32::MAX),
                committed: standing.committed,
                voters,
                observers: observers.map(|(id, _)| one(id, Some(standing.committed))).collect(),
            })
        });
        facts.flatten().unwrap_or(QuorumFacts {
            leader: NodeId(-1),
            term: -1,
            committed: 0,
            voters: Vec::new(),
            observers: Vec::new(),
        })
    }

    /// Where a node is reached: as a broker where it is one, else as a peer.
    fn address_of(&self, id: NodeId, broker: Option<(Str, u16)>) -> (Str, u16) {
        broker.unwrap_or_else(|| {
            let voter = self.conf().cluster.voters.iter().find(|voter| voter.id == id);
            let address = voter.and_then(|voter| voter.address.rsplit_once(':'));
            let (host, port) = address.unwrap_or_default();
            (host.into(), port.parse().unwrap_or(0))
        })
    }
}
