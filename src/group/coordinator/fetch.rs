//! OffsetFetch.

use super::Coordinator;
use crate::base::ErrorCode;
use crate::group::call::{Asker, GroupReply};
use crate::group::offsets::Committed;
use crate::wire::Str;
use crate::wire::generated::offset_fetch_request::OffsetFetchRequestGroup;
use crate::wire::generated::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use std::collections::{BTreeMap, BTreeSet};

impl Coordinator {
    pub(super) fn fetch(&mut self, asker: Asker, request: OffsetFetchRequestGroup, stable: bool) {
        let group = &request.group_id;
        let member = request.member_id.clone().unwrap_or_default();
        let says_who = request.member_id.is_some() || request.member_epoch >= 0;
        if let Some(consumer) = self.consumers.get(group).filter(|_| says_who)
            && let Err(error) = consumer.check_fetch(&member, request.member_epoch)
        {
            let group_id = request.group_id.clone();
            let reply = OffsetFetchResponseGroup { group_id, topics: Vec::new(), error_code: error.code() };
            return self.answer(asker, GroupReply::Fetch(reply));
        }
        let one = |topic: &Str, index: i32| {
            if stable && self.offsets.pending.has(group, topic, index) {
                return unstable(index);
            }
            fetched(index, self.offsets.get(group, topic, index))
        };
        let topics = match request.topics {
            None => {
                let indexes = self.all_of(group, stable);
                let topic = |(name, indexes): (Str, BTreeSet<i32>)| OffsetFetchResponseTopics {
                    partitions: indexes.into_iter().map(|index| one(&name, index)).collect(),
                    name,
                    ..Default::default()
                };
                indexes.into_iter().map(topic).collect()
            }
            Some(topics) => {
                let topic =
                    |asked: crate::wire::generated::offset_fetch_request::OffsetFetchRequestTopics| {
                        let one = |index: &i32| one(&asked.name, *index);
                        OffsetFetchResponseTopics {
                            partitions: asked.partition_indexes.iter().map(one).collect(),
                            topic_id: asked.topic_id,
                            name: asked.name,
                        }
                    };
                topics.into_iter().map(topic).collect()
            }
        };
        let reply = OffsetFetchResponseGroup { group_id: request.group_id, topics, error_code: 0 };
        self.answer(asker, GroupReply::Fetch(reply));
    }

    /// Partitions with an offset of this group; with one of an open transaction too, where those are told of.
    fn all_of(&self, group: &Str, pending: bool) -> BTreeMap<Str, BTreeSet<i32>> {
        let mut all: BTreeMap<Str, BTreeSet<i32>> = BTreeMap::new();
        for (topic, partitions) in self.offsets.topics(group) {
            all.insert(topic.clone(), partitions.keys().copied().collect());
        }
        for (_, topic, index) in self.offsets.pending.of_group(group).filter(|_| pending) {
            all.entry(topic.clone()).or_default().insert(*index);
        }
        all
    }
}

/// A partition whose offset an open transaction may change any moment.
fn unstable(partition_index: i32) -> OffsetFetchResponsePartitions {
    let error_code = ErrorCode::UnstableOffsetCommit.code();
    OffsetFetchResponsePartitions { error_code, ..fetched(partition_index, None) }
}

fn fetched(partition_index: i32, committed: Option<&Committed>) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: committed.map_or(-1, |committed| committed.offset),
        committed_leader_epoch: committed.map_or(-1, |committed| committed.leader_epoch),
        metadata: Some(committed.map(|committed| committed.metadata.clone()).unwrap_or_default()),
        error_code: 0,
    }
}
