//! Kafka bytes ↔ values. Generated messages for every API key and version; hand-written zero-copy record batches.
//!
//! Decoders share the request's `Bytes`: a decoded string or record set is a slice of the frame, never a copy, and
//! nothing is allocated from a length that the peer claims before that many bytes are known to be there.

pub mod batch;
pub mod collections;
pub mod compress;
pub mod generated;
pub mod reader;
pub mod text;
pub mod writer;

pub use collections::Records;
pub use reader::{DecodeError, Reader};
pub use text::Str;
pub use writer::{EncodeError, Writer};

/// A value that can be read from the wire in each version that its schema knows.
pub trait Decode: Sized {
    /// Reads the value as `version` writes it. The version must be one the schema knows.
    ///
    /// # Errors
    /// The first thing in the bytes that the version doesn't allow.
    fn decode(reader: &mut Reader, version: i16) -> Result<Self, DecodeError>;
}

/// A value that can be written in each version that its schema knows.
pub trait Encode {
    /// Appends the value as `version` writes it.
    ///
    /// # Errors
    /// A field that this version can't carry holds something other than its default, and its schema doesn't let it be
    /// ignored.
    fn encode(&self, writer: &mut Writer, version: i16) -> Result<(), EncodeError>;
}
