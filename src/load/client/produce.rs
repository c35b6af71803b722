//! Produce requests whose record batches are sent from where they lie, and their answers.
//!
//! Written by hand: there are as many of these as there are batches, and the generic form allocates several times for
//! each. `head` is checked against the generated messages by a test.

use super::versions::api;
use crate::wire::DecodeError;
use bytes::{BufMut, Bytes, BytesMut};

/// Bytes that heads are cut from.
const CHUNK_BYTES: usize = 64 * 1024;

/// What all produce requests of a connection have in common.
#[derive(Clone, Debug)]
pub struct ProduceHead {
    version: i16,
    flexible: bool,
    client_id: Vec<u8>,
    acks: i16,
    timeout_ms: i32,
    topics: Vec<Vec<u8>>,
    chunk: BytesMut,
    /// Where the batches of the request being written go.
    cuts: Vec<usize>,
}

impl ProduceHead {
    /// For a version, with the names of the run's topics.
    #[must_use]
    pub fn new(version: i16, client_id: &str, acks: i16, timeout_ms: i32, topics: &[String]) -> Self {
        ProduceHead {
            version,
            flexible: api::PRODUCE.is_flexible(version),
            client_id: client_id.as_bytes().to_vec(),
            acks,
            timeout_ms,
            topics: topics.iter().map(|name| name.as_bytes().to_vec()).collect(),
            chunk: BytesMut::with_capacity(CHUNK_BYTES),
            cuts: Vec::new(),
        }
    }

    /// The version.
    #[must_use]
    pub fn version(&self) -> i16 {
        self.version
    }

    /// Adds the pieces of one request. `batches` are (topic's index, partition, pieces of the batch), those of one
    /// topic together.
    pub fn write<'a>(
        &mut self,
        correlation: i32,
        batches: impl ExactSizeIterator<Item = (u32, i32, &'a [Bytes])> + Clone,
        pieces: &mut Vec<Bytes>,
    ) {
        let mut batch_bytes = 0;
        self.cuts.clear();
        self.chunk.reserve(128 + self.client_id.len() + 300 * batches.len());
        self.begin(correlation, groups(batches.clone()));
        let mut last = None;
        let mut left_in_topic = 0;
        let mut rest = batches.clone();
        while let Some((topic, partition, batch)) = rest.next() {
            if last != Some(topic) {
                left_in_topic = rest.clone().take_while(|(other, ..)| *other == topic).count() + 1;
                self.begin_topic(topic, left_in_topic);
                last = Some(topic);
            }
            let bytes = batch.iter().map(Bytes::len).sum();
            batch_bytes += bytes;
            self.chunk.put_i32(partition);
            self.length(bytes);
            self.cuts.push(self.chunk.len());
            left_in_topic -= 1;
            self.end(1 + usize::from(left_in_topic == 0));
        }
        self.end(1);
        let length = i32::try_from(self.chunk.len() - 4 + batch_bytes).expect("a request is below 2 GiB");
        self.chunk[..4].copy_from_slice(&length.to_be_bytes());
        let mut at = 0;
        for ((_, _, batch), cut) in batches.zip(&self.cuts) {
            pieces.push(self.chunk.split_to(cut - at).freeze());
            pieces.extend_from_slice(batch);
            at = *cut;
        }
        if !self.chunk.is_empty() {
            pieces.push(self.chunk.split().freeze());
        }
    }

    fn begin(&mut self, correlation: i32, topics: usize) {
        let chunk = &mut self.chunk;
        chunk.put_i32(0);
        chunk.put_i16(api::PRODUCE.key);
        chunk.put_i16(self.version);
        chunk.put_i32(correlation);
        chunk.put_i16(i16::try_from(self.client_id.len()).unwrap_or(0));
        chunk.put_slice(&self.client_id);
        if self.flexible {
            // No tagged fields; a null transactional id.
            chunk.put_slice(&[0, 0]);
        } else {
            chunk.put_i16(-1);
        }
        chunk.put_i16(self.acks);
        chunk.put_i32(self.timeout_ms);
        self.length(topics);
    }

    fn begin_topic(&mut self, topic: u32, partitions: usize) {
        let name = &self.topics[topic as usize];
        if self.flexible {
            put_uvarint(&mut self.chunk, name.len() + 1);
        } else {
            self.chunk.put_i16(i16::try_from(name.len()).unwrap_or(0));
        }
        self.chunk.put_slice(name);
        self.length(partitions);
    }

    /// A count, or the length of bytes; both are one more in the compact form.
    fn length(&mut self, length: usize) {
        if self.flexible {
            put_uvarint(&mut self.chunk, length + 1);
        } else {
            self.chunk.put_i32(i32::try_from(length).expect("a request is below 2 GiB"));
        }
    }

    /// Ends so many structures.
    fn end(&mut self, structures: usize) {
        if self.flexible {
            self.chunk.put_bytes(0, structures);
        }
    }
}

fn groups<'a>(batches: impl Iterator<Item = (u32, i32, &'a [Bytes])>) -> usize {
    let mut last = None;
    batches.filter(|(topic, ..)| last.replace(*topic) != Some(*topic)).count()
}

fn put_uvarint(chunk: &mut BytesMut, value: usize) {
    let mut value = u32::try_from(value).expect("a request is below 2 GiB");
    while value >= 0x80 {
        chunk.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    chunk.put_u8(value as u8);
}

/// What a broker answers to one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The partition.
    pub partition: i32,
    /// Error code; 0 for none.
    pub error: i16,
    /// Offset of the batch's first record.
    pub base_offset: i64,
}

/// Walks over the answers of a produce response without its correlation id: `each` gets the topic's name and the
/// answer. Returns for how many ms the broker wants to be left alone (KIP-219).
///
/// # Errors
/// The bytes aren't what the version says.
pub fn walk_answers(
    frame: &[u8],
    version: i16,
    mut each: impl FnMut(&[u8], Answer),
) -> Result<i32, DecodeError> {
    let flexible = api::PRODUCE.is_flexible(version);
    let mut cursor = Cursor { rest: frame, flexible };
    if flexible {
        cursor.tags()?;
    }
    for _ in 0..cursor.count()? {
        let topic = cursor.text()?;
        for _ in 0..cursor.count()? {
            let partition = cursor.i32()?;
            let (error, base_offset) = (cursor.i16()?, cursor.i64()?);
            cursor.take(8)?;
            if version >= 5 {
                cursor.take(8)?;
            }
            if version >= 8 {
                for _ in 0..cursor.count()? {
                    cursor.take(4)?;
                    cursor.text()?;
                    cursor.end()?;
                }
                cursor.text()?;
            }
            cursor.end()?;
            each(topic, Answer { partition, error, base_offset });
        }
        cursor.end()?;
    }
    cursor.i32()
}

/// Reads primitives from a slice.
struct Cursor<'a> {
    rest: &'a [u8],
    flexible: bool,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    fn i16(&mut self) -> Result<i16, DecodeError> {
        self.array().map(i16::from_be_bytes)
    }

    fn i32(&mut self) -> Result<i32, DecodeError> {
        self.array().map(i32::from_be_bytes)
    }

    fn i64(&mut self) -> Result<i64, DecodeError> {
        self.array().map(i64::from_be_bytes)
    }

    fn uvarint(&mut self) -> Result<usize, DecodeError> {
        let mut value = 0_usize;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array::<1>()?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Varint)
    }

    /// The elements of an array; none for null.
    fn count(&mut self) -> Result<usize, DecodeError> {
        let count = if self.flexible {
            self.uvarint()?.saturating_sub(1)
        } else {
            usize::try_from(self.i32()?).unwrap_or(0)
        };
        if count > self.rest.len() { Err(DecodeError::Length) } else { Ok(count) }
    }

    /// A text; empty for null.
    fn text(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = if self.flexible {
            self.uvarint()?.saturating_sub(1)
        } else {
            usize::try_from(self.i16()?).unwrap_or(0)
        };
        self.take(length)
    }

    fn tags(&mut self) -> Result<(), DecodeError> {
        for _ in 0..self.uvarint()? {
            self.uvarint()?;
            let size = self.uvarint()?;
            self.take(size)?;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), DecodeError> {
        if self.flexible { self.tags() } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::generated::produce_response::{
        BatchIndexAndErrorMessage, PartitionProduceResponse, ProduceResponse, TopicProduceResponse,
    };
    use crate::wire::generated::{ProduceRequest, RequestHeader};
    use crate::wire::{Decode, Encode, Reader, Writer};

    fn batch(text: &'static str) -> Vec<Bytes> {
        let (head, tail) = text.as_bytes().split_at(3);
        vec![Bytes::from_static(head), Bytes::from_static(tail)]
    }

    #[test]
    fn requests_are_those_of_the_generated_messages() {
        let batches = [(0, 4, batch("first")), (0, 5, batch("second")), (1, 0, batch("third"))];
        for version in api::PRODUCE.min..=api::PRODUCE.max {
            let topics = ["a".to_owned(), "bb".to_owned()];
            let mut head = ProduceHead::new(version, "me", -1, 1500, &topics);
            for correlation in [7, 8] {
                let mut pieces = vec![Bytes::from_static(b"what was there before")];
                let list = batches.iter().map(|(topic, partition, batch)| (*topic, *partition, &batch[..]));
                head.write(correlation, list, &mut pieces);
                let whole = pieces[1..].concat();
                assert_eq!(i32::from_be_bytes(*whole.first_chunk().unwrap()), whole.len() as i32 - 4);
                let mut reader = Reader::new(Bytes::from(whole).slice(4..));
                let flexible = api::PRODUCE.is_flexible(version);
                let header = RequestHeader::decode(&mut reader, if flexible { 2 } else { 1 }).unwrap();
                assert_eq!((header.correlation_id, header.request_api_version), (correlation, version));
                let request = ProduceRequest::decode(&mut reader, version).unwrap();
                assert_eq!(reader.remaining(), 0, "version {version}");
                assert_eq!((request.acks, request.timeout_ms), (-1, 1500));
                let found: Vec<(String, i32, Vec<u8>)> = request
                    .topic_data
                    .iter()
                    .flat_map(|topic| topic.partition_data.iter().map(|data| (topic.name.to_string(), data)))
                    .map(|(name, data)| (name, data.index, data.records.as_ref().unwrap().0.concat()))
                    .collect();
                let expected = [("a", 4, "first"), ("a", 5, "second"), ("bb", 0, "third")];
                let expected =
                    expected.map(|(name, index, text)| (name.to_owned(), index, text.as_bytes().to_vec()));
                assert_eq!(found, expected, "version {version}");
            }
        }
    }

    #[test]
    fn answers_are_those_of_the_generated_messages() {
        for version in api::PRODUCE.min..=api::PRODUCE.max {
            let partition = |index, error_code| PartitionProduceResponse {
                index,
                error_code,
                base_offset: i64::from(index) * 10,
                record_errors: (version >= 8 && error_code != 0)
                    .then(|| BatchIndexAndErrorMessage {
                        batch_index: 3,
                        batch_index_error_message: Some("why".into()),
                    })
                    .into_iter()
                    .collect(),
                ..PartitionProduceResponse::default()
            };
            let answer = ProduceResponse {
                responses: vec![TopicProduceResponse {
                    name: "topic".into(),
                    partition_responses: vec![partition(1, 0), partition(2, 6)],
                    ..TopicProduceResponse::default()
                }],
                ..ProduceResponse::default()
            };
            let mut writer = Writer::new();
            if api::PRODUCE.is_flexible(version) {
                writer.no_tagged_fields();
            }
            answer.encode(&mut writer, version).unwrap();
            let frame = writer.into_pieces().concat();
            let mut found = Vec::new();
            walk_answers(&frame, version, |topic, answer| found.push((topic.to_vec(), answer))).unwrap();
            let answer =
                |partition, error| Answer { partition, error, base_offset: i64::from(partition) * 10 };
            assert_eq!(found, [(b"topic".to_vec(), answer(1, 0)), (b"topic".to_vec(), answer(2, 6))]);
            for cut in 0..frame.len() - 4 {
                assert!(walk_answers(&frame[..cut], version, |_, _| ()).is_err() || cut >= frame.len() - 6);
            }
        }
    }
}
