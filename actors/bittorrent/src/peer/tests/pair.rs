//! Two sessions joined by a link with a rate and a delay, each with the simplest of owners.
//!
//! The owner of a side wants everything that the other has, asks for blocks in order whenever it is
//! told that there is room, unchokes who is interested, and serves what its socket takes.

use std::collections::{BTreeSet, VecDeque};

use super::*;

/// Bytes that a socket takes beyond what the link has carried.
const SOCKET_BUFFER: u64 = 256 * 1024;

struct Side {
    session: Session,
    layout: Layout,
    have: BTreeSet<PieceIndex>,
    /// Blocks to be requested yet, in order.
    missing: VecDeque<BlockRef>,
    /// Blocks that came, to check that none comes twice.
    got: BTreeSet<BlockRef>,
    got_bytes: u64,
    /// Bytes on their way to this side, and when each run arrives.
    wire: VecDeque<(Time, BytesMut)>,
    buf: BytesMut,
    /// When the link from this side has carried all that was written.
    link_free: Time,
    peak_outstanding: usize,
}

struct Pair {
    sides: [Side; 2],
    now: Time,
    bytes_per_s: u64,
    delay: Duration,
}

impl Side {
    fn new(layout: Layout, capabilities: Capabilities, have: BTreeSet<PieceIndex>) -> Self {
        let config = Config { layout: Some(layout), ..Config::default() };
        let mut session = Session::new(config, capabilities, Time::ZERO);
        let mut bits = Bitfield::new(layout.piece_count);
        for &piece in &have {
            bits.insert(piece);
        }
        session.start(Time::ZERO, Offer::Some(&bits));
        if capabilities.extended {
            let ours = crate::wire::extension::Handshake {
                reqq: Some(config.queue_max),
                ..Default::default()
            };
            session.send_extension_handshake(Time::ZERO, &ours);
        }
        let blocks = (0..layout.piece_count)
            .map(PieceIndex)
            .filter(|piece| !have.contains(piece))
            .flat_map(|piece| blocks_of(layout, piece));
        Self {
            session,
            layout,
            missing: blocks.collect(),
            have,
            got: BTreeSet::new(),
            got_bytes: 0,
            wire: VecDeque::new(),
            buf: BytesMut::new(),
            link_free: Time::ZERO,
            peak_outstanding: 0,
        }
    }

    fn act(&mut self, now: Time, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Blocks { piece, blocks } => {
                    for (begin, bytes) in blocks {
                        let length = u32::try_from(bytes.len()).unwrap();
                        assert_eq!([bytes.first(), bytes.last()], [Some(&fill(piece)); 2]);
                        assert!(self.got.insert(BlockRef { piece, begin, length }), "twice");
                        self.got_bytes += u64::from(length);
                    }
                    if blocks_of(self.layout, piece).all(|block| self.got.contains(&block))
                        && self.have.insert(piece)
                    {
                        self.session.announce_have(now, piece);
                    }
                }
                Action::Released { blocks, .. } => self.missing.extend(blocks),
                Action::Interested(interested) => self.session.set_choking(now, !interested),
                Action::Has(_) => {
                    let session = &self.session;
                    let wants = (0..self.layout.piece_count)
                        .map(PieceIndex)
                        .any(|p| session.pieces().has(p) && !self.have.contains(&p));
                    self.session.set_interested(now, wants);
                    self.ask(now);
                }
                Action::Unchoked | Action::WantBlocks => self.ask(now),
                _ => {}
            }
        }
        self.peak_outstanding = self.peak_outstanding.max(self.session.outstanding().count());
    }

    fn ask(&mut self, now: Time) {
        let pieces = self.session.pieces();
        let mut wanted = Vec::new();
        for _ in 0..self.missing.len() {
            if wanted.len() >= self.session.wanted() as usize {
                break;
            }
            let Some(block) = self.missing.pop_front() else { break };
            if pieces.has(block.piece) {
                wanted.push(block);
            } else {
                self.missing.push_back(block);
            }
        }
        let mut actions = Vec::new();
        self.session.request(now, &wanted, &mut actions);
        assert_eq!(text(&actions), [""; 0]);
    }
}

fn blocks_of(layout: Layout, piece: PieceIndex) -> impl Iterator<Item = BlockRef> {
    let length = layout.piece_len(piece);
    (0..length).step_by(BLOCK_LEN as usize).map(move |begin| BlockRef {
        piece,
        begin,
        length: BLOCK_LEN.min(length - begin),
    })
}

impl Pair {
    fn new(
        layout: Layout,
        capabilities: Capabilities,
        have: [BTreeSet<PieceIndex>; 2],
        bytes_per_s: u64,
        rtt: Duration,
    ) -> Self {
        let sides = have.map(|have| Side::new(layout, capabilities, have));
        Self { sides, now: Time::ZERO, bytes_per_s, delay: rtt / 2 }
    }

    /// Runs until nobody has anything to do before `end`.
    fn run(&mut self, end: Time) {
        loop {
            for side in 0..2 {
                self.write(side);
            }
            let next = (0..2).map(|side| self.next_event(side)).min().unwrap();
            if next > end {
                self.now = end;
                return;
            }
            self.now = next;
            for side in &mut self.sides {
                let mut actions = Vec::new();
                while side.wire.front().is_some_and(|(at, _)| *at <= next) {
                    side.buf.unsplit(side.wire.pop_front().unwrap().1);
                    side.session.receive(next, &mut side.buf, &mut actions).unwrap();
                }
                if side.session.poll_timeout() <= next {
                    side.session.handle_timeout(next, &mut actions).unwrap();
                }
                side.act(next, actions);
            }
        }
    }

    fn next_event(&self, side: usize) -> Time {
        let side = &self.sides[side];
        let arrival = side.wire.front().map_or(Time::MAX, |(at, _)| *at);
        let writable = if side.session.queued() > 0 {
            (side.link_free - self.time_of(SOCKET_BUFFER)).max(self.now + Duration::from_nanos(1))
        } else {
            Time::MAX
        };
        arrival.min(writable).min(side.session.poll_timeout())
    }

    /// Writes what the session has to say, and blocks while the socket takes them.
    fn write(&mut self, from: usize) {
        let (now, room) = (self.now, self.time_of(SOCKET_BUFFER));
        loop {
            let side = &mut self.sides[from];
            let mut bytes = side.session.transmit().split();
            if side.link_free <= now + room {
                let mut reads = Vec::new();
                let have = &side.have;
                let limit = ReadLimit { blocks: 16, bytes: 1 << 20 };
                side.session.next_reads(now, limit, |piece| have.contains(&piece), &mut reads);
                for block in &reads {
                    codec::encode(&answer(*block), &mut bytes);
                    side.session.sent(now, u64::from(block.length));
                }
            }
            if bytes.is_empty() {
                return;
            }
            let carrying = self.time_of(u64::try_from(bytes.len()).unwrap());
            let side = &mut self.sides[from];
            side.link_free = side.link_free.max(now) + carrying;
            let arrives = side.link_free + self.delay;
            self.sides[1 - from].wire.push_back((arrives, bytes));
        }
    }

    fn time_of(&self, bytes: u64) -> Duration {
        Duration::from_nanos(bytes * 1_000_000_000 / self.bytes_per_s)
    }
}

fn all(layout: Layout) -> BTreeSet<PieceIndex> {
    (0..layout.piece_count).map(PieceIndex).collect()
}

const BOTH: Capabilities = Capabilities { fast: true, extended: true };

#[test]
fn everything_arrives_once_in_both_directions_with_and_without_extensions() {
    for capabilities in [Capabilities::default(), BOTH] {
        let even: BTreeSet<_> = (0..10).step_by(2).map(PieceIndex).collect();
        let odd: BTreeSet<_> = (1..10).step_by(2).map(PieceIndex).collect();
        let rtt = Duration::from_millis(30);
        let mut pair = Pair::new(LAYOUT, capabilities, [even, odd], 1_000_000, rtt);
        pair.run(Time::from_secs(3));
        for side in &pair.sides {
            assert_eq!(side.have.len(), 10);
            assert_eq!(side.session.outstanding().count(), 0);
            assert_eq!(side.session.pieces(), &PeerPieces::All);
            assert_eq!(side.session.snapshot(pair.now).wasted_bytes, 0);
        }
        // Nothing is left to do but to keep alive, for hours.
        pair.run(Time::from_secs(10_000));
    }
}

#[test]
fn a_choke_in_mid_flight_loses_nothing() {
    for capabilities in [Capabilities::default(), BOTH] {
        let layout = Layout { piece_count: 20, piece_length: 1 << 18, total_length: 20 << 18 };
        let have = [BTreeSet::new(), all(layout)];
        let rtt = Duration::from_millis(50);
        let mut pair = Pair::new(layout, capabilities, have, 2_000_000, rtt);
        for round in 1..20 {
            pair.run(Time::from_millis(round * 200));
            pair.sides[1].session.set_choking(pair.now, round % 2 == 1);
        }
        assert!(pair.sides[0].have.len() < 20);
        pair.sides[1].session.set_choking(pair.now, false);
        assert!(pair.sides[0].have.len() < 20);
        pair.sides[1].session.set_choking(pair.now, false);
        pair.run(Time::from_secs(10));
        assert_eq!(pair.sides[0].have.len(), 20);
    }
}

/// Rate of a download in percent of the link, from `warm` to `until`; and the most requests that waited.
fn download(bytes_per_s: u64, rtt: Duration, warm: Time, until: Time) -> (u64, usize) {
    let layout = Layout { piece_count: 4_000, piece_length: 1 << 20, total_length: 4_000 << 20 };
    let mut pair = Pair::new(layout, BOTH, [BTreeSet::new(), all(layout)], bytes_per_s, rtt);
    pair.run(warm);
    let before = pair.sides[0].got_bytes;
    pair.run(until);
    let moved = pair.sides[0].got_bytes - before;
    let time = u64::try_from(until.since(warm).as_millis()).unwrap();
    (moved * 100_000 / time / bytes_per_s, pair.sides[0].peak_outstanding)
}

#[test]
fn one_peer_fills_a_gigabit_over_100_ms() {
    let rtt = Duration::from_millis(100);
    let (used, _) = download(125_000_000, rtt, Time::from_millis(1_500), Time::from_secs(4));
    assert!(used >= 95, "{used} % of the link");
    let (used, _) = download(125_000_000, rtt, Time::ZERO, Time::from_secs(4));
    assert!(used >= 75, "{used} % of the link with the start");
}

#[test]
fn loopback_is_filled_with_few_requests() {
    let rtt = Duration::from_micros(100);
    let (used, peak) = download(1_000_000_000, rtt, Time::from_millis(50), Time::from_millis(300));
    assert!(used >= 95, "{used} % of the link");
    assert!(peak <= 1_024, "{peak} requests of 16 KiB");
}

#[test]
fn the_first_blocks_do_not_wait_for_a_timer() {
    let rtt = Duration::from_millis(100);
    let layout = Layout { piece_count: 1, piece_length: 65_536, total_length: 65_536 };
    let mut pair = Pair::new(layout, BOTH, [BTreeSet::new(), all(layout)], 125_000_000, rtt);
    // Half a round trip for what the seed has, one for the unchoke, one for the blocks.
    pair.run(Time::from_millis(256));
    assert_eq!(pair.sides[0].have.len(), 1);
}
