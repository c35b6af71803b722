//! TODO-DOC metrics
