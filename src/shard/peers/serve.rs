//! A connection that another node opened: requests in, answers out as they are ready.

use crate::base::NodeId;
use crate::base::limits::{FRAME_BYTES_MAX, PEER_PIPELINE_MAX};
use crate::peer::{Hello, Reply, Request, Welcome, read_request, write_reply};
use crate::seam::{FrameReader, FrameWriter, NetError, Stream, World};
use crate::shard::notify::Notify;
use crate::shard::{Broker, Shard};
use bytes::Bytes;
use futures_lite::future::or;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

/// Who connects says at once who it is.
const HELLO_PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of what it says.
const HELLO_BYTES_MAX: usize = 1024;

/// How long a connection may be unused: longer than the other end leaves it so.
const IDLE: Duration = Duration::from_secs(1200);

/// What the tasks of one connection share.
#[derive(Default)]
struct Talk {
    /// Answers that wait to be sent.
    outgoing: RefCell<Vec<Bytes>>,
    /// Requests without an answer.
    in_flight: Cell<usize>,
    changed: Notify,
}

impl Talk {
    fn answer(&self, reply: &Reply, correlation: i32) {
        self.outgoing.borrow_mut().append(&mut write_reply(reply, correlation));
        self.changed.notify();
    }
}

impl<B: Broker> Shard<B> {
    /// Serves another node's connection until either side ends it.
    pub async fn serve_peer(self, stream: <B::World as World>::Stream) {
        let address = stream.peer();
        let (mut reader, mut writer) = stream.split();
        let talk = Rc::new(Talk::default());
        let refused = |why: &dyn fmt::Display| {
            if let Some(left_out) = self.spare() {
                tracing::info!(peer = address, %why, left_out, "ending a peer's connection");
            }
        };
        match self.meet(&mut reader, &talk).await {
            Ok(None) => {
                let received = async {
                    if let Err(why) = self.receive_peer_requests(&talk, &mut reader).await {
                        refused(&why);
                    }
                };
                or(received, send(&talk, &mut writer)).await;
            }
            Ok(Some(why)) => {
                refused(&why);
                // It is told why, in one send.
                let _ = writer.send(&mut talk.outgoing.take()).await;
            }
            Err(why) => refused(&why),
        }
        writer.close();
    }

    /// Hears who connects; why it isn't welcome, if so.
    async fn meet(&self, reader: &mut impl FrameReader, talk: &Talk) -> Result<Option<String>, String> {
        let frame = reader.next(HELLO_BYTES_MAX, HELLO_PATIENCE).await.map_err(|error| error.to_string())?;
        let (header, request) = read_request(frame).map_err(|error| error.to_string())?;
        let Request::Hello(hello) = request else { return Err("it doesn't say who it is".to_owned()) };
        let problem = self.unwelcome(&hello);
        let welcome = problem.as_deref().map_or(Welcome::Yes, |why| Welcome::No(why.into()));
        talk.answer(&Reply::Hello(welcome), header.correlation);
        Ok(problem)
    }

    fn unwelcome(&self, hello: &Hello) -> Option<String> {
        let (cluster, node) = (self.0.cluster_id.as_str(), NodeId(self.0.node.id));
        if hello.cluster_id != *cluster {
            return Some(format!("this is a node of cluster {cluster}, not of {}", hello.cluster_id));
        }
        if hello.to != node {
            return Some(format!("this is node {node}, not {}", hello.to));
        }
        (hello.from == node).then(|| format!("there are two nodes {node}: each needs a node.id of its own"))
    }

    async fn receive_peer_requests(
        &self,
        talk: &Rc<Talk>,
        reader: &mut impl FrameReader,
    ) -> Result<(), String> {
        loop {
            talk.changed.until(|| talk.in_flight.get() < PEER_PIPELINE_MAX).await;
            let frame = match reader.next(FRAME_BYTES_MAX, IDLE).await {
                Ok(frame) => frame,
                Err(NetError::Closed) => return Ok(()),
                Err(error) => return Err(error.to_string()),
            };
            let (header, request) = read_request(frame).map_err(|error| error.to_string())?;
            if let Request::Raft { from, messages } = request {
                // Their order is worth something, and nothing waits for them.
                self.pass_raft(from, messages);
                talk.answer(&Reply::Raft, header.correlation);
                continue;
            }
            talk.in_flight.set(talk.in_flight.get() + 1);
            let (shard, talk) = (self.clone(), talk.clone());
            self.world().spawn(async move {
                let reply = shard.answer_peer(request).await;
                talk.in_flight.set(talk.in_flight.get() - 1);
                talk.answer(&reply, header.correlation);
            });
        }
    }
}

async fn send(talk: &Talk, writer: &mut impl FrameWriter) {
    let mut pieces = Vec::new();
    loop {
        talk.changed.until(|| !talk.outgoing.borrow().is_empty()).await;
        pieces.append(&mut talk.outgoing.borrow_mut());
        if writer.send(&mut pieces).await.is_err() {
            return;
        }
    }
}
