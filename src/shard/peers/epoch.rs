//! The broker's epoch on its own disk: whether what lies there is what the cluster knows of this broker.
//!
//! A broker that registers says under which epoch it last wrote. If that is the epoch that the cluster knows, it comes
//! back with everything that it has acknowledged, and stays eligible to lead. If it can't say, its disk is another one,
//! or may have lost something, and it must catch up first (reference: rules 1 and 10; KIP-966).
//!
//! Who flushes before it acknowledges loses nothing when its process is killed: there the epoch is written down at
//! registration and holds until the next one. Otherwise it holds only after a stop in good order, and then it stands in
//! the file that says so (`boot::DataDir`).

use crate::base::limits::BLOCK_BYTES;
use crate::base::{BrokerEpoch, NodeId};
use crate::conf::Durability;
use crate::seam::{File, Files, IoError, World, WriteBuf};
use crate::shard::{Broker, Shard};

/// The file within the data directory: one block with the epoch and, against damage, its complement.
const FILE: &str = "broker.epoch";

impl<B: Broker> Shard<B> {
    /// The epoch up to which nothing that was acknowledged is missing here, to be told at registration.
    pub(in crate::shard) async fn last_epoch(&self) -> Option<BrokerEpoch> {
        match self.conf().durability {
            Durability::Durable => self.read_epoch().await.or(self.0.clean_epoch),
            Durability::Replicated | Durability::Fast => self.0.clean_epoch,
        }
    }

    /// Writes down under which epoch this broker has registered. To be done before it says that it lives: then nothing
    /// rests on it yet.
    pub(in crate::shard) async fn note_epoch(&self, epoch: BrokerEpoch) -> Result<(), IoError> {
        if !self.conf().cluster.has_peers() || self.conf().durability != Durability::Durable {
            return Ok(());
        }
        let (files, path) = (self.world().files(), self.0.data_dir.join(FILE));
        let file = match files.open(&path).await {
            Err(IoError::NotFound(_)) => files.create(&path).await?,
            opened => opened?,
        };
        let mut block = files.alloc(BLOCK_BYTES);
        block.bytes_mut().fill(0);
        block.bytes_mut()[..16].copy_from_slice(&encode(epoch));
        file.write(0, &block.seal(BLOCK_BYTES)).await?;
        file.sync().await?;
        files.sync_dir(&self.0.data_dir).await
    }

    async fn read_epoch(&self) -> Option<BrokerEpoch> {
        let file = self.world().files().open(&self.0.data_dir.join(FILE)).await.ok()?;
        decode(&file.read(0, BLOCK_BYTES).await.ok()?)
    }

    /// The epoch under which this broker is registered, as far as this shard knows.
    #[must_use]
    pub fn broker_epoch(&self) -> Option<BrokerEpoch> {
        Some(self.0.view.borrow().broker(NodeId(self.0.node.id))?.epoch)
    }
}

fn encode(epoch: BrokerEpoch) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&epoch.0.to_be_bytes());
    bytes[8..].copy_from_slice(&(!epoch.0).to_be_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<BrokerEpoch> {
    let epoch = i64::from_be_bytes(*bytes.first_chunk()?);
    let complement = i64::from_be_bytes(*bytes.get(8..)?.first_chunk()?);
    (complement == !epoch).then_some(BrokerEpoch(epoch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_read_as_it_was_written_and_damage_is_noticed() {
        let bytes = encode(BrokerEpoch(77));
        assert_eq!(decode(&bytes), Some(BrokerEpoch(77)));
        for bit in 0..128 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&damaged), None);
        }
        assert_eq!(decode(&[0; BLOCK_BYTES]), None, "an empty block says nothing");
        assert_eq!(decode(&bytes[..15]), None);
    }
}
