//! Which segments go (row 121).

use crate::base::Offset;

/// What retention needs to know of a segment that takes no more appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Offset after its last record.
    pub next_offset: Offset,
    /// Its size.
    pub bytes: u64,
    /// Its largest timestamp.
    pub largest_timestamp: i64,
}

/// The bounds in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Keep records younger than this.
    pub retention_ms: Option<i64>,
    /// Keep this many bytes.
    pub retention_bytes: Option<u64>,
    /// Keep records from here on.
    pub log_start: Offset,
    /// Keep records from here on, whatever the rest says: consumers haven't been able to see them.
    pub high_watermark: Offset,
}

/// How many of the oldest sealed segments go. `active_bytes` counts towards the size.
#[must_use]
pub fn plan(sealed: &[Sealed], active_bytes: u64, bounds: &Bounds, now_ms: i64) -> usize {
    let mut total = active_bytes + sealed.iter().map(|segment| segment.bytes).sum::<u64>();
    let mut count = 0;
    for segment in sealed {
        let old = bounds.retention_ms.is_some_and(|ms| now_ms.saturating_sub(segment.largest_timestamp) > ms);
        // As Kafka does: a segment goes only if what is left still reaches the bound.
        let surplus =
            bounds.retention_bytes.is_some_and(|bytes| total.saturating_sub(segment.bytes) >= bytes);
        let deleted = segment.next_offset <= bounds.log_start;
        if !(old || surplus || deleted) || segment.next_offset > bounds.high_watermark {
            break;
        }
        total -= segment.bytes;
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments() -> Vec<Sealed> {
        (1..=4).map(|i| Sealed { next_offset: i * 10, bytes: 100, largest_timestamp: i * 1000 }).collect()
    }

    const KEEP: Bounds =
        Bounds { retention_ms: None, retention_bytes: None, log_start: 0, high_watermark: 100 };

    #[test]
    fn time_size_and_deletion_let_the_oldest_go() {
        assert_eq!(plan(&segments(), 50, &KEEP, 9000), 0);
        assert_eq!(plan(&segments(), 50, &Bounds { retention_ms: Some(6500), ..KEEP }, 9000), 2);
        assert_eq!(plan(&segments(), 50, &Bounds { retention_bytes: Some(250), ..KEEP }, 9000), 2);
        assert_eq!(plan(&segments(), 50, &Bounds { log_start: 30, ..KEEP }, 9000), 3);
        assert_eq!(plan(&segments(), 50, &Bounds { log_start: 39, ..KEEP }, 9000), 3);
    }

    #[test]
    fn nothing_unseen_goes() {
        assert_eq!(
            plan(&segments(), 50, &Bounds { retention_ms: Some(0), high_watermark: 15, ..KEEP }, 9000),
            1
        );
    }
}
