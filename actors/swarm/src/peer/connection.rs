//! The loop of one connection: socket and commands in, messages to piece actors and the member out.
//!
//! Reads go on until the socket would block, into one buffer of up to 256 KiB, of which blocks are
//! slices; each turn sends at most one message a piece and one to the member. The peer's requests are
//! taken together, read by one job on a disk thread and written by one call.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;

use bittorrent::peer::{
    Action, Capabilities, Config, HaveUpdate, Offer, PeerPieces, ReadLimit, Session, Violation,
    allowed_fast_set,
};
use bittorrent::wire::extension;
use bittorrent::{BLOCK_LEN, BlockRef, PieceIndex, Time};
use bytes::{Bytes, BytesMut};
use env::{NodeEnv, Sleep};
use ractor::ActorRef;
use tokio::sync::mpsc::error::TryRecvError;
use tracing::debug;

use super::outgoing::{Outgoing, Run};
use super::{Content, PeerArgs, PeerCommand, PeerNews, Shaken, Start, handshake};
use crate::bugs::{self, Bug};
use crate::disk::StorageError;
use crate::member::MemberMsg;
use crate::node::Node;
use crate::piece::PieceMsg;

/// The receive buffer of a connection that moves little, in bytes,
const RECEIVE_MIN: usize = 4 * 1024;
/// and of one that moves much.
const RECEIVE_MAX: usize = 256 * 1024;
/// A new buffer is taken when so much of a large one is left.
const RECEIVE_LEFT: usize = 32 * 1024;
/// Reads before others get their turn.
const READS_A_TURN: usize = 4;
/// Commands before the socket gets its turn.
const COMMANDS_A_TURN: usize = 256;
/// What one read from disk and one write take.
const READ_LIMIT: ReadLimit = ReadLimit { blocks: 32, bytes: 512 * 1024 };
/// Pieces that a peer with few of its own may request while it is choked (BEP 6).
const ALLOWED_FAST: usize = 10;
/// Pieces of the info dictionary are so long (BEP 9).
const METADATA_PIECE: usize = 16 * 1024;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum End {
    /// No connection came about.
    #[error("no connection: {0}")]
    Dial(#[from] handshake::Error),
    /// The peer closed it.
    #[error("closed by the peer")]
    Closed,
    /// The peer broke the protocol.
    #[error("{0}")]
    Violation(#[from] Violation),
    /// The stream failed.
    #[error("{0}")]
    Stream(#[from] io::Error),
    /// Its owner let go of it.
    #[error("closed by us")]
    Dropped,
    /// What the peer was to be sent cannot be read.
    #[error("{0}")]
    Storage(#[from] StorageError),
}

type Reading =
    Pin<Box<dyn Future<Output = (Vec<BlockRef>, Result<BytesMut, StorageError>)> + Send>>;

struct Connection {
    args: Box<PeerArgs>,
    env: NodeEnv,
    shaken: Box<Shaken>,
    session: Session,
    out: Outgoing,
    /// Bytes that each read makes room for.
    receive_len: usize,
    /// The actors of pieces that were requested here.
    pieces: BTreeMap<PieceIndex, ActorRef<PieceMsg>>,
    reading: Option<Reading>,
    /// The limit of speed lets nothing pass before this moment.
    up_at: Option<Time>,
    metadata_queued: bool,
    news: Vec<PeerNews>,
    actions: Vec<Action>,
}

/// Runs a connection until it ends.
pub(super) async fn run(mut args: Box<PeerArgs>) -> End {
    let start = std::mem::replace(&mut args.start, Start::Dial(([0, 0, 0, 0], 0).into()));
    let shaken = match start {
        Start::Accepted(shaken) => shaken,
        Start::Dial(address) => match handshake::dial(&args.node, &args.identity, address).await {
            Ok(shaken) => Box::new(shaken),
            Err(error) => return End::Dial(error),
        },
    };
    let connected = MemberMsg::PeerConnected {
        key: args.key,
        address: shaken.address,
        peer_id: shaken.peer_id,
    };
    if args.member.cast(connected).is_err() {
        return End::Dropped;
    }
    Connection::new(args, shaken).run().await
}

impl Connection {
    fn new(args: Box<PeerArgs>, shaken: Box<Shaken>) -> Box<Self> {
        let env = args.node.env().clone();
        let config = Config {
            layout: args.content.as_ref().map(|content| content.layout),
            is_private: args.content.as_ref().is_some_and(|content| content.is_private),
            window_max: args.node.window_max(),
            queue_max: args.node.queue_max(),
        };
        let session = Session::new(config, Capabilities::from(shaken.reserved), env.now());
        let mut connection = Box::new(Self {
            args,
            env,
            shaken,
            session,
            out: Outgoing::default(),
            receive_len: RECEIVE_MIN,
            pieces: BTreeMap::new(),
            reading: None,
            up_at: None,
            metadata_queued: false,
            news: Vec::new(),
            actions: Vec::new(),
        });
        connection.introduce();
        connection
    }

    /// Says what we have and what we can do.
    fn introduce(&mut self) {
        let now = self.env.now();
        let content = self.args.content.as_ref();
        let bits = content.map(Content::bitfield);
        match &bits {
            Some(bits) if bits.is_full() => self.session.start(now, Offer::All),
            Some(bits) if bits.count() > 0 => self.session.start(now, Offer::Some(bits)),
            _ => self.session.start(now, Offer::None),
        }
        let handshake = extension::Handshake {
            ids: extension::OURS,
            client: Some(Node::client_name()),
            reqq: Some(self.args.node.queue_max() + u32::from(bugs::has(Bug::SaysAnotherByte))),
            metadata_size: content.and_then(|content| u32::try_from(content.info.len()).ok()),
            upload_only: bits.as_ref().is_some_and(|bits| bits.is_full()).then_some(true),
            port: self.args.node.listen_port(),
            your_ip: Some(self.shaken.address.ip()),
        };
        self.session.send_extension_handshake(now, &handshake);
        self.args.cell.change(|figures| figures.encrypted = self.shaken.cipher.is_some());
    }

    /// Gives a newcomer something to exchange (BEP 6), once it wants something: to others, and to who has
    /// pieces to exchange already, it would say nothing.
    fn allow_fast(&mut self) {
        let Some(content) = &self.args.content else { return };
        // The set is defined for IPv4 only.
        let IpAddr::V4(ip) = self.shaken.address.ip() else { return };
        let (info_hash, count) = (self.args.identity.info_hash, content.layout.piece_count);
        if self.session.pieces().count(count).is_none_or(|has| has as usize >= ALLOWED_FAST) {
            return;
        }
        let pieces = allowed_fast_set(ip, info_hash, count, ALLOWED_FAST);
        let there: Vec<_> = pieces.into_iter().filter(|&piece| content.have.has(piece)).collect();
        self.session.allow_fast(self.env.now(), &there);
    }

    async fn run(mut self: Box<Self>) -> End {
        let mut timer: Option<(Time, Sleep)> = None;
        // What came behind the handshake.
        if let Err(end) = self.parse() {
            return end;
        }
        loop {
            if let Err(end) = self.turn() {
                self.tell_news();
                return end;
            }
            self.tell_news();
            let due = self.session.poll_timeout().min(self.up_at.unwrap_or(Time::MAX));
            // A timer that fires early does no harm; so it is only replaced by an earlier one.
            if timer.as_ref().is_none_or(|(at, _)| due < *at) {
                timer = Some((due, self.env.sleep_until(due)));
            }
            let pending = self.out.is_pending(&mut self.session);
            let event = tokio::select! {
                biased;
                command = self.args.commands.recv() => match command {
                    Some(command) => Event::Command(Box::new(command)),
                    None => return End::Dropped,
                },
                done = next_read(&mut self.reading) => Event::Read(done),
                ready = self.shaken.stream.writable(), if pending => Event::Writable(ready),
                ready = self.shaken.stream.readable() => Event::Readable(ready),
                () = next_timer(&mut timer) => Event::Timer,
            };
            let done = match event {
                Event::Command(command) => self.on_commands(*command),
                Event::Read((blocks, bytes)) => self.on_read(&blocks, bytes),
                // The next turn writes.
                Event::Writable(ready) => ready.map_err(End::from),
                Event::Readable(ready) => ready.map_err(End::from).and_then(|()| self.receive()),
                Event::Timer => {
                    timer = None;
                    self.on_timer()
                }
            };
            if let Err(end) = done {
                self.tell_news();
                return end;
            }
        }
    }

    /// What every turn does: serve metadata, begin a read, write.
    fn turn(&mut self) -> Result<(), End> {
        if self.metadata_queued {
            self.serve_metadata();
        }
        self.begin_read();
        let stream = &*self.shaken.stream;
        let payload = self.out.write(stream, &mut self.session, &mut self.shaken.cipher)?;
        if payload > 0 {
            let now = self.env.now();
            self.session.sent(now, payload);
            self.args.cell.change(|figures| figures.up.add(now, payload));
            self.args.tally.up(payload);
            self.begin_read();
        }
        Ok(())
    }

    fn on_timer(&mut self) -> Result<(), End> {
        self.session.handle_timeout(self.env.now(), &mut self.actions)?;
        self.give_buffer_back(true);
        self.perform()
    }

    /// Holds at most a small buffer while no blocks are awaited: most connections say little, most of the
    /// time; and none while `nothing` is said at all.
    fn give_buffer_back(&mut self, nothing: bool) {
        let idle = self.shaken.received.is_empty() && self.session.outstanding().next().is_none();
        if idle && (nothing || self.receive_len > RECEIVE_MIN) {
            self.shaken.received = BytesMut::new();
            self.receive_len = RECEIVE_MIN;
        }
    }

    /// Reads until the socket would block, or others must have their turn.
    fn receive(&mut self) -> Result<(), End> {
        for _ in 0..READS_A_TURN {
            self.make_room();
            let before = self.shaken.received.len();
            let room = self.shaken.received.capacity() - before;
            match self.shaken.stream.try_read(&mut self.shaken.received) {
                Ok(0) => return Err(End::Closed),
                Ok(read) => {
                    if let Some(cipher) = &mut self.shaken.cipher {
                        let new = self.shaken.received.get_mut(before..);
                        cipher.receive.apply(new.unwrap_or_default());
                    }
                    self.parse()?;
                    if read < room {
                        self.give_buffer_back(false);
                        return Ok(());
                    }
                    self.receive_len = (self.receive_len * 2).min(RECEIVE_MAX);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn make_room(&mut self) {
        let received = &mut self.shaken.received;
        let room = received.capacity() - received.len();
        if room < RECEIVE_LEFT.min(self.receive_len) {
            received.reserve(self.receive_len);
        }
    }

    fn parse(&mut self) -> Result<(), End> {
        let now = self.env.now();
        let result = self.session.receive(now, &mut self.shaken.received, &mut self.actions);
        self.perform()?;
        if bugs::has(Bug::IgnoresChokes) && self.args.cell.change(|figures| figures.choked) {
            bugs::unchoke(&mut self.session, now, &mut self.actions);
            self.perform()?;
        }
        Ok(result?)
    }

    fn on_commands(&mut self, first: PeerCommand) -> Result<(), End> {
        self.on_command(first)?;
        for _ in 1..COMMANDS_A_TURN {
            match self.args.commands.try_recv() {
                Ok(command) => self.on_command(command)?,
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Err(End::Dropped),
            }
        }
        self.perform()
    }

    fn on_command(&mut self, command: PeerCommand) -> Result<(), End> {
        let now = self.env.now();
        match command {
            PeerCommand::Request { blocks, actors } => {
                self.pieces.extend(actors);
                self.session.request(now, &blocks, &mut self.actions);
                if let (true, Some(&first)) = (bugs::has(Bug::RequestsTwice), blocks.first()) {
                    bugs::request(&mut self.session, first);
                }
            }
            PeerCommand::Cancel(block) => _ = self.session.cancel(now, block),
            PeerCommand::Have(piece) => {
                self.pieces.remove(&piece);
                self.session.announce_have(now, piece);
            }
            PeerCommand::Forget(piece) => _ = self.pieces.remove(&piece),
            PeerCommand::Interested(interested) => {
                self.session.set_interested(now, interested);
                self.args.cell.change(|figures| figures.interested = interested);
                if interested {
                    self.tell_wants();
                }
            }
            PeerCommand::Choke(choke) => {
                self.session.set_choking(now, choke);
                self.args.cell.change(|figures| figures.choking = choke);
            }
            PeerCommand::UploadOnly(only) => self.session.set_upload_only(now, only),
            PeerCommand::Pex(message) => self.session.send_pex(now, &message),
            PeerCommand::RequestMetadata(pieces) => {
                self.session.request_metadata(now, &pieces, &mut self.actions);
            }
            PeerCommand::Content(content) => return self.on_content(*content),
            #[cfg(test)]
            PeerCommand::Panic => panic!("as the test wants it"),
        }
        Ok(())
    }

    fn on_content(&mut self, content: Content) -> Result<(), End> {
        let now = self.env.now();
        let layout = content.layout;
        for piece in content.bitfield().iter() {
            self.session.announce_have(now, piece);
        }
        self.args.content = Some(content);
        self.session.metadata_ready(layout, &mut self.actions)?;
        Ok(())
    }

    fn perform(&mut self) -> Result<(), End> {
        let mut actions = std::mem::take(&mut self.actions);
        for action in actions.drain(..) {
            self.act(action);
        }
        self.actions = actions;
        Ok(())
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Blocks { piece, blocks } => self.on_blocks(piece, blocks),
            Action::Late(block, _) => {
                self.args.tally.wasted(u64::from(block.length));
            }
            Action::Released { blocks, .. } => self.news.push(PeerNews::Released(blocks)),
            Action::Has(update) => self.on_has(update),
            Action::Interested(interested) => {
                self.args.cell.change(|figures| figures.wants = interested);
                if interested {
                    self.allow_fast();
                }
                self.news.push(PeerNews::Interested(interested));
            }
            Action::Choked => self.on_choked(true),
            Action::Unchoked => self.on_choked(false),
            Action::WantBlocks => self.tell_wants(),
            // Each turn looks at what is queued.
            Action::RequestsQueued => {}
            Action::Snubbed(snubbed) => self.news.push(PeerNews::Snubbed(snubbed)),
            Action::Extended(handshake) => self.on_extended(&handshake),
            Action::UploadOnly(only) => self.news.push(PeerNews::UploadOnly(only)),
            Action::Metadata { piece, total_size, data } => {
                self.news.push(PeerNews::Metadata { piece, total_size, data });
            }
            Action::MetadataRefused(_) => self.news.push(PeerNews::MetadataRefused),
            Action::MetadataQueued => self.metadata_queued = true,
            Action::Pex(message) => self.news.push(PeerNews::Pex(message)),
            // Hints that the picker has no use for; the DHT comes later.
            Action::Suggested(_) | Action::AllowedFast(_) | Action::DhtPort(_) => {}
        }
    }

    fn on_blocks(&mut self, piece: PieceIndex, blocks: Vec<(u32, Bytes)>) {
        let now = self.env.now();
        let bytes: u64 = blocks.iter().map(|(_, block)| block.len() as u64).sum();
        self.args.cell.change(|figures| figures.down.add(now, bytes));
        self.args.tally.down(bytes);
        let begins = blocks.iter().map(|(begin, _)| *begin).collect();
        self.news.push(PeerNews::Received(piece, begins));
        let Some(actor) = self.pieces.get(&piece) else { return };
        let message = PieceMsg::Blocks { piece, from: self.args.key, blocks };
        if actor.cast(message).is_err() {
            // It has died; the member has its pieces fetched again.
            debug!(%piece, "blocks of a piece without an actor");
        }
    }

    /// What the peer serves has changed, so what it can be asked for has too.
    fn on_choked(&mut self, choked: bool) {
        debug!(peer = %self.shaken.address, choked, "choke changed");
        self.args.cell.change(|figures| figures.choked = choked);
        self.tell_wants();
    }

    fn tell_wants(&mut self) {
        let choked = self.args.cell.change(|figures| figures.choked);
        let only = choked.then(|| self.session.allowed_fast().to_vec());
        self.news.push(PeerNews::Wants { count: self.session.wanted(), only });
    }

    fn on_has(&mut self, update: HaveUpdate) {
        let pieces = self.session.pieces();
        let count = self.args.content.as_ref().map(|content| content.layout.piece_count);
        let count = count.and_then(|count| pieces.count(count)).unwrap_or(0);
        self.args.cell.change(|figures| figures.pieces = count);
        self.news.push(match (update, pieces) {
            (HaveUpdate::Bitfield, PeerPieces::Some(bits)) => PeerNews::Bitfield(bits.clone()),
            (update, _) => PeerNews::Has(update),
        });
    }

    fn on_extended(&mut self, handshake: &extension::Handshake) {
        if let Some(client) = &handshake.client {
            self.args.cell.change(|figures| figures.client = Some(client.clone()));
        }
        self.news.push(PeerNews::Extended {
            port: handshake.port,
            metadata_size: self.session.metadata_size(),
        });
    }

    fn serve_metadata(&mut self) {
        self.metadata_queued = false;
        let now = self.env.now();
        while let Some(piece) = self.session.next_metadata_request() {
            self.metadata_queued = true;
            let info = self.args.content.as_ref().map(|content| &content.info);
            let begin = piece as usize * METADATA_PIECE;
            let data = info
                .filter(|info| begin < info.len())
                .map(|info| info.slice(begin..info.len().min(begin + METADATA_PIECE)));
            let total = info.and_then(|info| u32::try_from(info.len()).ok()).unwrap_or(0);
            self.session.serve_metadata(now, piece, total, data);
        }
    }

    /// Takes requests that wait, if there is room for their blocks and the limit of speed allows it.
    fn begin_read(&mut self) {
        // What waited may be gone; a moment that has passed would wake us again and again.
        self.up_at = None;
        if self.session.queued() == 0 || self.reading.is_some() || !self.out.takes_run() {
            return;
        }
        let Some(content) = &self.args.content else { return };
        let now = self.env.now();
        let unlimited = bugs::has(Bug::BreaksTheRateLimit);
        let allowed = if unlimited { u64::MAX } else { self.args.up.available(now) };
        if allowed < u64::from(BLOCK_LEN) {
            self.up_at = Some(self.args.up.ready_at(now));
            return;
        }
        let limit = ReadLimit { bytes: READ_LIMIT.bytes.min(allowed), ..READ_LIMIT };
        let mut blocks = Vec::new();
        let may_read = |piece| content.have.has(piece) || bugs::has(Bug::ServesUnverified);
        self.session.next_reads(now, limit, may_read, &mut blocks);
        if blocks.is_empty() {
            return;
        }
        self.args.up.spend(now, payload_of(&blocks));
        let (files, spare) = (std::sync::Arc::clone(&content.files), self.out.spare());
        self.reading = Some(Box::pin(async move {
            let bytes = files.read_blocks(blocks.clone(), spare).await;
            (blocks, bytes)
        }));
    }

    fn on_read(
        &mut self,
        blocks: &[BlockRef],
        bytes: Result<BytesMut, StorageError>,
    ) -> Result<(), End> {
        let payload = payload_of(blocks);
        match bytes {
            Ok(bytes) => {
                self.out.push_run(Run { bytes, payload });
                if bugs::has(Bug::CountsTwice) {
                    self.args.tally.up(payload);
                }
                Ok(())
            }
            // A mistake of ours, which is not the torrent's: this connection ends.
            Err(error @ StorageError::GivenUp) => Err(error.into()),
            Err(error) => {
                let now = self.env.now();
                self.args.up.refund(now, payload);
                blocks.iter().for_each(|&block| self.session.refuse(now, block));
                let told = MemberMsg::ReadFailed(error);
                self.args.member.cast(told).map_err(|_| End::Dropped)
            }
        }
    }

    fn tell_news(&mut self) {
        if self.news.is_empty() {
            return;
        }
        let news = std::mem::take(&mut self.news);
        // An owner that has ended closes the channel of commands, which ends the loop.
        let _ = self.args.member.cast(MemberMsg::Peer { key: self.args.key, news });
    }
}

enum Event {
    Command(Box<PeerCommand>),
    Read((Vec<BlockRef>, Result<BytesMut, StorageError>)),
    Writable(io::Result<()>),
    Readable(io::Result<()>),
    Timer,
}

fn payload_of(blocks: &[BlockRef]) -> u64 {
    blocks.iter().map(|block| u64::from(block.length)).sum()
}

/// The outcome of the read that is under way; never while there is none.
async fn next_read(
    reading: &mut Option<Reading>,
) -> (Vec<BlockRef>, Result<BytesMut, StorageError>) {
    let done = poll_fn(|cx| match reading.as_mut() {
        Some(read) => read.as_mut().poll(cx),
        None => std::task::Poll::Pending,
    })
    .await;
    *reading = None;
    done
}

/// The moment of the timer; never while there is none.
async fn next_timer(timer: &mut Option<(Time, Sleep)>) {
    match timer {
        Some((_, sleep)) => sleep.as_mut().await,
        None => std::future::pending().await,
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("key", &self.args.key).finish_non_exhaustive()
    }
}
