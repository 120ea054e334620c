//! Which pieces there are: one bit a piece, the first in the highest bit of the first byte (BEP 3).

use serde::{Deserialize, Serialize};

use crate::PieceIndex;

/// A bit for each piece of a torrent, with their number kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bitfield {
    len: u32,
    count: u32,
    bytes: Vec<u8>,
}

/// Bytes from outside are no bitfield of this torrent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BitfieldError {
    /// Too short or too long.
    #[error("a bitfield of {actual} bytes for {pieces} pieces")]
    Length {
        /// How many bytes there are.
        actual: usize,
        /// How many pieces there are.
        pieces: u32,
    },
    /// Bits beyond the last piece are set.
    #[error("spare bits of the bitfield are set")]
    SpareBits,
}

const fn mask(piece: PieceIndex) -> u8 {
    0x80 >> (piece.0 % 8)
}

const fn byte(piece: PieceIndex) -> usize {
    (piece.0 / 8) as usize
}

impl Bitfield {
    /// No piece of `len`.
    #[must_use]
    pub fn new(len: u32) -> Self {
        Self { len, count: 0, bytes: vec![0; len.div_ceil(8) as usize] }
    }

    /// Every piece of `len`.
    #[must_use]
    pub fn full(len: u32) -> Self {
        let mut bytes = vec![0xff; len.div_ceil(8) as usize];
        if let (Some(last), 1..) = (bytes.last_mut(), len % 8) {
            *last = !(0xff >> (len % 8));
        }
        Self { len, count: len, bytes }
    }

    /// Reads a bitfield as the wire and resume files have it.
    ///
    /// # Errors
    ///
    /// Its length does not fit `len` pieces, or a spare bit is set.
    pub fn from_bytes(bytes: &[u8], len: u32) -> Result<Self, BitfieldError> {
        if bytes.len() != len.div_ceil(8) as usize {
            return Err(BitfieldError::Length { actual: bytes.len(), pieces: len });
        }
        let spare = if len.is_multiple_of(8) { 0 } else { 0xff >> (len % 8) };
        if bytes.last().is_some_and(|last| last & spare != 0) {
            return Err(BitfieldError::SpareBits);
        }
        let count = bytes.iter().map(|byte| byte.count_ones()).sum();
        Ok(Self { len, count, bytes: bytes.to_vec() })
    }

    /// The bytes, spare bits clear.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// A copy of the bytes, spare bits clear.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.bytes.clone()
    }

    /// How many pieces the torrent has.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Whether the torrent has no piece at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many bits are set.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Whether all bits are set.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.count == self.len
    }

    /// Whether the bit is set; false beyond the end.
    #[must_use]
    pub fn contains(&self, piece: PieceIndex) -> bool {
        piece.0 < self.len && self.bytes.get(byte(piece)).is_some_and(|at| at & mask(piece) != 0)
    }

    /// Sets a bit; says whether that changed it. Beyond the end nothing changes.
    pub fn insert(&mut self, piece: PieceIndex) -> bool {
        if piece.0 >= self.len || self.contains(piece) {
            return false;
        }
        let Some(at) = self.bytes.get_mut(byte(piece)) else { return false };
        *at |= mask(piece);
        self.count += 1;
        true
    }

    /// Clears a bit; says whether that changed it.
    pub fn remove(&mut self, piece: PieceIndex) -> bool {
        if !self.contains(piece) {
            return false;
        }
        let Some(at) = self.bytes.get_mut(byte(piece)) else { return false };
        *at &= !mask(piece);
        self.count -= 1;
        true
    }

    /// The set bits, in order.
    pub fn iter(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        self.bytes.iter().enumerate().filter(|(_, byte)| **byte != 0).flat_map(|(at, &byte)| {
            let first = u32::try_from(at).unwrap_or(u32::MAX).saturating_mul(8);
            (0..8)
                .filter(move |bit| byte & (0x80 >> bit) != 0)
                .map(move |bit| PieceIndex(first + bit))
        })
    }

    /// The clear bits, in order.
    pub fn missing(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        (0..self.len).map(PieceIndex).filter(|&piece| !self.contains(piece))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refuses_wrong_lengths_and_spare_bits() {
        assert_eq!(
            Bitfield::from_bytes(&[0; 2], 8),
            Err(BitfieldError::Length { actual: 2, pieces: 8 })
        );
        assert_eq!(Bitfield::from_bytes(&[0x01], 7), Err(BitfieldError::SpareBits));
        assert!(Bitfield::from_bytes(&[0xfe], 7).unwrap().is_full());
        assert!(Bitfield::from_bytes(&[], 0).unwrap().is_full());
    }

    #[test]
    fn full_has_no_spare_bits() {
        for len in 0..40 {
            let full = Bitfield::full(len);
            assert_eq!(Bitfield::from_bytes(full.as_bytes(), len), Ok(full));
        }
    }

    proptest! {
        #[test]
        fn behaves_like_a_set(len in 1_u32..70, steps in prop::collection::vec((0_u32..80, any::<bool>()), 0..80)) {
            let mut bits = Bitfield::new(len);
            let mut set = std::collections::BTreeSet::new();
            for (piece, insert) in steps {
                let at = PieceIndex(piece);
                if insert {
                    let fresh = piece < len && set.insert(at);
                    prop_assert_eq!(bits.insert(at), fresh);
                } else {
                    prop_assert_eq!(bits.remove(at), set.remove(&at));
                }
            }
            prop_assert_eq!(bits.iter().collect::<Vec<_>>(), set.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(bits.count() as usize, set.len());
            prop_assert_eq!(bits.missing().count() + set.len(), len as usize);
            prop_assert_eq!(Bitfield::from_bytes(bits.as_bytes(), len), Ok(bits));
        }
    }
}
