//! The `conf` layer; see `docs/ARCHITECTURE.md`.
