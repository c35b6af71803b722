//! TODO-DOC replica
