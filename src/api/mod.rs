//! TODO-DOC api
