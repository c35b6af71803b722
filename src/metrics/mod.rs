//! The `metrics` layer; see `docs/ARCHITECTURE.md`.
