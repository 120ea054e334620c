//! Diffie and Hellman's key exchange over the 768-bit prime of MSE.
//!
//! Numbers are twelve 64-bit words, the lowest first, multiplied in Montgomery's form. The time that
//! it takes betrays the bits of the private key to who can measure it; as each key is used once and
//! for obfuscation only, that is accepted.

use std::fmt;

use rand::Rng;

/// Length of a public key and of the shared secret in bytes, highest byte first.
pub(super) const KEY_LEN: usize = 96;
/// Length of a private key in bytes: 160 bits, as MSE recommends.
const SECRET_LEN: usize = 20;
const WORDS: usize = 12;

type Number = [u64; WORDS];

/// The prime, chosen by MSE.
const PRIME: Number = [
    0x0000_0000_0009_0563,
    0xf44c_42e9_a63a_3621,
    0xe485_b576_625e_7ec6,
    0x4fe1_356d_6d51_c245,
    0x302b_0a6d_f25f_1437,
    0xef95_19b3_cd3a_431b,
    0x514a_0879_8e34_04dd,
    0x020b_bea6_3b13_9b22,
    0x2902_4e08_8a67_cc74,
    0xc4c6_628b_80dc_1cd1,
    0xc90f_daa2_2168_c234,
    0xffff_ffff_ffff_ffff,
];
/// The square of 2^768, modulo the prime: a factor of this takes a number to Montgomery's form.
const TO_MONTGOMERY: Number = [
    0x95f0_1940_4628_1a8e,
    0xff0c_a2a3_d838_c985,
    0x6d9f_1759_93af_6d83,
    0xd4c8_5168_a99a_751f,
    0x3423_ecee_2ddc_6158,
    0xd515_b23c_d4ac_e6dd,
    0x112c_e562_82e5_1749,
    0x3361_bff3_3a35_e04b,
    0xafbc_0835_54e8_5ee3,
    0xa95d_0ecb_c567_9266,
    0x8d00_1cb9_8c6f_28c7,
    0xa613_0c9d_54da_3d53,
];
/// What the prime's lowest word has to be multiplied with for -1, modulo 2^64.
const NEGATIVE_INVERSE: u64 = 0x6d5d_6e69_9507_5bb5;
const ONE: Number = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const GENERATOR: Number = [2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// A private key.
pub(super) struct Secret([u8; SECRET_LEN]);

/// Shows nothing of the key.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").finish_non_exhaustive()
    }
}

impl Secret {
    /// Draws a key.
    pub(super) fn draw(rng: &mut impl Rng) -> Self {
        Self(rng.random())
    }

    /// The public key to send.
    pub(super) fn public_key(&self) -> [u8; KEY_LEN] {
        to_bytes(&power(&GENERATOR, &self.0))
    }

    /// The secret shared with the owner of a public key.
    ///
    /// `None` for keys that make the secret known to everybody (0, 1 and the prime less 1) and for
    /// what is no number below the prime.
    pub(super) fn agree(&self, public_key: &[u8; KEY_LEN]) -> Option<[u8; KEY_LEN]> {
        let number = from_bytes(public_key);
        let mut last = PRIME;
        last[0] -= 1;
        let is_fit = is_less(&ONE, &number) && is_less(&number, &last);
        is_fit.then(|| to_bytes(&power(&number, &self.0)))
    }
}

/// `base` to the power of `exponent`, whose highest byte is first.
fn power(base: &Number, exponent: &[u8]) -> Number {
    let base = multiply(base, &TO_MONTGOMERY);
    let mut result = multiply(&ONE, &TO_MONTGOMERY);
    for byte in exponent {
        for bit in (0..8).rev() {
            result = multiply(&result, &result);
            if byte >> bit & 1 == 1 {
                result = multiply(&result, &base);
            }
        }
    }
    multiply(&result, &ONE)
}

/// `a * b / 2^768` modulo the prime: the product of numbers in Montgomery's form, in that form.
///
/// Both must be below the prime. Invariant of the loop: `sum` with `high` above it is less than twice
/// the prime.
fn multiply(a: &Number, b: &Number) -> Number {
    let mut sum = [0; WORDS];
    let mut high = 0_u64;
    for &digit in b {
        let carry = add_product(&mut sum, a, digit);
        let (top, over) = high.overflowing_add(carry);
        // This multiple of the prime makes the lowest word 0: it can be dropped.
        let factor = sum[0].wrapping_mul(NEGATIVE_INVERSE);
        let carry = add_product(&mut sum, &PRIME, factor);
        sum.rotate_left(1);
        let (top, over_again) = top.overflowing_add(carry);
        sum[WORDS - 1] = top;
        high = u64::from(over) + u64::from(over_again);
    }
    if high > 0 || !is_less(&sum, &PRIME) {
        subtract(&mut sum, &PRIME);
    }
    sum
}

/// Adds `a * digit` to `sum` and returns the word that does not fit.
fn add_product(sum: &mut Number, a: &Number, digit: u64) -> u64 {
    let mut carry = 0;
    for (word, &factor) in sum.iter_mut().zip(a) {
        (*word, carry) = factor.carrying_mul_add(digit, *word, carry);
    }
    carry
}

/// Takes `b` from `a`, modulo 2^768.
fn subtract(a: &mut Number, b: &Number) {
    let mut borrow = false;
    for (word, &other) in a.iter_mut().zip(b) {
        (*word, borrow) = word.borrowing_sub(other, borrow);
    }
}

fn is_less(a: &Number, b: &Number) -> bool {
    a.iter().rev().lt(b.iter().rev())
}

fn from_bytes(bytes: &[u8; KEY_LEN]) -> Number {
    let mut number = [0; WORDS];
    let (words, _) = bytes.as_chunks();
    for (word, bytes) in number.iter_mut().rev().zip(words) {
        *word = u64::from_be_bytes(*bytes);
    }
    number
}

fn to_bytes(number: &Number) -> [u8; KEY_LEN] {
    let mut bytes = [0; KEY_LEN];
    let (words, _) = bytes.as_chunks_mut();
    for (bytes, word) in words.iter_mut().zip(number.iter().rev()) {
        *bytes = word.to_be_bytes();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(hex: &str) -> [u8; KEY_LEN] {
        let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        std::array::from_fn(|at| digit(2 * at))
    }

    // Computed with Python's pow().
    const PUBLIC_A: &str = "96e112dab29e8c5272accb9b17b26887ce54a144a4e3b697c7d159b7a817e556\
        b0918db2b4c658e02a87f7e5fb14b18a553e084cbf3dad2d30f16596ccb982d4\
        06258c61b30c5c1dae2ddc60bdbd48d79896312aad63238c39e1a633821eb693";
    const PUBLIC_B: &str = "fe9aac142f64ad4d5bca7e30bea17d62c709de9e4c5694e2b27e8c6ed82510bb\
        57952fcce38f6a5084b9699ec34b033ed1a0dbd51d70274bff40ae493f0ce2cd\
        bd3cbd6055c9677a7eb70d29f4d8ecfbc2625316a7ae1a0d3d6605f0406bad79";
    const SHARED: &str = "3adb0afff0af5a57448d2c9942ba132cd670d27879b5bf7745c8c4fd2ce1bc68\
        e599e1c7ae211b44220a1ce7c6da8dcef2acd5516b5358089caae45e14b3626c\
        7c824c214a4b4bb0b90f4973d99a368cd092d23c1c46fe2f70f0cc81fe510f31";

    #[test]
    fn agrees_with_another_implementation() {
        let a = Secret(std::array::from_fn(|at| u8::try_from(at).unwrap() + 1));
        let b = Secret([0xff; SECRET_LEN]);
        assert_eq!((a.public_key(), b.public_key()), (key(PUBLIC_A), key(PUBLIC_B)));
        assert_eq!(a.agree(&b.public_key()), Some(key(SHARED)));
        assert_eq!(b.agree(&a.public_key()), Some(key(SHARED)));
    }

    #[test]
    fn refuses_keys_that_give_the_secret_away() {
        let secret = Secret([7; SECRET_LEN]);
        let near = |lowest: u64| {
            let mut number = PRIME;
            number[0] = lowest;
            to_bytes(&number)
        };
        for bad in [[0; KEY_LEN], to_bytes(&ONE), [0xff; KEY_LEN]] {
            assert_eq!(secret.agree(&bad), None);
        }
        for bad in [PRIME[0] - 1, PRIME[0], PRIME[0] + 1] {
            assert_eq!(secret.agree(&near(bad)), None);
        }
        assert!(secret.agree(&near(PRIME[0] - 2)).is_some());
        assert!(secret.agree(&to_bytes(&GENERATOR)).is_some());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn both_sides_find_the_same_secret(a in any::<[u8; 20]>(), b in any::<[u8; 20]>()) {
            let (a, b) = (Secret(a), Secret(b));
            prop_assert_eq!(a.agree(&b.public_key()), b.agree(&a.public_key()));
        }
    }
}
