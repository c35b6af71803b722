//! Calling other nodes: the task that keeps a link's connection.

use super::backoff::Backoff;
use super::link::{Link, Outcome};
use super::{Lane, PeerError};
use crate::base::NodeId;
use crate::base::limits::FRAME_BYTES_MAX;
use crate::peer::{Hello, Reply, Request, Welcome, read_reply, write_request};
use crate::seam::{FrameReader, FrameWriter, NetError, Stream, World};
use crate::shard::{Broker, Shard};
use futures_lite::future::or;
use std::rc::Rc;
use std::time::Duration;

/// How long a connection may take to stand, and its other end to say who it is.
const CONNECT_PATIENCE: Duration = Duration::from_secs(1);

/// How long an answer may take, besides what the request allows it to wait.
const ANSWER_PATIENCE: Duration = Duration::from_secs(3);

/// A connection without a sign of life for so long while answers are due is given up.
const SILENCE: Duration = Duration::from_secs(3);

/// How long a connection may be unused.
const IDLE: Duration = Duration::from_secs(600);

/// The stream of a broker's world.
type StreamOf<B> = <<B as Broker>::World as World>::Stream;

/// Its two halves.
type HalvesOf<B> = (<StreamOf<B> as Stream>::Reader, <StreamOf<B> as Stream>::Writer);

impl<B: Broker> Shard<B> {
    /// Asks another node, and waits for its answer.
    ///
    /// # Errors
    /// There is none: see `PeerError`. A link that broke fails its calls at once until it is tried again.
    pub(in crate::shard) async fn call_peer(&self, to: NodeId, lane: Lane, request: Request) -> Outcome {
        let patience = self.patience_for(&request);
        let link = self.peer_link(to, lane);
        let call = link.begin(&request, self.world().mono())?;
        let answered = async { Some(call.outcome().await) };
        let overdue = async {
            self.world().sleep(patience).await;
            None
        };
        let outcome = or(answered, overdue).await;
        outcome.unwrap_or_else(|| {
            link.doubt(self.world().mono(), SILENCE.min(patience));
            Err(PeerError::TimedOut)
        })
    }

    /// Who beats must know soon enough to beat elsewhere.
    fn patience_for(&self, request: &Request) -> Duration {
        let waits = Duration::from_millis(u64::try_from(request.wait_ms()).unwrap_or(0));
        match request {
            Request::Heartbeat(_) => self.conf().cluster.session / 2,
            _ => ANSWER_PATIENCE + waits,
        }
    }

    /// The link to a node, made with the first call.
    fn peer_link(&self, to: NodeId, lane: Lane) -> Rc<Link> {
        let mut links = self.0.peers.links.borrow_mut();
        if let Some(link) = links.get(&(to, lane)) {
            return link.clone();
        }
        let link = Rc::new(Link::default());
        links.insert((to, lane), link.clone());
        self.world().spawn(self.clone().link_task(to, lane, link.clone()));
        link
    }

    /// Keeps a connection while somebody calls. What keeps it from one is told once, not with each try.
    async fn link_task(self, to: NodeId, lane: Lane, link: Rc<Link>) {
        let mut backoff = Backoff::default();
        let mut told = None;
        loop {
            link.wanted().await;
            let error = match self.open_link(to).await {
                Ok((reader, writer)) => {
                    if told.take().is_some() {
                        tracing::info!(node = %to, ?lane, "a peer can be reached again");
                    }
                    backoff.reset();
                    self.converse(&link, reader, writer).await;
                    self.lost_peer(to, lane);
                    PeerError::Unreachable
                }
                Err((error, why)) => {
                    if told.as_ref() != Some(&why) {
                        tracing::warn!(node = %to, ?lane, why, "a peer can't be reached");
                        told = Some(why);
                    }
                    error
                }
            };
            let rest = backoff.next(self.world().random());
            link.rest(self.world().mono() + rest, error);
            self.world().sleep(rest).await;
        }
    }

    /// A connection whose other end has said that it is who it should be.
    async fn open_link(&self, to: NodeId) -> Result<HalvesOf<B>, (PeerError, String)> {
        let address =
            self.peer_address(to).ok_or_else(|| (PeerError::Unknown, PeerError::Unknown.to_string()))?;
        let refused = |why: &dyn std::fmt::Display| (PeerError::Unreachable, format!("{address}: {why}"));
        let connected = self.world().connect(&address, CONNECT_PATIENCE).await;
        let (mut reader, mut writer) =
            connected.map_err(|error| (PeerError::Unreachable, error.to_string()))?.split();
        let hello = Hello { cluster_id: self.0.cluster_id.as_str().into(), from: NodeId(self.0.node.id), to };
        let late = async {
            self.world().sleep(CONNECT_PATIENCE).await;
            Err(NetError::TimedOut)
        };
        let greeted = or(greet(&mut reader, &mut writer, hello), late).await;
        match greeted.map_err(|error| refused(&error))? {
            Welcome::Yes => Ok((reader, writer)),
            Welcome::No(why) => Err(refused(&why)),
        }
    }

    /// Sends and receives until the connection ends or is given up.
    async fn converse(&self, link: &Link, mut reader: impl FrameReader, mut writer: impl FrameWriter) {
        let receive = async {
            while let Ok(frame) = reader.next(FRAME_BYTES_MAX, IDLE).await {
                if let Err(error) = link.take_frame(frame, self.world().mono()) {
                    tracing::warn!(%error, "a peer's answer can't be read");
                    break;
                }
            }
        };
        let send = async {
            let mut pieces = Vec::new();
            while link.take_outgoing(&mut pieces).await {
                if writer.send(&mut pieces).await.is_err() {
                    break;
                }
            }
        };
        or(receive, send).await;
        writer.close();
    }
}

async fn greet(
    reader: &mut impl FrameReader,
    writer: &mut impl FrameWriter,
    hello: Hello,
) -> Result<Welcome, NetError> {
    let request = Request::Hello(hello);
    writer.send(&mut write_request(&request, 0)).await?;
    let frame = reader.next(FRAME_BYTES_MAX, IDLE).await?;
    match read_reply(frame, |_| Some(request.kind())) {
        Ok((_, Reply::Hello(welcome))) => Ok(welcome),
        _ => Err(NetError::Closed),
    }
}
