//! A client of one connection: frames, requests, and the few calls that tests make again and again.
#![expect(clippy::disallowed_types, reason = "a client has a socket")]

use super::PATIENCE;
use bytes::Bytes;
use ringlog::base::ErrorCode;
use ringlog::wire::batch::{BatchBuilder, Codec};
use ringlog::wire::generated::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use ringlog::wire::generated::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use ringlog::wire::generated::fetch_request::{FetchPartition, FetchTopic};
use ringlog::wire::generated::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use ringlog::wire::generated::metadata_request::MetadataRequestTopic;
use ringlog::wire::generated::produce_request::{PartitionProduceData, TopicProduceData};
use ringlog::wire::generated::{
    CreateTopicsRequest, CreateTopicsResponse, DeleteRecordsRequest, DeleteRecordsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, FetchRequest, FetchResponse, InitProducerIdRequest,
    InitProducerIdResponse, ListOffsetsRequest, ListOffsetsResponse, MetadataRequest, MetadataResponse,
    ProduceRequest, ProduceResponse, SCHEMAS,
};
use ringlog::wire::{Decode, Encode, Reader, Records, Str, Writer};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// Versions that name topics by name.
pub(crate) const PRODUCE: (i16, i16) = (0, 9);
pub(crate) const FETCH: (i16, i16) = (1, 12);
pub(crate) const LIST_OFFSETS: (i16, i16) = (2, 8);
pub(crate) const METADATA: (i16, i16) = (3, 9);
pub(crate) const CREATE_TOPICS: (i16, i16) = (19, 5);
pub(crate) const DELETE_TOPICS: (i16, i16) = (20, 4);
pub(crate) const DELETE_RECORDS: (i16, i16) = (21, 2);
pub(crate) const INIT_PRODUCER_ID: (i16, i16) = (22, 4);

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    correlation: i32,
}

/// First version of an API whose headers have tagged fields.
fn flexible_from(key: i16) -> i16 {
    SCHEMAS.iter().find(|schema| schema.key == key).map_or(i16::MAX, |schema| schema.flexible_from)
}

/// A whole request with its length.
pub(crate) fn request(api: (i16, i16), correlation: i32, body: &impl Encode) -> Vec<u8> {
    let (key, version) = api;
    let mut writer = Writer::new();
    writer.i32(0);
    writer.i16(key);
    writer.i16(version);
    writer.i32(correlation);
    writer.nullable_string(Some("test"), false);
    if version >= flexible_from(key) {
        writer.no_tagged_fields();
    }
    body.encode(&mut writer, version).expect("the version has the fields");
    writer.into_frame().concat()
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Client::try_connect(address).expect("the broker accepts connections")
    }

    pub(crate) fn try_connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Client { stream, correlation: 0 })
    }

    pub(crate) fn send(&mut self, api: (i16, i16), body: &impl Encode) -> io::Result<()> {
        self.correlation += 1;
        let frame = request(api, self.correlation, body);
        self.stream.write_all(&frame)
    }

    /// The next answer's frame, without its length.
    pub(crate) fn frame(&mut self) -> io::Result<Bytes> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = usize::try_from(i32::from_be_bytes(length)).expect("a broker's lengths are sane");
        let mut frame = vec![0; length];
        self.stream.read_exact(&mut frame)?;
        Ok(frame.into())
    }

    pub(crate) fn receive<R: Decode>(&mut self, api: (i16, i16)) -> io::Result<R> {
        let (key, version) = api;
        let mut reader = Reader::new(self.frame()?);
        let malformed = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        reader.i32().map_err(malformed)?;
        if key != 18 && version >= flexible_from(key) {
            reader.skip_tagged_fields().map_err(malformed)?;
        }
        let body = R::decode(&mut reader, version).map_err(malformed)?;
        reader.finish().map_err(malformed)?;
        Ok(body)
    }

    pub(crate) fn call<R: Decode>(&mut self, api: (i16, i16), body: &impl Encode) -> io::Result<R> {
        self.send(api, body)?;
        self.receive(api)
    }

    /// Whether the broker has ended the connection; waits for it.
    pub(crate) fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => true,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }

    pub(crate) fn create_topic(&mut self, name: &str, partitions: i32, configs: &[(&str, &str)]) {
        let code = self.try_create_topic(name, partitions, configs).expect("an answer");
        assert_eq!(code, ErrorCode::None, "{name} is created");
    }

    pub(crate) fn try_create_topic(
        &mut self,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> io::Result<ErrorCode> {
        let config = |&(name, value): &(&str, &str)| CreatableTopicConfig {
            name: name.into(),
            value: Some(value.into()),
        };
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: partitions,
            replication_factor: 1,
            assignments: Vec::new(),
            configs: configs.iter().map(config).collect(),
        };
        let request = CreateTopicsRequest { topics: vec![topic], ..Default::default() };
        let response: CreateTopicsResponse = self.call(CREATE_TOPICS, &request)?;
        Ok(code(response.topics[0].error_code))
    }

    pub(crate) fn delete_topic(&mut self, name: &str) -> io::Result<ErrorCode> {
        let request = DeleteTopicsRequest { topic_names: vec![name.into()], ..Default::default() };
        let response: DeleteTopicsResponse = self.call(DELETE_TOPICS, &request)?;
        Ok(code(response.responses[0].error_code))
    }

    pub(crate) fn delete_records(
        &mut self,
        topic: &str,
        partition: i32,
        before: i64,
    ) -> io::Result<ErrorCode> {
        let partition = DeleteRecordsPartition { partition_index: partition, offset: before };
        let topics = vec![DeleteRecordsTopic { name: topic.into(), partitions: vec![partition] }];
        let request = DeleteRecordsRequest { topics, timeout_ms: 30_000 };
        let response: DeleteRecordsResponse = self.call(DELETE_RECORDS, &request)?;
        Ok(code(response.topics[0].partitions[0].error_code))
    }

    /// Appends one batch: the error and the offset of its first record.
    pub(crate) fn produce(
        &mut self,
        topic: &str,
        partition: i32,
        batch: Bytes,
    ) -> io::Result<(ErrorCode, i64)> {
        self.send(PRODUCE, &produce_request(topic, partition, batch, -1))?;
        self.produced()
    }

    /// The answer to a produce request of one batch.
    pub(crate) fn produced(&mut self) -> io::Result<(ErrorCode, i64)> {
        let response: ProduceResponse = self.receive(PRODUCE)?;
        let partition = &response.responses[0].partition_responses[0];
        Ok((code(partition.error_code), partition.base_offset))
    }

    /// Reads from an offset: the error, the high watermark, the batches' bytes.
    pub(crate) fn fetch(&mut self, topic: &str, partition: i32, offset: i64) -> io::Result<Fetched> {
        self.fetch_at_most(topic, partition, offset, 1 << 20)
    }

    pub(crate) fn fetch_at_most(
        &mut self,
        topic: &str,
        partition: i32,
        offset: i64,
        bytes_max: i32,
    ) -> io::Result<Fetched> {
        let request = fetch_request(topic, partition, offset, bytes_max, 0);
        let mut response: FetchResponse = self.call(FETCH, &request)?;
        let data = response.responses.swap_remove(0).partitions.swap_remove(0);
        Ok(Fetched {
            error: code(data.error_code),
            high_watermark: data.high_watermark,
            log_start: data.log_start_offset,
            records: data.records.map(|records| records.0.concat()).unwrap_or_default(),
        })
    }

    /// The offset for a timestamp, or for a special one.
    pub(crate) fn list_offset(
        &mut self,
        topic: &str,
        partition: i32,
        timestamp: i64,
    ) -> io::Result<(ErrorCode, i64)> {
        self.send(LIST_OFFSETS, &list_offset_request(topic, partition, timestamp))?;
        self.listed()
    }

    /// The answer to a ListOffsets request of one partition.
    pub(crate) fn listed(&mut self) -> io::Result<(ErrorCode, i64)> {
        let response: ListOffsetsResponse = self.receive(LIST_OFFSETS)?;
        let partition = &response.topics[0].partitions[0];
        Ok((code(partition.error_code), partition.offset))
    }

    pub(crate) fn metadata(&mut self, names: &[&str]) -> io::Result<MetadataResponse> {
        let topic = |name: &&str| MetadataRequestTopic { name: Some((*name).into()), ..Default::default() };
        let topics = Some(names.iter().map(topic).collect());
        self.call(METADATA, &MetadataRequest { topics, ..Default::default() })
    }

    pub(crate) fn producer_id(&mut self) -> io::Result<i64> {
        let request = InitProducerIdRequest { transaction_timeout_ms: 1000, ..Default::default() };
        let response: InitProducerIdResponse = self.call(INIT_PRODUCER_ID, &request)?;
        assert_eq!(response.error_code, 0, "a producer id");
        Ok(response.producer_id)
    }
}

/// What a fetch of one partition brought.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) error: ErrorCode,
    pub(crate) high_watermark: i64,
    pub(crate) log_start: i64,
    pub(crate) records: Vec<u8>,
}

pub(crate) fn code(number: i16) -> ErrorCode {
    ErrorCode::from_code(number).expect("the protocol knows the code")
}

pub(crate) fn produce_request(topic: &str, partition: i32, batch: Bytes, acks: i16) -> ProduceRequest {
    let data = PartitionProduceData { index: partition, records: Some(Records::from(batch)) };
    let topic = TopicProduceData { name: topic.into(), partition_data: vec![data], ..Default::default() };
    ProduceRequest { transactional_id: None, acks, timeout_ms: 30_000, topic_data: vec![topic] }
}

pub(crate) fn list_offset_request(topic: &str, partition: i32, timestamp: i64) -> ListOffsetsRequest {
    let partition = ListOffsetsPartition { partition_index: partition, timestamp, ..Default::default() };
    let topics = vec![ListOffsetsTopic { name: topic.into(), partitions: vec![partition] }];
    ListOffsetsRequest { replica_id: -1, isolation_level: 0, topics, ..Default::default() }
}

pub(crate) fn fetch_request(
    topic: &str,
    partition: i32,
    offset: i64,
    bytes_max: i32,
    wait_ms: i32,
) -> FetchRequest {
    let partition = FetchPartition {
        partition,
        fetch_offset: offset,
        partition_max_bytes: bytes_max,
        ..Default::default()
    };
    let topic = FetchTopic { topic: topic.into(), partitions: vec![partition], ..Default::default() };
    FetchRequest {
        replica_id: -1,
        max_wait_ms: wait_ms,
        min_bytes: 1,
        max_bytes: bytes_max,
        session_epoch: -1,
        topics: vec![topic],
        ..Default::default()
    }
}

/// A batch of one record.
pub(crate) fn one(value: &[u8]) -> Bytes {
    BatchBuilder::new(Codec::None, now_ms()).record(now_ms(), Some(b"k"), Some(value)).build()
}

/// Milliseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "a client has a clock")]
pub(crate) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("before the year 292 million")
}

/// A name as the wire has it.
pub(crate) fn text(name: &str) -> Str {
    name.into()
}
