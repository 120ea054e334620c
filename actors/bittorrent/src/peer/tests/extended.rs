//! The extension protocol.

use std::slice;

use crate::wire::{extension, metadata, pex};

use super::*;

const BOTH: Capabilities = Capabilities { fast: true, extended: true };
/// The peer's numbers.
const THEIRS: extension::Ids =
    extension::Ids { ut_metadata: 11, ut_pex: 12, upload_only: 13, lt_donthave: 14 };
/// Our numbers.
const METADATA: u8 = 1;
const PEX: u8 = 2;
const UPLOAD_ONLY: u8 = 3;
const LOST: u8 = 4;

fn handshake() -> extension::Handshake {
    extension::Handshake { ids: THEIRS, metadata_size: Some(40_000), ..Default::default() }
}

fn extended(id: u8, payload: impl Into<Bytes>) -> Message {
    Message::Extended { id, payload: payload.into() }
}

/// A session whose peer sent its extension handshake.
fn greeted(config: Config) -> Told {
    let mut told = Told::new(config, BOTH);
    let actions = told.feed(&[extended(0, handshake().encode())]).unwrap();
    assert!(matches!(&actions[..], [Action::Extended(_)]));
    told
}

#[test]
fn sends_by_the_peers_numbers_and_only_what_it_takes() {
    let mut told = greeted(config());
    told.session.lose_piece(told.now, PieceIndex(3));
    told.session.set_upload_only(told.now, true);
    let lost = extended(14, Bytes::from_static(&[0, 0, 0, 3]));
    assert_eq!(told.sent(), [lost, extended(13, Bytes::from_static(&[1]))]);
    let mut told = Told::fast();
    told.session.lose_piece(told.now, PieceIndex(3));
    told.session.set_upload_only(told.now, true);
    told.session.send_pex(told.now, &pex::Message::default());
    assert_eq!(text(&told.ask(&[0, 1])), ["MetadataRefused([0, 1])"]);
    assert_eq!(told.sent(), []);
}

#[test]
fn learns_of_lost_pieces_and_of_upload_only() {
    let mut told = greeted(config());
    let lost = extended(LOST, Bytes::from_static(&[0, 0, 0, 3]));
    let actions = told.feed(&[Message::HaveAll, lost.clone(), lost]).unwrap();
    assert_eq!(text(&actions), ["Has(All)", "Has(Lost(PieceIndex(3)))"]);
    assert_eq!(told.session.snapshot(told.now).pieces, Some(9));
    let only = extended(UPLOAD_ONLY, Bytes::from_static(&[1]));
    assert_eq!(text(&told.feed(&[only.clone(), only]).unwrap()), ["UploadOnly(true)"]);
    let bad = extended(LOST, Bytes::from_static(&[0, 0, 0, 10]));
    assert_eq!(told.feed(&[bad]).unwrap_err(), Violation::NoSuchPiece(PieceIndex(10)));
    let short = extended(LOST, Bytes::from_static(&[0, 0, 0]));
    assert!(told.feed(&[short]).is_err());
}

#[test]
fn metadata_is_taken_only_when_asked_for() {
    let mut told = greeted(Config::default());
    assert_eq!(told.session.metadata_size(), Some(40_000));
    assert_eq!(text(&told.ask(&[2, 0, 0])), [""; 0]);
    let request = |piece| extended(11, metadata::Message::Request { piece }.encode());
    assert_eq!(told.sent(), [request(2), request(0)]);
    let data = |piece, length| {
        let data = Bytes::from(vec![b'd'; length]);
        extended(METADATA, metadata::Message::Data { piece, total_size: 40_000, data }.encode())
    };
    let reject = |piece| extended(METADATA, metadata::Message::Reject { piece }.encode());
    let last = data(2, 40_000 - 2 * 16_384);
    let actions = told.feed(&[data(1, 16_384), last.clone(), last, reject(0), reject(0)]).unwrap();
    assert!(matches!(
        &actions[..],
        [Action::Metadata { piece: 2, total_size: 40_000, data }, Action::MetadataRefused(pieces)]
            if data.len() == 7_232 && pieces == &[0]
    ));
    for (piece, length) in [(0, 16_383), (2, 7_231), (2, 7_233), (3, 1), (3, 0), (u32::MAX, 1)] {
        told.ask(&[piece]);
        let refused = told.feed(&[data(piece, length)]).unwrap_err();
        assert!(matches!(refused, Violation::BadMetadata { .. }), "{piece}: {refused}");
    }
}

#[test]
fn metadata_that_does_not_come_is_given_up_in_seconds() {
    let mut told = greeted(Config::default());
    told.ask(&[0]);
    told.wait(3);
    told.ask(&[1]);
    assert_eq!(text(&told.time_out().unwrap()), ["MetadataRefused([0])"]);
    assert_eq!(told.now, Time::from_secs(10));
    assert_eq!(text(&told.time_out().unwrap()), ["MetadataRefused([1])"]);
    assert_eq!(told.now, Time::from_secs(13));
}

#[test]
fn metadata_is_served_as_fast_as_it_is_read() {
    let mut told = greeted(config());
    let requests: Vec<_> = (0..700)
        .map(|piece| extended(METADATA, metadata::Message::Request { piece }.encode()))
        .collect();
    assert_eq!(text(&told.feed(&requests).unwrap()), ["MetadataQueued"]);
    // Those beyond the bound are rejected at once.
    let rejected = told.sent();
    let reject = |piece| extended(11, metadata::Message::Reject { piece }.encode());
    assert_eq!(rejected, (640..700).map(reject).collect::<Vec<_>>());
    let mut served = 0;
    while let Some(piece) = told.session.next_metadata_request() {
        assert_eq!(piece, served);
        served += 1;
        let data = Some(Bytes::from(vec![0; 16_384]));
        told.session.serve_metadata(told.now, piece, 10_000_000, data);
    }
    assert_eq!(served, 2);
    told.sent();
    assert_eq!(told.session.next_metadata_request(), Some(2));
}

#[test]
fn a_private_torrent_exchanges_no_peers() {
    let list = extended(PEX, pex::Message::default().encode());
    let mut open = greeted(config());
    open.session.send_pex(open.now, &pex::Message::default());
    assert_eq!(open.sent().len(), 1);
    assert!(matches!(&open.feed(slice::from_ref(&list)).unwrap()[..], [Action::Pex(_)]));
    let mut private = greeted(Config { is_private: true, ..config() });
    private.session.send_pex(private.now, &pex::Message::default());
    assert_eq!(private.sent(), []);
    assert_eq!(text(&private.feed(&[list]).unwrap()), [""; 0]);
    private.session.send_extension_handshake(private.now, &handshake());
    let [Message::Extended { payload, .. }] = &private.sent()[..] else { panic!("one message") };
    assert_eq!(extension::Handshake::decode(payload).unwrap().ids.ut_pex, 0);
}

#[test]
fn extension_messages_need_the_protocol_bit_and_unknown_ones_are_ignored() {
    let refused = Told::plain().feed(&[extended(0, handshake().encode())]);
    assert!(matches!(refused, Err(Violation::NotNegotiated(_))));
    assert_eq!(text(&greeted(config()).feed(&[extended(99, Bytes::new())]).unwrap()), [""; 0]);
}
