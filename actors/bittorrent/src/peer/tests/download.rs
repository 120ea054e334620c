//! Our requests and their ends.

use super::*;

#[test]
fn blocks_come_in_any_order_and_runs_of_a_piece_come_together() {
    let mut told = Told::plain().serving();
    let blocks = [block(0, 0), block(0, 1), block(1, 0), block(0, 2)];
    assert_eq!(text(&told.request(&blocks)), [""; 0]);
    assert_eq!(told.sent(), blocks.map(Message::Request));
    let order = [2, 0, 3, 1].map(|i| answer(blocks[i]));
    let actions = told.feed(&order).unwrap();
    let runs: Vec<_> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Blocks { piece, blocks } => {
                Some((piece.0, blocks.iter().map(|(begin, _)| begin / BLOCK_LEN).collect()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(runs, [(1, vec![0]), (0, vec![0, 2, 1])]);
    assert_eq!(told.session.snapshot(told.now).down_bytes, 4 * 16_384);
}

#[test]
fn asks_for_more_once_until_it_is_answered() {
    let mut told = Told::fast();
    told.session.set_interested(told.now, true);
    let actions = told.feed(&[Message::HaveAll, Message::Unchoke]).unwrap();
    assert_eq!(text(&actions), ["Has(All)", "Unchoked", "WantBlocks"]);
    assert_eq!(told.session.wanted(), 8);
    assert_eq!(text(&told.feed(&[Message::KeepAlive]).unwrap()), [""; 0]);
    told.request(&[]);
    assert_eq!(text(&told.feed(&[Message::KeepAlive]).unwrap()), ["WantBlocks"]);
}

#[test]
fn wants_nothing_while_choked_or_not_interested() {
    let mut told = Told::fast();
    told.feed(&[Message::HaveAll, Message::Unchoke]).unwrap();
    assert_eq!(told.session.wanted(), 0);
    told.session.set_interested(told.now, true);
    assert_eq!(told.session.wanted(), 8);
    told.feed(&[Message::Choke]).unwrap();
    assert_eq!(told.session.wanted(), 0);
    told.feed(&[Message::AllowedFast(PieceIndex(3))]).unwrap();
    assert_eq!(told.session.wanted(), 8);
}

#[test]
fn what_cannot_be_requested_comes_back_at_once() {
    let unsent = |block| vec![released(Release::Unsent, &[block])];
    let mut told = Told::plain().serving();
    for bad in [
        BlockRef { length: 0, ..block(0, 0) },
        BlockRef { length: BLOCK_LEN + 1, ..block(0, 0) },
        block(0, 4),
        block(9, 1),
        block(10, 0),
    ] {
        assert_eq!(text(&told.request(&[bad])), unsent(bad));
    }
    assert_eq!(text(&told.request(&[block(0, 0)])), [""; 0]);
    assert_eq!(text(&told.request(&[block(0, 0)])), unsent(block(0, 0)));
    told.feed(&[Message::Choke]).unwrap();
    assert_eq!(text(&told.request(&[block(0, 1)])), unsent(block(0, 1)));
    let mut told = Told::plain();
    told.feed(&[Message::Bitfield(Bytes::from_static(&[0x80, 0])), Message::Unchoke]).unwrap();
    assert_eq!(text(&told.request(&[block(1, 0)])), unsent(block(1, 0)));
}

#[test]
fn a_choke_releases_what_waits_and_late_blocks_are_forgiven() {
    let mut told = Told::plain().serving();
    let blocks = [block(0, 0), block(0, 1)];
    told.request(&blocks);
    let actions = told.feed(&[Message::Choke, answer(block(0, 1))]).unwrap();
    assert_eq!(text(&actions[..2]), ["Choked".to_owned(), released(Release::Choked, &blocks)]);
    assert!(
        matches!(&actions[2], Action::Late(late, bytes) if *late == block(0, 1) && bytes[0] == 0)
    );
    assert_eq!(told.session.snapshot(told.now).wasted_bytes, 16_384);
    assert_eq!(told.session.outstanding().count(), 0);
}

#[test]
fn with_fast_a_choke_leaves_requests_to_be_answered_or_rejected() {
    let mut told = Told::fast().serving();
    told.request(&[block(0, 0), block(0, 1), block(0, 2)]);
    let rejects = [Message::RejectRequest(block(0, 1)), Message::RejectRequest(block(0, 2))];
    assert_eq!(text(&told.feed(&[Message::Choke]).unwrap()), ["Choked"]);
    let actions = told.feed(&[answer(block(0, 0))]).unwrap();
    assert!(matches!(&actions[..], [Action::Blocks { .. }]));
    let both = released(Release::Rejected, &[block(0, 1), block(0, 2)]);
    assert_eq!(text(&told.feed(&rejects).unwrap()), [both]);
}

#[test]
fn allowed_pieces_are_requested_while_choked_and_a_reject_takes_the_leave_back() {
    let mut told = Told::fast();
    told.session.set_interested(told.now, true);
    let actions = told.feed(&[Message::HaveAll, Message::AllowedFast(PieceIndex(3))]).unwrap();
    assert_eq!(text(&actions), ["Has(All)", "AllowedFast(PieceIndex(3))", "WantBlocks"]);
    assert!(!told.session.serves(PieceIndex(2)) && told.session.serves(PieceIndex(3)));
    let actions = told.request(&[block(3, 0), block(2, 0)]);
    assert_eq!(text(&actions), [released(Release::Unsent, &[block(2, 0)])]);
    told.feed(&[Message::RejectRequest(block(3, 0))]).unwrap();
    assert_eq!(told.session.allowed_fast(), []);
    assert_eq!(told.session.wanted(), 0);
}

#[test]
fn cancelled_blocks_are_forgiven_and_their_rejects_are_free() {
    let mut told = Told::fast().serving();
    told.request(&[block(0, 0), block(0, 1)]);
    told.sent();
    assert!(told.session.cancel(told.now, block(0, 0)));
    assert!(told.session.cancel(told.now, block(0, 1)));
    assert!(!told.session.cancel(told.now, block(0, 1)));
    assert_eq!(told.sent(), [Message::Cancel(block(0, 0)), Message::Cancel(block(0, 1))]);
    let actions = told.feed(&[Message::RejectRequest(block(0, 1)), answer(block(0, 0))]).unwrap();
    assert!(matches!(&actions[..1], [Action::Late(..)]), "{actions:?}");
}

#[test]
fn a_peer_that_rejects_everything_is_left_alone_for_a_while() {
    let mut told = Told::fast().serving();
    for _ in 0..64 {
        told.request(&[block(0, 0)]);
        told.feed(&[Message::RejectRequest(block(0, 0))]).unwrap();
    }
    assert_eq!(told.session.wanted(), 0);
    assert_eq!(told.session.poll_timeout(), Time::from_secs(10));
    assert_eq!(text(&told.time_out().unwrap()), ["WantBlocks"]);
    assert_eq!(told.session.wanted(), 8);
}

#[test]
fn the_peers_reqq_bounds_the_window() {
    let mut told = Told::fast().serving();
    let handshake = crate::wire::extension::Handshake { reqq: Some(3), ..Default::default() };
    told.feed(&[Message::Extended { id: 0, payload: handshake.encode() }]).unwrap();
    assert_eq!(told.session.wanted(), 3);
}
