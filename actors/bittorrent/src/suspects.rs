//! Who sent the bytes of a piece that failed: parole and smart ban.
//!
//! A piece that failed its hash and came from one peer convicts that peer. One that came from several
//! puts all of them on parole (pieces of their own only), and what each sent is remembered by a digest:
//! when the piece is right at last, whoever sent other bytes before is guilty, and the rest are free.

use std::collections::{BTreeMap, BTreeSet};

use sha1::{Digest, Sha1};

use crate::PieceIndex;
use crate::picker::PeerKey;

/// Pieces whose blocks are remembered at most; the oldest are forgotten.
const PIECES_MAX: usize = 64;
/// Failed tries of a piece that are remembered; the first is forgotten.
const TRIES_MAX: usize = 8;
/// Failed pieces after which a peer is banned although nothing was proved.
const STRIKES_MAX: u32 = 5;

type BlockDigest = [u8; 20];

/// One try at a piece: each block's sender, while it is here, and digest.
type Try = Vec<(Option<PeerKey>, BlockDigest)>;

/// What follows from a failed piece.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judgement {
    /// These are to be banned.
    pub guilty: Vec<PeerKey>,
    /// These are on parole from now on.
    pub parole: Vec<PeerKey>,
    /// These are free again.
    pub free: Vec<PeerKey>,
}

/// Suspicions of one torrent.
#[derive(Debug, Default)]
pub struct Suspects {
    /// By piece, the last tries that failed.
    failed: BTreeMap<PieceIndex, Vec<Try>>,
    strikes: BTreeMap<PeerKey, u32>,
    parole: BTreeSet<PeerKey>,
}

/// The digest of a block.
#[must_use]
pub fn digest(block: &[u8]) -> BlockDigest {
    Sha1::digest(block).into()
}

impl Suspects {
    /// A piece failed. `sources` names the sender of each block; `digests` are those of their bytes, or
    /// nothing where they are gone.
    pub fn failed(
        &mut self,
        piece: PieceIndex,
        sources: &[PeerKey],
        digests: &[BlockDigest],
    ) -> Judgement {
        let peers: BTreeSet<_> = sources.iter().copied().collect();
        let mut judgement = Judgement::default();
        if let (Some(&only), 1) = (peers.first(), peers.len()) {
            judgement.guilty.push(only);
            return judgement;
        }
        for &peer in &peers {
            let strikes = self.strikes.entry(peer).or_default();
            *strikes += 1;
            if *strikes >= STRIKES_MAX {
                judgement.guilty.push(peer);
            } else if self.parole.insert(peer) {
                judgement.parole.push(peer);
            }
        }
        let tried = sources.iter().copied().map(Some).zip(digests.iter().copied()).collect();
        let tries = self.failed.entry(piece).or_default();
        if tries.len() >= TRIES_MAX {
            tries.remove(0);
        }
        tries.push(tried);
        while self.failed.len() > PIECES_MAX {
            self.failed.pop_first();
        }
        judgement
    }

    /// Whether the digests of this piece's blocks are wanted by [`Suspects::verified`].
    #[must_use]
    pub fn remembers(&self, piece: PieceIndex) -> bool {
        self.failed.contains_key(&piece)
    }

    /// A piece that had failed is right now; `digests` are those of its blocks.
    pub fn verified(&mut self, piece: PieceIndex, digests: &[BlockDigest]) -> Judgement {
        let tries = self.failed.remove(&piece).unwrap_or_default();
        let (mut guilty, mut seen) = (BTreeSet::new(), BTreeSet::new());
        for ((peer, digest), right) in tries.iter().flat_map(|tried| tried.iter().zip(digests)) {
            let Some(peer) = *peer else { continue };
            seen.insert(peer);
            if digest != right {
                guilty.insert(peer);
            }
        }
        let free = seen.difference(&guilty).copied().filter(|peer| self.parole.remove(peer));
        let free: Vec<_> = free.collect();
        free.iter().for_each(|peer| _ = self.strikes.remove(peer));
        Judgement { guilty: guilty.into_iter().collect(), parole: Vec::new(), free }
    }

    /// A peer on parole sent a whole piece that is right: it is free.
    pub fn proved_honest(&mut self, peer: PeerKey) -> bool {
        self.strikes.remove(&peer);
        self.parole.remove(&peer)
    }

    /// A peer is gone, and its key will be another's.
    pub fn forget(&mut self, peer: PeerKey) {
        self.strikes.remove(&peer);
        self.parole.remove(&peer);
        for sender in self.failed.values_mut().flatten().flatten() {
            // The place stays: it says which block the digest is of.
            sender.0 = sender.0.filter(|&other| other != peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: PeerKey = PeerKey(1);
    const B: PeerKey = PeerKey(2);
    const PIECE: PieceIndex = PieceIndex(9);

    fn digests(blocks: [&str; 2]) -> [BlockDigest; 2] {
        blocks.map(|block| digest(block.as_bytes()))
    }

    #[test]
    fn whoever_leaves_takes_no_guilt_from_others() {
        let mut suspects = Suspects::default();
        let _ = suspects.failed(PIECE, &[A, B], &digests(["good", "evil"]));
        suspects.forget(A);
        let judgement = suspects.verified(PIECE, &digests(["good", "true"]));
        assert_eq!((judgement.guilty, judgement.free), (vec![B], vec![]));
    }

    #[test]
    fn a_single_source_is_guilty_at_once() {
        let judgement = Suspects::default().failed(PIECE, &[A, A], &digests(["x", "y"]));
        assert_eq!(judgement.guilty, [A]);
    }

    #[test]
    fn of_several_the_one_whose_bytes_differ_is_guilty() {
        let mut suspects = Suspects::default();
        let judgement = suspects.failed(PIECE, &[A, B], &digests(["good", "evil"]));
        assert_eq!((judgement.guilty, judgement.parole), (vec![], vec![A, B]));
        assert!(suspects.remembers(PIECE));
        let judgement = suspects.verified(PIECE, &digests(["good", "true"]));
        assert_eq!((judgement.guilty, judgement.free), (vec![B], vec![A]));
        assert!(!suspects.remembers(PIECE));
    }

    #[test]
    fn five_strikes_are_enough_and_honesty_frees() {
        let mut suspects = Suspects::default();
        for n in 0..4 {
            let judgement = suspects.failed(PieceIndex(n), &[A, B], &digests(["a", "b"]));
            assert!(judgement.guilty.is_empty());
        }
        assert!(suspects.proved_honest(A));
        assert_eq!(suspects.failed(PieceIndex(5), &[A, B], &digests(["a", "b"])).guilty, [B]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut suspects = Suspects::default();
        for n in 0..1000 {
            let _ = suspects.failed(PieceIndex(n), &[A, B], &digests(["a", "b"]));
        }
        assert_eq!(suspects.failed.len(), PIECES_MAX);
    }
}
