//! What the session is told.

use std::net::SocketAddr;

use bittorrent::Time;
use bytes::Bytes;
use control::{Command, EngineError, NodeSnapshot, Reply, TorrentId, TorrentState};
use store::{StoreError, TorrentRecord, TorrentSource};
use tokio::sync::oneshot;

use super::Listed;
use crate::peer::Shaken;
use crate::torrent::TorrentMsg;

/// Where the answer to a command goes.
pub(crate) type Answer = oneshot::Sender<Result<Reply, EngineError>>;

/// What a session can be told.
#[derive(Debug)]
pub(crate) enum SessionMsg {
    /// Do something.
    Command {
        /// What.
        command: Command,
        /// The answer.
        reply: Answer,
    },
    /// Show all torrents.
    List(oneshot::Sender<Vec<Listed>>),
    /// Show one torrent.
    One {
        /// Which.
        id: TorrentId,
        /// The answer; none if there is no such torrent.
        reply: oneshot::Sender<Option<(Listed, TorrentRecord)>>,
    },
    /// Show the node.
    Node(oneshot::Sender<NodeSnapshot>),
    /// Hand a message to a torrent, which is brought to life for it.
    Route {
        /// Which.
        id: TorrentId,
        /// What it is told; dropped if it may not run now.
        message: Box<TorrentMsg>,
    },
    /// A peer came and has shaken hands.
    Incoming {
        /// For which torrent.
        id: TorrentId,
        /// The stream.
        shaken: Box<Shaken>,
    },
    /// A torrent tells something.
    Torrent {
        /// Which.
        id: TorrentId,
        /// What.
        news: TorrentNews,
    },
    /// A listener listens.
    Listening {
        /// Which.
        index: usize,
        /// Where.
        at: SocketAddr,
    },
    /// Something that took a while is done.
    Worked(Box<Work>),
    /// Look at who may run.
    Schedule,
    /// A passive torrent's moment has come.
    Wake,
    /// Start a listener again.
    RestartListener(usize),
    /// Start a torrent again.
    RestartTorrent(TorrentId),
    /// End in order, then answer.
    Shutdown(oneshot::Sender<()>),
}

/// What a torrent tells the session.
#[derive(Debug)]
pub(crate) enum TorrentNews {
    /// Its record or state changed.
    Changed {
        /// What is kept of it.
        record: Box<TorrentRecord>,
        /// What it is doing.
        state: TorrentState,
    },
    /// It has nothing to do.
    Idle,
    /// It has ended in order; it may be stopped now.
    Closed {
        /// What is kept of it.
        record: Box<TorrentRecord>,
        /// When a tracker expects it.
        next_announce: Option<Time>,
        /// Counts its events.
        seq: u64,
    },
}

/// Something that took a while.
#[derive(Debug)]
pub(crate) enum Work {
    /// What is kept of a torrent was read.
    Loaded {
        /// Which.
        id: TorrentId,
        /// What it was made from.
        source: Result<TorrentSource, StoreError>,
        /// Its last checkpoint.
        checkpoint: Result<Option<Bytes>, StoreError>,
    },
    /// A torrent to be added was read and is fit.
    Prepared {
        /// What is to be kept of it.
        record: Box<TorrentRecord>,
        /// What it is made from.
        source: TorrentSource,
        /// Addresses to begin with.
        peers: Vec<SocketAddr>,
        /// The answer.
        reply: Answer,
    },
    /// A torrent to be added was stored, or not.
    Added {
        /// What is kept of it.
        record: Box<TorrentRecord>,
        /// Addresses to begin with.
        peers: Vec<SocketAddr>,
        /// Whether it was stored.
        result: Result<(), StoreError>,
        /// The answer.
        reply: Answer,
    },
}
