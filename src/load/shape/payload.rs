//! Payloads that compress as far as one wishes.

use crate::base::random::Random;

/// Bytes within which the wished ratio holds: less than any codec's window.
const BLOCK: usize = 256;

/// What the compressible part is made of.
const TEXT: &[u8] = b"{\"event\":\"order\",\"state\":\"open\",\"amount\":0,\"currency\":\"EUR\"} ";

/// Fills a payload that a good codec makes about `ratio` times smaller: of each block, 1 / `ratio` is random and the
/// rest repeats itself. With a ratio of 1 nothing compresses.
pub fn fill_payload(payload: &mut [u8], ratio: f64, random: &mut Random) {
    for block in payload.chunks_mut(BLOCK) {
        let hard = ((block.len() as f64 / ratio.max(1.0)).round() as usize).min(block.len());
        let (noise, text) = block.split_at_mut(hard);
        for chunk in noise.chunks_mut(8) {
            let bytes = random.next_u64().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        text.iter_mut().zip(TEXT.iter().cycle()).for_each(|(byte, letter)| *byte = *letter);
    }
}

#[cfg(test)]
mod tests {
    use super::fill_payload;
    use crate::base::random::Random;
    use crate::wire::batch::Codec;
    use crate::wire::compress::compress;

    #[test]
    fn codecs_reach_about_the_wished_ratio() {
        for (ratio, low, high) in [(1.0, 0.9, 1.05), (2.0, 1.6, 2.4), (5.0, 3.2, 6.0)] {
            let mut payload = vec![0; 128 * 1024];
            let mut random = Random::new(4);
            payload.chunks_mut(1024).for_each(|record| fill_payload(record, ratio, &mut random));
            for codec in [Codec::Lz4, Codec::Zstd, Codec::Gzip, Codec::Snappy] {
                let found = payload.len() as f64 / compress(codec, &payload).len() as f64;
                assert!((low..high).contains(&found), "{codec:?}: {found} for {ratio}");
            }
        }
    }
}
