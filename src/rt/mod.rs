//! The `rt` layer; see `docs/ARCHITECTURE.md`.
