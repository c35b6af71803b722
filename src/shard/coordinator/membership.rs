//! This broker's membership: it registers, has its shards begin with the state that knows it, and then says now and
//! then that it lives.

use crate::base::{BrokerEpoch, ErrorCode};
use crate::cluster::{Command, Heartbeat, HeartbeatReply, Outcome, Registration};
use crate::peer::{Reply, Request};
use crate::seam::World;
use crate::shard::peers::Lane;
use crate::shard::{Broker, Shard};
use futures_lite::future::or;
use std::time::Duration;

/// Time between two tries to register: the session of the process before may have to end first.
const PAUSE: Duration = Duration::from_millis(100);
/// Time between two tries to be heard.
const RETRY: Duration = Duration::from_millis(30);

impl<B: Broker> Shard<B> {
    /// Makes this process a member of its cluster, and keeps it one.
    pub(super) async fn membership_task(self) {
        if !self.conf().cluster.roles.broker {
            self.install_everywhere();
            return;
        }
        let incarnation = self.draw_incarnation();
        let mut epoch = self.register(incarnation).await;
        self.install_everywhere();
        let installed = self.coordinator(|it| it.index).unwrap_or(0);
        self.until_followed(installed).await;
        self.everyone_serves();
        while self.conf().cluster.has_peers() {
            if !self.beat(epoch).await {
                epoch = self.register(incarnation).await;
            }
        }
    }

    /// What tells this process from others with the same id.
    fn draw_incarnation(&self) -> [u8; 16] {
        let bits = (u128::from(self.world().random()) << 64) | u128::from(self.world().random());
        bits.to_be_bytes()
    }

    /// Registers until it is done, and writes down as what.
    async fn register(&self, incarnation: [u8; 16]) -> BrokerEpoch {
        self.bells().role.until(|| self.knows_whom_to_ask()).await;
        let node = &self.0.node;
        let mut told = None;
        loop {
            let registration = Registration {
                id: self.this_node(),
                incarnation,
                host: node.host.clone(),
                port: node.port,
                peer: node.peer.clone(),
                rack: node.rack.clone(),
                shards: self.shards(),
                clean_epoch: self.last_epoch().await,
            };
            let refusal = match self.command(vec![Command::RegisterBroker(registration)]).await.pop() {
                Some(Outcome::Registered { epoch }) => match self.note_epoch(epoch).await {
                    Ok(()) => return epoch,
                    Err(error) => Some((ErrorCode::KafkaStorageError, error.to_string())),
                },
                Some(Outcome::Refused(refusal)) => Some(refusal),
                _ => None,
            };
            if refusal.is_some() && refusal != told {
                let why = refusal.as_ref().map(|(_, why)| why.as_str()).unwrap_or_default();
                tracing::warn!(why, "this broker isn't registered yet");
                told = refusal;
            }
            self.world().sleep(PAUSE).await;
        }
    }

    /// A node with a vote of its own waits for what it says; another may ask at once.
    fn knows_whom_to_ask(&self) -> bool {
        !self.votes() || self.coordinator(|it| it.role.acting || it.hint.is_some()) != Some(false)
    }

    /// Says that this broker lives, and rests until it has to again; false if it has to register anew.
    async fn beat(&self, epoch: BrokerEpoch) -> bool {
        let beat = Heartbeat {
            broker: self.this_node(),
            epoch,
            applied: self.records_followed(),
            wants_fence: self.has_failed_log_dir(),
            wants_shutdown: self.is_leaving(),
        };
        let said = beat;
        let Some(reply) = self.say(beat).await else {
            self.rest_or_role(RETRY).await;
            return true;
        };
        if reply.error != ErrorCode::None {
            tracing::warn!(error = ?reply.error, "the coordinator doesn't know this broker's registration any more");
            return false;
        }
        if reply.may_shut_down {
            self.note_handed_over();
        }
        let pause = self.conf().cluster.heartbeat;
        // Whoever isn't caught up, or on its way out, has news sooner.
        if !reply.caught_up || reply.fenced || said.wants_shutdown {
            self.world().sleep(pause.min(RETRY)).await;
        } else {
            or(self.world().sleep(pause), self.leaving()).await;
        }
        true
    }

    async fn say(&self, beat: Heartbeat) -> Option<HeartbeatReply> {
        if self.is_acting() {
            return self.hear(beat);
        }
        let to = self.whom_to_ask(usize::try_from(self.world().random() % 7).unwrap_or(0))?;
        match self.call_peer(to, Lane::Coordinator, Request::Heartbeat(beat)).await {
            Ok(Reply::Heartbeat(Ok(reply))) => Some(reply),
            Ok(Reply::Heartbeat(Err(not_acting))) => {
                self.note_hint(not_acting.leader);
                None
            }
            _ => {
                self.note_hint(None);
                None
            }
        }
    }

    /// Takes a broker's heartbeat, if this node acts.
    pub(super) fn hear(&self, beat: Heartbeat) -> Option<HeartbeatReply> {
        let (now, now_ms) = (self.world().mono(), self.world().wall_ms());
        let reply = self.coordinator(|it| {
            if let Some(voter) = &mut it.voter {
                voter.heard.insert(beat.broker, now_ms);
            }
            Some(it.acting.sessions.as_mut()?.beat(now, &it.state, beat))
        });
        self.bells().sessions.notify();
        reply.flatten()
    }
}
