//! The `shard` layer; see `docs/ARCHITECTURE.md`.
