//! TODO-DOC sim
