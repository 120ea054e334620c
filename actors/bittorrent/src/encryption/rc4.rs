//! The RC4 stream cipher, as MSE uses it: without its first 1,024 bytes.
//!
//! RC4 is broken as a cipher; MSE uses it to look like noise, not to keep secrets. Each byte depends
//! on the one before through two memory cells, so no more than one is made at a time. What helps is
//! the width of the cells (32 bits: narrower ones are slow to store and load again), to read the next
//! cell before this step's are written, and to collect eight bytes in a register: together half the
//! time of the plain loop.

use std::fmt;

/// Bytes of the key stream that are thrown away at the start, as they betray the key.
const DISCARDED: usize = 1024;
/// Bytes of the key stream that are made before they are applied.
const WORD: usize = size_of::<u64>();

/// One direction of an encrypted connection: the state of a key stream.
///
/// To encrypt and to decrypt are the same.
#[derive(Clone)]
pub struct Rc4 {
    cells: [u32; 256],
    i: u8,
    j: u8,
}

/// Shows nothing: the state is as secret as the key.
impl fmt::Debug for Rc4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rc4").finish_non_exhaustive()
    }
}

impl Rc4 {
    /// Starts the key stream of `key`, past the bytes that are not used.
    #[must_use]
    pub fn new(key: &[u8; 20]) -> Self {
        Self::with_key(key)
    }

    fn with_key(key: &[u8]) -> Self {
        let mut cells = [0; 256];
        for (cell, value) in cells.iter_mut().zip(0..) {
            *cell = value;
        }
        let mut cipher = Self { cells, i: 0, j: 0 };
        for (i, byte) in (0..=u8::MAX).zip(key.iter().cycle()) {
            cipher.i = i;
            cipher.j = cipher.j.wrapping_add(low_byte(cipher.cell(i))).wrapping_add(*byte);
            cipher.cells.swap(usize::from(i), usize::from(cipher.j));
        }
        (cipher.i, cipher.j) = (0, 0);
        cipher.apply(&mut [0; DISCARDED]);
        cipher
    }

    /// Encrypts or decrypts the next bytes of the stream in place.
    pub fn apply(&mut self, bytes: &mut [u8]) {
        let (words, rest) = bytes.as_chunks_mut::<WORD>();
        // A copy stays in registers, where what is behind `self` would not.
        let mut at = Place { i: self.i, j: self.j, x: self.cell(self.i.wrapping_add(1)) };
        for word in words {
            let stream = at.next_word(&mut self.cells);
            *word = (u64::from_le_bytes(*word) ^ stream).to_le_bytes();
        }
        for byte in rest {
            *byte ^= at.next(&mut self.cells);
        }
        (self.i, self.j) = (at.i, at.j);
    }

    #[expect(clippy::indexing_slicing, reason = "a byte is always an index below 256")]
    fn cell(&self, at: u8) -> u32 {
        self.cells[usize::from(at)]
    }
}

/// A place in the key stream.
struct Place {
    i: u8,
    j: u8,
    /// The cell behind `i`, read ahead.
    x: u32,
}

impl Place {
    /// The next eight bytes of the key stream, the first lowest.
    #[inline(always)]
    fn next_word(&mut self, cells: &mut [u32; 256]) -> u64 {
        let mut word = 0;
        for place in 0..WORD {
            word |= u64::from(self.next(cells)) << (8 * place);
        }
        word
    }

    /// The next byte of the key stream.
    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "a byte is always an index below 256")]
    fn next(&mut self, cells: &mut [u32; 256]) -> u8 {
        let x = self.x;
        self.i = self.i.wrapping_add(1);
        self.j = self.j.wrapping_add(low_byte(x));
        // Read before the two writes below, so as not to wait for them; one of them may change it.
        let behind = self.i.wrapping_add(1);
        let ahead = cells[usize::from(behind)];
        let y = cells[usize::from(self.j)];
        cells[usize::from(self.i)] = y;
        cells[usize::from(self.j)] = x;
        self.x = if self.j == behind { x } else { ahead };
        low_byte(cells[usize::from(low_byte(x + y))])
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low byte is meant")]
#[inline(always)]
const fn low_byte(cell: u32) -> u8 {
    cell as u8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stream(key: &[u8], length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        Rc4::with_key(key).apply(&mut bytes);
        bytes
    }

    #[test]
    fn agrees_with_rfc_6229() {
        let stream = stream(&[1, 2, 3, 4, 5], 512);
        let at = |offset: usize| {
            u128::from_be_bytes(*stream[offset - DISCARDED..].first_chunk().unwrap())
        };
        assert_eq!(at(1024), 0x30ab_bcc7_c20b_0160_9f23_ee2d_5f6b_b7df);
        assert_eq!(at(1520), 0x3294_f744_d8f9_7905_07e7_0f62_e5bb_ceea);
    }

    #[test]
    fn debug_shows_no_state() {
        assert_eq!(format!("{:?}", Rc4::new(&[1; 20])), "Rc4 { .. }");
    }

    proptest! {
        #[test]
        fn the_cuts_of_a_stream_do_not_matter(
            key in any::<[u8; 20]>(),
            cuts in prop::collection::vec(0_usize..40, 0..20),
        ) {
            let mut cipher = Rc4::new(&key);
            let mut pieces = Vec::new();
            for cut in cuts {
                let mut piece = vec![0; cut];
                cipher.apply(&mut piece);
                pieces.extend(piece);
            }
            prop_assert_eq!(&stream(&key, pieces.len()), &pieces);
        }
    }
}
