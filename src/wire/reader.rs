//! Bounded reading of Kafka's primitive types from a shared buffer.
//!
//! Source: the protocol guide's "Protocol Primitive Types" and KIP-482 (compact lengths, tagged fields).

use super::text::Str;
use crate::base::limits::{DECODED_BYTES_MAX, STRING_BYTES_MAX, TAGGED_FIELDS_MAX};
use bytes::{Buf, Bytes};
use std::fmt;

/// Why bytes are not what their version says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The buffer ends before the value does.
    Truncated,
    /// A length is negative where null isn't allowed, or larger than the bytes that are left.
    Length,
    /// A varint is longer than its type.
    Varint,
    /// A string isn't UTF-8.
    Utf8,
    /// More tagged fields than `limits::TAGGED_FIELDS_MAX`, or a tagged field longer or shorter than its size says.
    Tags,
    /// A value that the schema doesn't allow there.
    Value,
    /// Bytes are left after the value.
    Trailing,
    /// The schema doesn't know this version.
    Version,
    /// More array elements than the reader may decode.
    Elements,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DecodeError::Truncated => "the bytes end before the value",
            DecodeError::Length => "a length is negative or beyond the bytes that are there",
            DecodeError::Varint => "a varint is longer than its type",
            DecodeError::Utf8 => "a string is not UTF-8",
            DecodeError::Tags => "the tagged fields are malformed or too many",
            DecodeError::Value => "a value is outside its range",
            DecodeError::Trailing => "bytes are left after the value",
            DecodeError::Version => "the version is unknown",
            DecodeError::Elements => "there are more array elements than one request may have",
        })
    }
}

impl std::error::Error for DecodeError {}

/// A cursor over one frame. What it hands out shares the frame's buffer.
#[derive(Clone, Debug)]
pub struct Reader {
    bytes: Bytes,
    /// Bytes of memory that array elements may still take.
    room: usize,
}

macro_rules! fixed {
    ($($(#[$doc:meta])* $name:ident -> $type:ty, $get:ident, $len:literal;)*) => {
        $($(#[$doc])*
        ///
        /// # Errors
        /// `Truncated`.
        #[inline]
        pub fn $name(&mut self) -> Result<$type, DecodeError> {
            if self.bytes.len() < $len {
                return Err(DecodeError::Truncated);
            }
            Ok(self.bytes.$get())
        })*
    };
}

impl Reader {
    /// Reads from the start of bytes that this build wrote, or whose size is bounded otherwise.
    #[must_use]
    pub fn new(bytes: Bytes) -> Self {
        Reader { bytes, room: usize::MAX }
    }

    /// Reads from the start of a client's request: its arrays take no more than `limits::DECODED_BYTES_MAX` of memory.
    #[must_use]
    pub fn of_request(bytes: Bytes) -> Self {
        Reader { bytes, room: DECODED_BYTES_MAX }
    }

    /// Notes an array element that takes `size` bytes of memory.
    ///
    /// # Errors
    /// `Elements`.
    #[inline]
    pub fn element(&mut self, size: usize) -> Result<(), DecodeError> {
        self.room = self.room.checked_sub(size).ok_or(DecodeError::Elements)?;
        Ok(())
    }

    /// Bytes that are left.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// What is left, sharing the buffer.
    #[must_use]
    pub fn rest(&self) -> Bytes {
        self.bytes.clone()
    }

    /// Succeeds if everything was read.
    ///
    /// # Errors
    /// `Trailing`.
    pub fn finish(&self) -> Result<(), DecodeError> {
        if self.bytes.is_empty() { Ok(()) } else { Err(DecodeError::Trailing) }
    }

    fixed! {
        /// `int8`
        i8 -> i8, get_i8, 1;
        /// `int16`
        i16 -> i16, get_i16, 2;
        /// `uint16`
        u16 -> u16, get_u16, 2;
        /// `int32`
        i32 -> i32, get_i32, 4;
        /// `uint32`
        u32 -> u32, get_u32, 4;
        /// `int64`
        i64 -> i64, get_i64, 8;
        /// `float64`
        f64 -> f64, get_f64, 8;
    }

    /// `bool`: any byte but 0 is true, as in Kafka.
    ///
    /// # Errors
    /// `Truncated`.
    #[inline]
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.i8()? != 0)
    }

    /// `uuid`: 16 bytes.
    ///
    /// # Errors
    /// `Truncated`.
    #[inline]
    pub fn uuid(&mut self) -> Result<[u8; 16], DecodeError> {
        let mut id = [0; 16];
        if self.bytes.len() < id.len() {
            return Err(DecodeError::Truncated);
        }
        self.bytes.copy_to_slice(&mut id);
        Ok(id)
    }

    /// Unsigned varint of at most 32 bits (KIP-482).
    ///
    /// # Errors
    /// `Truncated`, `Varint`.
    #[inline]
    pub fn uvarint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.u8()?;
            if shift == 28 && byte > 0x0f {
                return Err(DecodeError::Varint);
            }
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Varint)
    }

    #[inline]
    fn u8(&mut self) -> Result<u8, DecodeError> {
        if self.bytes.is_empty() { Err(DecodeError::Truncated) } else { Ok(self.bytes.get_u8()) }
    }

    /// The next `len` bytes, sharing the buffer.
    ///
    /// # Errors
    /// `Truncated`.
    #[inline]
    pub fn take(&mut self, len: usize) -> Result<Bytes, DecodeError> {
        if self.bytes.len() < len {
            return Err(DecodeError::Truncated);
        }
        Ok(self.bytes.split_to(len))
    }

    /// A nullable length: compact (unsigned varint, one more than the length, 0 for null) where `flexible`, else the
    /// fixed width that `read` reads (-1 for null).
    fn nullable_length(
        &mut self,
        flexible: bool,
        read: fn(&mut Reader) -> Result<i32, DecodeError>,
    ) -> Result<Option<usize>, DecodeError> {
        let length = if flexible { i64::from(self.uvarint()?) - 1 } else { i64::from(read(self)?) };
        if length == -1 {
            return Ok(None);
        }
        let length = usize::try_from(length).map_err(|_| DecodeError::Length)?;
        if length > self.bytes.len() {
            return Err(DecodeError::Length);
        }
        Ok(Some(length))
    }

    /// `NULLABLE_STRING`, or `COMPACT_NULLABLE_STRING` where `flexible`.
    ///
    /// # Errors
    /// `Truncated`, `Length`, `Varint`, `Utf8`.
    pub fn nullable_string(&mut self, flexible: bool) -> Result<Option<Str>, DecodeError> {
        match self.nullable_length(flexible, |r| r.i16().map(i32::from))? {
            None => Ok(None),
            // Kafka refuses it too. What got in by a compact length might have to go out by a short one.
            Some(length) if length > STRING_BYTES_MAX => Err(DecodeError::Length),
            Some(length) => Str::from_utf8(self.bytes.split_to(length)).map(Some).ok_or(DecodeError::Utf8),
        }
    }

    /// `STRING`, or `COMPACT_STRING` where `flexible`.
    ///
    /// # Errors
    /// As `nullable_string`; `Length` for null.
    pub fn string(&mut self, flexible: bool) -> Result<Str, DecodeError> {
        self.nullable_string(flexible)?.ok_or(DecodeError::Length)
    }

    /// `NULLABLE_BYTES` or `RECORDS`, or their compact forms where `flexible`. Shares the buffer.
    ///
    /// # Errors
    /// `Truncated`, `Length`, `Varint`.
    pub fn nullable_bytes(&mut self, flexible: bool) -> Result<Option<Bytes>, DecodeError> {
        let length = self.nullable_length(flexible, Reader::i32)?;
        Ok(length.map(|length| self.bytes.split_to(length)))
    }

    /// `BYTES`, or `COMPACT_BYTES` where `flexible`. Shares the buffer.
    ///
    /// # Errors
    /// As `nullable_bytes`; `Length` for null.
    pub fn bytes(&mut self, flexible: bool) -> Result<Bytes, DecodeError> {
        self.nullable_bytes(flexible)?.ok_or(DecodeError::Length)
    }

    /// The count of an array, `None` for null. An element takes at least one byte, so a count beyond the bytes that
    /// are left is refused here, before anyone reserves room for it.
    ///
    /// # Errors
    /// `Truncated`, `Length`, `Varint`.
    pub fn array_len(&mut self, flexible: bool) -> Result<Option<usize>, DecodeError> {
        self.nullable_length(flexible, Reader::i32)
    }

    /// Reads the tagged fields of a structure (KIP-482). `field` gets each tag with a reader over just its bytes and
    /// says whether it knew the tag; unknown tags are skipped.
    ///
    /// # Errors
    /// `Tags` for too many, for tags out of order, or for a known field that doesn't fill its size; else what `field`
    /// returns.
    pub fn tagged_fields(
        &mut self,
        mut field: impl FnMut(u32, &mut Reader) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        let count = self.uvarint()?;
        if usize::try_from(count).map_or(true, |count| count > TAGGED_FIELDS_MAX) {
            return Err(DecodeError::Tags);
        }
        let mut last = None;
        for _ in 0..count {
            let tag = self.uvarint()?;
            if last.is_some_and(|last| tag <= last) {
                return Err(DecodeError::Tags);
            }
            last = Some(tag);
            let size = usize::try_from(self.uvarint()?).map_err(|_| DecodeError::Length)?;
            let mut value = Reader { bytes: self.take(size)?, room: self.room };
            let known = field(tag, &mut value)?;
            self.room = value.room;
            if known && value.remaining() != 0 {
                return Err(DecodeError::Tags);
            }
        }
        Ok(())
    }

    /// Skips the tagged fields of a structure whose schema has none.
    ///
    /// # Errors
    /// As `tagged_fields`.
    pub fn skip_tagged_fields(&mut self) -> Result<(), DecodeError> {
        self.tagged_fields(|_, _| Ok(false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(bytes: &'static [u8]) -> Reader {
        Reader::new(Bytes::from_static(bytes))
    }

    #[test]
    fn varints_are_bounded() {
        assert_eq!(reader(&[0xff, 0xff, 0xff, 0xff, 0x0f]).uvarint(), Ok(u32::MAX));
        assert_eq!(reader(&[0xff, 0xff, 0xff, 0xff, 0x1f]).uvarint(), Err(DecodeError::Varint));
        assert_eq!(reader(&[0x80]).uvarint(), Err(DecodeError::Truncated));
        assert_eq!(reader(&[0xac, 0x02]).uvarint(), Ok(300));
    }

    #[test]
    fn a_claimed_length_beyond_the_bytes_is_refused() {
        assert_eq!(reader(&[0x7f, 0xff, 0xff, 0xff]).nullable_bytes(false), Err(DecodeError::Length));
        assert_eq!(reader(&[0x7f, 0xff, 0xff, 0xff]).array_len(false), Err(DecodeError::Length));
        assert_eq!(reader(&[0x7f, 0xff]).nullable_string(false), Err(DecodeError::Length));
        assert_eq!(reader(&[0xff, 0xfe]).nullable_string(false), Err(DecodeError::Length));
    }

    #[test]
    fn elements_are_paid_for_in_tagged_fields_as_well() {
        let mut request = Reader::of_request(Bytes::from_static(&[1, 3, 1, 9]));
        assert_eq!(request.element(DECODED_BYTES_MAX - 10), Ok(()));
        let spend = |_, value: &mut Reader| value.i8().and_then(|_| value.element(8)).map(|()| true);
        assert_eq!(request.tagged_fields(spend), Ok(()));
        assert_eq!(request.element(3), Err(DecodeError::Elements));
        assert_eq!(reader(&[]).element(usize::MAX), Ok(()), "what isn't a client's has no such bound");
    }

    #[test]
    fn null_is_minus_one_or_compact_zero() {
        assert_eq!(reader(&[0xff, 0xff]).nullable_string(false), Ok(None));
        assert_eq!(reader(&[0]).nullable_string(true), Ok(None));
        assert_eq!(reader(&[1]).nullable_string(true), Ok(Some(Str::EMPTY)));
        assert_eq!(reader(&[0]).string(true), Err(DecodeError::Length));
    }

    #[test]
    fn no_string_is_longer_than_the_old_length_can_say() {
        let longest = [&[0x80, 0x80, 0x02][..], &[b'a'; 32767]].concat();
        assert!(Reader::new(longest.into()).string(true).is_ok());
        let longer = [&[0x81, 0x80, 0x02][..], &[b'a'; 32768]].concat();
        assert_eq!(Reader::new(longer.into()).string(true), Err(DecodeError::Length));
    }

    #[test]
    fn tagged_fields_are_skipped_ordered_and_counted() {
        let mut seen = vec![];
        let fields = |tag: u32, value: &mut Reader, seen: &mut Vec<u32>| {
            seen.push(tag);
            if tag == 1 { value.i8().map(|_| true) } else { Ok(false) }
        };
        assert_eq!(reader(&[2, 1, 1, 9, 5, 2, 0, 0]).tagged_fields(|t, v| fields(t, v, &mut seen)), Ok(()));
        assert_eq!(seen, [1, 5]);
        assert_eq!(
            reader(&[1, 1, 2, 9, 9]).tagged_fields(|t, v| fields(t, v, &mut seen)),
            Err(DecodeError::Tags)
        );
        assert_eq!(reader(&[2, 5, 0, 5, 0]).skip_tagged_fields(), Err(DecodeError::Tags));
        assert_eq!(reader(&[0xff, 0xff, 0x03]).skip_tagged_fields(), Err(DecodeError::Tags));
    }
}
