//! What happens to torrents.

use serde::{Deserialize, Serialize};

use crate::{TorrentId, TorrentState};

/// Something that happened to a torrent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The torrent.
    pub id: TorrentId,
    /// Which ownership of the torrent it belongs to; 1 on a single machine.
    pub epoch: u64,
    /// Counts the torrent's events of this epoch from 1, without gaps.
    pub seq: u64,
    /// When, in milliseconds since 1970-01-01 UTC.
    pub at_ms: u64,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// It was added.
    Added {
        /// Its name as far as it is known.
        name: String,
    },
    /// Its info dictionary came from a peer.
    Metadata {
        /// Its name.
        name: String,
        /// Bytes of all files.
        total_bytes: u64,
    },
    /// Its state changed.
    State {
        /// What it is doing now.
        state: TorrentState,
    },
    /// Pieces were verified and written.
    Progress {
        /// Verified bytes of the wanted pieces.
        have_bytes: u64,
        /// Bytes of the wanted pieces.
        wanted_bytes: u64,
    },
    /// A recheck ended.
    Verified {
        /// Pieces that are there.
        have_pieces: u32,
    },
    /// All that is wanted is there.
    Completed,
    /// It cannot go on.
    Error {
        /// Why, and what to do.
        message: String,
    },
    /// A piece failed its hash, a peer was banned, a tracker fails: something is wrong, and we went on.
    Anomaly {
        /// What.
        message: String,
    },
    /// It was removed.
    Removed {
        /// Its files too.
        with_data: bool,
    },
}

impl EventKind {
    /// Its name, as it stands in JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Added { .. } => "added",
            Self::Metadata { .. } => "metadata",
            Self::State { .. } => "state",
            Self::Progress { .. } => "progress",
            Self::Verified { .. } => "verified",
            Self::Completed => "completed",
            Self::Error { .. } => "error",
            Self::Anomaly { .. } => "anomaly",
            Self::Removed { .. } => "removed",
        }
    }
}
