//! Seeded mutations, for where no fuzzer runs. No coverage guides them; they keep the targets from rotting.

use ringlog::base::random::Random;

/// Values that lengths, counts and versions go wrong at.
const EDGES: [u8; 8] = [0, 1, 2, 0x7f, 0x80, 0xfe, 0xff, 0x10];

fn index(random: &mut Random, bound: usize) -> usize {
    usize::try_from(random.below(bound as u64)).expect("an index")
}

/// One input made of a seed, and of another one where they are spliced.
pub fn mutate(seed: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(4) {
        if bytes.is_empty() {
            bytes.push(EDGES[index(random, EDGES.len())]);
        }
        let at = index(random, bytes.len());
        match random.below(8) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 | 2 => bytes[at] = EDGES[index(random, EDGES.len())],
            3 => {
                let end = (at + 4).min(bytes.len());
                bytes[at..end].fill(EDGES[index(random, EDGES.len())]);
            }
            4 => bytes.truncate(at),
            5 => drop(bytes.drain(at..(at + 1 + index(random, 8)).min(bytes.len()))),
            6 => {
                let piece = bytes[at..(at + 1 + index(random, 16)).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => {
                let from = index(random, other.len() + 1);
                bytes.truncate(at);
                bytes.extend(&other[from..]);
            }
        }
    }
    bytes
}
