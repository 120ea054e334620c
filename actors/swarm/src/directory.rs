//! Which torrent a handshake means.
//!
//! Written by the session, read by the tasks that shake hands with incoming peers. An encrypted
//! handshake names the torrent by a hash of its info-hash (MSE), so both are kept: 60 bytes a torrent.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use bittorrent::InfoHash;
use bittorrent::encryption::obfuscated;
use control::TorrentId;

/// Info-hashes as they stand in handshakes, and what they mean.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    names: RwLock<Names>,
}

#[derive(Debug, Default)]
struct Names {
    by_hash: BTreeMap<[u8; 20], TorrentId>,
    by_obfuscated: BTreeMap<[u8; 20], [u8; 20]>,
}

impl Directory {
    /// Peers may come for this torrent by this info-hash.
    pub(crate) fn insert(&self, info_hash: [u8; 20], id: TorrentId) {
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        names.by_hash.insert(info_hash, id);
        names.by_obfuscated.insert(obfuscated(InfoHash(info_hash)), info_hash);
    }

    /// Peers who come for this info-hash are sent away.
    pub(crate) fn remove(&self, info_hash: [u8; 20]) {
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        names.by_hash.remove(&info_hash);
        names.by_obfuscated.remove(&obfuscated(InfoHash(info_hash)));
    }

    /// The torrent that a handshake names.
    pub(crate) fn torrent(&self, info_hash: &[u8; 20]) -> Option<TorrentId> {
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        names.by_hash.get(info_hash).copied()
    }

    /// The info-hash that an encrypted handshake names.
    pub(crate) fn info_hash(&self, obfuscated: &[u8; 20]) -> Option<[u8; 20]> {
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        names.by_obfuscated.get(obfuscated).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_torrent_by_either_name() {
        let directory = Directory::default();
        let (hash, id) = ([1; 20], TorrentId([1; 20]));
        directory.insert(hash, id);
        assert_eq!(directory.torrent(&hash), Some(id));
        assert_eq!(directory.info_hash(&obfuscated(InfoHash(hash))), Some(hash));
        directory.remove(hash);
        assert_eq!(directory.torrent(&hash), None);
        assert_eq!(directory.info_hash(&obfuscated(InfoHash(hash))), None);
    }
}
