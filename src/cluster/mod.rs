//! TODO-DOC cluster
