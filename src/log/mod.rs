//! The `log` layer; see `docs/ARCHITECTURE.md`.
