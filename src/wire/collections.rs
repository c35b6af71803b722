//! Arrays and record sets of generated messages.

use super::{DecodeError, Reader};
use bytes::Bytes;

/// Elements that are reserved before they are decoded. A count is what the peer claims; the rest grows with what
/// is there.
const RESERVED_ELEMENTS: usize = 64;

/// Reads a nullable array.
pub(crate) fn nullable_array<T>(
    reader: &mut Reader,
    flexible: bool,
    mut element: impl FnMut(&mut Reader) -> Result<T, DecodeError>,
) -> Result<Option<Vec<T>>, DecodeError> {
    let Some(count) = reader.array_len(flexible)? else { return Ok(None) };
    let mut list = Vec::with_capacity(count.min(RESERVED_ELEMENTS));
    for _ in 0..count {
        reader.element(size_of::<T>())?;
        list.push(element(reader)?);
    }
    Ok(Some(list))
}

/// Reads an array that can't be null.
pub(crate) fn array<T>(
    reader: &mut Reader,
    flexible: bool,
    element: impl FnMut(&mut Reader) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    nullable_array(reader, flexible, element)?.ok_or(DecodeError::Length)
}

/// A record set: slices that follow each other on the wire and are never copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records(pub Vec<Bytes>);

impl Records {
    /// Bytes in all slices.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<Bytes> for Records {
    fn from(slice: Bytes) -> Self {
        Records(vec![slice])
    }
}
