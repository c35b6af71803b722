//! Other voters while the quorum works: the quorum's machine does it, and here those wait who asked for it.

use super::{Asker, Proposal};
use crate::base::limits::VOTERS_MAX;
use crate::base::{ErrorCode, NodeId};
use crate::cluster::{Command, Outcome, Record, VoterEntry};
use crate::quorum::{Change, Changed, Input, Members, Refusal};
use crate::shard::{Broker, Shard};

/// Who waits for a change.
pub(super) struct Waiting {
    from: Asker,
    /// The entry that began it.
    index: u64,
    id: NodeId,
    joins: bool,
}

impl Waiting {
    /// What to answer now that the members are these; nothing if it isn't over.
    fn outcome(&self, members: &Members) -> Option<Outcome> {
        if members.index < self.index {
            return None;
        }
        match members.get(self.id) {
            Some(member) if self.joins => member.votes.then_some(Outcome::Done),
            Some(_) => None,
            None if self.joins => {
                Some(refusal(ErrorCode::RequestTimedOut, "The node hasn't caught up in time."))
            }
            None => Some(Outcome::Done),
        }
    }
}

impl Proposal {
    fn changes_voters(&self) -> bool {
        matches!(&self.commands[..], [command] if command.changes_voters())
    }
}

impl<B: Broker> Shard<B> {
    /// Begins the changes that were asked for, if this node acts.
    pub(super) fn begin_changes(&self) {
        loop {
            let next = self.coordinator(|it| {
                let proposals = &mut it.acting.proposals;
                let at = proposals.iter().position(Proposal::changes_voters).filter(|_| it.role.acting)?;
                proposals.remove(at)
            });
            let Some(Proposal { from, mut commands }) = next.flatten() else { return };
            if let Some(command) = commands.pop() {
                self.begin_change(from, command);
            }
        }
    }

    fn begin_change(&self, from: Asker, command: Command) {
        let (id, joins, waits, change) = match command {
            // Without an address of its own this node hears of no other.
            Command::AddVoter { id, .. } if !self.conf().cluster.has_peers() => {
                return self.answer_at_commit(vec![(from, vec![refused(Refusal::Nowhere, id)])]);
            }
            Command::AddVoter { id, peer, directory, waits } => {
                (id, true, waits, Change::Add { id, address: peer, directory })
            }
            Command::RemoveVoter { id, directory } => (id, false, true, Change::Remove { id, directory }),
            _ => return,
        };
        match self.step_quorum(Input::Change(change)).changed {
            Some(Changed::At { index, .. }) if waits => {
                self.coordinator(|it| it.acting.changes.push(Waiting { from, index, id, joins }));
                self.settle_changes();
            }
            Some(Changed::At { .. }) => self.answer_at_commit(vec![(from, vec![Outcome::Done])]),
            Some(Changed::Refused(Refusal::NotLeading)) | None => {
                self.turn_away(vec![(from, vec![Outcome::Done])])
            }
            Some(Changed::Refused(why)) => self.answer_at_commit(vec![(from, vec![refused(why, id)])]),
        }
    }

    /// Answers those whose change is over.
    pub(super) fn settle_changes(&self) {
        let settled = self.coordinator(|it| {
            let members = it.voter.as_ref()?.quorum.members();
            let all = std::mem::take(&mut it.acting.changes);
            let (over, rest): (Vec<_>, Vec<_>) = all
                .into_iter()
                .map(|one| (one.outcome(members), one))
                .partition(|(outcome, _)| outcome.is_some());
            it.acting.changes = rest.into_iter().map(|(_, one)| one).collect();
            Some(over)
        });
        let over = settled.flatten().unwrap_or_default();
        let answers = over.into_iter().filter_map(|(outcome, one)| Some((one.from, vec![outcome?])));
        self.answer_at_commit(answers.collect());
    }

    /// Sends those who wait to whoever acts now: it goes on with what was begun.
    pub(super) fn leave_changes(&self) {
        let all = self.coordinator(|it| std::mem::take(&mut it.acting.changes)).unwrap_or_default();
        self.turn_away(all.into_iter().map(|one| (one.from, vec![Outcome::Done])).collect());
    }
}

/// What the metadata tells of the members.
pub(super) fn record(members: &Members) -> Record {
    let voter =
        |it: &crate::quorum::Member| VoterEntry { id: it.id, peer: it.address.clone(), votes: it.votes };
    Record::Voters { voters: members.all.iter().map(voter).collect() }
}

fn refusal(code: ErrorCode, why: impl Into<String>) -> Outcome {
    Outcome::Refused((code, why.into()))
}

fn refused(why: Refusal, id: NodeId) -> Outcome {
    match why {
        Refusal::NotLeading => refusal(ErrorCode::NotController, "This node doesn't act as the coordinator."),
        Refusal::Busy => refusal(ErrorCode::RequestTimedOut, "Another change of the voters is under way."),
        Refusal::Duplicate => refusal(ErrorCode::DuplicateVoter, format!("Node {id} is a voter already.")),
        Refusal::Unknown => {
            refusal(ErrorCode::VoterNotFound, format!("There is no voter {id} with this directory."))
        }
        Refusal::TooMany => {
            refusal(ErrorCode::InvalidRequest, format!("There are {VOTERS_MAX} voters, and may be no more."))
        }
        Refusal::Last => refusal(ErrorCode::InvalidRequest, "The last voter can't be removed."),
        Refusal::Nowhere => {
            refusal(ErrorCode::InvalidRequest, "A voter has no address for its peers: set its peer.listen.")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quorum::Member;

    #[test]
    fn who_asked_is_answered_when_the_change_is_over() {
        let member = |id, votes| Member { id: NodeId(id), address: "h:1".into(), directory: [0; 16], votes };
        let members = |index, all: &[(i32, bool)]| Members {
            index,
            all: all.iter().map(|(id, votes)| member(*id, *votes)).collect(),
        };
        let waiting = |joins| Waiting { from: Asker::Nobody, index: 7, id: NodeId(2), joins };
        let joins = |members: Members| waiting(true).outcome(&members);
        assert_eq!(joins(members(3, &[(1, true)])), None, "it hasn't begun");
        assert_eq!(joins(members(7, &[(1, true), (2, false)])), None, "it catches up");
        assert_eq!(joins(members(9, &[(1, true), (2, true)])), Some(Outcome::Done));
        assert!(matches!(joins(members(9, &[(1, true)])), Some(Outcome::Refused(_))), "it was given up");
        let leaves = |members: Members| waiting(false).outcome(&members);
        assert_eq!(leaves(members(3, &[(1, true), (2, true)])), None);
        assert_eq!(leaves(members(7, &[(1, true)])), Some(Outcome::Done));
    }
}
