//! Peers that mean harm: each is refused clearly, and keeps little of our memory.

use std::slice;

use super::*;

/// How many times a peer can say this before it is cut off; at most a million.
fn endures(told: &mut Told, messages: &[Message]) -> (usize, Violation) {
    for count in 0..1_000_000 {
        if let Err(violation) = told.feed(messages) {
            return (count, violation);
        }
        told.session.transmit().clear();
    }
    unreachable!("endured {messages:?} for ever");
}

#[test]
fn floods_without_effect_end_the_connection() {
    for (message, least, most) in [
        (Message::KeepAlive, 500, 2_000),
        (Message::Choke, 5_000, 20_000),
        (Message::NotInterested, 5_000, 20_000),
        (Message::Have(PieceIndex(0)), 5_000, 20_000),
        (Message::Cancel(block(0, 0)), 5_000, 20_000),
        (Message::RejectRequest(block(0, 0)), 500, 2_000),
        (Message::AllowedFast(PieceIndex(0)), 500, 2_000),
        (Message::SuggestPiece(PieceIndex(0)), 200, 1_000),
        (Message::Port(1), 200, 1_000),
        (Message::Extended { id: 99, payload: Bytes::new() }, 200, 1_000),
        (Message::Request(block(0, 0)), 5_000, 20_000),
    ] {
        let (count, violation) = endures(&mut Told::fast(), slice::from_ref(&message));
        assert_eq!(violation, Violation::Flood, "{message:?}");
        assert!((least..=most).contains(&count), "{message:?}: {count}");
    }
}

#[test]
fn flapping_ends_the_connection() {
    for flap in [[Message::Unchoke, Message::Choke], [Message::Interested, Message::NotInterested]]
    {
        let (count, violation) = endures(&mut Told::fast(), &flap);
        assert_eq!(violation, Violation::Flood);
        assert!((100..=500).contains(&count), "{flap:?}: {count}");
    }
}

#[test]
fn honest_rates_go_on_for_ever() {
    let mut told = Told::fast().serving().served();
    for round in 0..2_000 {
        told.wait(10);
        let flip = if round % 2 == 0 { Message::Choke } else { Message::Unchoke };
        let mut messages = vec![flip, Message::KeepAlive];
        // The end of a download: a hundred cancels, all too late.
        messages.extend((0..100).map(|_| Message::Cancel(block(0, 0))));
        told.feed(&messages).unwrap();
        told.sent();
    }
}

#[test]
fn a_peer_that_keeps_up_with_a_fast_download_may_change_its_mind_with_each_piece() {
    let mut told = Told::fast();
    for _ in 0..100_000 {
        told.session.announce_have(told.now, PieceIndex(0));
        told.feed(&[Message::Interested, Message::NotInterested]).unwrap();
        told.session.transmit().clear();
    }
    let mut told = Told::fast();
    for _ in 0..100_000 {
        told.session.sent(told.now, u64::from(BLOCK_LEN));
        told.feed(&[Message::Interested, Message::NotInterested]).unwrap();
    }
}

#[test]
fn blocks_that_nobody_requested_end_the_connection() {
    let mut told = Told::fast().serving();
    told.request(&[block(0, 0)]);
    told.feed(&[Message::KeepAlive]).unwrap();
    let wrong = [
        answer(block(0, 1)),
        answer(BlockRef { begin: 1, ..block(0, 0) }),
        answer(BlockRef { length: 1, ..block(0, 0) }),
        answer(BlockRef { length: 0, ..block(0, 0) }),
        answer(block(9, 9)),
        answer(block(u32::MAX, 0)),
    ];
    assert_eq!(text(&told.feed(&wrong).unwrap()), [""; 0]);
    assert!(matches!(&told.feed(&[answer(block(0, 0))]).unwrap()[0], Action::Blocks { .. }));
    // Twice the same is one too many.
    assert!(told.feed(&[answer(block(0, 0)), answer(block(0, 0))]).is_ok());
    assert_eq!(told.feed(&[answer(block(0, 0))]).unwrap_err(), Violation::Unrequested);
}

#[test]
fn requests_beyond_the_queue_are_rejected_and_then_end_the_connection() {
    let mut told = Told::fast().served();
    let requests = vec![Message::Request(block(0, 0)); 2_000];
    told.feed(&requests).unwrap();
    assert_eq!(told.sent(), []);
    told.feed(&requests[..50]).unwrap();
    assert_eq!(told.sent().len(), 50);
    assert_eq!(told.feed(&requests[..1]).unwrap_err(), Violation::RequestFlood);
    // Serving one makes room, and forgives.
    let mut told = Told::fast().served();
    told.feed(&requests).unwrap();
    for _ in 0..10 {
        told.feed(&requests[..40]).unwrap();
        told.reads(ReadLimit { blocks: 1, bytes: 1 });
        told.sent();
        told.feed(&requests[..1]).unwrap();
    }
}

#[test]
fn a_peer_that_reads_nothing_is_cut_off_with_bounded_memory() {
    let mut told = Told::fast();
    let requests = vec![Message::Request(block(0, 0)); 1_000];
    let refused = (0..20).find_map(|_| told.feed(&requests).err());
    assert_eq!(refused, Some(Violation::Unread));
    assert!(told.session.out.len() <= REPLIES_MAX + 17, "{}", told.session.out.len());
    // What we say of our own accord ends the same way, with the next timeout.
    let mut told = Told::fast();
    for number in 0..100_000 {
        told.session.set_choking(told.now, number % 2 == 1);
    }
    assert!(told.session.out.len() <= REPLIES_MAX + 17);
    assert_eq!(told.session.poll_timeout(), Time::ZERO);
    assert_eq!(told.time_out().unwrap_err(), Violation::Unread);
}

#[test]
fn haves_wait_for_a_slow_peer_within_bounds_and_the_newest_are_told() {
    let mut told = Told::fast();
    for piece in 0..100_000 {
        told.session.announce_have(told.now, PieceIndex(piece));
    }
    let bytes = told.session.heap_bytes();
    assert!(bytes <= 96 * 1024, "{bytes} bytes");
    let mut said = told.sent();
    while !told.session.transmit().is_empty() {
        said.extend(told.sent());
    }
    assert_eq!(said.len(), 3_641 + 4_096);
    assert_eq!(said.last(), Some(&Message::Have(PieceIndex(99_999))));
    assert!(told.feed(&[Message::KeepAlive]).is_ok());
}

#[test]
fn our_own_bitfield_does_not_count_as_unread() {
    let layout =
        Layout { piece_count: 2_000_000, piece_length: 16_384, total_length: 2_000_000 << 14 };
    let mut told = Told::new(Config { layout: Some(layout), ..config() }, Capabilities::default());
    told.session.start(told.now, Offer::All);
    told.session.announce_have(told.now, PieceIndex(0));
    assert!(told.feed(&[Message::KeepAlive]).is_ok());
}

#[test]
fn long_messages_are_refused_by_their_first_bytes() {
    for (id, longest) in [(7u8, 16_384 + 9), (5, 3), (20, 65_536)] {
        let prefix = |length: u32| {
            let mut buf = BytesMut::from(&length.to_be_bytes()[..]);
            buf.extend_from_slice(&[id]);
            buf
        };
        assert!(Told::fast().feed_bytes(&mut prefix(longest)).is_ok(), "{id}");
        let refused = Told::fast().feed_bytes(&mut prefix(longest + 1)).unwrap_err();
        assert!(matches!(refused, Violation::TooLong { .. }), "{id}: {refused}");
    }
    for length in [1u32 << 24, u32::MAX] {
        let mut buf = BytesMut::from(&length.to_be_bytes()[..]);
        buf.extend_from_slice(&[4]);
        assert!(Told::fast().feed_bytes(&mut buf).is_err());
    }
}

#[test]
fn a_hostile_peer_holds_less_than_256_kib() {
    let layout = Layout { piece_count: 64, piece_length: 1 << 20, total_length: 64 << 20 };
    let config = Config { layout: Some(layout), ..Config::default() };
    let mut told =
        Told::new(config, Capabilities { fast: true, extended: true }).serving().served();
    let blocks: Vec<_> = (0..2_000).map(|number| block(number / 64, number % 64)).collect();
    // It holds a full window twice (once to be forgiven), a full queue, and reads nothing.
    told.request(&blocks);
    told.session.transmit().clear();
    told.time_out().unwrap();
    told.session.transmit().clear();
    told.request(&blocks);
    told.session.transmit().clear();
    told.feed(&blocks.iter().copied().map(Message::Request).collect::<Vec<_>>()).unwrap();
    while told.feed(&[Message::Request(block(0, 0)), Message::Cancel(block(0, 0))]).is_ok() {}
    let bytes = told.session.heap_bytes();
    assert!(bytes <= 256 * 1024, "{bytes} bytes");
    assert!(bytes >= 128 * 1024, "{bytes} bytes: not what this test means to fill");
}

#[test]
fn bytes_one_at_a_time_give_the_same_as_all_at_once() {
    let messages = [
        Message::HaveAll,
        Message::Unchoke,
        Message::Interested,
        Message::AllowedFast(PieceIndex(1)),
        Message::Request(block(0, 0)),
        Message::Port(9),
        Message::Choke,
    ];
    let mut at_once = Told::fast().feed(&messages).unwrap();
    at_once.retain(|action| !matches!(action, Action::RequestsQueued));
    let mut told = Told::fast();
    let (mut wire, mut buf, mut actions) = (BytesMut::new(), BytesMut::new(), Vec::new());
    for message in &messages {
        codec::encode(message, &mut wire);
    }
    for byte in wire {
        buf.extend_from_slice(&[byte]);
        actions.extend(told.feed_bytes(&mut buf).unwrap());
    }
    assert_eq!(text(&actions), text(&at_once));
    assert!(buf.is_empty());
}
