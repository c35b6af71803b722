//! Which topics a group of consumers reads, from what its members say of themselves.

use super::{CONSUMER, ClassicGroup};
use crate::group::migration;
use crate::wire::Str;
use std::collections::BTreeSet;

impl ClassicGroup {
    /// The topics of this generation's members; `None` if the group isn't of consumers or a member's metadata isn't
    /// what consumers send: other types are never looked into (row 117).
    pub(super) fn subscription(&self) -> Option<BTreeSet<Str>> {
        if self.protocol_type.as_deref() != Some(CONSUMER) {
            return None;
        }
        if self.members.is_empty() {
            return Some(BTreeSet::new());
        }
        let protocol = self.protocol.as_deref()?;
        let mut topics = BTreeSet::new();
        for member in self.members.iter() {
            topics.extend(migration::topics(&member.metadata(protocol))?);
        }
        Some(topics)
    }
}
