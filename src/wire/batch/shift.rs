//! What zeros do to a CRC-32C: the part of its linearity that lets a batch be sealed without reading all of it.
//!
//! A CRC without its initial and final complement is linear over GF(2): the CRC of two byte strings combined by XOR is
//! the XOR of their CRCs. So bytes that never change are read once, and those that do are laid over zeros. (Source:
//! the construction of `crc32_combine` in zlib, by Mark Adler.)

/// The state after more bytes, without the complements of the finished form.
pub(super) fn advance(state: u32, bytes: &[u8]) -> u32 {
    !crc32c::crc32c_append(!state, bytes)
}

/// A 32 × 32 matrix over GF(2), by columns.
type Matrix = [u32; 32];

fn apply(matrix: &Matrix, state: u32) -> u32 {
    let columns = matrix.iter().enumerate();
    columns.fold(0, |sum, (bit, column)| if state >> bit & 1 == 1 { sum ^ column } else { sum })
}

/// What a fixed number of zero bytes does to a state, as four tables.
#[derive(Clone)]
pub(super) struct Shift {
    bytes: usize,
    tables: Box<[[u32; 256]; 4]>,
}

impl Shift {
    /// For so many zeros.
    pub(super) fn new(bytes: usize) -> Self {
        let mut power: Matrix = std::array::from_fn(|bit| advance(1 << bit, &[0]));
        let mut matrix: Matrix = std::array::from_fn(|bit| 1 << bit);
        let mut rest = bytes;
        while rest > 0 {
            if rest & 1 == 1 {
                matrix = std::array::from_fn(|bit| apply(&power, matrix[bit]));
            }
            power = std::array::from_fn(|bit| apply(&power, power[bit]));
            rest >>= 1;
        }
        let table = |byte: usize| {
            std::array::from_fn(|value| apply(&matrix, u32::try_from(value).unwrap_or(0) << (8 * byte)))
        };
        Shift { bytes, tables: Box::new(std::array::from_fn(table)) }
    }

    /// How many zeros.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The state after them.
    pub(super) fn apply(&self, state: u32) -> u32 {
        let [a, b, c, d] = state.to_le_bytes();
        self.tables[0][usize::from(a)]
            ^ self.tables[1][usize::from(b)]
            ^ self.tables[2][usize::from(c)]
            ^ self.tables[3][usize::from(d)]
    }
}

#[cfg(test)]
mod tests {
    use super::{Shift, advance};
    use crate::base::random::Random;

    #[test]
    fn a_shift_is_what_zeros_do() {
        let mut random = Random::new(3);
        for bytes in [0, 1, 2, 3, 7, 64, 995, 1024, 70_000] {
            let (shift, zeros) = (Shift::new(bytes), vec![0; bytes]);
            for _ in 0..20 {
                let state = u32::try_from(random.next_u64() >> 32).unwrap();
                assert_eq!(shift.apply(state), advance(state, &zeros), "{bytes} zeros");
            }
        }
    }
}
