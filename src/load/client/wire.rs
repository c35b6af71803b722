//! One connection with typed calls, one at a time.

use super::error::ClientError;
use super::versions::{Api, Versions, api};
use crate::base::limits::FRAME_BYTES_MAX;
use crate::rt::{SocketReader, SocketWriter, World};
use crate::seam::{FrameReader, FrameWriter, NetError, Stream};
use crate::wire::generated::{ApiVersionsRequest, ApiVersionsResponse};
use crate::wire::{Decode, Encode, Reader, Str, Writer};
use std::net::{SocketAddr, ToSocketAddrs};
use std::rc::Rc;
use std::time::Duration;

/// Error code of an ApiVersions version that the broker doesn't know.
const UNSUPPORTED_VERSION: i16 = 35;

/// How connections are made.
#[derive(Clone, Debug)]
pub struct Dial {
    /// What the broker sees.
    pub client_id: Str,
    /// How long a connection or an answer may take.
    pub timeout: Duration,
}

/// A connection to one broker.
pub struct Wire {
    reader: SocketReader,
    writer: SocketWriter,
    versions: Rc<Versions>,
    broker: String,
    dial: Dial,
    next: i32,
}

/// The parts of a connection that somebody else drives.
pub struct Parts {
    /// Answers.
    pub reader: SocketReader,
    /// Requests.
    pub writer: SocketWriter,
    /// What the broker speaks.
    pub versions: Rc<Versions>,
}

impl Wire {
    /// Connects to HOST:PORT and asks what it speaks.
    ///
    /// # Errors
    /// Nobody is there, or what is there is no Kafka broker.
    pub async fn open(world: &World, broker: &str, dial: &Dial) -> Result<Wire, ClientError> {
        let unreachable = |why: String| ClientError::Unreachable { broker: broker.to_owned(), why };
        let address = resolve(broker).map_err(unreachable)?;
        let stream =
            world.connect_to(address, dial.timeout).await.map_err(|error| unreachable(error.to_string()))?;
        let (reader, writer) = stream.split();
        let versions = Rc::default();
        let mut wire =
            Wire { reader, writer, versions, broker: broker.to_owned(), dial: dial.clone(), next: 0 };
        wire.versions = Rc::new(wire.ask_versions().await?);
        Ok(wire)
    }

    /// A broker that doesn't know our version of the question answers in version 0 with an error and its range.
    async fn ask_versions(&mut self) -> Result<Versions, ClientError> {
        let request = ApiVersionsRequest {
            client_software_name: Str::from_static("ringlog-load"),
            client_software_version: Str::from_static(env!("CARGO_PKG_VERSION")),
            ..ApiVersionsRequest::default()
        };
        let what = api::API_VERSIONS;
        let frame = self.exchange(what, what.max, &request).await?;
        let first: Result<ApiVersionsResponse, _> = decode(what, what.max, frame.clone());
        if let Ok(answer) = first.as_ref().map_err(drop)
            && answer.error_code != UNSUPPORTED_VERSION
        {
            return self.accept(answer);
        }
        let frame = self.exchange(what, 0, &ApiVersionsRequest::default()).await?;
        let second: Result<ApiVersionsResponse, _> = decode(what, 0, frame);
        let answer = second.map_err(|_| self.malformed(what))?;
        self.accept(&answer)
    }

    fn accept(&self, answer: &ApiVersionsResponse) -> Result<Versions, ClientError> {
        match answer.error_code {
            0 => Ok(Versions::new(answer)),
            code => Err(self.refused(api::API_VERSIONS, "this client", code, None)),
        }
    }

    /// The broker's address.
    #[must_use]
    pub fn broker(&self) -> &str {
        &self.broker
    }

    /// What the broker speaks.
    #[must_use]
    pub fn versions(&self) -> &Rc<Versions> {
        &self.versions
    }

    /// Asks, in the newest version that both sides know, and waits for the answer.
    ///
    /// # Errors
    /// There is no such version, no answer, or one that can't be read.
    pub async fn call<A: Decode>(&mut self, what: Api, request: &impl Encode) -> Result<A, ClientError> {
        let version = self.versions.pick(what, &self.broker)?;
        let frame = self.exchange(what, version, request).await?;
        decode(what, version, frame).map_err(|_| self.malformed(what))
    }

    /// Asks without waiting for the answer, which `hear` brings.
    ///
    /// # Errors
    /// Both sides have no version in common, or the connection is over.
    pub async fn say(&mut self, what: Api, request: &impl Encode) -> Result<(), ClientError> {
        let version = self.versions.pick(what, &self.broker)?;
        self.send(what, version, request).await
    }

    /// Waits for the answer to the oldest question.
    ///
    /// # Errors
    /// There is none, or one that can't be read.
    pub async fn hear<A: Decode>(&mut self, what: Api) -> Result<A, ClientError> {
        let version = self.versions.pick(what, &self.broker)?;
        let frame = self.receive(what).await?;
        decode(what, version, frame).map_err(|_| self.malformed(what))
    }

    /// Sends a request that is written already, and waits for its answer's frame.
    ///
    /// # Errors
    /// There is none.
    pub async fn exchange_frame(
        &mut self,
        what: Api,
        pieces: &mut Vec<bytes::Bytes>,
    ) -> Result<bytes::Bytes, ClientError> {
        let lost = |why: NetError| ClientError::Lost { broker: self.broker.clone(), api: what.name, why };
        self.writer.send(pieces).await.map_err(lost)?;
        self.receive(what).await
    }

    async fn exchange(
        &mut self,
        what: Api,
        version: i16,
        request: &impl Encode,
    ) -> Result<bytes::Bytes, ClientError> {
        self.send(what, version, request).await?;
        self.receive(what).await
    }

    async fn send(&mut self, what: Api, version: i16, request: &impl Encode) -> Result<(), ClientError> {
        self.next += 1;
        let mut writer = Writer::new();
        writer.i32(0);
        write_header(&mut writer, (what, version), self.next, &self.dial.client_id);
        request.encode(&mut writer, version).map_err(|_| self.malformed(what))?;
        let lost = |why: NetError| ClientError::Lost { broker: self.broker.clone(), api: what.name, why };
        self.writer.send(&mut writer.into_frame()).await.map_err(lost)
    }

    async fn receive(&mut self, what: Api) -> Result<bytes::Bytes, ClientError> {
        let lost = |why: NetError| ClientError::Lost { broker: self.broker.clone(), api: what.name, why };
        self.reader.next(FRAME_BYTES_MAX, self.dial.timeout).await.map_err(lost)
    }

    fn malformed(&self, what: Api) -> ClientError {
        ClientError::Malformed { broker: self.broker.clone(), api: what.name }
    }

    /// The error for an answer that refuses.
    #[must_use]
    pub fn refused(&self, what: Api, subject: &str, code: i16, message: Option<&str>) -> ClientError {
        ClientError::Refused {
            broker: self.broker.clone(),
            api: what.name,
            subject: subject.to_owned(),
            code,
            message: message.map(str::to_owned),
        }
    }

    /// Ends the connection.
    pub fn close(&mut self) {
        self.writer.close();
    }

    /// Gives the connection away.
    #[must_use]
    pub fn into_parts(self) -> Parts {
        Parts { reader: self.reader, writer: self.writer, versions: self.versions }
    }
}

/// A request's header, behind the frame's length.
pub(super) fn write_header(
    writer: &mut Writer,
    (what, version): (Api, i16),
    correlation: i32,
    client_id: &str,
) {
    writer.i16(what.key);
    writer.i16(version);
    writer.i32(correlation);
    writer.nullable_string(Some(client_id), false);
    if what.is_flexible(version) {
        writer.no_tagged_fields();
    }
}

/// An answer behind its header.
pub(super) fn decode<A: Decode>(
    what: Api,
    version: i16,
    frame: bytes::Bytes,
) -> Result<A, crate::wire::DecodeError> {
    let mut reader = Reader::new(frame);
    reader.i32()?;
    // The answer to ApiVersions has no tagged fields in its header: its reader doesn't know the version yet (KIP-511).
    if what.is_flexible(version) && what != api::API_VERSIONS {
        reader.skip_tagged_fields()?;
    }
    A::decode(&mut reader, version)
}

/// The first address of HOST:PORT.
fn resolve(broker: &str) -> Result<SocketAddr, String> {
    let hint = "write HOST:PORT";
    let mut found = broker.to_socket_addrs().map_err(|error| format!("{error} ({hint})"))?;
    found.next().ok_or_else(|| "the name has no address".to_owned())
}
