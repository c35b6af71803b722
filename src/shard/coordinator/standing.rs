//! How the quorum fares, for whoever asks this node while it acts.

use crate::base::NodeId;
use crate::cluster::{QuorumFacts, VoterFacts};
use crate::quorum::{Member, VoterStanding};
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
            let one = |id: NodeId, end: Option<u64>, member: Option<&Member>| {
                let broker = it.state.broker(id).map(|it| (it.host.clone(), it.port));
                let (host, port) = broker.unwrap_or_else(|| apart(member));
                let directory = member.map_or([0; 16], |member| member.directory);
                let heard_ms = if id == this { now_ms } else { heard.get(&id).copied().unwrap_or(-1) };
                let end = end.unwrap_or(0);
                let caught_up_ms = if end >= standing.committed { heard_ms } else { -1 };
                VoterFacts { id, host, port, directory, end, heard_ms, caught_up_ms }
            };
            let facts = |it: &VoterStanding| one(it.member.id, it.last, Some(&it.member));
            let (voters, learners): (Vec<_>, Vec<_>) =
                standing.members.iter().partition(|it| it.member.votes);
            let is_member = |id: NodeId| standing.members.iter().any(|it| it.member.id == id);
            let observers = it.state.brokers().filter(|(id, _)| !is_member(*id));
            let observers = observers.map(|(id, _)| one(id, Some(standing.committed), None));
            Some(QuorumFacts {
                leader: standing.leader.unwrap_or(NodeId(-1)),
                term: i32::try_from(standing.term).unwrap_or(i32::MAX),
                committed: standing.committed,
                voters: voters.into_iter().map(facts).collect(),
                observers: learners.into_iter().map(facts).chain(observers).collect(),
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
}

/// Where a member that is no broker is reached.
fn apart(member: Option<&Member>) -> (Str, u16) {
    let address = member.and_then(|member| member.address.rsplit_once(':'));
    let (host, port) = address.unwrap_or_default();
    (host.into(), port.parse().unwrap_or(0))
}
