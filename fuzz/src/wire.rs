//! Bytes that come from a socket.

use bytes::Bytes;
use ringlog::api::RequestHeader;
use ringlog::base::LeaderEpoch;
use ringlog::peer::{Kind, read_reply, read_request, write_reply, write_request};
use ringlog::wire::batch::{
    BatchMeta, ClientRules, Codec, RecordError, Searched, Stamp, TimestampSearch, patch_offsets, records,
    rewrite_stamp, validate_client_batch, walk,
};
use ringlog::wire::compress::{compress, decompress};
use ringlog::wire::generated::{ResponseHeader, Run, SCHEMAS, with_request, with_response};
use ringlog::wire::{Decode, Encode, Reader, Writer};
use std::fmt::Debug;

/// Decodes a body; what decodes must encode, and decode again to what encodes to the same bytes.
struct Again {
    reader: Reader,
    version: i16,
}

impl Run for Again {
    type Out = ();
    fn run<M: Decode + Encode + Default + PartialEq + Debug>(mut self) {
        let Ok(value) = M::decode(&mut self.reader, self.version) else { return };
        let first = written(&value, self.version);
        let again = M::decode(&mut Reader::new(first.clone()), self.version);
        let again = again.unwrap_or_else(|error| panic!("{error}: {value:?} was written as {first:02x?}"));
        assert_eq!(written(&again, self.version), first, "{value:?}");
    }
}

fn written<M: Encode + Debug>(value: &M, version: i16) -> Bytes {
    let mut writer = Writer::new();
    let done = value.encode(&mut writer, version);
    done.unwrap_or_else(|error| panic!("{error}: {value:?}"));
    writer.into_pieces().concat().into()
}

/// A request: header, then the body that its key and version name.
pub fn request(data: &[u8]) {
    let Ok((header, reader)) = RequestHeader::parse(Bytes::copy_from_slice(data)) else { return };
    with_request(header.api_key, Again { reader, version: header.version });
}

/// A response: two bytes that choose the API and the version, then its header and body.
pub fn response(data: &[u8]) {
    let [key, version, rest @ ..] = data else { return };
    let schema = SCHEMAS[usize::from(*key) % SCHEMAS.len()];
    let version = schema.min + i16::from(*version) % (schema.max - schema.min + 1);
    let flexible = version >= schema.flexible_from && schema.key != 18;
    let mut reader = Reader::new(Bytes::copy_from_slice(rest));
    if ResponseHeader::decode(&mut reader, i16::from(flexible)).is_ok() {
        with_response(schema.key, Again { reader, version });
    }
}

/// A record batch, as it is and with its length, format and CRC set right.
pub fn batch(data: &[u8]) {
    one_batch(data);
    if data.len() < 61 {
        return;
    }
    let mut right = data.to_vec();
    let length = i32::try_from(right.len() - 12).expect("inputs are small");
    right[8..12].copy_from_slice(&length.to_be_bytes());
    right[16] = 2;
    let crc = crc32c::crc32c(&right[21..]);
    right[17..21].copy_from_slice(&crc.to_be_bytes());
    one_batch(&right);
}

fn one_batch(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    let walked: usize = walk(data).map(|(_, meta)| meta.bytes).sum();
    assert!(walked <= data.len());
    let found = records(data);
    if let Ok(found) = &found {
        let first = found.first().map_or(Searched::Nothing, |it| Searched::Found(it.offset, it.timestamp));
        assert_eq!(first_of(&bytes), Ok(first));
    }
    let Ok(valid) = validate_client_batch(&bytes, &ClientRules { zstd_allowed: true }) else { return };
    // What follows it is less than a batch, and left out.
    let data = &data[..valid.meta.bytes];
    if valid.meta.codec() == Some(Codec::None) {
        let count = usize::try_from(valid.meta.count).expect("a valid batch has records");
        assert_eq!(found.expect("valid records read").len(), count);
    }
    let mut placed = data.to_vec();
    patch_offsets(&mut placed, 5, LeaderEpoch(3));
    rewrite_stamp(&mut placed, Stamp { append_time: true, max_timestamp: 7 });
    let meta = BatchMeta::read(&placed).expect("it has a header");
    assert!(meta.crc_fits(&placed) && meta.is_append_time() && meta.base_offset == 5);
}

/// What a search for any timestamp finds.
fn first_of(batch: &Bytes) -> Result<Searched, RecordError> {
    let mut search = TimestampSearch::new(batch.clone(), i64::MIN, i64::MIN)?;
    loop {
        match search.step()? {
            Searched::More => {}
            end => return Ok(end),
        }
    }
}

/// A frame between nodes: a byte that chooses what it is, a request or the answer to some kind of request.
pub fn peer(data: &[u8]) {
    let [choice, rest @ ..] = data else { return };
    let frame = Bytes::copy_from_slice(rest);
    let without_length = |pieces: Vec<Bytes>| Bytes::from(pieces.concat()).slice(4..);
    let kind = usize::from(*choice).checked_sub(1).map(|nth| Kind::ALL[nth % Kind::ALL.len()]);
    match kind {
        None => {
            let Ok((header, request)) = read_request(frame) else { return };
            let written = without_length(write_request(&request, header.correlation));
            assert_eq!(read_request(written), Ok((header, request)));
        }
        Some(kind) => {
            let Ok((correlation, reply)) = read_reply(frame, |_| Some(kind)) else { return };
            let written = without_length(write_reply(&reply, correlation));
            assert_eq!(read_reply(written, |_| Some(kind)), Ok((correlation, reply)));
        }
    }
}

/// Decompresses; what decompresses must survive being compressed again.
fn decompressed(codec: Codec, data: &[u8]) {
    let Ok(plain) = decompress(codec, data) else { return };
    if plain.len() <= 1 << 16 {
        let again = compress(codec, &plain);
        assert_eq!(decompress(codec, &again).expect("our own data decompresses"), plain);
    }
}

/// Gzip.
pub fn decompress_gzip(data: &[u8]) {
    decompressed(Codec::Gzip, data);
}

/// Snappy, raw and framed.
pub fn decompress_snappy(data: &[u8]) {
    decompressed(Codec::Snappy, data);
}

/// LZ4 frames.
pub fn decompress_lz4(data: &[u8]) {
    decompressed(Codec::Lz4, data);
}

/// Zstandard.
pub fn decompress_zstd(data: &[u8]) {
    decompressed(Codec::Zstd, data);
}
