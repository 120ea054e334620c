//! The peer actor: one connection to a peer, from the first byte to the last.
//!
//! Owned by the member, which starts it with an address to dial or a stream that has shaken hands. Its
//! one message, to run, does not return before the connection ends: the loop in [`connection`] reads the
//! socket and a channel of [`PeerCommand`]s. A panic there ends this actor alone; the member hears of
//! every end by supervision and gives what was requested to others. It is never restarted: the address
//! goes back to the pool with a mark.

mod cell;
mod connection;
pub(crate) mod handshake;
mod outgoing;

use std::net::SocketAddr;
use std::sync::Arc;

use bittorrent::peer::{HaveUpdate, Layout};
use bittorrent::picker::PeerKey;
use bittorrent::wire::pex;
use bittorrent::{BlockRef, PieceIndex};
use bytes::Bytes;
use env::live::Live;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::mpsc;

use crate::disk::TorrentFiles;
use crate::have::SharedHave;
use crate::limiter::Limits;
use crate::member::MemberMsg;
use crate::node::Node;
use crate::piece::PieceMsg;
use crate::tally::Tally;

pub(crate) use cell::PeerCell;
pub(crate) use connection::End;
pub(crate) use handshake::{Identity, Shaken};

/// What a connection can be told.
#[derive(Debug)]
pub(crate) enum PeerCommand {
    /// Request these; blocks of the opened pieces go to these actors.
    Request {
        /// Blocks of one or more pieces.
        blocks: Vec<BlockRef>,
        /// Actors of pieces that this connection has not heard of.
        actors: Vec<(PieceIndex, ActorRef<PieceMsg>)>,
    },
    /// Take a request back: another peer was faster.
    Cancel(BlockRef),
    /// We have this piece now.
    Have(PieceIndex),
    /// The piece's actor is gone: drop what comes.
    Forget(PieceIndex),
    /// Whether we want something that the peer has.
    Interested(bool),
    /// Whether we refuse to serve the peer.
    Choke(bool),
    /// Whether we only upload.
    UploadOnly(bool),
    /// Tell the peer of others.
    Pex(Box<pex::Message>),
    /// Ask for pieces of the info dictionary.
    RequestMetadata(Vec<u32>),
    /// The metadata is known: pieces can be exchanged.
    Content(Box<Content>),
    /// Panic, to see what the others do.
    #[cfg(test)]
    Panic,
}

/// What a connection needs to exchange pieces.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    /// Number and size of the pieces.
    pub(crate) layout: Layout,
    /// The raw info dictionary, to be served (BEP 9).
    pub(crate) info: Bytes,
    /// To read from.
    pub(crate) files: Arc<TorrentFiles>,
    /// What may be served.
    pub(crate) have: Arc<SharedHave>,
    /// Whether the torrent is private (BEP 27).
    pub(crate) is_private: bool,
}

impl Content {
    /// What may be served now.
    pub(crate) fn bitfield(&self) -> bittorrent::bitfield::Bitfield {
        self.have.bitfield()
    }
}

/// What a connection tells the member, gathered over one turn of its loop.
#[derive(Debug)]
pub(crate) enum PeerNews {
    /// Blocks came and went to the piece's actor: their offsets.
    Received(PieceIndex, Vec<u32>),
    /// Requests ended without a block.
    Released(Vec<BlockRef>),
    /// The peer has more or fewer pieces.
    Has(HaveUpdate),
    /// All pieces of the peer.
    Bitfield(bittorrent::bitfield::Bitfield),
    /// The peer wants something of us, or ceased to.
    Interested(bool),
    /// So many blocks more can be requested.
    Wants {
        /// How many.
        count: u32,
        /// Of these pieces alone: the peer chokes us otherwise (BEP 6).
        only: Option<Vec<PieceIndex>>,
    },
    /// The peer let requests wait, or delivers again.
    Snubbed(bool),
    /// The peer's extension handshake: where it listens, the size of the info dictionary.
    Extended {
        /// The port on which the peer listens.
        port: Option<u16>,
        /// The size of the info dictionary as the peer says, in bytes.
        metadata_size: Option<u32>,
    },
    /// Whether the peer only uploads.
    UploadOnly(bool),
    /// A piece of the info dictionary, not verified.
    Metadata {
        /// Which piece of 16 KiB.
        piece: u32,
        /// The size of the whole as the peer says, in bytes.
        total_size: u32,
        /// The bytes.
        data: Bytes,
    },
    /// The peer does not serve the info dictionary, or not now.
    MetadataRefused,
    /// Addresses that the peer knows.
    Pex(Box<pex::Message>),
}

/// How a connection begins.
#[derive(Debug)]
pub(crate) enum Start {
    /// Dial this address.
    Dial(SocketAddr),
    /// It was accepted, and shook hands.
    Accepted(Box<Shaken>),
}

/// What a peer actor is born with.
#[derive(Debug)]
pub(crate) struct PeerArgs {
    /// Its number in the member.
    pub(crate) key: PeerKey,
    /// How it begins.
    pub(crate) start: Start,
    /// The node.
    pub(crate) node: Arc<Node>,
    /// The torrent and our name in it.
    pub(crate) identity: Identity,
    /// Its owner.
    pub(crate) member: ActorRef<MemberMsg>,
    /// What it is told.
    pub(crate) commands: mpsc::UnboundedReceiver<PeerCommand>,
    /// None while the metadata is unknown.
    pub(crate) content: Option<Content>,
    /// How fast it may send.
    pub(crate) up: Limits,
    /// What is shown of it.
    pub(crate) cell: Arc<PeerCell>,
    /// Counts payload.
    pub(crate) tally: Arc<Tally>,
    /// Counts it.
    pub(crate) _live: Live,
}

/// The actor.
#[derive(Debug)]
pub(crate) struct PeerActor;

/// Its only message: run until the connection ends.
#[derive(Debug)]
pub(crate) struct Run;

impl Actor for PeerActor {
    type Msg = Run;
    type State = Option<Box<PeerArgs>>;
    type Arguments = Box<PeerArgs>;

    async fn pre_start(
        &self,
        myself: ActorRef<Run>,
        args: Box<PeerArgs>,
    ) -> Result<Self::State, ActorProcessingErr> {
        myself.cast(Run)?;
        Ok(Some(args))
    }

    async fn handle(
        &self,
        _myself: ActorRef<Run>,
        _message: Run,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        if let Some(args) = state.take() {
            let (key, member) = (args.key, args.member.clone());
            let end = Box::pin(connection::run(args)).await;
            // The member stops us: if we stopped ourselves, it would hear of our end before our last words.
            // It may have ended first, which ends us too.
            let _ = member.cast(MemberMsg::PeerEnded { key, end });
        }
        Ok(())
    }
}
