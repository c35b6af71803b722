//! Requests that are well formed and far too large: names of 32 KiB and more, millions of array elements, the same
//! topic over and over, a thousand tagged fields.

use super::{attack, attack_with, framed, throw};
use crate::broker::client::{Client, text};
use crate::broker::size;
use bytes::Bytes;
use ringlog::api::API_TABLE;
use ringlog::wire::generated::alter_configs_request::{AlterConfigsResource, AlterableConfig};
use ringlog::wire::generated::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use ringlog::wire::generated::describe_configs_request::DescribeConfigsResource;
use ringlog::wire::generated::incremental_alter_configs_request as incremental;
use ringlog::wire::generated::metadata_request::MetadataRequestTopic;
use ringlog::wire::generated::{
    AlterConfigsRequest, CreateTopicsRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest,
    MetadataRequest, SCHEMAS,
};
use ringlog::wire::{Encode, Str};

/// The longest string that a version without compact lengths can carry.
const STRING_MAX: usize = 32_767;

fn long(length: usize) -> Str {
    "x".repeat(length).into()
}

/// A body in one version, as a whole frame.
fn frame(api: (i16, i16), body: &impl Encode) -> Vec<u8> {
    crate::broker::client::request(api, 1, body)
}

/// Requests whose refusal a careless broker would explain with the client's own text.
fn echoes(length: usize) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let name = || long(length);
    for version in 2..=7 {
        let config = CreatableTopicConfig { name: name(), value: Some(name()) };
        let second = CreatableTopicConfig { name: "retention.ms".into(), value: Some(name()) };
        for (topic, configs) in [(name(), vec![]), (text("t"), vec![config.clone(), second.clone()])] {
            let topic = CreatableTopic {
                name: topic,
                num_partitions: 1,
                replication_factor: 1,
                assignments: Vec::new(),
                configs,
            };
            frames.push(frame(
                (19, version),
                &CreateTopicsRequest { topics: vec![topic], ..Default::default() },
            ));
        }
    }
    for version in 1..=4 {
        for (kind, resource_name) in [(2, name()), (4, name()), (2, text("echo"))] {
            let configuration_keys = Some(vec![name()]);
            let resource = DescribeConfigsResource { resource_type: kind, resource_name, configuration_keys };
            let request = DescribeConfigsRequest { resources: vec![resource], ..Default::default() };
            frames.push(frame((32, version), &request));
        }
    }
    for version in 0..=2 {
        for resource_name in [name(), text("echo")] {
            let configs = vec![
                AlterableConfig { name: name(), value: Some(name()) },
                AlterableConfig { name: "segment.ms".into(), value: Some(name()) },
            ];
            let resource = AlterConfigsResource { resource_type: 2, resource_name, configs };
            frames.push(frame(
                (33, version),
                &AlterConfigsRequest { resources: vec![resource], validate_only: false },
            ));
        }
    }
    for version in 0..=1 {
        for resource_name in [name(), text("echo")] {
            let configs =
                vec![incremental::AlterableConfig { name: name(), config_operation: 0, value: Some(name()) }];
            let resource = incremental::AlterConfigsResource { resource_type: 2, resource_name, configs };
            let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
            frames.push(frame((44, version), &request));
        }
    }
    frames
}

#[test]
fn long_names_are_refused_in_every_version() {
    attack("echoes", |broker| {
        broker.client().create_topic("echo", 1, &[]);
        for length in [250, 16_000, STRING_MAX] {
            throw(broker.address, echoes(length));
        }
    });
}

#[test]
fn names_beyond_what_old_versions_could_carry_are_refused() {
    attack("huge-names", |broker| {
        let name = long(8 << 20);
        let config = incremental::AlterableConfig {
            name: name.clone(),
            config_operation: 0,
            value: Some(name.clone()),
        };
        let resource = incremental::AlterConfigsResource {
            resource_type: 2,
            resource_name: "healthy".into(),
            configs: vec![config],
        };
        let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
        let topics = Some(vec![MetadataRequestTopic { name: Some(name), ..Default::default() }]);
        let metadata = MetadataRequest { topics, ..Default::default() };
        throw(broker.address, [frame((44, 1), &request), frame((3, 9), &metadata)]);
    });
}

/// Bodies that are one array after the other of as many elements as fit, each as small as its schema lets it be.
fn crowded(api: (i16, i16), elements: usize) -> Vec<u8> {
    let count = u32::try_from(elements + 1).expect("small");
    let mut varint = Vec::new();
    let mut rest = count;
    while rest >= 0x80 {
        varint.push(u8::try_from(rest & 0x7f).expect("7 bits") | 0x80);
        rest >>= 7;
    }
    varint.push(u8::try_from(rest).expect("7 bits"));
    let mut body = match api {
        // Null transactional id, acks=1, timeout.
        (0, _) => vec![0, 0, 1, 0, 0, 0, 1],
        // Replica, wait, min, max, isolation, session, epoch.
        (1, _) => [&[0xff; 4][..], &[0; 8], &[0x7f; 4], &[0; 5], &[0xff; 4]].concat(),
        (2, _) => vec![0xff, 0xff, 0xff, 0xff, 0],
        (23, _) => vec![0xff, 0xff, 0xff, 0xff],
        _ => Vec::new(),
    };
    body.extend_from_slice(&varint);
    body
}

#[test]
fn an_array_of_millions_is_refused_or_cheap() {
    let bytes = size("RINGLOG_CROWDED_BYTES", 40 << 20);
    attack_with("crowded", bytes, |broker| {
        for api in API_TABLE {
            let schema = SCHEMAS.iter().find(|schema| schema.key == api.key).expect("the schemas have it");
            if api.max < schema.flexible_from {
                continue;
            }
            // Elements of 2 to 6 bytes, whichever the schema takes: zeros are empty names and empty arrays.
            for (element, width) in [(0x01_u8, 3), (0x00, 6), (0x01, 2), (0x02, 4)] {
                let mut body = crowded((api.key, api.max), bytes / width);
                body.resize(body.len() + bytes, element);
                throw(broker.address, [framed((api.key, api.max), true, &body)]);
            }
        }
    });
}

#[test]
fn the_same_topic_a_million_times_is_described_once() {
    let times = size("RINGLOG_REPEATED", 200_000);
    attack("repeated", |broker| {
        broker.client().create_topic("wide", 100, &[]);
        let mut client = Client::connect(broker.address);
        let topic = || MetadataRequestTopic { name: Some("wide".into()), ..Default::default() };
        let topics = Some((0..times).map(|_| topic()).collect());
        let metadata = frame((3, 9), &MetadataRequest { topics, ..Default::default() });
        let resource = || DescribeConfigsResource {
            resource_type: 2,
            resource_name: "wide".into(),
            configuration_keys: None,
        };
        let resources = (0..times).map(|_| resource()).collect();
        let configs = frame((32, 4), &DescribeConfigsRequest { resources, ..Default::default() });
        throw(broker.address, [metadata, configs]);
        client.metadata(&["wide"]).expect("an answer");
    });
}

#[test]
fn many_new_topics_in_one_request_are_bounded() {
    let count = size("RINGLOG_NEW_TOPICS", 50_000);
    attack("new-topics", |broker| {
        let topic = |nth: usize| CreatableTopic {
            name: format!("new-{nth}").into(),
            num_partitions: 1,
            replication_factor: 1,
            assignments: Vec::new(),
            configs: Vec::new(),
        };
        let topics = (0..count).map(topic).collect();
        let request = CreateTopicsRequest { topics, validate_only: true, ..Default::default() };
        throw(broker.address, [frame((19, 7), &request)]);
    });
}

#[test]
fn a_thousand_tagged_fields_are_skipped() {
    attack("tags", |broker| {
        for (count, size) in [(1024_u32, 1_usize), (1025, 1), (u32::MAX, 0), (200, 100_000)] {
            let mut writer = ringlog::wire::Writer::new();
            writer.array_len(Some(0), true);
            writer.i8(0);
            writer.i8(0);
            writer.uvarint(count);
            for tag in 0..count.min(1025) {
                writer.uvarint(tag);
                writer.uvarint(u32::try_from(size).expect("small"));
                writer.raw(&vec![1; size]);
            }
            let body: Bytes = writer.into_pieces().concat().into();
            throw(broker.address, [framed((3, 11), true, &body)]);
        }
    });
}
