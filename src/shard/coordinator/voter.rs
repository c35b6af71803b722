//! This node's vote, or what may become one: what happens is stepped into the quorum's machine, and what it wants is
//! done.

use super::Coordinator;
use super::journal::JournalEnd;
use crate::base::NodeId;
use crate::base::limits::VOTER_JOIN_MS;
use crate::cluster::ClusterState;
use crate::peer::Request;
use crate::quorum::{Effects, Input, Members, Quorum, QuorumConf, Recovered, Write};
use crate::seam::{Files, World};
use crate::shard::notify::Notify;
use crate::shard::origin::COORDINATOR;
use crate::shard::peers::Lane;
use crate::shard::{Broker, FilesOf, Shard};
use bytes::Bytes;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// Messages to one voter that wait; those beyond are dropped, as if the connection had lost them.
const OUTGOING_MAX: usize = 4096;
/// Nodes to which there may be messages. Those beyond get none: more than so many have never been voters.
const OUTGOING_NODES_MAX: usize = 64;
/// Time between two tries to reach a voter.
const REACH_PAUSE: Duration = Duration::from_millis(20);

/// A vote.
pub(super) struct Voter<F: Files> {
    pub(super) quorum: Quorum,
    /// Whether this node has a vote, as of what it has applied.
    pub(super) votes: bool,
    pub(super) journal: JournalEnd<F>,
    /// The write to do next.
    pub(super) write: Option<Write>,
    outgoing: BTreeMap<NodeId, Rc<Outgoing>>,
    /// When each voter was last heard of, by the wall clock.
    pub(super) heard: BTreeMap<NodeId, i64>,
    /// A state is on its way into the journal: it isn't to be written anew meanwhile.
    pub(super) compacting: bool,
}

/// Messages to one voter.
#[derive(Default)]
struct Outgoing {
    messages: RefCell<Vec<Bytes>>,
    due: Notify,
}

/// What a step leaves to do besides its effects.
struct Stepped {
    /// There is nothing to do.
    idle: bool,
    /// Those to whom there are messages for the first time.
    fresh: Vec<(NodeId, Rc<Outgoing>)>,
    /// Whether this node has a vote now, if that has changed.
    votes: Option<bool>,
}

impl<B: Broker> Shard<B> {
    /// Where other nodes reach a member of the quorum, as far as its log or the metadata says.
    pub(in crate::shard) fn member_address(&self, id: NodeId) -> Option<String> {
        let own = self.coordinator(|it| {
            let own = it.voter.as_ref().and_then(|voter| voter.quorum.address_of(id));
            own.or_else(|| {
                it.state.voters().iter().find(|voter| voter.id == id).map(|voter| voter.peer.clone())
            })
        });
        let view = || {
            let view = self.0.view.borrow();
            view.voters().iter().find(|voter| voter.id == id).map(|voter| voter.peer.clone())
        };
        own.flatten().or_else(view).map(|address| address.to_string())
    }

    /// Reads this node's log.
    pub(super) async fn load_voter(&self) -> Result<Voter<FilesOf<B>>, String> {
        let (journal, recovered) = self.open_journal().await?;
        let conf = self.quorum_conf();
        self.check_log(&conf, &recovered)?;
        let quorum = Quorum::new(conf, recovered);
        Ok(Voter {
            votes: quorum.members().votes(self.this_node()),
            quorum,
            journal,
            write: None,
            outgoing: BTreeMap::new(),
            heard: BTreeMap::new(),
            compacting: false,
        })
    }

    fn quorum_conf(&self) -> QuorumConf {
        let cluster = &self.conf().cluster;
        let tick = cluster.quorum_heartbeat.as_nanos().max(1);
        let ticks = |time: Duration| usize::try_from(time.as_nanos().div_ceil(tick)).unwrap_or(usize::MAX);
        QuorumConf {
            id: self.this_node(),
            members: Members::first(
                cluster.voters.iter().map(|voter| (voter.id, voter.address.as_str().into())),
            ),
            election_ticks: ticks(cluster.quorum_election).max(2),
            heartbeat_ticks: 1,
            join_ticks: ticks(Duration::from_millis(u64::from(VOTER_JOIN_MS.unsigned_abs()))),
            seed: self.world().random(),
        }
    }

    fn check_log(&self, conf: &QuorumConf, log: &Recovered) -> Result<(), String> {
        let list =
            |members: &Members| members.voters().map(|id| id.to_string()).collect::<Vec<_>>().join(",");
        let (ours, told) = (list(log.newest_members()), list(&conf.members));
        let changed = log.newest_members().index > 0;
        if changed && ours != told {
            tracing::info!(voters = ours, "the voters aren't those of coordinator.voters any more");
        }
        // Members change by the log alone. As long as they never have, a list that differs is a mistake, and a grave
        // one: newcomers without a log could outvote the one that has it.
        if !changed && log.members.votes(conf.id) && ours != told {
            return Err(format!(
                "coordinator.voters names nodes {told}, but the metadata journal is of the voters {ours}; \
                 voters are added and removed while they run"
            ));
        }
        // Later entries, which it hides, may tell of others; then the configuration knows some of them.
        let is_lone = log.newest_members().is_lone(conf.id) && conf.members.is_lone(conf.id);
        match log.damage.filter(|_| is_lone) {
            Some(damage) => {
                let position = damage.position;
                Err(format!(
                    "the metadata journal: the frame at byte {position} is damaged, later ones are not"
                ))
            }
            None => Ok(()),
        }
    }

    /// Takes the vote into service.
    pub(super) fn begin_voting(&self) {
        let (cluster, this) = (&self.conf().cluster, self.this_node());
        self.world().spawn(self.clone().journal_task());
        self.step_quorum(Input::Start);
        // A node that is alone for good needs no time to pass.
        let is_lone = self.coordinator(|it| it.voter.as_ref().map(|it| it.quorum.members().is_lone(this)));
        if cluster.has_peers() || is_lone.flatten() != Some(true) {
            self.world().spawn(self.clone().tick_task_of_quorum());
        }
    }

    /// Steps the machine and does what it says.
    pub(super) fn step_quorum(&self, input: Input) -> Effects {
        let (mut out, this) = (Effects::default(), self.this_node());
        let stepped = self.coordinator(|it| Some(it.voter.as_mut()?.step(input, this, &mut out))).flatten();
        let Some(Stepped { idle, fresh, votes }) = stepped else { return out };
        if idle {
            return out;
        }
        for (to, outgoing) in fresh {
            self.world().spawn(self.clone().send_task(to, outgoing));
        }
        self.bells().journal.notify();
        if let Some(trouble) = &out.trouble {
            tracing::error!(%trouble, "the metadata's quorum");
        }
        if let Some(upto) = out.mended {
            tracing::info!(
                upto,
                "the leader's log has taken the damaged one's place: this voter votes again"
            );
        }
        if let Some(snapshot) = &out.installed {
            // A node that becomes a voter may have more from others; one that mends begins with what it got.
            let is_news = self.coordinator(|it| it.index < snapshot.index) == Some(true);
            if is_news || out.mended.is_some() {
                self.replace_state(snapshot.index, snapshot.data.clone());
            }
        }
        if !out.committed.is_empty() {
            self.take_committed(std::mem::take(&mut out.committed));
        }
        if let Some(votes) = votes {
            tracing::info!(votes, "whether this node is a voter of the metadata's quorum has changed");
            self.bells().role.notify();
            self.bells().committed.notify();
        }
        if let Some(role) = out.role {
            self.take_role(role);
        }
        out
    }

    async fn tick_task_of_quorum(self) {
        let pause = self.conf().cluster.quorum_heartbeat;
        while self.coordinator(|it| it.voter.is_some()) == Some(true) {
            self.world().sleep(pause).await;
            self.step_quorum(Input::Tick);
        }
    }

    /// Takes messages of another voter.
    pub(in crate::shard) fn take_raft(&self, from: NodeId, messages: Vec<Bytes>) {
        let now_ms = self.world().wall_ms();
        self.coordinator(|it| it.voter.as_mut().map(|voter| voter.heard.insert(from, now_ms)));
        for bytes in messages {
            self.step_quorum(Input::Message { from, bytes });
        }
    }

    /// The connection to another node broke. If that leads the quorum, it may be gone: a follower has nothing to send
    /// by which it would notice.
    pub(in crate::shard) fn lost_peer(&self, node: NodeId, lane: Lane) {
        if lane == Lane::Coordinator && self.this() == COORDINATOR {
            self.step_quorum(Input::Unreachable(node));
        }
    }

    /// Sends to one voter what there is, one call at a time: what comes up meanwhile goes with the next.
    async fn send_task(self, to: NodeId, outgoing: Rc<Outgoing>) {
        while self.coordinator(|it| it.voter.is_some()) == Some(true) {
            outgoing.due.notified().await;
            let messages = std::mem::take(&mut *outgoing.messages.borrow_mut());
            if messages.is_empty() {
                continue;
            }
            let request = Request::Raft { from: self.this_node(), messages };
            if self.call_peer(to, Lane::Coordinator, request).await.is_err() {
                self.step_quorum(Input::Unreachable(to));
                self.world().sleep(REACH_PAUSE).await;
            }
        }
    }

    /// The state that is committed, without what was only proposed.
    pub(super) fn committed_state(&self) -> Option<(u64, Bytes)> {
        self.coordinator(|it| match it.acting.has_pending() {
            true => it.rebuilt().map(|state| (it.index, state.encode())),
            false => Some((it.index, it.state.encode())),
        })
        .flatten()
    }
}

impl<F: Files> Voter<F> {
    fn step(&mut self, input: Input, this: NodeId, out: &mut Effects) -> Stepped {
        self.quorum.step(input, out);
        let votes = self.quorum.members().votes(this);
        let changed = std::mem::replace(&mut self.votes, votes) != votes;
        let idle = out.is_empty() && !changed;
        let mut fresh = Vec::new();
        if let Some(write) = out.write.take() {
            assert!(self.write.is_none(), "one write at a time");
            self.write = Some(write);
        }
        for (to, bytes) in out.send.drain(..) {
            if !self.outgoing.contains_key(&to) {
                if self.outgoing.len() >= OUTGOING_NODES_MAX {
                    continue;
                }
                let outgoing = Rc::new(Outgoing::default());
                self.outgoing.insert(to, outgoing.clone());
                fresh.push((to, outgoing));
            }
            let Some(outgoing) = self.outgoing.get(&to) else { continue };
            let mut messages = outgoing.messages.borrow_mut();
            if messages.len() < OUTGOING_MAX {
                messages.push(bytes);
            }
            outgoing.due.notify();
        }
        Stepped { idle, fresh, votes: changed.then_some(votes) }
    }
}

impl<F: Files> Coordinator<F> {
    /// The state from the log alone: without what this node has proposed and not seen committed.
    pub(super) fn rebuilt(&self) -> Option<ClusterState> {
        let (snapshot, entries) = self.voter.as_ref()?.quorum.log(self.index)?;
        let mut state = match snapshot {
            Some(snapshot) => ClusterState::decode(snapshot.data).ok()?,
            None => ClusterState::new(self.state.cluster_id()),
        };
        for entry in entries {
            super::decode_records(&entry).ok()?.iter().for_each(|record| state.apply(record));
        }
        Some(state)
    }
}
