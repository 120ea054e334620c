//! What is kept of a torrent.

use bytes::Bytes;
use control::{InfoHash, InfoHashV2, TorrentId, TorrentSettings};

/// What a user wants a torrent to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Desired {
    /// Download and seed when its turn comes.
    Running,
    /// Nothing.
    Stopped,
}

/// What a torrent was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TorrentSource {
    /// The bytes of a `.torrent` file.
    Metainfo(Bytes),
    /// A magnet link whose info dictionary is still to be fetched.
    Magnet(String),
}

impl TorrentSource {
    /// Its length in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::Metainfo(bytes) => bytes.len(),
            Self::Magnet(link) => link.len(),
        }
    }

    /// Whether it is empty, which no torrent's source is.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What is kept of a torrent beside its source: a few hundred bytes, enough to list it and to decide
/// whether it has work to do without reading its metainfo.
#[derive(Debug, Clone, PartialEq)]
pub struct TorrentRecord {
    /// Its id.
    pub id: TorrentId,
    /// v1 info-hash, if it has one.
    pub v1: Option<InfoHash>,
    /// v2 info-hash, if it has one.
    pub v2: Option<InfoHashV2>,
    /// Its name; the id until the metadata is there.
    pub name: String,
    /// When it was added, in milliseconds since 1970-01-01 UTC.
    pub added_ms: u64,
    /// What a user wants it to do.
    pub desired: Desired,
    /// What a user has set.
    pub settings: TorrentSettings,
    /// Whether it is private (BEP 27).
    pub is_private: bool,
    /// Bytes of all files; 0 until the metadata is there.
    pub total_bytes: u64,
    /// Bytes of the wanted pieces, when this was written.
    pub wanted_bytes: u64,
    /// Verified bytes of the wanted pieces, when this was written. For lists: what is on disk is told
    /// by the checkpoint.
    pub have_bytes: u64,
    /// Bytes of blocks that were taken from peers, ever.
    pub downloaded_bytes: u64,
    /// Bytes of blocks that were sent to peers, ever.
    pub uploaded_bytes: u64,
    /// Seconds as a seed, ever.
    pub seeded_s: u64,
    /// When all that is wanted was there for the first time, in milliseconds since 1970-01-01 UTC.
    pub completed_ms: Option<u64>,
    /// Why it cannot go on, and what to do.
    pub error: Option<String>,
}

impl TorrentRecord {
    /// A torrent that runs and has nothing yet, with its id as its name.
    #[must_use]
    pub fn new(id: TorrentId, added_ms: u64) -> Self {
        Self {
            id,
            v1: None,
            v2: None,
            name: id.to_string(),
            added_ms,
            desired: Desired::Running,
            settings: TorrentSettings::default(),
            is_private: false,
            total_bytes: 0,
            wanted_bytes: 0,
            have_bytes: 0,
            downloaded_bytes: 0,
            uploaded_bytes: 0,
            seeded_s: 0,
            completed_ms: None,
            error: None,
        }
    }

    /// Its place in the order of [`TorrentStore::torrents`](crate::TorrentStore::torrents).
    #[must_use]
    pub const fn page_key(&self) -> PageKey {
        PageKey { added_ms: self.added_ms, id: self.id }
    }
}

/// A place in the order of torrents: by the time they were added, then id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PageKey {
    /// When the torrent was added, in milliseconds since 1970-01-01 UTC.
    pub added_ms: u64,
    /// Its id.
    pub id: TorrentId,
}
