//! What the member is told, what it tells, and what it is born with.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bittorrent::bitfield::Bitfield;
use bittorrent::metainfo::Info;
use bittorrent::picker::PeerKey;
use bittorrent::resume::{FileState, Resume};
use bittorrent::{PeerId, PieceIndex};
use bytes::Bytes;
use control::{FilePriority, PeerSnapshot};
use env::live::Live;
use ractor::ActorRef;
use tokio::sync::oneshot;

use crate::disk::{StorageError, StorageEvent, TorrentFiles};
use crate::have::SharedHave;
use crate::limiter::{Limiter, Limits};
use crate::node::Node;
use crate::peer::{End, Identity, PeerNews, Shaken};
use crate::tally::Tally;
use crate::torrent::TorrentMsg;

/// What a member can be told.
#[derive(Debug)]
pub(crate) enum MemberMsg {
    /// A connection tells what happened on it.
    Peer {
        /// Which.
        key: PeerKey,
        /// In order.
        news: Vec<PeerNews>,
    },
    /// A connection has shaken hands.
    PeerConnected {
        /// Which.
        key: PeerKey,
        /// Where the peer is.
        address: SocketAddr,
        /// The peer's name.
        peer_id: PeerId,
    },
    /// A connection has ended.
    PeerEnded {
        /// Which.
        key: PeerKey,
        /// Why.
        end: End,
    },
    /// What a peer was to be sent cannot be read: the torrent cannot go on.
    ReadFailed(StorageError),
    /// All blocks of a piece went to storage.
    PieceGathered {
        /// Which.
        piece: PieceIndex,
        /// Who sent each block.
        sources: Vec<PeerKey>,
    },
    /// Storage has done, or failed to do, something.
    Storage(StorageEvent),
    /// The files were looked at.
    Opened(Result<Vec<Option<FileState>>, StorageError>),
    /// What was written is durable.
    Flushed(Result<Checkpoint, StorageError>),
    /// Addresses of peers.
    Addresses {
        /// At most 200 are looked at.
        addresses: Vec<SocketAddr>,
        /// A user named them.
        named: bool,
    },
    /// Where others see us.
    Ours(SocketAddr),
    /// A peer came and has shaken hands.
    Incoming(Box<Shaken>),
    /// A user changed something.
    Settings(Box<MemberSettings>),
    /// Holds the recheck, or lets it go on.
    PauseCheck(bool),
    /// Someone waits for a piece: it is fetched before others.
    Need {
        /// Which.
        piece: PieceIndex,
        /// Pieces after it that will be needed soon.
        ahead: u32,
        /// Told when it is there; dropped when the torrent stops.
        reply: oneshot::Sender<()>,
    },
    /// Shows it.
    View(oneshot::Sender<MemberView>),
    /// A timer is due.
    Wake(Wake),
    /// Let go of peers, make durable what was written (unless the torrent is removed, of which nothing is
    /// claimed any more), tell [`MemberEvent::Closed`].
    Close {
        /// The torrent is removed.
        removed: bool,
    },
    /// Panic, or make a child panic, to see what the others do.
    #[cfg(test)]
    Panic(Victim),
}

/// Who is to panic in a test.
#[cfg(test)]
#[derive(Debug, Clone, Copy)]
pub(crate) enum Victim {
    Member,
    Storage,
    Peer,
    Piece,
}

/// Which timer is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wake {
    /// The choker decides anew.
    Choke,
    /// An address can be dialled.
    Dial,
    /// Peers that wait for something to request may get it.
    Refill,
    /// A peer sends no metadata.
    Metadata,
    /// Peers are told of others.
    Pex,
    /// Verified pieces are to be made durable.
    Flush,
    /// Storage is to be started again.
    Storage,
}

/// What a member tells its owner.
#[derive(Debug)]
pub(crate) enum MemberEvent {
    /// The info dictionary came from peers, and is right.
    Metadata(Arc<Info>),
    /// Pieces on disk are being hashed.
    Checking {
        /// How many were.
        checked: u32,
        /// How many are to be.
        total: u32,
    },
    /// What is on disk is known: pieces are exchanged from now on.
    Ready(Progress),
    /// A piece was verified and written.
    Piece(Progress),
    /// Who is wanted changed: settings, or a file was lost.
    Changed(Progress),
    /// Something is wrong, and it went on.
    Anomaly(String),
    /// It cannot go on.
    Failed(StorageError),
    /// A checkpoint: durable, to be stored.
    Checkpoint(Checkpoint),
    /// A peer came or went.
    Peers {
        /// How many are connected.
        connected: u32,
        /// How many are being dialled or may be soon.
        pending: bool,
    },
    /// It has ended in order.
    Closed(Option<Checkpoint>),
}

/// How far a torrent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Progress {
    /// Verified pieces.
    pub(crate) have_pieces: u32,
    /// Verified bytes of the wanted pieces.
    pub(crate) have_bytes: u64,
    /// Bytes of the wanted pieces.
    pub(crate) wanted_bytes: u64,
    /// Wanted pieces that are missing.
    pub(crate) missing: u32,
}

/// What is durable.
#[derive(Debug, Clone)]
pub(crate) struct Checkpoint {
    /// As it is to be stored.
    pub(crate) bytes: Bytes,
    /// The pieces that it claims.
    pub(crate) verified: Bitfield,
}

/// What a member is born with.
#[derive(Debug)]
pub(crate) struct MemberArgs {
    /// Its owner.
    pub(crate) torrent: ActorRef<TorrentMsg>,
    /// The node.
    pub(crate) node: Arc<Node>,
    /// The torrent, and our name in it.
    pub(crate) identity: Identity,
    /// What can be set.
    pub(crate) settings: MemberSettings,
    /// Counts payload.
    pub(crate) tally: Arc<Tally>,
    /// None while only the info-hash is known.
    pub(crate) content: Option<MemberContent>,
    /// Whether the torrent is private (BEP 27).
    pub(crate) is_private: bool,
    /// Counts it.
    pub(crate) live: Live,
}

/// What there is to exchange.
#[derive(Debug)]
pub(crate) struct MemberContent {
    /// The info dictionary.
    pub(crate) info: Arc<Info>,
    /// The last checkpoint.
    pub(crate) checkpoint: Option<Bytes>,
    /// Believe nothing: hash all.
    pub(crate) recheck: bool,
}

/// What can be set of a member.
#[derive(Debug, Clone)]
pub(crate) struct MemberSettings {
    /// Where the torrent's files stand.
    pub(crate) download_dir: PathBuf,
    /// Take room on the disk at once.
    pub(crate) preallocate: bool,
    /// Pieces in order.
    pub(crate) sequential: bool,
    /// By file; those beyond the end are normal.
    pub(crate) priorities: Vec<FilePriority>,
    /// Connected peers at most.
    pub(crate) connections_max: u32,
    /// How fast the torrent downloads.
    pub(crate) down: Arc<Limiter>,
    /// How fast the torrent uploads.
    pub(crate) up: Arc<Limiter>,
}

impl MemberSettings {
    /// The limits of one direction.
    pub(super) fn limits(&self, node: &Arc<Limiter>, down: bool) -> Limits {
        let torrent = if down { &self.down } else { &self.up };
        Limits { torrent: Arc::clone(torrent), node: Arc::clone(node) }
    }

    /// Which of so many files are wanted.
    pub(super) fn wanted(&self, files: usize) -> Vec<bool> {
        (0..files).map(|file| self.priority(file) > FilePriority::SKIP).collect()
    }

    /// The priority of a file.
    pub(super) fn priority(&self, file: usize) -> FilePriority {
        self.priorities.get(file).copied().unwrap_or(FilePriority::NORMAL)
    }
}

/// What is shown of a member.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemberView {
    /// How far it is; none until it is known.
    pub(crate) progress: Option<Progress>,
    /// Verified pieces.
    pub(crate) have: Option<Bitfield>,
    /// Connected peers.
    pub(crate) peers: Vec<PeerSnapshot>,
    /// Bytes per second now.
    pub(crate) down_bytes_per_s: u64,
    /// Bytes per second now.
    pub(crate) up_bytes_per_s: u64,
    /// Connected peers that have everything.
    pub(crate) seeds: u32,
    /// To read content from.
    pub(crate) content: Option<(Arc<TorrentFiles>, Arc<SharedHave>)>,
}

/// A checkpoint of what is durable now.
pub(super) fn checkpoint(resume: Resume, info: &Info) -> Checkpoint {
    Checkpoint { bytes: resume.encode(info.files()).into(), verified: resume.verified }
}
