//! This node's vote: what happens is stepped into the quorum's machine, and what it wants is done.

use super::Coordinator;
use super::journal::JournalEnd;
use crate::base::NodeId;
use crate::cluster::ClusterState;
use crate::peer::Request;
use crate::quorum::{Effects, Input, Proposed, Quorum, QuorumConf, Recovered, Write};
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
/// Time between two tries to reach a voter.
const REACH_PAUSE: Duration = Duration::from_millis(20);

/// A vote.
pub(super) struct Voter<F: Files> {
    pub(super) quorum: Quorum,
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

impl<B: Broker> Shard<B> {
    /// Reads this node's log.
    pub(super) async fn load_voter(&self) -> Result<Voter<FilesOf<B>>, String> {
        let (journal, recovered) = self.open_journal().await?;
        let conf = self.quorum_conf();
        self.check_log(&conf, &recovered)?;
        Ok(Voter {
            quorum: Quorum::new(conf, recovered),
            journal,
            write: None,
            outgoing: BTreeMap::new(),
            heard: BTreeMap::new(),
            compacting: false,
        })
    }

    fn quorum_conf(&self) -> QuorumConf {
        let cluster = &self.conf().cluster;
        let ticks = cluster.quorum_election.as_nanos().div_ceil(cluster.quorum_heartbeat.as_nanos().max(1));
        QuorumConf {
            id: self.this_node(),
            voters: cluster.voters.iter().map(|voter| voter.id).collect(),
            election_ticks: usize::try_from(ticks).unwrap_or(usize::MAX).max(2),
            heartbeat_ticks: 1,
            seed: self.world().random(),
        }
    }

    fn check_log(&self, conf: &QuorumConf, log: &Recovered) -> Result<(), String> {
        if !log.voters.is_empty() && log.voters != conf.voters {
            let list =
                |voters: &[NodeId]| voters.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
            return Err(format!(
                "coordinator.voters names nodes {}, but the metadata journal is of the voters {}",
                list(&conf.voters),
                list(&log.voters)
            ));
        }
        match log.damage.filter(|_| conf.voters.len() == 1) {
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
        let cluster = &self.conf().cluster;
        let others: Vec<NodeId> =
            cluster.voters.iter().map(|voter| voter.id).filter(|voter| *voter != self.this_node()).collect();
        for to in &others {
            let outgoing = Rc::new(Outgoing::default());
            self.coordinator(|it| {
                it.voter.as_mut().and_then(|voter| voter.outgoing.insert(*to, outgoing.clone()))
            });
            self.world().spawn(self.clone().send_task(*to, outgoing));
        }
        self.world().spawn(self.clone().journal_task());
        self.step_quorum(Input::Start);
        if !others.is_empty() {
            self.world().spawn(self.clone().tick_task_of_quorum());
        }
    }

    /// Steps the machine and does what it says.
    pub(super) fn step_quorum(&self, input: Input) -> Option<Proposed> {
        let mut out = Effects::default();
        self.coordinator(|it| it.voter.as_mut().map(|voter| voter.step(input, &mut out))).flatten()?;
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
            self.replace_state(snapshot.index, snapshot.data.clone());
        }
        if !out.committed.is_empty() {
            self.take_committed(out.committed);
        }
        if let Some(role) = out.role {
            self.take_role(role);
        }
        out.proposed
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
    /// `None` if nothing is to be done.
    fn step(&mut self, input: Input, out: &mut Effects) -> Option<()> {
        self.quorum.step(input, out);
        if out.is_empty() {
            return None;
        }
        if let Some(write) = out.write.take() {
            assert!(self.write.is_none(), "one write at a time");
            self.write = Some(write);
        }
        for (to, bytes) in out.send.drain(..) {
            let Some(outgoing) = self.outgoing.get(&to) else { continue };
            let mut messages = outgoing.messages.borrow_mut();
            if messages.len() < OUTGOING_MAX {
                messages.push(bytes);
            }
            outgoing.due.notify();
        }
        Some(())
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
