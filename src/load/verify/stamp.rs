//! What each record says of itself, at the beginning of its value: which run and lane sent it, its sequence number
//! there, when it was due, and a checksum over all that and the payload. Any broker carries it.
//!
//! | bytes | |
//! |---|---|
//! | 0..4 | run: a number drawn for each run, so that records of older ones are told apart |
//! | 4..8 | lane: the producing client |
//! | 8..16 | sequence: counted per lane and partition, from 0 |
//! | 16..24 | due: when it should have been sent, in ns since 1970-01-01 UTC |
//! | 24..28 | CRC-32C over the payload behind the stamp, then bytes 0..24 |

/// Bytes of a stamp.
pub const STAMP_BYTES: usize = 28;

/// Bytes before the checksum.
const FIELDS_BYTES: usize = 24;

/// What a record says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The run.
    pub run: u32,
    /// The producing client.
    pub lane: u32,
    /// Its number within lane and partition.
    pub sequence: u64,
    /// When it was due, in ns since 1970-01-01 UTC.
    pub due_ns: u64,
}

impl Stamp {
    /// The part of the checksum that doesn't change while the payload stays.
    #[must_use]
    pub fn payload_sum(payload: &[u8]) -> u32 {
        crc32c::crc32c(payload)
    }

    /// Writes the stamp to the beginning of a value whose payload has this sum.
    pub fn write(&self, value: &mut [u8], payload_sum: u32) {
        let value = &mut value[..STAMP_BYTES];
        value[0..4].copy_from_slice(&self.run.to_be_bytes());
        value[4..8].copy_from_slice(&self.lane.to_be_bytes());
        value[8..16].copy_from_slice(&self.sequence.to_be_bytes());
        value[16..24].copy_from_slice(&self.due_ns.to_be_bytes());
        let sum = crc32c::crc32c_append(payload_sum, &value[..FIELDS_BYTES]);
        value[24..28].copy_from_slice(&sum.to_be_bytes());
    }

    /// The stamp of a value, unchecked; `None` if the value is too short for one.
    #[must_use]
    pub fn read(value: &[u8]) -> Option<Stamp> {
        let (run, rest) = value.split_first_chunk::<4>()?;
        let (lane, rest) = rest.split_first_chunk::<4>()?;
        let (sequence, rest) = rest.split_first_chunk::<8>()?;
        let (due_ns, rest) = rest.split_first_chunk::<8>()?;
        let _sum = rest.first_chunk::<4>()?;
        Some(Stamp {
            run: u32::from_be_bytes(*run),
            lane: u32::from_be_bytes(*lane),
            sequence: u64::from_be_bytes(*sequence),
            due_ns: u64::from_be_bytes(*due_ns),
        })
    }

    /// Whether a value's checksum fits.
    #[must_use]
    pub fn sum_fits(value: &[u8]) -> bool {
        if value.len() < STAMP_BYTES {
            return false;
        }
        let sum = crc32c::crc32c_append(crc32c::crc32c(&value[STAMP_BYTES..]), &value[..FIELDS_BYTES]);
        value[FIELDS_BYTES..STAMP_BYTES] == sum.to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_comes_back_and_damage_shows() {
        let mut value = vec![7; 100];
        let stamp = Stamp { run: 5, lane: 3, sequence: 1 << 40, due_ns: 1_767_225_600_000_000_000 };
        stamp.write(&mut value, Stamp::payload_sum(&[7; 72]));
        assert_eq!(Stamp::read(&value), Some(stamp));
        assert!(Stamp::sum_fits(&value));
        for at in [0, 15, 25, 99] {
            let mut damaged = value.clone();
            damaged[at] ^= 1;
            assert!(!Stamp::sum_fits(&damaged), "byte {at}");
        }
        assert!(Stamp::read(&value[..27]).is_none() && !Stamp::sum_fits(&value[..27]));
    }
}
