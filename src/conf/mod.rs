//! TODO-DOC conf
