//! OffsetFetch.

use super::Coordinator;
use crate::group::call::{Asker, GroupReply};
use crate::group::offsets::Committed;
use crate::wire::Str;
use crate::wire::generated::offset_fetch_request::OffsetFetchRequestGroup;
use crate::wire::generated::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};

impl Coordinator {
    pub(super) fn fetch(&mut self, asker: Asker, request: OffsetFetchRequestGroup) {
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
        let topics = match request.topics {
            None => {
                let topic = |(name, partitions): (&Str, &std::collections::BTreeMap<i32, Committed>)| {
                    OffsetFetchResponseTopics {
                        name: name.clone(),
                        partitions: partitions
                            .iter()
                            .map(|(index, committed)| fetched(*index, Some(committed)))
                            .collect(),
                        ..Default::default()
                    }
                };
                self.offsets.topics(group).map(topic).collect()
            }
            Some(topics) => {
                let topic =
                    |asked: crate::wire::generated::offset_fetch_request::OffsetFetchRequestTopics| {
                        let one = |index: i32| fetched(index, self.offsets.get(group, &asked.name, index));
                        OffsetFetchResponseTopics {
                            partitions: asked.partition_indexes.iter().copied().map(one).collect(),
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
