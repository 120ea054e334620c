//! The peer's requests.

use super::*;

const ALL: ReadLimit = ReadLimit { blocks: 10_000, bytes: u64::MAX };

#[test]
fn requests_are_handed_out_in_order_within_the_limit() {
    let mut told = Told::fast().served();
    let blocks: Vec<_> = (0..9).flat_map(|p| (0..4).map(move |i| block(p, i))).collect();
    let requests: Vec<_> = blocks.iter().copied().map(Message::Request).collect();
    assert_eq!(text(&told.feed(&requests).unwrap()), ["RequestsQueued"]);
    assert_eq!(told.reads(ReadLimit { blocks: 2, bytes: u64::MAX }), blocks[..2]);
    assert_eq!(told.reads(ReadLimit { blocks: 9, bytes: 3 * 16_384 + 1 }), blocks[2..5]);
    assert_eq!(told.reads(ReadLimit { blocks: 1, bytes: 0 }), blocks[5..6]);
    assert_eq!(told.reads(ALL), blocks[6..]);
    assert_eq!(told.sent(), []);
    told.session.sent(told.now, 16_384);
    assert_eq!(told.session.snapshot(told.now).up_bytes, 16_384);
}

#[test]
fn a_choked_peer_is_rejected_or_ignored() {
    let mut told = Told::fast();
    assert_eq!(text(&told.feed(&[Message::Request(block(0, 0))]).unwrap()), [""; 0]);
    assert_eq!(told.sent(), [Message::RejectRequest(block(0, 0))]);
    let mut told = Told::plain();
    assert_eq!(text(&told.feed(&[Message::Request(block(0, 0))]).unwrap()), [""; 0]);
    assert_eq!(told.sent(), []);
    assert_eq!(told.reads(ALL), []);
}

#[test]
fn choking_rejects_what_waits_except_allowed_pieces() {
    let requests = [block(0, 0), block(5, 0), block(1, 0)].map(Message::Request);
    let mut told = Told::fast().served();
    told.session.allow_fast(told.now, &[PieceIndex(5), PieceIndex(5)]);
    told.feed(&requests).unwrap();
    told.session.set_choking(told.now, true);
    let rejects = [block(0, 0), block(1, 0)].map(Message::RejectRequest);
    let allowed = Message::AllowedFast(PieceIndex(5));
    assert_eq!(told.sent(), [vec![allowed, Message::Choke], rejects.to_vec()].concat());
    assert_eq!(told.reads(ALL), [block(5, 0)]);
    assert_eq!(text(&told.feed(&[Message::Request(block(5, 1))]).unwrap()), ["RequestsQueued"]);
    let mut told = Told::plain().served();
    told.feed(&requests).unwrap();
    told.session.set_choking(told.now, true);
    assert_eq!(told.sent(), [Message::Choke]);
    assert_eq!(told.reads(ALL), []);
}

#[test]
fn a_cancel_takes_a_request_back_and_an_unknown_one_is_ignored() {
    let mut told = Told::fast().served();
    told.feed(&[block(0, 0), block(0, 1)].map(Message::Request)).unwrap();
    told.feed(&[block(0, 0), block(7, 0)].map(Message::Cancel)).unwrap();
    assert_eq!(told.sent(), [Message::RejectRequest(block(0, 0))]);
    assert_eq!(told.reads(ALL), [block(0, 1)]);
}

#[test]
fn requests_for_what_we_lack_are_rejected_when_their_turn_comes() {
    let mut told = Told::fast().served();
    told.feed(&[block(0, 0), block(1, 0), block(2, 0)].map(Message::Request)).unwrap();
    let mut out = Vec::new();
    let limit = ReadLimit { blocks: 1, bytes: 1 };
    told.session.next_reads(told.now, limit, |piece| piece.0 == 1, &mut out);
    assert_eq!(out, [block(1, 0)]);
    assert_eq!(told.sent(), [Message::RejectRequest(block(0, 0))]);
    told.session.refuse(told.now, block(1, 0));
    assert_eq!(told.sent(), [Message::RejectRequest(block(1, 0))]);
}

#[test]
fn up_to_128_kib_may_be_requested_within_a_piece() {
    let piece_length = 256 * 1024;
    let layout = Layout { piece_count: 1, piece_length, total_length: u64::from(piece_length) };
    let config = Config { layout: Some(layout), ..Config::default() };
    let mut told = Told::new(config, Capabilities::default()).served();
    let range = |begin, length| BlockRef { piece: PieceIndex(0), begin, length };
    for good in [range(0, 131_072), range(131_072, 131_072), range(1, 1), range(262_143, 1)] {
        told.feed(&[Message::Request(good)]).unwrap();
        assert_eq!(told.reads(ALL), [good]);
    }
    for bad in [
        range(0, 131_073),
        range(0, 0),
        range(262_144, 1),
        range(131_073, 131_072),
        range(u32::MAX, u32::MAX),
        range(u32::MAX, 1),
    ] {
        let mut told = Told::new(config, Capabilities::default()).served();
        let refused = told.feed(&[Message::Request(bad)]).unwrap_err();
        assert_eq!(refused, Violation::BadRequest(bad));
    }
    let bad = BlockRef { piece: PieceIndex(1), ..range(0, 1) };
    assert!(told.feed(&[Message::Request(bad)]).is_err());
}
