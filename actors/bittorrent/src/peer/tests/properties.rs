//! Whatever a peer says, in whatever order: no panic, bounded memory, no request without leave.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// Any message, mostly of sense for the torrent of ten pieces.
fn message() -> impl Strategy<Value = Message> {
    let piece = prop_oneof![9 => 0u32..10, 1 => any::<u32>()].prop_map(PieceIndex);
    let block = (0u32..11, 0u32..5, prop_oneof![8 => Just(BLOCK_LEN), 1 => 0u32..200_000])
        .prop_map(|(piece, index, length)| BlockRef { length, ..block(piece, index) });
    prop_oneof![
        1 => Just(Message::KeepAlive),
        2 => Just(Message::Choke),
        6 => Just(Message::Unchoke),
        1 => Just(Message::Interested),
        1 => Just(Message::NotInterested),
        3 => piece.clone().prop_map(Message::Have),
        1 => prop::collection::vec(any::<u8>(), 2).prop_map(|bits| Message::Bitfield(bits.into())),
        6 => block.clone().prop_map(Message::Request),
        8 => (0u32..9, 0u32..4).prop_map(|(piece, index)| answer(super::block(piece, index))),
        1 => block.clone().prop_map(Message::Cancel),
        1 => any::<u16>().prop_map(Message::Port),
        1 => piece.clone().prop_map(Message::SuggestPiece),
        2 => Just(Message::HaveAll),
        1 => Just(Message::HaveNone),
        3 => block.prop_map(Message::RejectRequest),
        2 => piece.prop_map(Message::AllowedFast),
        1 => (0u8..6, prop::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(id, payload)| Message::Extended { id, payload: payload.into() }),
    ]
}

/// What the owner or the clock does between messages.
#[derive(Debug, Clone)]
enum Step {
    Hear(Vec<Message>),
    Request(Vec<(u32, u32)>),
    Cancel(u32, u32),
    Wait(u64),
    Choking(bool),
    Read,
    Interested(bool),
    Lose(u32),
    Metadata(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec(message(), 1..8).prop_map(Step::Hear),
        4 => prop::collection::vec((0u32..10, 0u32..4), 0..12).prop_map(Step::Request),
        1 => (0u32..10, 0u32..4).prop_map(|(piece, index)| Step::Cancel(piece, index)),
        1 => (0u64..40).prop_map(Step::Wait),
        1 => any::<bool>().prop_map(Step::Choking),
        1 => Just(Step::Read),
        1 => prop_oneof![4 => Just(true), 1 => Just(false)].prop_map(Step::Interested),
        1 => (0u32..10).prop_map(Step::Lose),
        1 => (0u32..3).prop_map(Step::Metadata),
    ]
}

/// The peer's side of the rules, checked on what we send.
#[derive(Default)]
struct Referee {
    peer_choking: bool,
    allowed: BTreeSet<PieceIndex>,
    /// Requests that were sent and, to our knowledge, not answered.
    waiting: BTreeSet<BlockRef>,
}

impl Referee {
    /// Tells that the blocks of these actions wait no longer.
    fn heard(&mut self, actions: &[Action]) {
        for action in actions {
            match action {
                Action::Blocks { piece, blocks } => {
                    for (begin, bytes) in blocks {
                        let length = u32::try_from(bytes.len()).unwrap();
                        let block = BlockRef { piece: *piece, begin: *begin, length };
                        assert!(self.waiting.remove(&block), "{block:?} came unasked");
                    }
                }
                Action::Released { reason, blocks } if *reason != Release::Unsent => {
                    for block in blocks {
                        assert!(self.waiting.remove(block), "{block:?} was not waiting");
                    }
                }
                Action::Choked => self.peer_choking = true,
                Action::Unchoked => self.peer_choking = false,
                Action::AllowedFast(piece) => {
                    self.allowed.insert(*piece);
                }
                _ => {}
            }
        }
    }

    fn sent(&mut self, messages: &[Message]) {
        for message in messages {
            if let Message::Request(block) = message {
                assert!(!self.peer_choking || self.allowed.contains(&block.piece));
                assert!(LAYOUT.holds(*block));
                assert!(self.waiting.insert(*block), "{block:?} was requested twice");
            }
        }
    }
}

fn play(capabilities: Capabilities, steps: Vec<Step>) {
    let mut told = Told::new(config(), capabilities);
    let mut referee = Referee { peer_choking: true, ..Referee::default() };
    for step in steps {
        let outcome = match step {
            Step::Hear(messages) => told.feed(&messages),
            Step::Request(blocks) => {
                let blocks: Vec<_> = blocks.into_iter().map(|(p, i)| block(p, i)).collect();
                Ok(told.request(&blocks))
            }
            Step::Cancel(piece, index) => {
                if told.session.cancel(told.now, block(piece, index)) {
                    assert!(referee.waiting.remove(&block(piece, index)));
                }
                Ok(Vec::new())
            }
            Step::Wait(secs) => {
                told.wait(secs);
                let mut actions = Vec::new();
                told.session.handle_timeout(told.now, &mut actions).map(|()| actions)
            }
            Step::Choking(choking) => {
                told.session.set_choking(told.now, choking);
                Ok(Vec::new())
            }
            Step::Read => {
                let limit = ReadLimit::default();
                assert!(told.reads(limit).iter().all(|block| LAYOUT.holds(*block)));
                Ok(Vec::new())
            }
            Step::Interested(interested) => {
                told.session.set_interested(told.now, interested);
                Ok(Vec::new())
            }
            Step::Lose(piece) => {
                told.session.lose_piece(told.now, PieceIndex(piece));
                Ok(Vec::new())
            }
            Step::Metadata(piece) => {
                told.ask(&[piece]);
                told.session.serve_metadata(told.now, piece, 0, None);
                Ok(Vec::new())
            }
        };
        let Ok(actions) = outcome else { return };
        referee.heard(&actions);
        let sent = told.sent();
        referee.sent(&sent);
        let waiting: BTreeSet<_> = told.session.outstanding().collect();
        assert_eq!(waiting, referee.waiting);
        assert!(told.session.heap_bytes() <= 64 * 1024);
        assert!(told.session.poll_timeout() > Time::ZERO);
        let _ = told.session.snapshot(told.now);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_rules_hold_with_the_fast_extension(steps in prop::collection::vec(step(), 1..60)) {
        play(Capabilities { fast: true, extended: true }, steps);
    }

    #[test]
    fn the_rules_hold_without_extensions(steps in prop::collection::vec(step(), 1..60)) {
        play(Capabilities::default(), steps);
    }

    #[test]
    fn no_bytes_do_harm(
        bytes in prop::collection::vec(any::<u8>(), 0..2_000),
        with_metadata in any::<bool>(),
    ) {
        let config = if with_metadata { config() } else { Config::default() };
        let mut told = Told::new(config, Capabilities { fast: true, extended: true });
        let _ = told.feed_bytes(&mut BytesMut::from(&bytes[..]));
        prop_assert!(told.session.heap_bytes() <= 64 * 1024);
    }

    /// Random bytes in well-formed frames reach further than plain ones.
    #[test]
    fn no_frames_do_harm(
        frames in prop::collection::vec((0u8..22, prop::collection::vec(any::<u8>(), 0..30)), 0..60),
        with_metadata in any::<bool>(),
    ) {
        let config = if with_metadata { config() } else { Config::default() };
        let mut told = Told::new(config, Capabilities { fast: true, extended: true });
        for (id, payload) in frames {
            let length = u32::try_from(payload.len()).unwrap() + 1;
            let mut buf = BytesMut::from(&length.to_be_bytes()[..]);
            buf.extend_from_slice(&[id]);
            buf.extend_from_slice(&payload);
            if told.feed_bytes(&mut buf).is_err() {
                break;
            }
        }
        prop_assert!(told.session.heap_bytes() <= 512 * 1024);
    }
}
