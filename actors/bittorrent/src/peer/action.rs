//! What a session tells its owner to do, and how a peer can break the protocol.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::wire::{Reserved, codec, extension, pex};
use crate::{BlockRef, PieceIndex};

/// Room for blocks that a run begins with.
const RUN_BLOCKS: usize = 16;

/// What a call of the session led to, in order.
#[derive(Debug, Clone)]
pub enum Action {
    /// Requested blocks came: a run of one piece, as (offset in the piece, bytes).
    Blocks {
        /// The piece.
        piece: PieceIndex,
        /// Its blocks in the order in which they came; each a slice of the receive buffer.
        blocks: Vec<(u32, Bytes)>,
    },
    /// A block came whose request was cancelled or given up a short while ago. Nothing covers its
    /// memory any more: take it if it is of use and there is room, else drop it.
    Late(BlockRef, Bytes),
    /// Requests ended without a block: the blocks can be asked of others, and what covered their
    /// memory is free.
    Released {
        /// Why.
        reason: Release,
        /// The blocks, in the order in which they were requested.
        blocks: Vec<BlockRef>,
    },
    /// The peer has more or fewer pieces.
    Has(HaveUpdate),
    /// The peer became interested in what we have, or ceased to be.
    Interested(bool),
    /// The peer serves us no longer.
    Choked,
    /// The peer serves us from now on.
    Unchoked,
    /// The window has room for more requests, [`super::Session::wanted`] of them. Told once; again
    /// after the next [`super::Session::request`].
    WantBlocks,
    /// The peer's requests wait to be taken by [`super::Session::next_reads`].
    RequestsQueued,
    /// The peer let requests wait for a minute (`true`), or delivers again.
    Snubbed(bool),
    /// The extension handshake of the peer, the first or a later one.
    Extended(Box<extension::Handshake>),
    /// The peer only uploads (BEP 21), or downloads too.
    UploadOnly(bool),
    /// A piece of the info dictionary that was requested, not verified.
    Metadata {
        /// Which piece of 16 KiB.
        piece: u32,
        /// The size of the whole info dictionary as the peer says, in bytes.
        total_size: u32,
        /// The bytes.
        data: Bytes,
    },
    /// The peer does not serve these pieces of the info dictionary, or was silent for too long.
    MetadataRefused(Vec<u32>),
    /// The peer's requests for the info dictionary wait to be taken by
    /// [`super::Session::next_metadata_request`].
    MetadataQueued,
    /// Addresses that the peer knows (BEP 11).
    Pex(Box<pex::Message>),
    /// The peer would serve this piece cheaply (BEP 6).
    Suggested(PieceIndex),
    /// The peer serves this piece also while it chokes us (BEP 6).
    AllowedFast(PieceIndex),
    /// The UDP port of the peer's DHT node (BEP 5).
    DhtPort(u16),
}

/// Why a request ended without a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// The peer choked us.
    Choked,
    /// The peer will not serve it (BEP 6).
    Rejected,
    /// The peer let it wait for too long.
    TimedOut,
    /// It was never sent: the peer had choked us meanwhile, or has the piece no longer, or the same
    /// block is requested already.
    Unsent,
}

/// A change of what the peer has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HaveUpdate {
    /// Every piece.
    All,
    /// These are all its pieces; [`super::Session::pieces`] holds them.
    Bitfield,
    /// These too; none was known before.
    Pieces(Vec<PieceIndex>),
    /// This one no longer (BEP 54).
    Lost(PieceIndex),
}

/// How a peer broke the protocol: the connection is to be closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A message that cannot be read.
    #[error("unreadable message: {0}")]
    Codec(#[from] codec::Error),
    /// A message of the extension protocol that cannot be read.
    #[error("unreadable extension message: {0}")]
    Extension(#[from] extension::Error),
    /// A message of an extension that was not negotiated.
    #[error("{0} without the fast extension")]
    NotNegotiated(&'static str),
    /// A message is longer than any that makes sense, in bytes.
    #[error("a message of {length} bytes, at most {limit} make sense")]
    TooLong {
        /// Its length prefix.
        length: u32,
        /// The most that is taken.
        limit: u32,
    },
    /// A piece that the torrent does not have.
    #[error("piece {0} is not in the torrent")]
    NoSuchPiece(PieceIndex),
    /// A bitfield that does not fit the torrent.
    #[error("a bitfield of wrong length or with spare bits")]
    BadBitfield,
    /// A request that no torrent could serve.
    #[error("request for {} bytes at {} of piece {}", .0.length, .0.begin, .0.piece)]
    BadRequest(BlockRef),
    /// The peer goes on to request although many requests were refused.
    #[error("requests beyond the queue")]
    RequestFlood,
    /// A piece of metadata that does not have the length that its number and the size demand.
    #[error("{actual} bytes as piece {piece} of {total_size} bytes of metadata")]
    BadMetadata {
        /// Which piece.
        piece: u32,
        /// Size of the info dictionary as the peer says, in bytes.
        total_size: u32,
        /// Length of the piece, in bytes.
        actual: usize,
    },
    /// Blocks that nobody requested.
    #[error("blocks that were not requested")]
    Unrequested,
    /// More messages without effect than an honest peer sends.
    #[error("a flood of messages without effect")]
    Flood,
    /// The peer does not read what we write.
    #[error("the peer does not read")]
    Unread,
    /// Nothing came for minutes, not even a keep-alive.
    #[error("silence")]
    Silence,
}

/// What the session has to know of the torrent's pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// How many pieces there are.
    pub piece_count: u32,
    /// Length of each piece but the last, in bytes.
    pub piece_length: u32,
    /// Length of all pieces together, in bytes.
    pub total_length: u64,
}

impl Layout {
    /// Whether the torrent has this piece.
    #[must_use]
    pub const fn has(&self, piece: PieceIndex) -> bool {
        piece.0 < self.piece_count
    }

    /// Length of a piece in bytes; zero if the torrent does not have it.
    #[must_use]
    pub fn piece_len(&self, piece: PieceIndex) -> u32 {
        if !self.has(piece) {
            return 0;
        }
        let begin = u64::from(piece.0) * u64::from(self.piece_length);
        let rest = self.total_length.saturating_sub(begin);
        u32::try_from(rest.min(u64::from(self.piece_length))).unwrap_or(self.piece_length)
    }

    /// Whether the range is not empty and in one piece of the torrent.
    #[must_use]
    pub fn holds(&self, block: BlockRef) -> bool {
        let end = u64::from(block.begin) + u64::from(block.length);
        block.length > 0 && end <= u64::from(self.piece_len(block.piece))
    }
}

/// What is constant for a session.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// The torrent's pieces; none while only its info-hash is known.
    pub layout: Option<Layout>,
    /// Whether the torrent is private (BEP 27): then no peers are exchanged.
    pub is_private: bool,
    /// The most blocks that are requested at once.
    pub window_max: u32,
    /// The most requests of the peer that wait here; what the extension handshake calls `reqq`.
    pub queue_max: u32,
}

impl Default for Config {
    /// The limits that libtorrent has too: 2,000 both ways (32 MiB on the way to us).
    fn default() -> Self {
        Self { layout: None, is_private: false, window_max: 2_000, queue_max: 2_000 }
    }
}

/// What the handshakes of both sides agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// The fast extension (BEP 6).
    pub fast: bool,
    /// The extension protocol (BEP 10).
    pub extended: bool,
}

impl From<Reserved> for Capabilities {
    /// What a peer's handshake offers, since we offer both ([`Reserved::OURS`]).
    fn from(theirs: Reserved) -> Self {
        Self { fast: theirs.fast(), extended: theirs.extended() }
    }
}

/// A picture of a session for people, tests and the choker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the flags of the protocol, for display")]
pub struct Snapshot {
    /// The peer's client, as its extension handshake calls it.
    pub client: Option<String>,
    /// We choke the peer.
    pub am_choking: bool,
    /// We want something of the peer.
    pub am_interested: bool,
    /// The peer chokes us.
    pub peer_choking: bool,
    /// The peer wants something of us.
    pub peer_interested: bool,
    /// The peer only uploads (BEP 21), or has everything.
    pub upload_only: bool,
    /// The peer let requests wait for a minute.
    pub snubbed: bool,
    /// Pieces that the peer has; none while the number of pieces is unknown.
    pub pieces: Option<u32>,
    /// Payload from the peer, in bytes/s.
    pub down_bytes_per_s: u64,
    /// Payload to the peer, in bytes/s.
    pub up_bytes_per_s: u64,
    /// Payload from the peer, in bytes.
    pub down_bytes: u64,
    /// Payload to the peer, in bytes.
    pub up_bytes: u64,
    /// Payload that was not requested, or came too late, in bytes.
    pub wasted_bytes: u64,
    /// Requests that wait for the peer.
    pub outstanding: u32,
    /// The most requests that may wait for it.
    pub window: u32,
    /// Requests of the peer that wait for us.
    pub queued: u32,
    /// The least round-trip time of a request of late, in microseconds.
    pub rtt_us: Option<u64>,
}

/// Adds a block to the run at the end of `actions`, or begins one.
pub(super) fn push_block(actions: &mut Vec<Action>, piece: PieceIndex, begin: u32, block: Bytes) {
    if let Some(Action::Blocks { piece: last, blocks }) = actions.last_mut()
        && *last == piece
    {
        blocks.push((begin, block));
        return;
    }
    // A run is what one read brought: 256 KiB, if the socket is full.
    let mut blocks = Vec::with_capacity(RUN_BLOCKS);
    blocks.push((begin, block));
    actions.push(Action::Blocks { piece, blocks });
}

/// Adds a released block to the run at the end of `actions`, or begins one.
pub(super) fn push_released(actions: &mut Vec<Action>, reason: Release, block: BlockRef) {
    if let Some(Action::Released { reason: last, blocks }) = actions.last_mut()
        && *last == reason
    {
        blocks.push(block);
        return;
    }
    actions.push(Action::Released { reason, blocks: vec![block] });
}

/// Adds a piece to the run of haves at the end of `actions`, or begins one.
pub(super) fn push_have(actions: &mut Vec<Action>, piece: PieceIndex) {
    if let Some(Action::Has(HaveUpdate::Pieces(pieces))) = actions.last_mut() {
        pieces.push(piece);
        return;
    }
    actions.push(Action::Has(HaveUpdate::Pieces(vec![piece])));
}
