//! The generated codec of one message, and the independent one of the kafka-protocol crate.

use crate::schema::{Message, Role};
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestKind, ResponseKind};
use ringlog::wire::generated::{Run, with_other, with_request, with_response};
use ringlog::wire::{Decode, DecodeError, Encode, EncodeError, Reader, Writer};
use std::fmt::Debug;

/// A message as a version writes it, or the field that keeps it from that.
type Written = Result<Vec<u8>, EncodeError>;

/// What a round trip needs of a message's type.
#[derive(Clone, Copy)]
pub(crate) struct Codec {
    /// Decodes all of the bytes and forgets the value; what is left over is an error.
    pub(crate) check: fn(&Bytes, i16) -> Result<(), DecodeError>,
    /// Decodes as one version and encodes as another.
    pub(crate) recode: fn(&Bytes, i16, i16) -> Result<Written, DecodeError>,
    /// Whether both decode to the same value.
    pub(crate) same: fn(&Bytes, &Bytes, i16) -> Result<bool, DecodeError>,
}

fn whole<M: Decode>(bytes: &Bytes, version: i16) -> Result<M, DecodeError> {
    let mut reader = Reader::new(bytes.clone());
    let value = M::decode(&mut reader, version)?;
    reader.finish()?;
    Ok(value)
}

struct Pick;

impl Run for Pick {
    type Out = Codec;
    fn run<M: Decode + Encode + Default + PartialEq + Debug>(self) -> Codec {
        Codec {
            check: |bytes, version| whole::<M>(bytes, version).map(drop),
            recode: |bytes, from, to| {
                let mut writer = Writer::new();
                let written = whole::<M>(bytes, from)?.encode(&mut writer, to);
                Ok(written.map(|()| writer.into_pieces().concat()))
            },
            same: |one, other, version| Ok(whole::<M>(one, version)? == whole::<M>(other, version)?),
        }
    }
}

/// The generated codec of a message.
pub(crate) fn generated(message: &Message) -> Codec {
    let found = match message.role {
        Role::Request => with_request(message.key, Pick),
        Role::Response => with_response(message.key, Pick),
        Role::Other => with_other(&message.name, Pick),
    };
    found.unwrap_or_else(|| panic!("the codec has no {:?} {}", message.role, message.name))
}

/// What the other crate makes of a message: decoded to the end, and encoded again. `None` if it doesn't know the API or
/// the version.
pub(crate) fn recode_elsewhere(
    message: &Message,
    bytes: &Bytes,
    version: i16,
) -> Option<Result<Vec<u8>, String>> {
    let key = ApiKey::try_from(message.key).ok()?;
    let (mut rest, mut out) = (bytes.clone(), BytesMut::new());
    let done = if message.role == Role::Request {
        RequestKind::decode(key, &mut rest, version).and_then(|value| value.encode(&mut out, version))
    } else {
        ResponseKind::decode(key, &mut rest, version).and_then(|value| value.encode(&mut out, version))
    };
    match done {
        Err(error) => {
            let text = format!("{error:#}");
            (!text.contains("version not supported by this message type")).then_some(Err(text))
        }
        Ok(()) if !rest.is_empty() => Some(Err(format!("{} bytes are left over", rest.len()))),
        Ok(()) => Some(Ok(out.to_vec())),
    }
}
