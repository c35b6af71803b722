//! Frames of real clients and Apache Kafka's answers: they decode to the last byte, and encode to the same bytes.
//!
//! `tests/golden/CLIENT/KEY-VERSION-req.hex` and `-res.hex` are recorded by `ci/golden/record`. `CLIENT-CODEC` has
//! Produce and Fetch with compressed records.
#![expect(clippy::disallowed_methods, reason = "the test reads the frames that lie beside it")]

use bytes::Bytes;
use ringlog::api::API_TABLE;
use ringlog::wire::batch::{ClientRules, Codec, records, validate_client_batch, walk};
use ringlog::wire::generated::{
    FetchResponse, ProduceRequest, RequestHeader, ResponseHeader, Run, SCHEMAS, with_request, with_response,
};
use ringlog::wire::{Decode, Encode, Reader, Writer};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::fs;
use std::path::Path;

/// Every folder without a codec in its name.
const CLIENTS: &[&str] = &[
    "aiokafka",
    "apache-kafka",
    "confluent-kafka",
    "franz-go",
    "java",
    "kafka-python",
    "kafkajs",
    "kcat",
    "sarama",
];

/// Frames that encode to other bytes, with the reason.
const WRITTEN_OTHERWISE: &[(&str, &str)] = &[];

/// One recorded frame.
struct Frame {
    /// `CLIENT/KEY-VERSION-req` or `-res`.
    name: String,
    key: i16,
    version: i16,
    is_request: bool,
    bytes: Bytes,
}

impl Frame {
    fn read(client: &str, file: &str, text: &str) -> Frame {
        let stem = file.strip_suffix(".hex").expect("recorded frames end in .hex");
        let parts: Vec<&str> = stem.split('-').collect();
        let [key, version, kind] = parts[..] else { panic!("{file}: not KEY-VERSION-req or -res") };
        assert!(["req", "res"].contains(&kind), "{file}: not KEY-VERSION-req or -res");
        let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let digit = |byte: u8| (byte as char).to_digit(16).expect("hexadecimal");
        let byte = |pair: &[u8]| u8::try_from(digit(pair[0]) * 16 + digit(pair[1])).expect("two digits");
        Frame {
            name: format!("{client}/{stem}"),
            key: key.parse().expect("a key"),
            version: version.parse().expect("a version"),
            is_request: kind == "req",
            bytes: digits.chunks(2).map(byte).collect(),
        }
    }

    fn is_flexible(&self) -> bool {
        let schema = SCHEMAS.iter().find(|schema| schema.key == self.key).expect("a key of the schemas");
        self.version >= schema.flexible_from
    }

    /// The header's version. ApiVersions is answered with the oldest, since its client doesn't know the broker yet.
    fn header_version(&self) -> i16 {
        match (self.is_request, self.key) {
            (true, _) => 1 + i16::from(self.is_flexible()),
            (false, 18) => 0,
            (false, _) => i16::from(self.is_flexible()),
        }
    }

    /// Reads the header, checks it, writes it anew, and gives back the body and the correlation id.
    fn header(&self, writer: &mut Writer) -> (Reader, i32) {
        let mut reader = Reader::new(self.bytes.clone());
        let version = self.header_version();
        if self.is_request {
            let header = RequestHeader::decode(&mut reader, version).expect(&self.name);
            assert_eq!((header.request_api_key, header.request_api_version), (self.key, self.version));
            header.encode(writer, version).expect(&self.name);
            (reader, header.correlation_id)
        } else {
            let header = ResponseHeader::decode(&mut reader, version).expect(&self.name);
            header.encode(writer, version).expect(&self.name);
            (reader, header.correlation_id)
        }
    }

    fn body<M: Decode>(&self) -> M {
        let (mut reader, _) = self.header(&mut Writer::new());
        M::decode(&mut reader, self.version).expect(&self.name)
    }
}

/// Every recorded frame, in the order of its name.
fn frames() -> Vec<Frame> {
    let list = |folder: &Path| {
        let entries = fs::read_dir(folder).expect("a folder of recorded frames");
        let name = |entry: fs::DirEntry| entry.file_name().into_string().expect("names are UTF-8");
        let mut names: Vec<String> = entries.map(|entry| name(entry.expect("an entry"))).collect();
        names.sort();
        names
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut found = Vec::new();
    for client in list(&root) {
        for file in list(&root.join(&client)) {
            let text = fs::read_to_string(root.join(&client).join(&file)).expect("a recorded frame");
            found.push(Frame::read(&client, &file, &text));
        }
    }
    found
}

/// Decodes a body to its end and writes it again.
struct Again {
    name: String,
    reader: Reader,
    version: i16,
    writer: Writer,
}

impl Run for Again {
    type Out = Vec<u8>;
    fn run<M: Decode + Encode + Default + PartialEq + Debug>(mut self) -> Vec<u8> {
        let body = M::decode(&mut self.reader, self.version).unwrap_or_else(|e| panic!("{}: {e}", self.name));
        assert_eq!(self.reader.remaining(), 0, "{}: bytes after {body:?}", self.name);
        body.encode(&mut self.writer, self.version).unwrap_or_else(|e| panic!("{}: {e}", self.name));
        self.writer.into_pieces().concat()
    }
}

#[test]
fn every_frame_decodes_to_its_end_and_encodes_to_the_same_bytes() {
    let mut otherwise = BTreeSet::new();
    for frame in frames() {
        let mut writer = Writer::new();
        let (reader, _) = frame.header(&mut writer);
        let again = Again { name: frame.name.clone(), reader, version: frame.version, writer };
        let written = match frame.is_request {
            true => with_request(frame.key, again),
            false => with_response(frame.key, again),
        };
        let written = written.expect("a key of the schemas");
        if written != frame.bytes {
            let listed = WRITTEN_OTHERWISE.iter().any(|(name, _)| *name == frame.name);
            assert!(listed, "{}:\n{:02x?}\nis written as\n{written:02x?}", frame.name, &frame.bytes[..]);
            otherwise.insert(frame.name);
        }
    }
    let listed = WRITTEN_OTHERWISE.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(otherwise, listed, "what encodes to the same bytes isn't listed");
}

#[test]
fn every_request_has_the_response_to_it() {
    let ids = |is_request: bool| -> BTreeMap<String, i32> {
        let some = frames().into_iter().filter(|frame| frame.is_request == is_request);
        some.map(|frame| {
            let id = frame.header(&mut Writer::new()).1;
            (frame.name[..frame.name.len() - "-req".len()].to_owned(), id)
        })
        .collect()
    };
    assert_eq!(ids(true), ids(false));
}

/// Walks a record set: every batch's CRC fits, its records read, and they are as many as it says. Notes the codecs.
fn read_batches(name: &str, bytes: &Bytes, codecs: &mut BTreeSet<Codec>) -> usize {
    let mut batches = walk(bytes);
    let mut read = 0;
    for (position, meta) in batches.by_ref() {
        let batch = &bytes[position..position + meta.bytes];
        assert!(meta.crc_fits(batch), "{name}: the CRC of the batch at {position}");
        let found = records(batch).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(found.len(), usize::try_from(meta.count).expect("a count"), "{name}: {meta:?}");
        assert_eq!(found.last().expect("a record").offset, meta.last_offset(), "{name}: {meta:?}");
        codecs.insert(meta.codec().expect("a codec"));
        read += found.len();
    }
    assert_eq!(batches.position(), bytes.len(), "{name}: bytes after the last whole batch");
    read
}

const ALL_CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

#[test]
fn produced_batches_are_valid_in_every_codec() {
    let mut codecs = BTreeSet::new();
    for frame in frames().iter().filter(|frame| frame.key == 0 && frame.is_request) {
        let request: ProduceRequest = frame.body();
        for data in request.topic_data.iter().flat_map(|topic| &topic.partition_data) {
            let slices = &data.records.as_ref().expect("clients send records").0;
            assert!(read_batches(&frame.name, &slices[0], &mut codecs) > 0);
            let rules = ClientRules { zstd_allowed: frame.version >= 7 };
            validate_client_batch(&slices[0], &rules).unwrap_or_else(|e| panic!("{}: {e:?}", frame.name));
        }
    }
    assert_eq!(codecs.into_iter().collect::<Vec<_>>(), ALL_CODECS);
}

#[test]
fn fetched_batches_read_in_every_codec() {
    let mut codecs = BTreeSet::new();
    let mut read = 0;
    for frame in frames().iter().filter(|frame| frame.key == 1 && !frame.is_request) {
        let response: FetchResponse = frame.body();
        for data in response.responses.iter().flat_map(|topic| &topic.partitions) {
            for slice in data.records.iter().flat_map(|records| &records.0) {
                read += read_batches(&frame.name, slice, &mut codecs);
            }
        }
    }
    assert_eq!(codecs.into_iter().collect::<Vec<_>>(), ALL_CODECS);
    assert!(read > 100, "{read} records");
}

#[test]
fn every_client_and_every_served_api_was_recorded() {
    let frames = frames();
    let folders: BTreeSet<&str> = frames.iter().filter_map(|frame| frame.name.split('/').next()).collect();
    let is_codec = |name: &&&str| ["gzip", "snappy", "lz4", "zstd"].iter().any(|codec| name.ends_with(codec));
    let clients: Vec<&str> = folders.iter().filter(|name| !is_codec(name)).copied().collect();
    assert_eq!(clients, CLIENTS);
    for api in API_TABLE {
        assert!(frames.iter().any(|frame| frame.key == api.key), "no client sent {}", api.name);
    }
}
