//! The verified pieces of a torrent, shared by those who serve them.
//!
//! The member is the only writer. Peer connections, which must not ask it for every request, read here.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use bittorrent::PieceIndex;
use bittorrent::bitfield::Bitfield;

/// Which pieces are verified and written.
#[derive(Debug)]
pub struct SharedHave {
    words: Box<[AtomicU64]>,
    count: AtomicU32,
    len: u32,
}

impl SharedHave {
    /// What is there of `have.len()` pieces.
    #[must_use]
    pub fn new(have: &Bitfield) -> Self {
        let words = (0..have.len().div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        let shared = Self { words, count: AtomicU32::new(0), len: have.len() };
        have.iter().for_each(|piece| shared.set(piece, true));
        shared
    }

    /// Whether the piece is there.
    #[must_use]
    pub fn has(&self, piece: PieceIndex) -> bool {
        let Some(word) = self.words.get(piece.as_usize() / 64) else { return false };
        word.load(Ordering::Acquire) & mask(piece) != 0
    }

    /// Whether every piece is there.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.count.load(Ordering::Acquire) == self.len
    }

    /// What is there now.
    #[must_use]
    pub fn bitfield(&self) -> Bitfield {
        let mut bits = Bitfield::new(self.len);
        (0..self.len).map(PieceIndex).filter(|&piece| self.has(piece)).for_each(|piece| {
            bits.insert(piece);
        });
        bits
    }

    /// The piece is there now, or no longer.
    pub(crate) fn set(&self, piece: PieceIndex, there: bool) {
        let Some(word) = self.words.get(piece.as_usize() / 64) else { return };
        let before = if there {
            word.fetch_or(mask(piece), Ordering::AcqRel)
        } else {
            word.fetch_and(!mask(piece), Ordering::AcqRel)
        };
        match (before & mask(piece) != 0, there) {
            (false, true) => _ = self.count.fetch_add(1, Ordering::AcqRel),
            (true, false) => _ = self.count.fetch_sub(1, Ordering::AcqRel),
            _ => {}
        }
    }
}

const fn mask(piece: PieceIndex) -> u64 {
    1 << (piece.0 % 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_what_is_set() {
        let mut have = Bitfield::new(70);
        have.insert(PieceIndex(69));
        let shared = SharedHave::new(&have);
        assert!(shared.has(PieceIndex(69)) && !shared.has(PieceIndex(0)));
        assert!(!shared.has(PieceIndex(700)));
        (0..69).for_each(|piece| shared.set(PieceIndex(piece), true));
        assert!(shared.is_full() && shared.bitfield().is_full());
        shared.set(PieceIndex(3), false);
        shared.set(PieceIndex(3), false);
        assert!(!shared.is_full() && !shared.has(PieceIndex(3)));
    }
}
