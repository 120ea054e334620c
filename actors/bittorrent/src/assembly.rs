//! Assembles one piece out of its blocks.
//!
//! Blocks of [`BLOCK_LEN`] bytes (the last may be shorter) arrive in any order and from several peers,
//! as slices of receive buffers: none is copied. [`PieceAssembly`] says when a row is whole; a small
//! piece is one row. It knows no peer's address, clock or hash: who is asked, and when again, is its
//! owner's decision.
//!
//! Invariant: `blocks[i]` holds bytes, or `taken[i / row]` is set, where a peer has sent block `i`.

use bytes::Bytes;

use crate::BLOCK_LEN;
use crate::picker::PeerKey;

/// The longest piece that is gathered as a whole, in bytes; larger ones are hashed and written in rows
/// while they come.
pub const WHOLE_MAX: u32 = 4 * 1024 * 1024;
/// Length of a row of a large piece, in bytes.
pub const ROW_LEN: u32 = 1024 * 1024;

/// What taking a block led to.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Blocks are still missing.
    Incomplete,
    /// The block was there already and is ignored.
    Duplicate,
    /// This row is whole, see [`PieceAssembly::take_row`]. Its bytes are not verified.
    Row(u32),
}

/// A block that does not belong to the piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no block of {length} bytes begins at {begin}")]
pub struct BlockError {
    /// Its offset in the piece in bytes.
    pub begin: u32,
    /// Its length in bytes.
    pub length: usize,
}

/// A piece on its way.
#[derive(Debug)]
pub struct PieceAssembly {
    length: u32,
    row_blocks: u32,
    blocks: Vec<Option<Bytes>>,
    sources: Vec<Option<PeerKey>>,
    missing_in_row: Vec<u32>,
}

impl PieceAssembly {
    /// An empty piece of `length` bytes; one longer than `whole_max` is gathered in rows of
    /// [`ROW_LEN`].
    #[must_use]
    pub fn new(length: u32, whole_max: u32) -> Self {
        let count = length.div_ceil(BLOCK_LEN);
        let row_blocks = if length <= whole_max { count.max(1) } else { ROW_LEN / BLOCK_LEN };
        let rows = count.div_ceil(row_blocks);
        let missing_in_row =
            (0..rows).map(|row| row_blocks.min(count - row * row_blocks)).collect();
        Self {
            length,
            row_blocks,
            blocks: vec![None; count as usize],
            sources: vec![None; count as usize],
            missing_in_row,
        }
    }

    /// Takes the block at offset `begin` from a peer.
    ///
    /// # Errors
    ///
    /// The piece has no such block; it is unchanged.
    pub fn receive(
        &mut self,
        begin: u32,
        block: Bytes,
        from: PeerKey,
    ) -> Result<Progress, BlockError> {
        let wrong = BlockError { begin, length: block.len() };
        let expected = self.length.saturating_sub(begin).min(BLOCK_LEN);
        if !begin.is_multiple_of(BLOCK_LEN) || block.len() != expected as usize || expected == 0 {
            return Err(wrong);
        }
        let index = begin / BLOCK_LEN;
        let at = index as usize;
        let (Some(slot), Some(source)) = (self.blocks.get_mut(at), self.sources.get_mut(at)) else {
            return Err(wrong);
        };
        if source.is_some() {
            return Ok(Progress::Duplicate);
        }
        *slot = Some(block);
        *source = Some(from);
        let row = index / self.row_blocks;
        let Some(missing) = self.missing_in_row.get_mut(row as usize) else { return Err(wrong) };
        *missing -= 1;
        Ok(if *missing == 0 { Progress::Row(row) } else { Progress::Incomplete })
    }

    /// Takes the blocks of a whole row, once: its offset in the piece in bytes, and its blocks in order.
    pub fn take_row(&mut self, row: u32) -> (u32, Vec<Bytes>) {
        let begin = row.saturating_mul(self.row_blocks).saturating_mul(BLOCK_LEN);
        let first = (row.saturating_mul(self.row_blocks)) as usize;
        let blocks = self.blocks.iter_mut().skip(first).take(self.row_blocks as usize);
        (begin, blocks.filter_map(Option::take).collect())
    }

    /// Whether every block has come.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.missing_in_row.iter().all(|&missing| missing == 0)
    }

    /// Who sent each block, in order; blocks that have not come are left out.
    #[must_use]
    pub fn sources(&self) -> Vec<PeerKey> {
        self.sources.iter().flatten().copied().collect()
    }

    /// Bytes that are held here, not yet taken.
    #[must_use]
    pub fn held(&self) -> usize {
        self.blocks.iter().flatten().map(Bytes::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: PeerKey = PeerKey(1);

    /// Feeds blocks as (begin, length) of sevens.
    fn feed(
        piece: &mut PieceAssembly,
        blocks: &[(u32, usize)],
    ) -> Vec<Result<Progress, BlockError>> {
        let feed = |&(begin, length)| piece.receive(begin, vec![7; length].into(), FROM);
        blocks.iter().map(feed).collect()
    }

    #[test]
    fn completes_with_a_short_last_block_in_any_order() {
        for order in [[(0, 16_384), (16_384, 1)], [(16_384, 1), (0, 16_384)]] {
            let mut piece = PieceAssembly::new(16_385, 1 << 22);
            let progress = feed(&mut piece, &order);
            assert_eq!(progress, [Ok(Progress::Incomplete), Ok(Progress::Row(0))]);
            assert!(piece.is_complete());
            let (begin, blocks) = piece.take_row(0);
            assert_eq!((begin, blocks.concat()), (0, vec![7; 16_385]));
            assert_eq!((piece.held(), piece.sources()), (0, vec![FROM, FROM]));
        }
    }

    #[test]
    fn refuses_what_does_not_fit_and_ignores_what_is_there() {
        let mut piece = PieceAssembly::new(20_000, 1 << 22);
        for (begin, length) in [(1, 16_384), (0, 16_383), (16_384, 16_384), (32_768, 1), (0, 0)] {
            assert_eq!(feed(&mut piece, &[(begin, length)]), [Err(BlockError { begin, length })]);
        }
        let twice = feed(&mut piece, &[(0, 16_384), (0, 16_384)]);
        assert_eq!(twice, [Ok(Progress::Incomplete), Ok(Progress::Duplicate)]);
    }

    #[test]
    fn large_pieces_come_in_rows() {
        let mut piece = PieceAssembly::new(ROW_LEN + 5, ROW_LEN);
        assert_eq!(feed(&mut piece, &[(ROW_LEN, 5)]), [Ok(Progress::Row(1))]);
        assert_eq!(piece.take_row(1), (ROW_LEN, vec![vec![7; 5].into()]));
        let blocks: Vec<_> = (0..64).map(|n| (n * BLOCK_LEN, 16_384)).collect();
        assert_eq!(feed(&mut piece, &blocks).last(), Some(&Ok(Progress::Row(0))));
        assert_eq!(piece.take_row(0).1.concat().len(), ROW_LEN as usize);
        assert!(piece.is_complete());
    }
}
