//! What can be asked of an engine.

use std::net::SocketAddr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{FilePriority, TorrentId, TorrentSettings};

/// Where a torrent comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// The bytes of a `.torrent` file, at most 10 MB.
    Metainfo(Bytes),
    /// A magnet link; the info dictionary comes from peers (BEP 9).
    Magnet(String),
    /// An http(s) address of a `.torrent` file.
    Url(String),
}

/// A torrent to be added.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AddTorrent {
    /// Where it comes from.
    pub source: Source,
    /// What is set from the beginning.
    pub settings: TorrentSettings,
    /// Add it without starting it.
    pub stopped: bool,
    /// Peers to begin with.
    pub peers: Vec<SocketAddr>,
}

/// A torrent to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveTorrent {
    /// Which.
    pub id: TorrentId,
    /// Delete its files too; other files in its directories stay.
    pub with_data: bool,
}

/// What can be asked of an engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// Adds a torrent.
    Add(AddTorrent),
    /// Removes a torrent, and its data if wished.
    Remove(RemoveTorrent),
    /// Lets a torrent run (it may wait in the queue).
    Start(TorrentId),
    /// Stops a torrent; it stays, with its data.
    Stop(TorrentId),
    /// Hashes all data that is on disk again.
    Verify(TorrentId),
    /// Holds a running verification, or lets it go on.
    PauseVerify {
        /// Which torrent.
        id: TorrentId,
        /// Hold it.
        paused: bool,
    },
    /// Announces now, as soon as the trackers' least intervals allow.
    Reannounce(TorrentId),
    /// Replaces the settings.
    Set {
        /// Which torrent.
        id: TorrentId,
        /// All of them.
        settings: Box<TorrentSettings>,
    },
    /// Sets the priority of some files.
    SetPriorities {
        /// Which torrent.
        id: TorrentId,
        /// File index and priority.
        files: Vec<(u32, FilePriority)>,
    },
    /// Offers addresses of peers.
    AddPeers {
        /// Which torrent.
        id: TorrentId,
        /// At most 200 are looked at.
        peers: Vec<SocketAddr>,
    },
}

/// What a command led to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// It was done.
    Done,
    /// The torrent was added under this id.
    Added(TorrentId),
}
