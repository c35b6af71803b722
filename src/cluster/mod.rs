//! The `cluster` layer; see `docs/ARCHITECTURE.md`.
