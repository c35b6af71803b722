//! TODO-DOC boot
