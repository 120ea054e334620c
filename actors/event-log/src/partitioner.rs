//! Which partition a key belongs to: as Java clients and librdkafka's `murmur2` say.
//!
//! With one rule for all logs, a key keeps its partition when a node moves from the embedded log to
//! Kafka, and programs in other languages that write the same topics agree.

/// The multiplier of MurmurHash2.
const M: u32 = 0x5bd1_e995;

/// The seed that Kafka's clients use.
const SEED: u32 = 0x9747_b28c;

/// MurmurHash2 of `key`, 32 bits, with the seed of Kafka's clients.
#[must_use]
pub fn murmur2(key: &[u8]) -> u32 {
    // The length is mixed in as 32 bits; no key is that long.
    let length = u32::try_from(key.len()).unwrap_or(u32::MAX);
    let (words, tail) = key.as_chunks::<4>();
    let mut hash = SEED ^ length;
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        let rest = tail.iter().rev().fold(0, |rest, byte| (rest << 8) | u32::from(*byte));
        hash = (hash ^ rest).wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// The partition of `key` among `partitions` (0 counts as 1), from 0.
#[must_use]
pub fn partition(key: &[u8], partitions: u32) -> u32 {
    // Kafka's clients drop the sign bit rather than take the absolute value.
    (murmur2(key) & 0x7fff_ffff) % partitions.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values that the tests of Kafka's Java client expect of it.
    #[test]
    fn hashes_as_the_java_client() {
        let golden: [(&str, i32); 6] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ];
        for (key, hash) in golden {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }

    /// The values that the tests of librdkafka expect of it, one for each length of the tail.
    #[test]
    fn hashes_as_librdkafka() {
        let golden = [
            ("kafka", 0xd067_cf64),
            ("giberish123456789", 0x8f55_2b0c),
            ("1234", 0x9fc9_7b14),
            ("234", 0xe7c0_09ca),
            ("34", 0x8739_30da),
            ("4", 0x5a4b_5ca1),
            ("", 0x106e_08d9),
        ];
        for (key, hash) in golden {
            assert_eq!(murmur2(key.as_bytes()), hash, "{key}");
        }
    }

    #[test]
    fn drops_the_sign_bit() {
        // -973932308 without its sign bit is 1173551340.
        assert_eq!(partition(b"21", 1000), 340);
        assert_eq!(partition(b"21", 1), 0);
        assert_eq!(partition(b"21", 0), 0);
    }

    #[test]
    fn spreads_ids_over_partitions() {
        let mut counts = [0_u32; 6];
        for n in 0..6000_u32 {
            counts[partition(format!("{n:040x}").as_bytes(), 6) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
    }
}
