//! TODO-DOC shard
