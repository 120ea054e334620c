//! What a block costs in a peer session, measured: `cargo run --release -p bittorrent --example session_cost`.
//!
//! Prints nanoseconds a block for `receive` (reads of 256 KiB) and `request`, answered in order and in
//! random order, with 16 to 2,000 requests waiting.

#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement, by hand"
)]

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bittorrent::peer::{Action, Capabilities, Config, Layout, Session};
use bittorrent::wire::{Message, codec, extension};
use bittorrent::{BLOCK_LEN, BlockRef, PieceIndex, Time};
use bytes::{Bytes, BytesMut};
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

const PIECE_LENGTH: u32 = 256 * 1024;
const PIECES: u32 = 65_536;
const READ_BLOCKS: usize = 16;
const READS: usize = 20_000;

fn main() {
    for waiting in [16, 320, 2_000] {
        for (order, is_random) in [("in order", false), ("random", true)] {
            let (receive, request) = measure(waiting, is_random);
            println!(
                "{waiting:>5} waiting, {order:<8}: receive {receive:>4} ns, request {request:>4} ns"
            );
        }
    }
}

/// Nanoseconds a block in `receive` and in `request`.
fn measure(waiting: usize, is_random: bool) -> (u128, u128) {
    let mut rng = SmallRng::seed_from_u64(1);
    let (mut session, mut actions) = served();
    let mut next = (0..PIECES)
        .flat_map(|piece| (0..PIECE_LENGTH / BLOCK_LEN).map(move |index| (piece, index)))
        .map(|(piece, index)| BlockRef {
            piece: PieceIndex(piece),
            begin: index * BLOCK_LEN,
            length: BLOCK_LEN,
        });
    let mut asked: VecDeque<BlockRef> = VecDeque::new();
    let (mut now, mut receive, mut request) = (Time::ZERO, Duration::ZERO, Duration::ZERO);
    let payload = Bytes::from(vec![7; BLOCK_LEN as usize]);
    for _ in 0..READS {
        let blocks: Vec<_> = next.by_ref().take(waiting - asked.len()).collect();
        asked.extend(&blocks);
        let start = Instant::now();
        session.request(now, &blocks, &mut actions);
        request += start.elapsed();
        session.transmit().clear();
        if is_random {
            let end = asked.len();
            for _ in 0..READ_BLOCKS {
                asked.swap(rng.random_range(0..READ_BLOCKS.min(end)), rng.random_range(0..end));
            }
            asked.make_contiguous()[..READ_BLOCKS].shuffle(&mut rng);
        }
        let mut buf = BytesMut::with_capacity(READ_BLOCKS * (BLOCK_LEN as usize + 13));
        for BlockRef { piece, begin, .. } in asked.drain(..READ_BLOCKS) {
            let block = payload.clone();
            codec::encode(&Message::Piece { piece, begin, block }, &mut buf);
        }
        now += Duration::from_micros(250);
        let start = Instant::now();
        session.receive(now, &mut buf, &mut actions).expect("an honest peer");
        receive += start.elapsed();
        let _ = session.poll_timeout();
        let lost = actions.drain(..).any(|action| matches!(action, Action::Released { .. }));
        assert!(!lost && buf.is_empty());
    }
    let blocks = (READS * READ_BLOCKS) as u128;
    (receive.as_nanos() / blocks, request.as_nanos() / blocks)
}

/// A session whose peer has all and serves us.
fn served() -> (Session, Vec<Action>) {
    let total_length = u64::from(PIECES) * u64::from(PIECE_LENGTH);
    let layout = Layout { piece_count: PIECES, piece_length: PIECE_LENGTH, total_length };
    let config = Config { layout: Some(layout), ..Config::default() };
    let capabilities = Capabilities { fast: true, extended: true };
    let mut session = Session::new(config, capabilities, Time::ZERO);
    session.set_interested(Time::ZERO, true);
    let hello = extension::Handshake { reqq: Some(2_000), ..Default::default() };
    let (mut buf, mut actions) = (BytesMut::new(), Vec::new());
    for message in
        [Message::HaveAll, Message::Extended { id: 0, payload: hello.encode() }, Message::Unchoke]
    {
        codec::encode(&message, &mut buf);
    }
    session.receive(Time::ZERO, &mut buf, &mut actions).expect("an honest peer");
    actions.clear();
    (session, actions)
}
