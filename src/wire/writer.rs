//! Writing Kafka's primitive types into frames whose record bytes are shared, not copied.

use crate::base::limits::STRING_BYTES_MAX;
use bytes::{BufMut, Bytes, BytesMut};
use std::fmt;

/// A field that the chosen version can't carry holds more than its default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeError {
    /// `Message.field` as the schema names them.
    pub field: &'static str,
    /// The version asked for.
    pub version: i16,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} can't be written in version {}", self.field, self.version)
    }
}

impl std::error::Error for EncodeError {}

/// A frame under construction: written bytes, and between them shared slices that go out as they are.
#[derive(Debug, Default)]
pub struct Writer {
    /// Pieces that are complete, in order. The first stays mutable, because the frame's length is patched into it.
    first: Option<BytesMut>,
    pieces: Vec<Bytes>,
    /// The piece being written.
    current: BytesMut,
    /// Bytes in `first` and `pieces`.
    complete: usize,
}

impl Writer {
    /// An empty writer.
    #[must_use]
    pub fn new() -> Self {
        Writer { current: BytesMut::with_capacity(256), ..Writer::default() }
    }

    /// Bytes written so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.complete + self.current.len()
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `int8`
    pub fn i8(&mut self, value: i8) {
        self.current.put_i8(value);
    }

    /// `int16`
    pub fn i16(&mut self, value: i16) {
        self.current.put_i16(value);
    }

    /// `uint16`
    pub fn u16(&mut self, value: u16) {
        self.current.put_u16(value);
    }

    /// `int32`
    pub fn i32(&mut self, value: i32) {
        self.current.put_i32(value);
    }

    /// `uint32`
    pub fn u32(&mut self, value: u32) {
        self.current.put_u32(value);
    }

    /// `int64`
    pub fn i64(&mut self, value: i64) {
        self.current.put_i64(value);
    }

    /// `float64`
    pub fn f64(&mut self, value: f64) {
        self.current.put_f64(value);
    }

    /// `bool`
    pub fn bool(&mut self, value: bool) {
        self.current.put_u8(u8::from(value));
    }

    /// `uuid`
    pub fn uuid(&mut self, value: &[u8; 16]) {
        self.current.put_slice(value);
    }

    /// Unsigned varint (KIP-482).
    pub fn uvarint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.current.put_u8(u8::try_from(value & 0x7f).unwrap_or(0) | 0x80);
            value >>= 7;
        }
        self.current.put_u8(u8::try_from(value).unwrap_or(0));
    }

    /// Bytes as they are, copied.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.current.put_slice(bytes);
    }

    /// A compact length (one more than the value, 0 for null) where `flexible`, else `int32` (-1 for null).
    fn length(&mut self, length: Option<usize>, flexible: bool) {
        if flexible {
            self.uvarint(
                length.map_or(0, |length| u32::try_from(length + 1).expect("a frame is below 2 GiB")),
            );
        } else {
            self.i32(length.map_or(-1, |length| i32::try_from(length).expect("a frame is below 2 GiB")));
        }
    }

    /// `NULLABLE_STRING`, or its compact form. What is longer than a string may be is cut: strings from outside are
    /// checked where they enter, so that it can only be a text for people that quotes one.
    pub fn nullable_string(&mut self, value: Option<&str>, flexible: bool) {
        let value = value.map(|text| &text[..text.floor_char_boundary(STRING_BYTES_MAX)]);
        if flexible {
            self.length(value.map(str::len), true);
        } else {
            self.i16(value.map_or(-1, |text| i16::try_from(text.len()).expect("it was cut to what fits")));
        }
        self.raw(value.unwrap_or_default().as_bytes());
    }

    /// `STRING`, or its compact form.
    pub fn string(&mut self, value: &str, flexible: bool) {
        self.nullable_string(Some(value), flexible);
    }

    /// `NULLABLE_BYTES`, or its compact form; copied.
    pub fn nullable_bytes(&mut self, value: Option<&[u8]>, flexible: bool) {
        self.length(value.map(<[u8]>::len), flexible);
        self.raw(value.unwrap_or_default());
    }

    /// The count of an array; `None` for null.
    pub fn array_len(&mut self, count: Option<usize>, flexible: bool) {
        self.length(count, flexible);
    }

    /// `RECORDS`, or its compact form: the slices go out as they are, one after the other; `None` for null.
    pub fn records(&mut self, slices: Option<&[Bytes]>, flexible: bool) {
        self.length(slices.map(|slices| slices.iter().map(Bytes::len).sum()), flexible);
        for slice in slices.unwrap_or_default() {
            self.shared(slice.clone());
        }
    }

    /// A slice that goes out as it is.
    pub fn shared(&mut self, slice: Bytes) {
        if slice.is_empty() {
            return;
        }
        self.seal_current();
        self.complete += slice.len();
        self.pieces.push(slice);
    }

    /// No tagged fields.
    pub fn no_tagged_fields(&mut self) {
        self.uvarint(0);
    }

    /// A tagged field: its tag, its size, its bytes. `value` writes into a writer of its own, whose length becomes
    /// the size.
    ///
    /// # Errors
    /// What `value` returns.
    pub fn tagged_field(
        &mut self,
        tag: u32,
        value: impl FnOnce(&mut Writer) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let mut inner = Writer::new();
        value(&mut inner)?;
        self.uvarint(tag);
        self.uvarint(u32::try_from(inner.len()).expect("a frame is below 2 GiB"));
        for piece in inner.into_pieces() {
            self.raw(&piece);
        }
        Ok(())
    }

    fn seal_current(&mut self) {
        if self.current.is_empty() {
            return;
        }
        let piece = self.current.split();
        self.complete += piece.len();
        if self.first.is_none() && self.pieces.is_empty() {
            self.first = Some(piece);
        } else {
            self.pieces.push(piece.freeze());
        }
    }

    /// Whether a frame's length can tell what was written. What it can't must not be sent.
    #[must_use]
    pub fn fits(&self) -> bool {
        i32::try_from(self.len()).is_ok()
    }

    /// The bytes in order, ready for a vectored send.
    #[must_use]
    pub fn into_pieces(mut self) -> Vec<Bytes> {
        self.seal_current();
        let mut all = Vec::with_capacity(self.pieces.len() + 1);
        all.extend(self.first.map(BytesMut::freeze));
        all.append(&mut self.pieces);
        all
    }

    /// The bytes in order with the frame's length written over the first 4 bytes, which the caller left for it.
    #[must_use]
    pub fn into_frame(mut self) -> Vec<Bytes> {
        self.seal_current();
        let length = i32::try_from(self.complete - 4).expect("a response is below 2 GiB");
        let first = self.first.as_mut().expect("the writer started with the 4 bytes of the length");
        first[..4].copy_from_slice(&length.to_be_bytes());
        self.into_pieces()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Reader;

    #[test]
    fn records_are_shared_not_copied() {
        let records = Bytes::from_static(b"0123456789");
        let mut writer = Writer::new();
        writer.i32(0);
        writer.i16(7);
        writer.records(Some(&[records.slice(0..4), records.slice(4..10)]), true);
        writer.i8(1);
        let pieces = writer.into_frame();
        assert_eq!(pieces.len(), 4);
        assert_eq!(pieces[1].as_ptr(), records.as_ptr());
        assert_eq!(pieces.concat(), b"\0\0\0\x0e\0\x07\x0b0123456789\x01");
    }

    #[test]
    fn a_text_beyond_the_longest_string_is_cut_between_characters() {
        for (flexible, text) in [(false, "€".repeat(20_000)), (true, "€".repeat(20_000))] {
            let mut writer = Writer::new();
            writer.string(&text, flexible);
            let read = Reader::new(writer.into_pieces().concat().into()).string(flexible).unwrap();
            assert_eq!(read.as_str(), "€".repeat(32_767 / 3));
        }
    }

    #[test]
    fn varints_round_trip() {
        for value in (0..32).flat_map(|bit| [(1u32 << bit) - 1, 1u32 << bit]).chain([u32::MAX]) {
            let mut writer = Writer::new();
            writer.uvarint(value);
            assert_eq!(Reader::new(writer.into_pieces().concat().into()).uvarint(), Ok(value));
        }
    }
}
