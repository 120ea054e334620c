//! What sets SHA-1 and SHA-256 apart: words of state, their start values, length of the digest, kernels.
//!
//! Source: FIPS 180-4. Both take rows of 64 bytes and pad alike, so all else is shared.

use crate::kernel::{Kernel, SHA1_KERNELS, SHA256_KERNELS};

/// A hash function of this crate: [`Sha1`] or [`Sha256`]. Nothing else can implement it.
pub trait Algorithm: parts::Parts {
    /// The digest: `[u8; 20]` or `[u8; 32]`.
    type Digest: AsRef<[u8]> + Copy + Default + Eq + std::fmt::Debug + Send + Sync + 'static;
}

/// SHA-1: piece hashes and info-hashes of BEP 3.
#[derive(Debug, Clone, Copy)]
pub enum Sha1 {}

/// SHA-256: leaves and nodes of the merkle trees of BEP 52.
#[derive(Debug, Clone, Copy)]
pub enum Sha256 {}

impl Algorithm for Sha1 {
    type Digest = [u8; 20];
}

impl Algorithm for Sha256 {
    type Digest = [u8; 32];
}

/// Keeps [`Algorithm`] closed and its parts inside the crate.
pub(crate) mod parts {
    use super::{Algorithm, Kernel};

    /// The parts of a hash function that only this crate uses.
    pub trait Parts: Copy + Send + Sync + std::fmt::Debug + 'static {
        /// The midstate.
        type Words: AsRef<[u32]> + Copy + Eq + std::fmt::Debug + Send + Sync + 'static;

        /// The midstate before the first byte (FIPS 180-4 §5.3).
        const INITIAL: Self::Words;

        /// All kernels, also those that this processor lacks, the best first, the crate's last.
        fn kernels() -> &'static [Kernel<Self>]
        where
            Self: Algorithm;

        /// The midstate after the last row, as the bytes of the digest.
        fn digest(words: Self::Words) -> <Self as Algorithm>::Digest
        where
            Self: Algorithm;
    }
}

impl parts::Parts for Sha1 {
    type Words = [u32; 5];

    const INITIAL: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];

    fn kernels() -> &'static [Kernel<Self>] {
        SHA1_KERNELS
    }

    fn digest(words: [u32; 5]) -> [u8; 20] {
        let mut digest = [0; 20];
        write_big_endian(&words, &mut digest);
        digest
    }
}

impl parts::Parts for Sha256 {
    type Words = [u32; 8];

    const INITIAL: [u32; 8] = [
        0x6a09_e667,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ];

    fn kernels() -> &'static [Kernel<Self>] {
        SHA256_KERNELS
    }

    fn digest(words: [u32; 8]) -> [u8; 32] {
        let mut digest = [0; 32];
        write_big_endian(&words, &mut digest);
        digest
    }
}

fn write_big_endian(words: &[u32], digest: &mut [u8]) {
    for (word, bytes) in words.iter().zip(digest.as_chunks_mut::<4>().0) {
        *bytes = word.to_be_bytes();
    }
}
