//! What an engine says of its torrents.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{InfoHash, InfoHashV2, TorrentId, TorrentSettings};

/// What a torrent is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TorrentState {
    /// A user stopped it.
    Stopped,
    /// It waits for its turn.
    Queued,
    /// What is on disk is being hashed.
    Checking,
    /// The info dictionary is being fetched from peers.
    Metadata,
    /// Wanted pieces are missing.
    Downloading,
    /// All that is wanted is there.
    Seeding,
    /// All that is wanted is there, and it was seeded enough.
    Finished,
    /// It cannot go on; `error` says why.
    Error,
}

/// A torrent in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TorrentSnapshot {
    /// Its id.
    pub id: TorrentId,
    /// v1 info-hash, if it has one.
    pub v1: Option<InfoHash>,
    /// v2 info-hash, if it has one.
    pub v2: Option<InfoHashV2>,
    /// Its name; the id until the metadata is there.
    pub name: String,
    /// What it is doing.
    pub state: TorrentState,
    /// Why it is in [`TorrentState::Error`], and what to do.
    pub error: Option<String>,
    /// Bytes of all files, pads included; 0 until the metadata is there.
    pub total_bytes: u64,
    /// Bytes of the wanted pieces.
    pub wanted_bytes: u64,
    /// Verified bytes of the wanted pieces.
    pub have_bytes: u64,
    /// Share that was hashed, 0 to 1, while checking.
    pub checked: Option<f64>,
    /// Bytes of blocks that were taken from peers, ever.
    pub downloaded_bytes: u64,
    /// Bytes of blocks that were sent to peers, ever.
    pub uploaded_bytes: u64,
    /// Bytes that were taken and thrown away.
    pub wasted_bytes: u64,
    /// Bytes per second now.
    pub down_bytes_per_s: u64,
    /// Bytes per second now.
    pub up_bytes_per_s: u64,
    /// Connected peers.
    pub peers: u32,
    /// Connected peers that have everything.
    pub seeds: u32,
    /// When it was added, in milliseconds since 1970-01-01 UTC.
    pub added_ms: u64,
    /// When it was complete.
    pub completed_ms: Option<u64>,
    /// Whether it is private (BEP 27).
    pub private: bool,
}

impl TorrentSnapshot {
    /// Share of the wanted bytes that is there, 0 to 1.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share for people")]
    pub fn progress(&self) -> f64 {
        if self.wanted_bytes == 0 {
            return if self.total_bytes == 0 { 0.0 } else { 1.0 };
        }
        self.have_bytes as f64 / self.wanted_bytes as f64
    }
}

/// A file of a torrent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileSnapshot {
    /// Its place in the torrent.
    pub index: u32,
    /// Its path below the download directory, parts joined by `/`.
    pub path: String,
    /// Length in bytes.
    pub length: u64,
    /// Bytes of it in verified pieces.
    pub have_bytes: u64,
    /// 0 is not wanted.
    pub priority: u8,
    /// Whether it only fills a piece (BEP 47).
    pub pad: bool,
}

/// A connected peer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerSnapshot {
    /// Where it is.
    pub address: SocketAddr,
    /// The program that it says it is.
    pub client: String,
    /// Share of the torrent that it has, 0 to 1.
    pub progress: f64,
    /// Bytes per second from it.
    pub down_bytes_per_s: u64,
    /// Bytes per second to it.
    pub up_bytes_per_s: u64,
    /// Bytes from it.
    pub downloaded_bytes: u64,
    /// Bytes to it.
    pub uploaded_bytes: u64,
    /// It connected to us.
    pub incoming: bool,
    /// The stream is encrypted by RC4.
    pub encrypted: bool,
    /// It does not serve us.
    pub choked: bool,
    /// We do not serve it.
    pub choking: bool,
    /// We want something of it.
    pub interested: bool,
    /// It wants something of us.
    pub wants: bool,
}

/// How a tracker is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrackerStatus {
    /// Not asked yet.
    Idle,
    /// Being asked.
    Announcing,
    /// The last answer was good.
    Working,
    /// The last announce failed.
    Failed,
}

/// A tracker of a torrent. The address is without query and user information: they are secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackerSnapshot {
    /// Address, shortened to what may be shown.
    pub url: String,
    /// Tier, from 0.
    pub tier: u32,
    /// How it is doing.
    pub status: TrackerStatus,
    /// The last failure or warning.
    pub message: Option<String>,
    /// Seeds that it knows.
    pub seeds: Option<u32>,
    /// Leeches that it knows.
    pub leeches: Option<u32>,
    /// Seconds until the next announce.
    pub next_announce_s: Option<u64>,
}

/// All of one torrent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TorrentDetail {
    /// As in the list.
    pub torrent: TorrentSnapshot,
    /// What a user has set.
    pub settings: TorrentSettings,
    /// Bytes a piece; 0 until the metadata is there.
    pub piece_length: u32,
    /// Number of pieces.
    pub piece_count: u32,
    /// Verified pieces, the first in the highest bit of the first byte.
    pub pieces: Vec<u8>,
    /// Its files.
    pub files: Vec<FileSnapshot>,
    /// Connected peers.
    pub peer_list: Vec<PeerSnapshot>,
    /// Its trackers.
    pub trackers: Vec<TrackerSnapshot>,
    /// Comment of the metainfo.
    pub comment: Option<String>,
    /// The program that made the metainfo.
    pub created_by: Option<String>,
}

/// A node as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSnapshot {
    /// Where it accepts peers.
    pub listening: Vec<SocketAddr>,
    /// Torrents, those without an actor included.
    pub torrents: u32,
    /// Torrents that have an actor now.
    pub active: u32,
    /// Connected peers.
    pub peers: u32,
    /// Received bytes of blocks that are not on disk yet.
    pub unwritten_bytes: u64,
}
