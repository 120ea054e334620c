//! A piece whose blocks are on their way.

use crate::{BLOCK_LEN, BlockRef, PieceIndex};

use super::PeerKey;

/// What is known of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Block {
    Free,
    /// Asked of one peer, or in the endgame of two.
    Asked(PeerKey, Option<PeerKey>),
    Received,
}

/// A piece whose blocks are on their way.
#[derive(Debug)]
pub(super) struct OpenPiece {
    blocks: Box<[Block]>,
    /// No block before this one is free.
    first_free: u32,
    free: u32,
    received: u32,
    /// Who began it, while it is still at it.
    pub(super) owner: Option<PeerKey>,
    /// Only its owner may be asked: it is on parole.
    pub(super) exclusive: bool,
}

impl OpenPiece {
    pub(super) fn new(length: u32, owner: PeerKey, exclusive: bool) -> Self {
        let count = length.div_ceil(BLOCK_LEN);
        Self {
            blocks: vec![Block::Free; count as usize].into_boxed_slice(),
            first_free: 0,
            free: count,
            received: 0,
            owner: Some(owner),
            exclusive,
        }
    }

    pub(super) const fn has_free(&self) -> bool {
        self.free > 0
    }

    pub(super) fn is_complete(&self) -> bool {
        self.received as usize == self.blocks.len()
    }

    /// Asks the peer for free blocks, in order, until `out` is `end` long.
    pub(super) fn ask(
        &mut self,
        key: PeerKey,
        piece: PieceIndex,
        length: u32,
        end: usize,
        out: &mut Vec<BlockRef>,
    ) {
        let start = self.first_free as usize;
        for (index, block) in self.blocks.iter_mut().enumerate().skip(start) {
            if out.len() >= end || self.free == 0 {
                break;
            }
            if *block == Block::Free {
                *block = Block::Asked(key, None);
                self.free -= 1;
                out.push(block_ref(piece, index, length));
            }
            self.first_free = u32::try_from(index + 1).unwrap_or(u32::MAX);
        }
    }

    /// Asks the peer for blocks that one other owes us.
    pub(super) fn ask_again(
        &mut self,
        key: PeerKey,
        piece: PieceIndex,
        length: u32,
        end: usize,
        out: &mut Vec<BlockRef>,
    ) {
        for (index, block) in self.blocks.iter_mut().enumerate() {
            if out.len() >= end {
                return;
            }
            if let Block::Asked(first, second @ None) = block
                && *first != key
            {
                *second = Some(key);
                out.push(block_ref(piece, index, length));
            }
        }
    }

    /// A block came: who else was asked for it.
    pub(super) fn received(&mut self, key: PeerKey, begin: u32) -> Vec<PeerKey> {
        let Some(block) = self.blocks.get_mut((begin / BLOCK_LEN) as usize) else {
            return Vec::new();
        };
        let before = std::mem::replace(block, Block::Received);
        if before != Block::Received {
            self.received += 1;
        }
        match before {
            Block::Asked(first, second) => {
                [Some(first), second].into_iter().flatten().filter(|&other| other != key).collect()
            }
            Block::Free => {
                self.free -= 1;
                Vec::new()
            }
            Block::Received => Vec::new(),
        }
    }

    /// The peer will not send a block.
    pub(super) fn release(&mut self, key: PeerKey, begin: u32) {
        let index = begin / BLOCK_LEN;
        let Some(block) = self.blocks.get_mut(index as usize) else { return };
        if let Block::Asked(first, second) = *block {
            let left = match (first == key, second) {
                (true, Some(second)) => Block::Asked(second, None),
                (true, None) => Block::Free,
                (false, Some(second)) if second == key => Block::Asked(first, None),
                (false, second) => Block::Asked(first, second),
            };
            *block = left;
            if left == Block::Free {
                self.free += 1;
                self.first_free = self.first_free.min(index);
            }
        }
    }

    /// The peer will send no block.
    pub(super) fn release_all(&mut self, key: PeerKey) {
        for index in 0..self.blocks.len() {
            let begin = u32::try_from(index).unwrap_or(u32::MAX).saturating_mul(BLOCK_LEN);
            self.release(key, begin);
        }
    }

    /// Whether a block is asked of the peer.
    pub(super) fn asks(&self, key: PeerKey) -> bool {
        self.blocks.iter().any(|block| match block {
            Block::Asked(first, second) => *first == key || *second == Some(key),
            Block::Free | Block::Received => false,
        })
    }
}

fn block_ref(piece: PieceIndex, index: usize, piece_len: u32) -> BlockRef {
    let begin = u32::try_from(index).unwrap_or(u32::MAX).saturating_mul(BLOCK_LEN);
    BlockRef { piece, begin, length: piece_len.saturating_sub(begin).min(BLOCK_LEN) }
}
