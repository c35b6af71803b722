//! What keeps a transaction that is over from being opened again.

use super::ids::Offset;

/// A producer's last marker in a partition. Who asks a transaction's coordinator whether a batch may begin the
/// transaction there notes it before, and the batch is appended only if it is still the last one: between question and
/// append the transaction may have ended, and nobody would ever end what a late batch begins (KIP-890).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard(pub Option<Offset>);
