//! The handshake (BEP 3), with the reserved bits of BEP 5, 6, 10 and 52.

use crate::{InfoHash, PeerId};

/// Length of a handshake in bytes.
pub const HANDSHAKE_LEN: usize = 68;
/// What every handshake begins with.
pub const PROTOCOL: &[u8; 20] = b"\x13BitTorrent protocol";
/// Bytes up to and with the info-hash: enough to know the torrent.
pub const HASH_END: usize = 48;

/// What a peer can do beside BEP 3, as the reserved bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reserved(pub [u8; 8]);

impl Reserved {
    /// What we can do: the fast extension and the extension protocol.
    pub const OURS: Self = Self([0, 0, 0, 0, 0, 0x10, 0, 0x04]);

    /// The extension protocol (BEP 10).
    #[must_use]
    pub const fn extended(self) -> bool {
        self.0[5] & 0x10 != 0
    }

    /// The fast extension (BEP 6).
    #[must_use]
    pub const fn fast(self) -> bool {
        self.0[7] & 0x04 != 0
    }

    /// The DHT (BEP 5).
    #[must_use]
    pub const fn dht(self) -> bool {
        self.0[7] & 0x01 != 0
    }

    /// A hybrid torrent's v2 side (BEP 52).
    #[must_use]
    pub const fn v2(self) -> bool {
        self.0[7] & 0x10 != 0
    }
}

/// A whole handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handshake {
    /// What the peer can do.
    pub reserved: Reserved,
    /// The torrent.
    pub info_hash: InfoHash,
    /// The peer's name.
    pub peer_id: PeerId,
}

/// The bytes are no handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no BitTorrent handshake")]
pub struct NotAHandshake;

impl Handshake {
    /// The bytes to send.
    #[must_use]
    pub fn encode(&self) -> [u8; HANDSHAKE_LEN] {
        let mut bytes = [0; HANDSHAKE_LEN];
        let parts = PROTOCOL.iter().chain(&self.reserved.0).chain(&self.info_hash.0);
        for (to, from) in bytes.iter_mut().zip(parts.chain(&self.peer_id.0)) {
            *to = *from;
        }
        bytes
    }

    /// Reads a handshake from the front of `bytes`; `None` while it is not all there.
    ///
    /// # Errors
    ///
    /// A byte of the protocol's name differs, as early as it does.
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, NotAHandshake> {
        let Some((reserved, info_hash)) = Self::decode_start(bytes)? else { return Ok(None) };
        let Some(peer_id) = array(bytes, HASH_END) else { return Ok(None) };
        Ok(Some(Self { reserved, info_hash, peer_id: PeerId(peer_id) }))
    }

    /// Reads what comes before the peer id: some peers send that only after our handshake.
    ///
    /// # Errors
    ///
    /// As [`Handshake::decode`].
    pub fn decode_start(bytes: &[u8]) -> Result<Option<(Reserved, InfoHash)>, NotAHandshake> {
        if PROTOCOL.iter().zip(bytes).any(|(ours, theirs)| ours != theirs) {
            return Err(NotAHandshake);
        }
        let start = PROTOCOL.len();
        let (Some(reserved), Some(hash)) = (array(bytes, start), array(bytes, start + 8)) else {
            return Ok(None);
        };
        Ok(Some((Reserved(reserved), InfoHash(hash))))
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_and_knows_the_torrent_before_the_peer() {
        let handshake = Handshake {
            reserved: Reserved::OURS,
            info_hash: InfoHash([7; 20]),
            peer_id: PeerId(*b"-TE0100-abcdefghijkl"),
        };
        let bytes = handshake.encode();
        assert_eq!(Handshake::decode(&bytes), Ok(Some(handshake)));
        assert_eq!(Handshake::decode(&bytes[..67]), Ok(None));
        assert_eq!(
            Handshake::decode_start(&bytes[..HASH_END]),
            Ok(Some((Reserved::OURS, InfoHash([7; 20]))))
        );
        assert_eq!(Handshake::decode_start(&bytes[..47]), Ok(None));
        assert!(Reserved::OURS.fast() && Reserved::OURS.extended() && !Reserved::OURS.dht());
    }

    #[test]
    fn refuses_at_the_first_wrong_byte() {
        assert_eq!(Handshake::decode(b"\x13Bit"), Ok(None));
        assert_eq!(Handshake::decode(b"GET /"), Err(NotAHandshake));
        assert_eq!(Handshake::decode(b"\x13BitTorrent protocoL"), Err(NotAHandshake));
    }
}
