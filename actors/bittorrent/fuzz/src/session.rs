//! A peer connection (BEP 3, 6, 9, 10, 11, 21, 54) whose peer, owner and clock are the bytes.
//!
//! The first byte says what was negotiated; then come steps, see [`Step`]. Whatever happens, the
//! requests that the session counts as outstanding are those that were made and not answered, what it
//! sends can be read, and everything that it keeps is bounded.

use std::collections::BTreeSet;
use std::time::Duration;

use bittorrent::bitfield::Bitfield;
use bittorrent::peer::{
    Action, Capabilities, Config, Layout, Offer, REPLIES_MAX, ReadLimit, Release, Session,
    Violation,
};
use bittorrent::wire::{Message, codec, extension, pex};
use bittorrent::{BLOCK_LEN, BlockRef, PieceIndex, Time};
use bytes::{Bytes, BytesMut};

use crate::Seed;
use crate::input::Input;

/// Ten pieces of four blocks; the last piece has one block and one of 100 bytes.
const LAYOUT: Layout =
    Layout { piece_count: 10, piece_length: 65_536, total_length: 9 * 65_536 + 16_384 + 100 };
/// Control bytes that may wait: the replies, and the message that passed the limit.
const OUT_MAX: usize = REPLIES_MAX + 64 * 1024;
const FAST: u8 = 0x01;
const EXTENDED: u8 = 0x02;
const NO_METADATA: u8 = 0x04;
const PRIVATE: u8 = 0x08;
const OFFER_SOME: u8 = 0x10;
const SMALL_LIMITS: u8 = 0x20;

/// What happens next; the number is the byte that calls for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Step {
    /// The peer sends as many bytes as the next one says, whether they are whole messages or not.
    Bytes,
    /// The peer sends a message: id, length of what follows, and that.
    Frame,
    /// We request a block, or up to 16.
    Request,
    /// The peer answers a request.
    Answer,
    /// Time passes, up to two minutes.
    Wait,
    /// We choke the peer or do not.
    Choking,
    /// The peer's requests are served.
    Serve,
    /// The peer's requests cannot be served.
    Fail,
    /// We become interested or cease to be.
    Interested,
    /// We take a request back.
    Cancel,
    /// We have a piece, or lose it.
    Have,
    Lose,
    /// We ask for metadata, or answer the peer's requests for it.
    AskMetadata,
    ServeMetadata,
    /// The metadata is there.
    Metadata,
    /// We let the peer have a piece while it is choked.
    AllowFast,
    /// The socket takes as many bytes as the next one says, times 16; without this the peer reads nothing.
    Write,
    /// We tell of other peers, of our port, of what we are.
    Pex,
    Port,
    UploadOnly,
    Handshake,
}

const STEPS: [Step; 21] = [
    Step::Bytes,
    Step::Frame,
    Step::Request,
    Step::Answer,
    Step::Wait,
    Step::Choking,
    Step::Serve,
    Step::Fail,
    Step::Interested,
    Step::Cancel,
    Step::Have,
    Step::Lose,
    Step::AskMetadata,
    Step::ServeMetadata,
    Step::Metadata,
    Step::AllowFast,
    Step::Write,
    Step::Pex,
    Step::Port,
    Step::UploadOnly,
    Step::Handshake,
];

/// Plays a connection until the bytes end or the peer breaks the protocol.
pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut play = Play::new(input.byte());
    while !input.is_empty() {
        let step = STEPS[usize::from(input.byte()) % STEPS.len()];
        if play.step(step, &mut input).is_err() {
            break;
        }
        play.look();
    }
    play.write(usize::MAX);
}

/// A session, its peer and its owner.
struct Play {
    session: Session,
    config: Config,
    now: Time,
    /// What came from the peer and is no whole message yet.
    buf: BytesMut,
    /// What went to the peer and is no whole message yet.
    sent: BytesMut,
    /// Requests that wait, as the commands and actions tell.
    waiting: BTreeSet<BlockRef>,
    allowed: BTreeSet<PieceIndex>,
    am_choking: bool,
}

impl Play {
    fn new(flags: u8) -> Self {
        let has = |flag| flags & flag != 0;
        let limits = if has(SMALL_LIMITS) { 4 } else { 2_000 };
        let config = Config {
            layout: (!has(NO_METADATA)).then_some(LAYOUT),
            is_private: has(PRIVATE),
            window_max: limits,
            queue_max: limits,
        };
        let capabilities = Capabilities { fast: has(FAST), extended: has(EXTENDED) };
        let mut session = Session::new(config, capabilities, Time::ZERO);
        let mut some = Bitfield::new(LAYOUT.piece_count);
        (0..8).map(PieceIndex).for_each(|piece| _ = some.insert(piece));
        let offers_some = has(OFFER_SOME) && !has(NO_METADATA);
        session.start(Time::ZERO, if offers_some { Offer::Some(&some) } else { Offer::None });
        session.set_interested(Time::ZERO, true);
        Self {
            session,
            config,
            now: Time::ZERO,
            buf: BytesMut::new(),
            sent: BytesMut::new(),
            waiting: BTreeSet::new(),
            allowed: BTreeSet::new(),
            am_choking: true,
        }
    }

    fn step(&mut self, step: Step, input: &mut Input<'_>) -> Result<(), Violation> {
        let now = self.now;
        match step {
            Step::Bytes => {
                let length = usize::from(input.byte());
                self.hear(input.take(length))?;
            }
            Step::Frame => {
                let (id, length) = (input.byte(), usize::from(input.byte()));
                let body = input.take(length);
                let length = u32::try_from(body.len()).unwrap_or_default() + 1;
                self.hear(&[&length.to_be_bytes(), &[id][..], body].concat())?;
            }
            Step::Request => self.request(input),
            Step::Answer => {
                let which = usize::from(input.byte());
                if let Some(&block) = self.waiting.iter().nth(which % self.waiting.len().max(1)) {
                    self.hear(&answer(block))?;
                }
            }
            Step::Wait => self.wait(1 << (input.byte() % 18))?,
            Step::Choking => {
                self.am_choking = input.flag();
                self.session.set_choking(now, self.am_choking);
            }
            Step::Serve | Step::Fail => self.serve(step == Step::Serve),
            Step::Interested => self.session.set_interested(now, input.flag()),
            Step::Cancel => {
                let block = block(input.byte());
                assert_eq!(self.session.cancel(now, block), self.waiting.remove(&block));
            }
            Step::Have => self.session.announce_have(now, piece(input.byte())),
            Step::Lose => self.session.lose_piece(now, piece(input.byte())),
            Step::AskMetadata => {
                let mut actions = Vec::new();
                let from = u32::from(input.byte());
                let pieces: Vec<u32> = (from..from + u32::from(input.byte() % 80)).collect();
                self.session.request_metadata(now, &pieces, &mut actions);
                self.on_actions(&actions);
            }
            Step::ServeMetadata => {
                while let Some(piece) = self.session.next_metadata_request() {
                    let data = (piece.is_multiple_of(2)).then(|| Bytes::from(vec![b'm'; 16_384]));
                    self.session.serve_metadata(now, piece, 1 << 20, data);
                }
            }
            Step::Metadata => {
                let mut actions = Vec::new();
                let outcome = self.session.metadata_ready(LAYOUT, &mut actions);
                self.config.layout = Some(LAYOUT);
                self.on_actions(&actions);
                outcome?;
            }
            Step::AllowFast => {
                let piece = piece(input.byte());
                self.allowed.insert(piece);
                self.session.allow_fast(now, &[piece]);
            }
            Step::Write => self.write(usize::from(input.byte()) * 16),
            Step::Pex | Step::Port | Step::UploadOnly | Step::Handshake => self.tell(step, input),
        }
        Ok(())
    }

    /// Tells the peer what has no effect on our own state.
    fn tell(&mut self, step: Step, input: &mut Input<'_>) {
        let (now, session) = (self.now, &mut self.session);
        match step {
            Step::Pex => {
                let address = ([192, 0, 2, input.byte()], 6_881).into();
                let added = vec![(address, pex::Flags(0)); usize::from(input.byte() % 60)];
                session.send_pex(now, &pex::Message { added, dropped: vec![address] });
            }
            Step::Port => session.send_dht_port(now, input.number()),
            Step::UploadOnly => session.set_upload_only(now, input.flag()),
            _ => session.send_extension_handshake(
                now,
                &extension::Handshake { ids: extension::OURS, ..extension::Handshake::default() },
            ),
        }
    }

    fn hear(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        self.buf.extend_from_slice(bytes);
        let mut actions = Vec::new();
        let outcome = self.session.receive(self.now, &mut self.buf, &mut actions);
        self.on_actions(&actions);
        outcome
    }

    fn request(&mut self, input: &mut Input<'_>) {
        let first = input.byte();
        let count = input.byte() % 16;
        let room = usize::try_from(self.session.wanted()).unwrap_or_default();
        let blocks: Vec<_> =
            (0..=count).map(|next| block(first.wrapping_add(next))).take(room).collect();
        let before = self.waiting.clone();
        let mut actions = Vec::new();
        self.session.request(self.now, &blocks, &mut actions);
        self.waiting.extend(blocks.iter().copied());
        for action in &actions {
            let Action::Released { reason: Release::Unsent, blocks } = action else {
                panic!("{action:?} on a request");
            };
            let unsent = blocks.iter().filter(|block| !before.contains(block));
            unsent.for_each(|block| _ = self.waiting.remove(block));
        }
    }

    fn wait(&mut self, millis: u64) -> Result<(), Violation> {
        self.now += Duration::from_millis(millis);
        if self.now < self.session.poll_timeout() {
            return Ok(());
        }
        let mut actions = Vec::new();
        let outcome = self.session.handle_timeout(self.now, &mut actions);
        self.on_actions(&actions);
        outcome?;
        // Zero is how a session that is to end asks to be asked.
        let next = self.session.poll_timeout();
        assert!(next > self.now || next == Time::ZERO, "a timer that is due again at once");
        Ok(())
    }

    fn serve(&mut self, can_read: bool) {
        let (limit, mut blocks) = (ReadLimit { blocks: 16, bytes: 1 << 18 }, Vec::new());
        self.session.next_reads(self.now, limit, |piece| piece.0 != 5, &mut blocks);
        assert!(blocks.len() <= limit.blocks);
        for block in blocks {
            assert!(LAYOUT.holds(block) && block.piece.0 != 5, "{block:?} cannot be served");
            assert!(!self.am_choking || self.allowed.contains(&block.piece), "served while choked");
            if can_read {
                self.session.sent(self.now, u64::from(block.length));
            } else {
                self.session.refuse(self.now, block);
            }
        }
    }

    /// The peer reads what we say: every message makes sense.
    fn write(&mut self, length: usize) {
        let out = self.session.transmit();
        let length = length.min(out.len());
        self.sent.extend_from_slice(&out.split_to(length));
        while let Some(message) = codec::decode(&mut self.sent).expect("what we send can be read") {
            match message {
                Message::Request(block) | Message::Cancel(block) => assert!(LAYOUT.holds(block)),
                Message::Piece { .. } => panic!("blocks do not go with control messages"),
                _ => {}
            }
        }
    }

    fn on_actions(&mut self, actions: &[Action]) {
        for action in actions {
            match action {
                Action::Blocks { piece, blocks } => {
                    for (begin, bytes) in blocks {
                        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                        let block = BlockRef { piece: *piece, begin: *begin, length };
                        assert!(self.waiting.remove(&block), "{block:?} came unasked");
                    }
                }
                Action::Released { reason: Release::Unsent, blocks } => {
                    panic!("{blocks:?} never sent, but not by a request");
                }
                Action::Released { blocks, .. } => {
                    let known = blocks.iter().all(|block| self.waiting.remove(block));
                    assert!(known, "released what was not requested: {blocks:?}");
                }
                Action::Late(block, bytes) => assert_eq!(block.length as usize, bytes.len()),
                Action::Suggested(piece) | Action::AllowedFast(piece) => {
                    assert!(self.config.layout.is_none() || LAYOUT.has(*piece));
                }
                Action::Pex(_) => assert!(!self.config.is_private, "peers of a private torrent"),
                _ => {}
            }
        }
    }

    /// What holds between steps.
    fn look(&mut self) {
        let outstanding: Vec<_> = self.session.outstanding().collect();
        assert_eq!(outstanding.len(), self.waiting.len(), "a request is counted twice");
        assert!(outstanding.iter().all(|block| self.waiting.contains(block)));
        let snapshot = self.session.snapshot(self.now);
        assert!(snapshot.outstanding <= self.config.window_max);
        assert!(snapshot.queued <= self.config.queue_max);
        assert!(snapshot.pieces.is_none_or(|pieces| pieces <= LAYOUT.piece_count));
        assert!(self.session.transmit().len() <= OUT_MAX, "too much waits for the peer");
    }
}

const fn piece(choice: u8) -> PieceIndex {
    PieceIndex(choice as u32 % LAYOUT.piece_count)
}

/// One of the torrent's blocks.
fn block(choice: u8) -> BlockRef {
    let (piece, begin) =
        (PieceIndex(u32::from(choice) / 4 % 10), u32::from(choice) % 4 * BLOCK_LEN);
    let rest = LAYOUT.piece_len(piece).saturating_sub(begin);
    BlockRef { piece, begin, length: rest.min(BLOCK_LEN) }
}

fn answer(block: BlockRef) -> BytesMut {
    let block_bytes = Bytes::from(vec![b'b'; block.length as usize]);
    let message = Message::Piece { piece: block.piece, begin: block.begin, block: block_bytes };
    let mut out = BytesMut::new();
    codec::encode(&message, &mut out);
    out
}

/// A seed in the making.
struct Script(Vec<u8>);

impl Script {
    fn new(flags: u8) -> Self {
        Self(vec![flags])
    }

    fn then(mut self, step: Step, arguments: &[u8]) -> Self {
        self.0.push(step as u8);
        self.0.extend(arguments);
        self
    }

    fn hear(self, message: &Message) -> Self {
        let mut frame = BytesMut::new();
        codec::encode(message, &mut frame);
        let length = u8::try_from(frame.len()).expect("a short message");
        self.then(Step::Bytes, &[&[length], &frame[..]].concat())
    }
}

/// A download, an upload, metadata before pieces, and a connection without extensions.
pub fn seeds() -> Vec<Seed> {
    let request = |piece, begin| {
        Message::Request(BlockRef { piece: PieceIndex(piece), begin, length: BLOCK_LEN })
    };
    let theirs = extension::Handshake {
        ids: extension::OURS,
        metadata_size: Some(20_000),
        ..extension::Handshake::default()
    };
    let theirs = Message::Extended { id: 0, payload: theirs.encode() };
    let download = Script::new(FAST | EXTENDED)
        .hear(&Message::HaveAll)
        .hear(&Message::Unchoke)
        .then(Step::Request, &[0, 5])
        .then(Step::Answer, &[0])
        .then(Step::Cancel, &[3])
        .then(Step::Write, &[255])
        .hear(&Message::RejectRequest(block(2)))
        .then(Step::Wait, &[17])
        .then(Step::Answer, &[1])
        .hear(&Message::Choke);
    let upload = Script::new(FAST | OFFER_SOME | SMALL_LIMITS)
        .hear(&Message::HaveNone)
        .hear(&Message::Interested)
        .then(Step::AllowFast, &[2])
        .hear(&request(2, 0))
        .then(Step::Serve, &[])
        .then(Step::Choking, &[1])
        .hear(&request(3, 16_384))
        .hear(&request(5, 0))
        .then(Step::Serve, &[])
        .then(Step::Have, &[9])
        .then(Step::Choking, &[0])
        .then(Step::Write, &[255]);
    let metadata = Script::new(FAST | EXTENDED | NO_METADATA)
        .hear(&theirs)
        .hear(&Message::HaveAll)
        .then(Step::Handshake, &[])
        .then(Step::AskMetadata, &[0, 2])
        .then(Step::Metadata, &[])
        .hear(&Message::Unchoke)
        .then(Step::Request, &[36, 2])
        .then(Step::Pex, &[1, 3])
        .then(Step::Write, &[255]);
    let plain = Script::new(0)
        .hear(&Message::Bitfield(Bytes::from_static(&[0xff, 0xc0])))
        .hear(&Message::Unchoke)
        .then(Step::Request, &[8, 3])
        .hear(&Message::Choke)
        .hear(&Message::Unchoke)
        .then(Step::Frame, &[4, 4, 0, 0, 0, 1])
        .then(Step::Wait, &[16]);
    vec![
        ("download", download.0),
        ("upload", upload.0),
        ("metadata", metadata.0),
        ("plain", plain.0),
    ]
}
