//! TODO-DOC log
