//! How a client finds its way: it asks any node who leads, keeps a connection to each, and asks again when it was sent
//! away or hears nothing.

use super::Cluster;
use crate::sim::client::{Client, METADATA};
use crate::sim::workload::{Place, topic_name};
use crate::wire::generated::metadata_request::{MetadataRequest, MetadataRequestTopic};
use crate::wire::generated::metadata_response::{MetadataResponse, MetadataResponsePartition};
use std::collections::BTreeMap;
use std::rc::Rc;

/// One client's knowledge of the cluster.
pub(super) struct Router {
    cluster: Rc<Cluster>,
    leaders: BTreeMap<Place, i32>,
    /// The latest leader epochs that it was told.
    epochs: BTreeMap<Place, i32>,
    connections: BTreeMap<i32, Rc<Client>>,
}

impl Router {
    pub(super) fn new(cluster: Rc<Cluster>) -> Self {
        Router { cluster, leaders: BTreeMap::new(), epochs: BTreeMap::new(), connections: BTreeMap::new() }
    }

    /// A connection to a node, if its process serves.
    pub(super) fn node(&mut self, id: i32) -> Option<Rc<Client>> {
        if let Some(client) = self.connections.get(&id) {
            return Some(client.clone());
        }
        let node = self.cluster.nodes.iter().find(|node| node.id() == id)?;
        let client = Rc::new(Client::patient(&self.cluster.exec, node.connect()?));
        self.connections.insert(id, client.clone());
        Some(client)
    }

    /// A connection to some node that serves.
    pub(super) fn any(&mut self) -> Option<Rc<Client>> {
        let brokers = u64::try_from(self.cluster.shape.brokers).expect("some");
        let id = 1 + i32::try_from(self.cluster.exec.below(brokers)).expect("small");
        self.node(id)
    }

    /// A connection to the partition's leader, as far as somebody knows it.
    pub(super) async fn leader(&mut self, place: Place) -> Option<Rc<Client>> {
        let known = self.leaders.get(&place).copied();
        let id = match known {
            Some(id) => id,
            None => {
                let id = self.ask(place).await?;
                self.leaders.insert(place, id);
                id
            }
        };
        let client = self.node(id);
        if client.is_none() {
            self.leaders.remove(&place);
        }
        client
    }

    async fn ask(&mut self, place: Place) -> Option<i32> {
        let client = self.any()?;
        let told = describe(&client, place.0).await;
        if told.is_none() {
            self.hang_up();
        }
        let partition = told?.into_iter().find(|partition| partition.partition_index == place.1)?;
        let epoch = self.epochs.entry(place).or_insert(-1);
        // A node that hears nothing of the others may tell of a leader of long ago.
        let is_news = partition.leader_epoch >= *epoch;
        *epoch = partition.leader_epoch.max(*epoch);
        (is_news && partition.error_code == 0 && partition.leader_id >= 0).then_some(partition.leader_id)
    }

    /// Under which epoch a partition's leader leads at least; -1 if nobody told.
    pub(super) fn epoch(&self, place: Place) -> i32 {
        self.epochs.get(&place).copied().unwrap_or(-1)
    }

    /// What was known of a partition doesn't hold; the connection may be of no more use.
    pub(super) fn lost(&mut self, place: Place, connection_too: bool) {
        if let Some(id) = self.leaders.remove(&place)
            && connection_too
        {
            self.connections.remove(&id);
        }
    }

    /// Ends all connections.
    pub(super) fn hang_up(&mut self) {
        self.connections.clear();
    }
}

/// A topic's partitions as one node knows them; `None` if it doesn't answer, or doesn't know the topic.
pub(super) async fn describe(client: &Client, topic: u32) -> Option<Vec<MetadataResponsePartition>> {
    let name = Some(topic_name(topic).into());
    let request = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic { name, ..MetadataRequestTopic::default() }]),
        allow_auto_topic_creation: false,
        ..MetadataRequest::default()
    };
    let answer: MetadataResponse = client.call(METADATA, &request).await?;
    let topic = answer.topics.into_iter().next()?;
    (topic.error_code == 0).then_some(topic.partitions)
}
