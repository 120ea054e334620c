//! What each side has: the first messages, haves, and a torrent whose metadata comes later.

use std::slice;

use super::*;

fn first(capabilities: Capabilities, offer: Offer<'_>) -> Vec<Message> {
    let mut told = Told::new(config(), capabilities);
    told.session.start(told.now, offer);
    told.sent()
}

#[test]
fn says_what_we_have_as_the_peer_understands_it() {
    let (plain, fast) = (Capabilities::default(), Capabilities { fast: true, extended: false });
    let all = Message::Bitfield(Bytes::from_static(&[0xff, 0xc0]));
    let mut one = Bitfield::new(10);
    one.insert(PieceIndex(9));
    let bits = Message::Bitfield(Bytes::from_static(&[0, 0x40]));
    assert_eq!(first(plain, Offer::All), [all]);
    assert_eq!(first(fast, Offer::All), [Message::HaveAll]);
    assert_eq!(first(plain, Offer::None), []);
    assert_eq!(first(fast, Offer::None), [Message::HaveNone]);
    assert_eq!(first(plain, Offer::Some(&one)), slice::from_ref(&bits));
    assert_eq!(first(fast, Offer::Some(&one)), [bits]);
    assert_eq!(first(plain, Offer::Some(&Bitfield::new(10))), []);
    assert_eq!(first(fast, Offer::Some(&Bitfield::new(10))), [Message::HaveNone]);
}

#[test]
fn learns_what_the_peer_has() {
    let mut told = Told::fast();
    let actions = told.feed(&[Message::Bitfield(Bytes::from_static(&[0x80, 0x40]))]).unwrap();
    assert_eq!(text(&actions), ["Has(Bitfield)"]);
    assert_eq!(told.session.snapshot(told.now).pieces, Some(2));
    let haves: Vec<_> = (0..10).map(|piece| Message::Have(PieceIndex(piece))).collect();
    let actions = told.feed(&haves).unwrap();
    assert!(matches!(&actions[..], [Action::Has(HaveUpdate::Pieces(new))] if new.len() == 8));
    assert_eq!(told.session.pieces(), &PeerPieces::All);
    let mut told = Told::fast();
    assert_eq!(text(&told.feed(&[Message::HaveAll]).unwrap()), ["Has(All)"]);
    assert_eq!(text(&Told::fast().feed(&[Message::HaveNone]).unwrap()), [""; 0]);
}

#[test]
fn refuses_a_bitfield_that_does_not_fit() {
    for bits in [&[0xff][..], &[0xff, 0xe0], &[0xff, 0xc0, 0], &[]] {
        let bits = Message::Bitfield(Bytes::from_static(bits));
        let refused = Told::plain().feed(slice::from_ref(&bits));
        assert!(
            matches!(refused, Err(Violation::BadBitfield | Violation::TooLong { .. })),
            "{bits:?}: {refused:?}"
        );
    }
}

#[test]
fn takes_a_late_have_all_or_have_none_but_takes_nothing_away() {
    let bits = || Message::Bitfield(Bytes::from_static(&[0x80, 0x40]));
    let before = [
        bits(),
        Message::HaveAll,
        Message::HaveNone,
        Message::Have(PieceIndex(0)),
        Message::Request(block(0, 0)),
    ];
    for before in before {
        let mut told = Told::fast();
        told.feed(slice::from_ref(&before)).unwrap();
        let had = told.session.pieces().clone();
        assert_eq!(text(&told.feed(&[Message::HaveNone]).unwrap()), [""; 0], "{before:?}");
        assert_eq!(*told.session.pieces(), had, "{before:?}");
        let news = told.feed(&[Message::HaveAll]).unwrap();
        assert_eq!(news.len(), usize::from(!had.is_all()), "{before:?}");
        assert!(told.session.pieces().is_all(), "{before:?}");
        let flood = told.feed(&vec![Message::HaveNone; 1_000]);
        assert_eq!(flood.unwrap_err(), Violation::Flood, "{before:?}");
    }
}

#[test]
fn takes_a_late_bitfield_for_haves() {
    let late = |bytes: &'static [u8]| Message::Bitfield(Bytes::from_static(bytes));
    let mut told = Told::fast();
    assert_eq!(text(&told.feed(&[Message::HaveNone, late(&[0x80, 0x40])]).unwrap()).len(), 1);
    // What it leaves out it does not take away.
    assert_eq!(text(&told.feed(&[late(&[0, 0x40])]).unwrap()), [""; 0]);
    assert!(told.session.pieces().has(PieceIndex(0)));
    for lie in [&[0xff][..], &[0xff, 0xe0], &[]] {
        let refused = Told::fast().feed(&[Message::HaveNone, late(lie)]);
        assert_eq!(refused.unwrap_err(), Violation::BadBitfield, "{lie:?}");
    }
    let flood = vec![late(&[0x80, 0x40]); 1_000];
    assert_eq!(told.feed(&flood).unwrap_err(), Violation::Flood);
}

#[test]
fn refuses_pieces_beyond_the_torrent_and_fast_messages_without_fast() {
    for bad in [
        Message::Have(PieceIndex(10)),
        Message::Have(PieceIndex(u32::MAX)),
        Message::AllowedFast(PieceIndex(10)),
        Message::SuggestPiece(PieceIndex(10)),
    ] {
        let refused = Told::fast().feed(slice::from_ref(&bad));
        assert!(matches!(refused, Err(Violation::NoSuchPiece(_))), "{bad:?}: {refused:?}");
    }
    for bad in [
        Message::HaveAll,
        Message::HaveNone,
        Message::AllowedFast(PieceIndex(0)),
        Message::SuggestPiece(PieceIndex(0)),
        Message::RejectRequest(block(0, 0)),
    ] {
        let refused = Told::plain().feed(slice::from_ref(&bad));
        assert!(matches!(refused, Err(Violation::NotNegotiated(_))), "{bad:?}: {refused:?}");
    }
}

/// What the peer claims before the metadata is known, and what comes of it.
fn resolved(claims: &[Message]) -> Result<Vec<String>, Violation> {
    let mut told = Told::new(Config::default(), Capabilities { fast: true, extended: true });
    assert_eq!(text(&told.feed(claims)?), [""; 0]);
    let mut actions = Vec::new();
    told.session.metadata_ready(LAYOUT, &mut actions)?;
    Ok(text(&actions))
}

#[test]
fn checks_earlier_claims_when_the_metadata_comes() {
    let bits = |bytes: &'static [u8]| Message::Bitfield(Bytes::from_static(bytes));
    assert_eq!(resolved(&[]).unwrap(), [""; 0]);
    assert_eq!(resolved(&[Message::HaveAll]).unwrap(), ["Has(All)"]);
    assert_eq!(resolved(&[bits(&[0xff, 0xc0])]).unwrap(), ["Has(All)"]);
    assert_eq!(resolved(&[bits(&[0x01, 0])]).unwrap(), ["Has(Bitfield)"]);
    assert_eq!(resolved(&[Message::Have(PieceIndex(9))]).unwrap(), ["Has(Bitfield)"]);
    let fast = [Message::AllowedFast(PieceIndex(9)), Message::AllowedFast(PieceIndex(10))];
    assert_eq!(resolved(&fast).unwrap(), ["AllowedFast(PieceIndex(9))"]);
    for lie in [
        bits(&[0xff]),
        bits(&[0xff, 0xe0]),
        bits(&[0xff, 0xc0, 0]),
        Message::Have(PieceIndex(10)),
        Message::Have(PieceIndex(100)),
    ] {
        assert_eq!(resolved(slice::from_ref(&lie)), Err(Violation::BadBitfield), "{lie:?}");
    }
    assert!(resolved(&[Message::Have(PieceIndex(2_097_152))]).is_err());
}

#[test]
fn without_metadata_nothing_is_requested_or_served() {
    let mut told = Told::new(Config::default(), Capabilities { fast: true, extended: true })
        .serving()
        .served();
    let refused = released(Release::Unsent, &[block(0, 0)]);
    assert_eq!(text(&told.request(&[block(0, 0)])), [refused]);
    assert_eq!(text(&told.feed(&[Message::Request(block(0, 0))]).unwrap()), [""; 0]);
    assert_eq!(told.sent(), [Message::RejectRequest(block(0, 0))]);
}
