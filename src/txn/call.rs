//! What clients and partitions ask of a coordinator, and what it answers. Both travel over the mesh to the shard that
//! owns the partition of `__transaction_state` and back.

use crate::base::{ErrorCode, ProducerEpoch, ProducerId, TopicPartition};
use crate::wire::Str;
use crate::wire::generated::{describe_transactions_response, list_transactions_response};

/// One question to the coordinator of one partition of `__transaction_state`.
#[derive(Clone, Debug)]
pub struct TxnCall {
    /// Which partition.
    pub partition: TopicPartition,
    /// What is asked.
    pub op: TxnOp,
}

/// A partition as transactions know it: by its topic's name.
pub type NamedPartition = (Str, i32);

/// A producer as it says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its id.
    pub id: ProducerId,
    /// Its epoch.
    pub epoch: ProducerEpoch,
}

/// The protocol that a client runs its transactions by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// It adds partitions itself, and keeps its epoch.
    V1,
    /// The broker adds what it produces to, and every transaction raises its epoch (KIP-890).
    V2,
}

/// The questions.
#[derive(Clone, Debug)]
pub enum TxnOp {
    /// InitProducerId of a transactional id.
    Init {
        /// Of which.
        transactional_id: Str,
        /// How long its transactions may take.
        timeout_ms: i32,
        /// Who it was so far, if it goes on after an error (KIP-360).
        expected: Option<Identity>,
        /// An id that nobody has, should it need one.
        fresh: ProducerId,
    },
    /// Add partitions to a transaction; begins it if none is open.
    Add {
        /// Of which transactional id.
        transactional_id: Str,
        /// Whose.
        producer: Identity,
        /// Which.
        partitions: Vec<NamedPartition>,
        /// As whose the partitions are added.
        protocol: Protocol,
        /// Wait while the transaction before is being ended, rather than be told to ask again.
        patient: bool,
    },
    /// Whether partitions are in the producer's open transaction.
    Verify {
        /// Of which transactional id.
        transactional_id: Str,
        /// Whose.
        producer: Identity,
        /// Which.
        partitions: Vec<NamedPartition>,
    },
    /// EndTxn.
    End {
        /// Of which transactional id.
        transactional_id: Str,
        /// Whose.
        producer: Identity,
        /// Commit, or abort.
        commit: bool,
        /// By whose rules.
        protocol: Protocol,
        /// An id that nobody has, should the producer's epochs be used up.
        fresh: Option<ProducerId>,
    },
    /// One id of DescribeTransactions.
    Describe {
        /// Which.
        transactional_id: Str,
    },
    /// All transactional ids of this partition that match.
    List(Filter),
}

/// Which transactional ids are listed.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Names of states; none: all.
    pub states: Vec<Str>,
    /// None: all.
    pub producer_ids: Vec<i64>,
    /// Open for longer than this; below 0: all.
    pub duration_ms: i64,
    /// A regular expression that the whole id matches; `None`: all.
    pub pattern: Option<Str>,
}

/// The answers.
#[derive(Clone, Debug, PartialEq)]
pub enum TxnReply {
    /// To every question: the coordinator isn't here (16), is loading (14) or is full (15), or refuses.
    Failed(ErrorCode),
    /// To `Init` and `End`: who the producer is from now on.
    Producer(Identity),
    /// To `Add` and `Verify`: for each partition, in order.
    Partitions(Vec<ErrorCode>),
    /// To `Describe`.
    Described(describe_transactions_response::TransactionState),
    /// To `List`.
    Listed(Vec<list_transactions_response::TransactionState>),
}

impl TxnOp {
    /// Whether it never leads to a record: it can be answered while nothing can be written.
    #[must_use]
    pub fn only_reads(&self) -> bool {
        matches!(self, TxnOp::Verify { .. } | TxnOp::Describe { .. } | TxnOp::List(_))
    }
}

/// Kafka's names of all states, those too that nothing here is ever in.
pub const STATE_NAMES: [&str; 8] = [
    "Empty",
    "Ongoing",
    "PrepareCommit",
    "PrepareAbort",
    "CompleteCommit",
    "CompleteAbort",
    "Dead",
    "PrepareEpochFence",
];
