//! Hash trees of BEP 52: SHA-256 over blocks of 16 KiB, padded with zero hashes to a power of two.

use sha2::{Digest, Sha256};

/// A hash of the tree.
pub type Hash = [u8; 32];

/// The hash above two others.
#[must_use]
pub fn parent(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update(left).chain_update(right).finalize().into()
}

/// The hash of a subtree of `2^level` leaves that are all beyond the end of the file.
#[must_use]
pub fn padding(level: u32) -> Hash {
    (0..level).fold([0; 32], |hash, _| parent(&hash, &hash))
}

/// The root above `layer`, whose missing right end is filled with `pad`.
#[must_use]
pub fn root(layer: &[Hash], mut pad: Hash) -> Hash {
    let mut layer = layer.to_vec();
    if layer.is_empty() {
        return pad;
    }
    while layer.len() > 1 {
        layer = layer
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => parent(left, right),
                [left] => parent(left, &pad),
                _ => pad,
            })
            .collect();
        pad = parent(&pad, &pad);
    }
    layer.first().copied().unwrap_or(pad)
}

/// The hashes of the pieces of a file, from those of its blocks; the last piece is padded in itself.
/// `blocks_per_piece` must be a power of two.
#[must_use]
pub fn piece_layer(leaves: &[Hash], blocks_per_piece: usize) -> Vec<Hash> {
    let levels = blocks_per_piece.trailing_zeros();
    leaves
        .chunks(blocks_per_piece.max(1))
        .map(|piece| {
            let mut padded = piece.to_vec();
            padded.resize(blocks_per_piece, [0; 32]);
            debug_assert_eq!(padded.len(), 1 << levels);
            root(&padded, [0; 32])
        })
        .collect()
}

/// The root of a file's tree, from the hashes of its blocks.
#[must_use]
pub fn file_root(leaves: &[Hash]) -> Hash {
    let mut padded = leaves.to_vec();
    padded.resize(leaves.len().next_power_of_two(), [0; 32]);
    root(&padded, [0; 32])
}

/// The root of a file's tree, from the hashes of its pieces of `2^level` blocks.
#[must_use]
pub fn layer_root(layer: &[Hash], level: u32) -> Hash {
    let mut padded = layer.to_vec();
    padded.resize(layer.len().next_power_of_two(), padding(level));
    root(&padded, padding(level))
}

/// Whether `layer`, at pieces of `2^level` blocks, belongs to `file_root`.
#[must_use]
pub fn layer_matches(layer: &[Hash], level: u32, file_root: &Hash) -> bool {
    layer_root(layer, level) == *file_root
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_leads_to_the_root_of_its_leaves() {
        for blocks in 1..40_u8 {
            let leaves: Vec<Hash> = (0..blocks).map(|n| [n + 1; 32]).collect();
            let root = file_root(&leaves);
            for level in 0..3 {
                if leaves.len() <= 1 << level {
                    continue;
                }
                let layer = piece_layer(&leaves, 1 << level);
                assert!(layer_matches(&layer, level, &root), "{blocks} blocks, level {level}");
                let mut wrong = layer.clone();
                wrong[0][0] ^= 1;
                assert!(!layer_matches(&wrong, level, &root));
            }
        }
    }

    #[test]
    fn one_block_is_its_own_root() {
        assert_eq!(file_root(&[[5; 32]]), [5; 32]);
    }
}
