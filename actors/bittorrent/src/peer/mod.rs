//! One peer connection as a machine (BEP 3, 6, 9, 10, 11, 21, 54).
//!
//! [`Session`] is a connection after the handshake. Its owner reads bytes from the socket and gives
//! them to [`Session::receive`], writes what is in [`Session::transmit`], calls
//! [`Session::handle_timeout`] at the moment that [`Session::poll_timeout`] names, and does what the
//! [`Action`]s say. The session knows the protocol, the flow of requests in both directions and the
//! limits of each; it knows no socket, clock, disk, picker or choker.
//!
//! - `mod.rs`: the machine, its messages and timers
//! - `download.rs`: our requests and what becomes of them; `window.rs`: how many; `outstanding.rs`: which
//! - `upload.rs`: the peer's requests
//! - `extended.rs`: the extension protocol
//! - `have.rs`: what each side says that it has; `pieces.rs`: what the peer has
//!
//! ```
//! use bittorrent::peer::{Action, Capabilities, Config, Layout, Offer, Session};
//! use bittorrent::wire::{Message, codec};
//! use bittorrent::{BlockRef, PieceIndex, Time};
//! use bytes::BytesMut;
//!
//! let layout = Layout { piece_count: 1, piece_length: 16_384, total_length: 5 };
//! let config = Config { layout: Some(layout), ..Config::default() };
//! let now = Time::ZERO;
//! let mut session = Session::new(config, Capabilities { fast: true, extended: false }, now);
//! session.start(now, Offer::None);
//! session.set_interested(now, true);
//!
//! // The peer has all and serves us.
//! let (mut buf, mut actions) = (BytesMut::new(), Vec::new());
//! codec::encode(&Message::HaveAll, &mut buf);
//! codec::encode(&Message::Unchoke, &mut buf);
//! session.receive(now, &mut buf, &mut actions)?;
//! assert!(matches!(actions[..], [Action::Has(_), Action::Unchoked, Action::WantBlocks]));
//! assert!(session.wanted() > 0);
//!
//! let block = BlockRef { piece: PieceIndex(0), begin: 0, length: 5 };
//! session.request(now, &[block], &mut actions);
//! // Have none, interested, request: to be written to the socket.
//! assert_eq!(session.transmit().len(), 5 + 5 + 17);
//! # Ok::<(), bittorrent::peer::Violation>(())
//! ```
//!
//! A block passes in constant time and without an allocation of its own: the codec gives a slice of the
//! receive buffer, the index finds the request, and the slice goes on into the run of its piece.
//!
//! Everything that a peer can make us keep is bounded: requests of ours by the window, requests of its
//! own by the queue, unread replies by [`REPLIES_MAX`]. Messages without effect, and changes of mind,
//! cost tokens of a bucket; a peer that empties it floods. Tokens come with time, and with what we give
//! the peer reason to react to.

mod action;
mod allowed_fast;
mod download;
mod extended;
mod have;
mod outstanding;
mod pieces;
mod upload;
mod uploads;
mod window;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Buf, BytesMut};

use crate::rate::{RateMeter, TokenBucket};
use crate::wire::{Message, codec};
use crate::{BLOCK_LEN, PieceIndex, Time};

pub use action::{Action, Capabilities, Config, HaveUpdate, Layout, Release, Snapshot, Violation};
pub use allowed_fast::allowed_fast_set;
pub use have::Offer;
pub use pieces::{Claims, PeerPieces};
pub use upload::ReadLimit;

use extended::Extensions;
use outstanding::{Grace, Outstanding};
use uploads::Uploads;
use window::Window;

/// A keep-alive is sent when nothing was sent for this time. Peers close after two minutes (BEP 3).
const KEEP_ALIVE: Duration = Duration::from_secs(100);
/// The connection is closed when nothing came for this time: two minutes and a half more for a keep-alive
/// that was late.
const SILENCE_MAX: Duration = Duration::from_secs(150);
/// Control bytes that may wait for a peer that does not read, beside our own bitfield: all rejects and
/// all requests that one side can owe (2,000 × 17 bytes each), and a piece of metadata.
pub const REPLIES_MAX: usize = 96 * 1024;
/// Bytes by which the buffer for them grows: doubling would take twice the bound.
const OUT_STEP: usize = 16 * 1024;
/// The longest message whose length does not vary, in bytes, and some more.
const OUT_MIN: usize = 32;

/// Tokens that a peer gets each second,
const TOKENS_PER_S: u64 = 100;
/// and has at most: a full window of requests that we refuse, five times.
const TOKENS_MAX: u64 = 10_000;
/// A message without effect.
const COST_IDLE: u64 = 1;
/// A keep-alive: ten a second are a flood.
const COST_KEEP_ALIVE: u64 = 10;
/// A change of mind that costs the owner work: choke, interest, a piece lost, a hint.
const COST_FLIP: u64 = 20;
/// What a peer earns by each piece that we announce and each block that it takes: a peer that keeps up
/// with a fast download becomes interested, and ceases to be, with every piece.
const EARNED: u64 = 2 * COST_FLIP;

/// A connection after the handshake; see the [module](self).
#[derive(Debug)]
pub struct Session {
    config: Config,
    capabilities: Capabilities,
    /// Control messages that wait to be written.
    out: BytesMut,
    /// Pieces that we have and did not tell yet.
    unsaid: VecDeque<PieceIndex>,
    /// The most of `out` that replies may fill.
    out_max: usize,
    /// An end that a command found; told by the next call that can.
    doomed: Option<Violation>,
    flags: Flags,
    pieces: PeerPieces,
    tokens: TokenBucket,
    received_at: Time,
    sent_at: Time,

    // Download.
    outstanding: Outstanding,
    grace: Grace,
    window: Window,
    down: RateMeter,
    /// When a block, or a part of one, came last, or the first request was sent after a pause.
    progress_at: Time,
    /// Since when the peer owes us a block: its last block, or the first request since it owed none.
    waiting_since: Option<Time>,
    /// Until then nothing is requested of a peer that only rejects.
    rest_until: Option<Time>,
    rejects_in_row: u32,
    unrequested: u32,
    wasted: u64,
    /// Pieces that the peer serves although it chokes us (BEP 6).
    fast_from_peer: Vec<PieceIndex>,

    // Upload.
    uploads: Uploads,
    up: RateMeter,
    /// Pieces that we serve although we choke the peer (BEP 6).
    fast_to_peer: Vec<PieceIndex>,

    extensions: Extensions,
}

/// The state of both sides, and what was told of it.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "the protocol's own flags, all independent")]
struct Flags {
    am_choking: bool,
    am_interested: bool,
    peer_choking: bool,
    peer_interested: bool,
    /// A bitfield, or what stands for one, can still come.
    bitfield_open: bool,
    snubbed: bool,
    /// [`Action::WantBlocks`] was told and not answered.
    want_told: bool,
    /// The requests that were queued in this call were not told yet.
    queued_untold: bool,
    /// The extension messages for metadata likewise.
    metadata_untold: bool,
}

impl Session {
    /// Makes a session that has sent and received nothing since the handshake.
    #[must_use]
    pub fn new(config: Config, capabilities: Capabilities, now: Time) -> Self {
        Self {
            config,
            capabilities,
            out: BytesMut::new(),
            unsaid: VecDeque::new(),
            out_max: REPLIES_MAX,
            doomed: None,
            flags: Flags::new(),
            pieces: match config.layout {
                Some(_) => PeerPieces::None,
                None => PeerPieces::Unknown(Claims::default()),
            },
            tokens: TokenBucket::new(TOKENS_PER_S, TOKENS_MAX, now),
            received_at: now,
            sent_at: now,
            outstanding: Outstanding::default(),
            grace: Grace::default(),
            window: Window::new(config.window_max.min(extended::REQQ_DEFAULT), now),
            down: RateMeter::new(now),
            progress_at: now,
            waiting_since: None,
            rest_until: None,
            rejects_in_row: 0,
            unrequested: 0,
            wasted: 0,
            fast_from_peer: Vec::new(),
            uploads: Uploads::default(),
            up: RateMeter::new(now),
            fast_to_peer: Vec::new(),
            extensions: Extensions::default(),
        }
    }

    /// Reads every whole message in `buf`, and says what to do about it.
    ///
    /// What remains in `buf` is the begin of a message; the next bytes are to be put behind it.
    ///
    /// # Errors
    ///
    /// The peer broke the protocol, or a limit: the connection is to be closed. Actions that were
    /// pushed before are valid.
    pub fn receive(
        &mut self,
        now: Time,
        buf: &mut BytesMut,
        actions: &mut Vec<Action>,
    ) -> Result<(), Violation> {
        self.received_at = now;
        self.doom()?;
        loop {
            self.check_prefix(buf)?;
            let Some(message) = codec::decode(buf)? else { break };
            self.on_message(now, message, actions)?;
        }
        if buf.get(4) == Some(&codec::ID_PIECE) {
            // A part of a block is progress; that it never ends is seen by its request's age.
            self.progress_at = now;
        }
        self.finish(actions);
        Ok(())
    }

    /// Control bytes that wait to be written, in order. The owner takes from the front what it writes.
    pub fn transmit(&mut self) -> &mut BytesMut {
        self.say_haves(self.sent_at);
        &mut self.out
    }

    /// Tells the peer whether we want something that it has.
    pub fn set_interested(&mut self, now: Time, interested: bool) {
        if std::mem::replace(&mut self.flags.am_interested, interested) == interested {
            return;
        }
        self.send(now, if interested { &Message::Interested } else { &Message::NotInterested });
    }

    /// Tells the UDP port of our DHT node (BEP 5).
    pub fn send_dht_port(&mut self, now: Time, port: u16) {
        self.send(now, &Message::Port(port));
    }

    /// The moment at which [`Session::handle_timeout`] is to be called, if nothing comes before.
    ///
    /// It moves with every block; a timer that fires too early does no harm.
    #[must_use]
    pub fn poll_timeout(&self) -> Time {
        if self.doomed.is_some() {
            return Time::ZERO;
        }
        let alive = (self.sent_at + KEEP_ALIVE).min(self.received_at + SILENCE_MAX);
        let requests = self.requests_due().min(self.rest_until.unwrap_or(Time::MAX));
        alive.min(requests).min(self.extensions.metadata_due())
    }

    /// Does what is due at `now`.
    ///
    /// # Errors
    ///
    /// The peer was silent for too long, or does not read: the connection is to be closed.
    pub fn handle_timeout(
        &mut self,
        now: Time,
        actions: &mut Vec<Action>,
    ) -> Result<(), Violation> {
        self.doom()?;
        if now >= self.received_at + SILENCE_MAX {
            return Err(Violation::Silence);
        }
        if now >= self.sent_at + KEEP_ALIVE {
            self.shrink();
            self.send(now, &Message::KeepAlive);
        }
        self.on_requests_due(now, actions);
        self.on_metadata_due(now, actions);
        self.finish(actions);
        Ok(())
    }

    /// Shows the session.
    #[must_use]
    pub fn snapshot(&self, now: Time) -> Snapshot {
        let layout = self.config.layout;
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        Snapshot {
            client: self.extensions.client().map(str::to_owned),
            am_choking: self.flags.am_choking,
            am_interested: self.flags.am_interested,
            peer_choking: self.flags.peer_choking,
            peer_interested: self.flags.peer_interested,
            upload_only: self.extensions.upload_only() || self.pieces.is_all(),
            snubbed: self.flags.snubbed,
            pieces: layout.and_then(|layout| self.pieces.count(layout.piece_count)),
            down_bytes_per_s: self.down.rate(now),
            up_bytes_per_s: self.up.rate(now),
            down_bytes: self.down.total(),
            up_bytes: self.up.total(),
            wasted_bytes: self.wasted,
            outstanding: count(self.outstanding.len()),
            window: self.window.blocks(),
            queued: count(self.uploads.len()),
            rtt_us: self.window.min_rtt().and_then(|rtt| u64::try_from(rtt.as_micros()).ok()),
        }
    }

    fn on_message(
        &mut self,
        now: Time,
        message: Message,
        actions: &mut Vec<Action>,
    ) -> Result<(), Violation> {
        match message {
            Message::Piece { piece, begin, block } => {
                self.on_block(now, piece, begin, block, actions)
            }
            Message::Request(block) => self.on_request(now, block),
            Message::Have(piece) => self.on_have(now, piece, actions),
            Message::KeepAlive => self.pay(now, COST_KEEP_ALIVE),
            Message::Choke => self.on_choke(now, actions),
            Message::Unchoke => self.on_unchoke(now, actions),
            Message::Interested => self.on_interest(now, true, actions),
            Message::NotInterested => self.on_interest(now, false, actions),
            Message::Bitfield(bits) => self.on_bitfield(now, &bits, actions),
            Message::Cancel(block) => self.on_cancel(now, block),
            Message::Port(port) => {
                actions.push(Action::DhtPort(port));
                self.pay(now, COST_FLIP)
            }
            Message::HaveAll => self.on_all_or_none(now, true, actions),
            Message::HaveNone => self.on_all_or_none(now, false, actions),
            Message::SuggestPiece(piece) => self.on_suggest(now, piece, actions),
            Message::RejectRequest(block) => self.on_reject(now, block, actions),
            Message::AllowedFast(piece) => self.on_allowed_fast(now, piece, actions),
            Message::Extended { id, payload } => self.on_extended(now, id, payload, actions),
        }
    }

    fn on_interest(
        &mut self,
        now: Time,
        interested: bool,
        actions: &mut Vec<Action>,
    ) -> Result<(), Violation> {
        if std::mem::replace(&mut self.flags.peer_interested, interested) == interested {
            return self.pay(now, COST_IDLE);
        }
        actions.push(Action::Interested(interested));
        self.pay(now, COST_FLIP)
    }

    /// Refuses by its first bytes a message that is too long to make sense, before anybody makes room
    /// for it.
    fn check_prefix(&self, buf: &BytesMut) -> Result<(), Violation> {
        let Some((mut prefix, &[id, ..])) = buf.split_at_checked(4) else { return Ok(()) };
        let length = prefix.get_u32();
        let limit = match id {
            // Nobody asks for more than a block.
            codec::ID_PIECE => 9 + BLOCK_LEN,
            codec::ID_BITFIELD => {
                1 + self.config.layout.map_or(pieces::PIECES_MAX, |l| l.piece_count).div_ceil(8)
            }
            codec::ID_EXTENDED => extended::MESSAGE_MAX,
            _ => return Ok(()),
        };
        if length > limit { Err(Violation::TooLong { length, limit }) } else { Ok(()) }
    }

    const fn need_fast(&self, what: &'static str) -> Result<(), Violation> {
        if self.capabilities.fast { Ok(()) } else { Err(Violation::NotNegotiated(what)) }
    }

    /// Takes tokens for a message that brings nothing or makes work.
    fn pay(&mut self, now: Time, tokens: u64) -> Result<(), Violation> {
        if self.tokens.take(now, tokens) { Ok(()) } else { Err(Violation::Flood) }
    }

    /// Queues a message of our own accord.
    fn send(&mut self, now: Time, message: &Message) {
        if self.out.len() > self.out_max {
            self.doomed = Some(Violation::Unread);
            return;
        }
        self.sent_at = self.sent_at.max(now);
        self.make_room(message);
        codec::encode(message, &mut self.out);
    }

    /// Grows the buffer by no more than a step beyond what the message needs.
    fn make_room(&mut self, message: &Message) {
        let needed = OUT_MIN
            + match message {
                Message::Bitfield(bytes) | Message::Extended { payload: bytes, .. } => bytes.len(),
                _ => 0,
            };
        if !self.out.try_reclaim(needed) {
            let len = self.out.len();
            let mut larger = BytesMut::with_capacity(len + needed + len.min(OUT_STEP));
            larger.extend_from_slice(&self.out);
            self.out = larger;
        }
    }

    /// The end that a command or a reply came to, if it did.
    fn doom(&self) -> Result<(), Violation> {
        self.doomed.clone().map_or(Ok(()), Err)
    }

    /// Tells what a call gathered.
    fn finish(&mut self, actions: &mut Vec<Action>) {
        if std::mem::take(&mut self.flags.queued_untold) {
            actions.push(Action::RequestsQueued);
        }
        if std::mem::take(&mut self.flags.metadata_untold) {
            actions.push(Action::MetadataQueued);
        }
        if !self.flags.want_told && self.wants_blocks() {
            self.flags.want_told = true;
            actions.push(Action::WantBlocks);
        }
    }

    /// Bytes on the heap, but for what the peer has.
    #[cfg(test)]
    fn heap_bytes(&self) -> usize {
        self.out.capacity()
            + self.unsaid.capacity() * size_of::<PieceIndex>()
            + self.outstanding.heap_bytes()
            + self.grace.heap_bytes()
            + self.uploads.heap_bytes()
            + self.extensions.heap_bytes()
            + (self.fast_from_peer.capacity() + self.fast_to_peer.capacity()) * 4
    }

    /// Gives back the memory of a connection on which nothing happens.
    fn shrink(&mut self) {
        self.unsaid.shrink_to_fit();
        self.outstanding.shrink();
        self.uploads.shrink();
        self.extensions.shrink();
        if self.outstanding.is_empty() {
            self.grace.clear();
        }
        if self.out.is_empty() {
            self.out = BytesMut::new();
        }
    }
}

impl Flags {
    const fn new() -> Self {
        Self {
            am_choking: true,
            am_interested: false,
            peer_choking: true,
            peer_interested: false,
            bitfield_open: true,
            snubbed: false,
            want_told: false,
            queued_untold: false,
            metadata_untold: false,
        }
    }
}
