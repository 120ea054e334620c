//! Handshakes (BEP 3) as they come in, byte by byte.

use bittorrent::wire::handshake::{HANDSHAKE_LEN, HASH_END};
use bittorrent::wire::{Handshake, Reserved};
use bittorrent::{InfoHash, PeerId};

use crate::Seed;

/// Reads every beginning of the bytes: no opinion may change with later ones.
pub fn check(bytes: &[u8]) {
    for length in 0..=bytes.len().min(HANDSHAKE_LEN + 1) {
        let (whole, start) =
            (Handshake::decode(&bytes[..length]), Handshake::decode_start(&bytes[..length]));
        assert_eq!(whole.is_err(), start.is_err());
        if whole.is_err() {
            assert!(Handshake::decode(bytes).is_err(), "refused, then taken");
            return;
        }
        assert_eq!(start.is_ok_and(|start| start.is_some()), length >= HASH_END);
        assert_eq!(whole.is_ok_and(|whole| whole.is_some()), length >= HANDSHAKE_LEN);
        if let (Ok(Some(handshake)), Ok(Some((reserved, info_hash)))) = (whole, start) {
            assert_eq!(handshake.encode(), bytes[..HANDSHAKE_LEN]);
            assert_eq!((handshake.reserved, handshake.info_hash), (reserved, info_hash));
        }
    }
}

/// Our own handshake, whole and in part, and another protocol.
pub fn seeds() -> Vec<Seed> {
    let handshake = Handshake {
        reserved: Reserved::OURS,
        info_hash: InfoHash([7; 20]),
        peer_id: PeerId(*b"-TE0100-abcdefghijkl"),
    };
    let bytes = handshake.encode();
    vec![
        ("whole", bytes.to_vec()),
        ("without_peer_id", bytes[..HASH_END].to_vec()),
        ("http", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
    ]
}
