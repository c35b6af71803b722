//! The `boot` layer; see `docs/ARCHITECTURE.md`.
