//! Tests of the session: against one peer that says what the test wants, and in pairs.

mod download;
mod extended;
mod hostile;
mod pair;
mod properties;
mod start;
mod timers;
mod upload;

use bytes::{Bytes, BytesMut};

use super::*;
use crate::bitfield::Bitfield;
use crate::{BlockRef, Time};

/// Ten pieces of four blocks; the last piece has one block and one of 100 bytes.
const LAYOUT: Layout =
    Layout { piece_count: 10, piece_length: 65_536, total_length: 9 * 65_536 + 16_384 + 100 };

/// A session whose peer is the test.
struct Told {
    session: Session,
    now: Time,
}

impl Told {
    fn new(config: Config, capabilities: Capabilities) -> Self {
        Self { session: Session::new(config, capabilities, Time::ZERO), now: Time::ZERO }
    }

    /// Both extensions, the layout of ten pieces.
    fn fast() -> Self {
        Self::new(config(), Capabilities { fast: true, extended: true })
    }

    /// Neither extension.
    fn plain() -> Self {
        Self::new(config(), Capabilities::default())
    }

    /// The peer has all and serves us.
    fn serving(mut self) -> Self {
        let all = if self.session.capabilities.fast {
            Message::HaveAll
        } else {
            Message::Bitfield(Bytes::from_static(&[0xff, 0xc0]))
        };
        self.session.set_interested(self.now, true);
        self.feed(&[all, Message::Unchoke]).unwrap();
        self.sent();
        self
    }

    /// The peer is interested and served by us.
    fn served(mut self) -> Self {
        self.feed(&[Message::Interested]).unwrap();
        self.session.set_choking(self.now, false);
        self.sent();
        self
    }

    /// The peer says this.
    fn feed(&mut self, messages: &[Message]) -> Result<Vec<Action>, Violation> {
        let mut buf = BytesMut::new();
        for message in messages {
            codec::encode(message, &mut buf);
        }
        self.feed_bytes(&mut buf)
    }

    fn feed_bytes(&mut self, buf: &mut BytesMut) -> Result<Vec<Action>, Violation> {
        let mut actions = Vec::new();
        self.session.receive(self.now, buf, &mut actions).map(|()| actions)
    }

    fn request(&mut self, blocks: &[BlockRef]) -> Vec<Action> {
        let mut actions = Vec::new();
        self.session.request(self.now, blocks, &mut actions);
        actions
    }

    /// Asks for pieces of the info dictionary.
    fn ask(&mut self, pieces: &[u32]) -> Vec<Action> {
        let mut actions = Vec::new();
        self.session.request_metadata(self.now, pieces, &mut actions);
        actions
    }

    /// What was said to the peer since the last look.
    fn sent(&mut self) -> Vec<Message> {
        let mut buf = self.session.transmit().split();
        let mut messages = Vec::new();
        while let Some(message) = codec::decode(&mut buf).unwrap() {
            messages.push(message);
        }
        messages
    }

    /// Time passes.
    fn wait(&mut self, secs: u64) {
        self.now += Duration::from_secs(secs);
    }

    /// Time passes up to the next timeout, which is handled.
    fn time_out(&mut self) -> Result<Vec<Action>, Violation> {
        self.now = self.now.max(self.session.poll_timeout());
        let mut actions = Vec::new();
        self.session.handle_timeout(self.now, &mut actions).map(|()| actions)
    }

    fn reads(&mut self, limit: ReadLimit) -> Vec<BlockRef> {
        let mut out = Vec::new();
        self.session.next_reads(self.now, limit, |_| true, &mut out);
        out
    }
}

fn config() -> Config {
    Config { layout: Some(LAYOUT), ..Config::default() }
}

fn block(piece: u32, index: u32) -> BlockRef {
    BlockRef { piece: PieceIndex(piece), begin: index * BLOCK_LEN, length: BLOCK_LEN }
}

/// What the blocks of a piece are full of.
const fn fill(piece: PieceIndex) -> u8 {
    piece.0.to_le_bytes()[0]
}

/// The answer to a request.
fn answer(block: BlockRef) -> Message {
    let bytes = Bytes::from(vec![fill(block.piece); block.length as usize]);
    Message::Piece { piece: block.piece, begin: block.begin, block: bytes }
}

fn released(reason: Release, blocks: &[BlockRef]) -> String {
    format!("{:?}", Action::Released { reason, blocks: blocks.to_vec() })
}

/// The actions as text, since they hold what cannot be compared.
fn text(actions: &[Action]) -> Vec<String> {
    actions.iter().map(|action| format!("{action:?}")).collect()
}
