//! What clients ask of a coordinator, and what it answers. Both travel over the mesh to the shard that owns the group's
//! partition and back, in Kafka's own messages.

pub use crate::base::Asker;
use crate::base::{ErrorCode, Guard, TopicPartition};
use crate::wire::Str;
use crate::wire::generated::delete_groups_response::DeletableGroupResult;
use crate::wire::generated::describe_groups_response::DescribedGroup;
use crate::wire::generated::list_groups_response::ListedGroup;
use crate::wire::generated::offset_fetch_request::OffsetFetchRequestGroup;
use crate::wire::generated::offset_fetch_response::OffsetFetchResponseGroup;
use crate::wire::generated::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, HeartbeatRequest, HeartbeatResponse,
    JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse, OffsetCommitRequest,
    OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, SyncGroupRequest, SyncGroupResponse,
    TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};

/// What a coordinator tells others of a member's client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// Its `client.id`.
    pub id: Str,
    /// Its address as Kafka writes it: `/127.0.0.1`.
    pub host: Str,
}

/// One question to the coordinator of one partition of `__consumer_offsets`.
#[derive(Clone, Debug)]
pub struct GroupCall {
    /// Which partition.
    pub partition: TopicPartition,
    /// What is asked.
    pub op: GroupOp,
}

/// The questions.
#[derive(Clone, Debug)]
pub enum GroupOp {
    /// JoinGroup.
    Join {
        /// As it came.
        request: JoinGroupRequest,
        /// Its version decides about member ids (4) and skipped assignments (9).
        version: i16,
        /// Who.
        client: Client,
        /// A UUID, should the member need an id.
        uuid: Str,
    },
    /// SyncGroup.
    Sync(SyncGroupRequest),
    /// Heartbeat.
    Heartbeat(HeartbeatRequest),
    /// LeaveGroup, in the form of version 3.
    Leave(LeaveGroupRequest),
    /// OffsetCommit: partitions that exist, by the topic's name.
    Commit {
        /// As it came.
        request: OffsetCommitRequest,
        /// Its version decides about error codes (9).
        version: i16,
    },
    /// TxnOffsetCommit: partitions that exist, by the topic's name.
    CommitInTransaction {
        /// As it came.
        request: TxnOffsetCommitRequest,
        /// Its version decides about error codes (6).
        version: i16,
        /// What must not have changed since the transaction's coordinator was asked; `None` if the transaction was
        /// open in this partition already.
        guard: Option<Guard>,
    },
    /// One group of OffsetFetch, in the form of version 8.
    Fetch {
        /// Which group, which partitions.
        request: OffsetFetchRequestGroup,
        /// Refuse partitions for which an open transaction has offsets (KIP-447).
        stable: bool,
    },
    /// One group of DescribeGroups.
    Describe {
        /// Which.
        group: Str,
        /// The request's version decides how an unknown group is told (6).
        version: i16,
    },
    /// All groups of this partition that match.
    List {
        /// States in lower case; none: all.
        states: Vec<Str>,
        /// Types in lower case; none: all.
        types: Vec<Str>,
    },
    /// One group of DeleteGroups.
    Delete {
        /// Which.
        group: Str,
    },
    /// ConsumerGroupHeartbeat.
    ConsumerBeat {
        /// As it came.
        request: ConsumerGroupHeartbeatRequest,
        /// Its version decides about member ids (1).
        version: i16,
        /// Who.
        client: Client,
        /// A UUID, should the member need an id.
        uuid: Str,
    },
    /// One group of ConsumerGroupDescribe.
    ConsumerDescribe {
        /// Which.
        group: Str,
    },
    /// OffsetDelete: partitions that exist.
    DeleteOffsets(OffsetDeleteRequest),
}

/// The answers.
#[derive(Clone, Debug, PartialEq)]
pub enum GroupReply {
    /// To every question: nobody looked at it, because the coordinator isn't here (16), is loading (14) or is full
    /// (15).
    Failed(ErrorCode),
    /// To `Join`.
    Join(JoinGroupResponse),
    /// To `Sync`.
    Sync(SyncGroupResponse),
    /// To `Heartbeat`.
    Heartbeat(HeartbeatResponse),
    /// To `Leave`.
    Leave(LeaveGroupResponse),
    /// To `Commit`.
    Commit(OffsetCommitResponse),
    /// To `CommitInTransaction`.
    CommitInTransaction(TxnOffsetCommitResponse),
    /// To `Fetch`.
    Fetch(OffsetFetchResponseGroup),
    /// To `Describe`.
    Described(DescribedGroup),
    /// To `List`.
    Listed(Vec<ListedGroup>),
    /// To `Delete`.
    Deleted(DeletableGroupResult),
    /// To `ConsumerBeat`.
    ConsumerBeat(ConsumerGroupHeartbeatResponse),
    /// To `ConsumerDescribe`.
    ConsumerDescribed(crate::wire::generated::consumer_group_describe_response::DescribedGroup),
    /// To `DeleteOffsets`.
    OffsetsDeleted(OffsetDeleteResponse),
}

impl GroupOp {
    /// Whether it never leads to a record: it can be answered while nothing can be written.
    #[must_use]
    pub fn only_reads(&self) -> bool {
        matches!(
            self,
            GroupOp::Heartbeat(_)
                | GroupOp::Fetch { .. }
                | GroupOp::Describe { .. }
                | GroupOp::ConsumerDescribe { .. }
                | GroupOp::List { .. }
        )
    }
}
