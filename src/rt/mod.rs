//! TODO-DOC rt
