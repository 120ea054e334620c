//! Which pieces a peer is served while it is choked (BEP 6).

use std::net::Ipv4Addr;

use sha1::{Digest, Sha1};

use crate::{InfoHash, PieceIndex};

/// Picks `count` of `piece_count` pieces by the peer's network and the torrent, as BEP 6 proposes: a
/// peer that connects anew from the same network of 256 addresses gets no others.
///
/// Gives fewer if the torrent has fewer. BEP 6 defines it for IPv4 only and proposes ten.
#[must_use]
pub fn allowed_fast_set(
    ip: Ipv4Addr,
    info_hash: InfoHash,
    piece_count: u32,
    count: usize,
) -> Vec<PieceIndex> {
    let wanted = count.min(piece_count as usize);
    let [a, b, c, _] = ip.octets();
    let mut digest: [u8; 20] =
        Sha1::new().chain_update([a, b, c, 0]).chain_update(info_hash.0).finalize().into();
    let mut pieces = Vec::with_capacity(wanted);
    while pieces.len() < wanted {
        for number in digest.chunks_exact(4) {
            let number = number.iter().fold(0u32, |sum, &byte| (sum << 8) | u32::from(byte));
            let piece = PieceIndex(number % piece_count.max(1));
            if pieces.len() < wanted && !pieces.contains(&piece) {
                pieces.push(piece);
            }
        }
        digest = Sha1::digest(digest).into();
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(piece_count: u32, count: usize) -> Vec<u32> {
        let ip = Ipv4Addr::new(80, 4, 4, 200);
        let set = allowed_fast_set(ip, InfoHash([0xaa; 20]), piece_count, count);
        set.into_iter().map(|piece| piece.0).collect()
    }

    #[test]
    fn the_examples_of_the_bep() {
        assert_eq!(set(1_313, 7), [1_059, 431, 808, 1_217, 287, 376, 1_188]);
        assert_eq!(set(1_313, 9), [1_059, 431, 808, 1_217, 287, 376, 1_188, 353, 508]);
    }

    #[test]
    fn a_small_torrent_gives_what_it_has() {
        assert_eq!(set(0, 10), []);
        let mut all = set(3, 10);
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2]);
    }
}
