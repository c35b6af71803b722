//! Keys: which of them a record has, how they are written, and to which partition they lead.

use super::size::unit;
use crate::base::random::Random;

/// Which keys records have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Keys {
    /// None: a batch at a time goes to each partition in turn.
    None,
    /// So many, with equal chance.
    Uniform(u64),
    /// So many; the k-th most frequent has a share of 1 / k^exponent.
    Zipf {
        /// How many.
        count: u64,
        /// 0.99 is what many stores are measured with (YCSB).
        exponent: f64,
    },
    /// So many, of which a part gets a larger share of the records.
    Hot {
        /// How many.
        count: u64,
        /// Which part of the keys is hot, between 0 and 1.
        part: f64,
        /// Which share of the records those get.
        share: f64,
    },
}

/// Keys with what is needed to draw them.
#[derive(Clone, Debug)]
pub struct KeyShape {
    keys: Keys,
    zipf: Option<Zipf>,
}

impl KeyShape {
    /// For these keys.
    #[must_use]
    pub fn new(keys: Keys) -> Self {
        let zipf = match keys {
            Keys::Zipf { count, exponent } => Some(Zipf::new(count, exponent)),
            _ => None,
        };
        KeyShape { keys, zipf }
    }

    /// The number of the next record's key.
    #[must_use]
    pub fn draw(&self, random: &mut Random) -> u64 {
        match (self.keys, &self.zipf) {
            (Keys::Uniform(count), _) => random.below(count),
            (Keys::Zipf { count, .. }, Some(zipf)) => scatter(zipf.draw(random) - 1, count),
            (Keys::Hot { count, part, share }, _) => {
                let hot = ((count as f64 * part) as u64).clamp(1, count);
                let cold = count - hot;
                if cold == 0 || unit(random) < share { random.below(hot) } else { hot + random.below(cold) }
            }
            _ => 0,
        }
    }
}

/// Moves ranks about, so that the most frequent keys aren't neighbours: one step of a multiplication that has no common
/// factor with the count.
fn scatter(rank: u64, count: u64) -> u64 {
    let mut factor = 0x9e37_79b9_7f4a_7c15 % count.max(1);
    while gcd(factor, count) != 1 {
        factor += 1;
    }
    u64::try_from(u128::from(rank) * u128::from(factor) % u128::from(count)).unwrap_or(0)
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Draws ranks by rejection-inversion, whatever their number (Hörmann and Derflinger 1996).
#[derive(Clone, Debug)]
struct Zipf {
    count: f64,
    exponent: f64,
    integral_first: f64,
    integral_count: f64,
    threshold: f64,
}

impl Zipf {
    fn new(count: u64, exponent: f64) -> Self {
        let mut zipf =
            Zipf { count: count as f64, exponent, integral_first: 0.0, integral_count: 0.0, threshold: 0.0 };
        zipf.integral_first = zipf.integral(1.5) - 1.0;
        zipf.integral_count = zipf.integral(zipf.count + 0.5);
        zipf.threshold = 2.0 - zipf.inverse(zipf.integral(2.5) - zipf.weight(2.0));
        zipf
    }

    fn weight(&self, x: f64) -> f64 {
        x.powf(-self.exponent)
    }

    fn integral(&self, x: f64) -> f64 {
        let log = x.ln();
        expm1_over(log * (1.0 - self.exponent)) * log
    }

    fn inverse(&self, x: f64) -> f64 {
        let t = (x * (1.0 - self.exponent)).max(-1.0);
        (log1p_over(t) * x).exp()
    }

    fn draw(&self, random: &mut Random) -> u64 {
        loop {
            let u = self.integral_count + unit(random) * (self.integral_first - self.integral_count);
            let x = self.inverse(u);
            let k = x.round().clamp(1.0, self.count);
            if k - x <= self.threshold || u >= self.integral(k + 0.5) - self.weight(k) {
                return k as u64;
            }
        }
    }
}

/// (e^x - 1) / x, also near 0.
fn expm1_over(x: f64) -> f64 {
    if x.abs() > 1e-8 { x.exp_m1() / x } else { 1.0 + x / 2.0 }
}

/// ln(1 + x) / x, also near 0.
fn log1p_over(x: f64) -> f64 {
    if x.abs() > 1e-8 { x.ln_1p() / x } else { 1.0 - x / 2.0 }
}

/// Writes a key: its number as hexadecimal digits that fill the slice.
pub fn write_key(mut number: u64, into: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in into.iter_mut().rev() {
        *byte = DIGITS[(number & 15) as usize];
        number >>= 4;
    }
}

/// The partition that Kafka's clients send a key to (`BuiltInPartitioner.partitionForKey`).
#[must_use]
pub fn partition_of(key: &[u8], partitions: usize) -> usize {
    (murmur2(key) & 0x7fff_ffff) as usize % partitions
}

/// Murmur 2 as `org.apache.kafka.common.utils.Utils.murmur2` has it.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ (data.len() as u32);
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0, |tail, byte| tail << 8 | u32::from(*byte));
        hash = (hash ^ tail).wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(keys: Keys, count: usize) -> Vec<usize> {
        let (shape, mut random) = (KeyShape::new(keys), Random::new(9));
        let mut counts = vec![0; count];
        (0..200_000).for_each(|_| counts[shape.draw(&mut random) as usize] += 1);
        counts.sort_unstable_by(|a, b| b.cmp(a));
        counts
    }

    /// Values of `UtilsTest.testMurmur2` of Apache Kafka.
    #[test]
    fn murmur2_is_kafkas() {
        for (text, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(text.as_bytes()).cast_signed(), hash, "{text}");
        }
    }

    #[test]
    fn zipf_shares_fall_as_they_should() {
        for exponent in [0.99, 1.0, 1.3] {
            let counts = counts(Keys::Zipf { count: 1000, exponent }, 1000);
            let total: f64 = (1..=1000).map(|k| f64::from(k).powf(-exponent)).sum();
            for rank in [1, 2, 10] {
                let expected = 200_000.0 * f64::from(rank).powf(-exponent) / total;
                let found = counts[rank as usize - 1] as f64;
                assert!((found / expected - 1.0).abs() < 0.1, "{exponent} {rank}: {found} for {expected}");
            }
        }
    }

    #[test]
    fn a_hot_set_gets_its_share() {
        let counts = counts(Keys::Hot { count: 100, part: 0.2, share: 0.8 }, 100);
        let hot: usize = counts[..20].iter().sum();
        assert!((hot as f64 / 200_000.0 - 0.8).abs() < 0.01, "{hot}");
        assert!(counts[99] > 0);
    }

    #[test]
    fn keys_fill_their_slice() {
        let mut key = [0; 8];
        write_key(0x00ab_cdef, &mut key);
        assert_eq!(&key, b"00abcdef");
        let mut short = [0; 2];
        write_key(0x1234, &mut short);
        assert_eq!(&short, b"34");
    }
}
