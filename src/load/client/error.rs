//! What can go wrong with a broker, in words that say what to do.

use crate::base::ErrorCode;
use crate::seam::NetError;
use std::fmt;

/// A call that brought no answer, or not the one that was hoped for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientError {
    /// No connection could be made.
    Unreachable {
        /// The broker's address.
        broker: String,
        /// What the operating system said.
        why: String,
    },
    /// The connection ended before the answer came.
    Lost {
        /// The broker's address.
        broker: String,
        /// What was asked.
        api: &'static str,
        /// How it ended.
        why: NetError,
    },
    /// The broker doesn't know the API, or no version of it that is known here.
    Unsupported {
        /// The broker's address.
        broker: String,
        /// The API.
        api: &'static str,
        /// The versions that the broker has, if any.
        theirs: Option<(i16, i16)>,
    },
    /// The broker answered with an error.
    Refused {
        /// The broker's address.
        broker: String,
        /// What was asked.
        api: &'static str,
        /// About what: a topic, a partition.
        subject: String,
        /// The error's number.
        code: i16,
        /// What the broker says of it.
        message: Option<String>,
    },
    /// Something that the run needs isn't there.
    Missing {
        /// What.
        what: &'static str,
        /// Why, and what to do.
        why: String,
    },
    /// The answer isn't what its version says.
    Malformed {
        /// The broker's address.
        broker: String,
        /// What was asked.
        api: &'static str,
    },
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::Unreachable { broker, why } => {
                write!(f, "broker {broker} can't be reached: {why}; is it running, and is --bootstrap right?")
            }
            ClientError::Lost { broker, api, why } => {
                write!(f, "broker {broker} gave no answer to {api}: {why}")
            }
            ClientError::Unsupported { broker, api, theirs: None } => {
                write!(f, "broker {broker} has no {api}")
            }
            ClientError::Unsupported { broker, api, theirs: Some((min, max)) } => {
                write!(
                    f,
                    "broker {broker} has {api} in versions {min} to {max} only, none of which is known here"
                )
            }
            ClientError::Refused { broker, api, subject, code, message } => {
                write!(f, "broker {broker} refused {api} for {subject}: {}", code_name(*code))?;
                match message {
                    Some(message) if !message.is_empty() => write!(f, " ({message})"),
                    _ => Ok(()),
                }
            }
            ClientError::Missing { what, why } => write!(f, "{what}: {why}"),
            ClientError::Malformed { broker, api } => {
                write!(f, "broker {broker} answered {api} with bytes that its version doesn't allow")
            }
        }
    }
}

impl std::error::Error for ClientError {}

/// An error code's name in the protocol.
#[must_use]
pub fn code_name(code: i16) -> String {
    ErrorCode::from_code(code).map_or_else(|| format!("error {code}"), |known| known.name().to_owned())
}

/// Whether a batch that was answered with this code may be sent again.
#[must_use]
pub fn is_retriable(code: i16) -> bool {
    matches!(
        ErrorCode::from_code(code),
        Some(
            ErrorCode::UnknownTopicOrPartition
                | ErrorCode::LeaderNotAvailable
                | ErrorCode::NotLeaderOrFollower
                | ErrorCode::RequestTimedOut
                | ErrorCode::BrokerNotAvailable
                | ErrorCode::ReplicaNotAvailable
                | ErrorCode::NetworkException
                | ErrorCode::NotEnoughReplicas
                | ErrorCode::NotEnoughReplicasAfterAppend
                | ErrorCode::KafkaStorageError
                | ErrorCode::OutOfOrderSequenceNumber
                | ErrorCode::CorruptMessage
                | ErrorCode::FencedLeaderEpoch
                | ErrorCode::UnknownLeaderEpoch
                | ErrorCode::ThrottlingQuotaExceeded
        )
    )
}
