//! A client of the simulated broker: typed requests over one connection.

use super::exec::Exec;
use super::net::ClientEnd;
use crate::wire::generated::SCHEMAS;
use crate::wire::{Decode, Encode, Reader, Writer};
use bytes::Bytes;
use futures_lite::future::or;
use std::cell::Cell;
use std::time::Duration;

/// How long a client waits for an answer before it gives the connection up.
const PATIENCE: Duration = Duration::from_secs(20);

/// A key and the version that the simulated clients use.
#[derive(Clone, Copy, Debug)]
pub struct Call(pub i16, pub i16);

/// Produce, by topic name.
pub const PRODUCE: Call = Call(0, 12);
/// Fetch, by topic name.
pub const FETCH: Call = Call(1, 12);
/// Metadata, by topic name.
pub const METADATA: Call = Call(3, 9);
/// `ListOffsets`.
pub const LIST_OFFSETS: Call = Call(2, 7);
/// `OffsetCommit`.
pub const OFFSET_COMMIT: Call = Call(8, 8);
/// `OffsetCommit`, in the version that members of the consumer protocol use.
pub const OFFSET_COMMIT_EPOCHS: Call = Call(8, 9);
/// `OffsetFetch`.
pub const OFFSET_FETCH: Call = Call(9, 7);
/// `FindCoordinator`.
pub const FIND_COORDINATOR: Call = Call(10, 3);
/// `JoinGroup`.
pub const JOIN_GROUP: Call = Call(11, 7);
/// `Heartbeat`.
pub const HEARTBEAT: Call = Call(12, 4);
/// `LeaveGroup`.
pub const LEAVE_GROUP: Call = Call(13, 4);
/// `SyncGroup`.
pub const SYNC_GROUP: Call = Call(14, 4);
/// `CreateTopics`.
pub const CREATE_TOPICS: Call = Call(19, 7);
/// `DeleteTopics`.
pub const DELETE_TOPICS: Call = Call(20, 5);
/// `DeleteRecords`.
pub const DELETE_RECORDS: Call = Call(21, 2);
/// `InitProducerId`.
pub const INIT_PRODUCER_ID: Call = Call(22, 4);
/// Produce of a client that adds partitions to its transactions itself.
pub const PRODUCE_VERIFIED: Call = Call(0, 11);
/// `AddPartitionsToTxn`.
pub const ADD_PARTITIONS_TO_TXN: Call = Call(24, 3);
/// `AddOffsetsToTxn`.
pub const ADD_OFFSETS_TO_TXN: Call = Call(25, 3);
/// `EndTxn` of a client that keeps its epoch.
pub const END_TXN: Call = Call(26, 4);
/// `EndTxn` of a client whose epoch rises with every transaction.
pub const END_TXN_RISING: Call = Call(26, 5);
/// `TxnOffsetCommit` of a client that adds groups to its transactions itself.
pub const TXN_OFFSET_COMMIT: Call = Call(28, 3);
/// `TxnOffsetCommit` that adds the group to the transaction.
pub const TXN_OFFSET_COMMIT_IMPLICIT: Call = Call(28, 5);
/// `ElectLeaders`.
pub const ELECT_LEADERS: Call = Call(43, 2);
/// `AlterPartitionReassignments`.
pub const ALTER_PARTITION_REASSIGNMENTS: Call = Call(45, 1);
/// `ConsumerGroupHeartbeat`.
pub const CONSUMER_HEARTBEAT: Call = Call(68, 1);

/// `DescribeQuorum`.
pub const DESCRIBE_QUORUM: Call = Call(55, 2);
/// `AddRaftVoter`.
pub const ADD_RAFT_VOTER: Call = Call(80, 1);
/// `RemoveRaftVoter`.
pub const REMOVE_RAFT_VOTER: Call = Call(81, 0);

impl Call {
    fn is_flexible(self) -> bool {
        SCHEMAS.iter().any(|schema| schema.key == self.0 && self.1 >= schema.flexible_from)
    }
}

/// How long a client of a cluster waits before it tries elsewhere.
const CLUSTER_PATIENCE: Duration = Duration::from_secs(3);

/// A connection with its requests numbered.
pub struct Client {
    exec: Exec,
    /// Whether the connection may fall silent: then that is the end of it, else a promise is broken.
    may_be_silent: bool,
    end: ClientEnd,
    next: Cell<i32>,
    answered: Cell<i32>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.end.close();
    }
}

impl Client {
    /// Speaks over a connection.
    #[must_use]
    pub fn new(exec: &Exec, end: ClientEnd) -> Self {
        Self::over(exec, end, false)
    }

    /// Speaks over a connection that may be cut.
    #[must_use]
    pub fn patient(exec: &Exec, end: ClientEnd) -> Self {
        Self::over(exec, end, true)
    }

    fn over(exec: &Exec, end: ClientEnd, may_be_silent: bool) -> Self {
        Client { exec: exec.clone(), may_be_silent, end, next: Cell::new(0), answered: Cell::new(0) }
    }

    /// Sends a request; its answer comes after those of the requests before it.
    ///
    /// # Panics
    /// The request can't be written in its version: the simulator's own mistake.
    pub fn send(&self, call: Call, request: &impl Encode) {
        let mut writer = Writer::new();
        let Call(key, version) = call;
        writer.i32(0);
        writer.i16(key);
        writer.i16(version);
        writer.i32(self.next.replace(self.next.get() + 1));
        writer.nullable_string(Some("sim"), false);
        if call.is_flexible() {
            writer.no_tagged_fields();
        }
        request.encode(&mut writer, version).expect("a request that its version can carry");
        let pieces = writer.into_frame();
        self.end.send(Bytes::from(pieces.concat()).slice(4..));
    }

    /// Whether a request has no answer yet.
    #[must_use]
    pub fn awaits(&self) -> bool {
        self.answered.get() < self.next.get()
    }

    /// The answer to the oldest request that has none; `None` if the connection is over.
    ///
    /// # Panics
    /// The answer is out of order or can't be read, or none comes: the broker broke a promise.
    pub async fn answer<T: Decode>(&self, call: Call) -> Option<T> {
        let silent = async {
            if self.may_be_silent {
                self.exec.sleep(CLUSTER_PATIENCE).await;
                return None;
            }
            self.exec.sleep(PATIENCE).await;
            panic!("no answer to {call:?} for {PATIENCE:?} on a connection that lives");
        };
        let frame: Bytes = or(self.end.receive(), silent).await?;
        let mut reader = Reader::new(frame);
        let correlation = reader.i32().expect("an answer has a header");
        assert_eq!(correlation, self.answered.replace(correlation + 1), "answers come in request order");
        if call.is_flexible() {
            reader.skip_tagged_fields().expect("an answer has a header");
        }
        let answer = T::decode(&mut reader, call.1).expect("an answer that its version allows");
        assert_eq!(reader.remaining(), 0, "nothing follows an answer");
        Some(answer)
    }

    /// Sends a request and waits for its answer.
    pub async fn call<T: Decode>(&self, call: Call, request: &impl Encode) -> Option<T> {
        self.send(call, request);
        self.answer(call).await
    }
}
