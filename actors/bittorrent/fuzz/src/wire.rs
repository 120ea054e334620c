//! Peer wire messages (BEP 3, 5, 6, 10), however the stream is cut.

use bittorrent::wire::{Message, codec};
use bittorrent::{BlockRef, PieceIndex};
use bytes::{Bytes, BytesMut};

use crate::Seed;
use crate::input::Input;

/// Reads a stream at once and in steps whose lengths the first byte says, and writes it again.
pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let step = usize::from(input.byte()).max(1);
    let stream = input.rest();
    let (messages, end) = read(&mut BytesMut::from(stream));

    let (mut buf, mut stepwise, mut step_end) = (BytesMut::new(), Vec::new(), Ok(()));
    for part in stream.chunks(step) {
        buf.extend_from_slice(part);
        let (more, end) = read(&mut buf);
        stepwise.extend(more);
        step_end = end;
        if step_end.is_err() {
            break;
        }
    }
    assert_eq!((&stepwise, &step_end), (&messages, &end), "depends on how the stream is cut");

    let mut out = BytesMut::new();
    messages.iter().for_each(|message| codec::encode(message, &mut out));
    assert!(out.len() <= stream.len(), "longer than what was read");
    assert_eq!(read(&mut out), (messages, Ok(())));
    assert!(out.is_empty());
}

fn read(buf: &mut BytesMut) -> (Vec<Message>, Result<(), codec::Error>) {
    let mut messages = Vec::new();
    loop {
        match codec::decode(buf) {
            Ok(Some(message)) => messages.push(message),
            Ok(None) => return (messages, Ok(())),
            Err(error) => return (messages, Err(error)),
        }
    }
}

/// A stream with a message of each kind, an unknown one, and lengths that no message has.
pub fn seeds() -> Vec<Seed> {
    let piece = PieceIndex(3);
    let block = BlockRef { piece, begin: 16_384, length: 16_384 };
    let messages = [
        Message::KeepAlive,
        Message::Choke,
        Message::Unchoke,
        Message::Interested,
        Message::NotInterested,
        Message::Have(piece),
        Message::Bitfield(Bytes::from_static(&[0xf0, 0x80])),
        Message::Request(block),
        Message::Piece { piece, begin: 0, block: Bytes::from_static(b"bytes") },
        Message::Cancel(block),
        Message::Port(6_881),
        Message::SuggestPiece(piece),
        Message::HaveAll,
        Message::HaveNone,
        Message::RejectRequest(block),
        Message::AllowedFast(piece),
        Message::Extended { id: 0, payload: Bytes::from_static(b"de") },
    ];
    let mut stream = BytesMut::new();
    messages.iter().for_each(|message| codec::encode(message, &mut stream));
    vec![
        ("every_message", [&[255], &stream[..]].concat()),
        ("byte_by_byte", [&[1], &stream[..]].concat()),
        ("unknown", vec![4, 0, 0, 0, 2, 99, 0, 0, 0, 0, 1, 0]),
        ("too_long", vec![4, 0, 16, 0, 1, 7]),
        ("wrong_length", vec![4, 0, 0, 0, 2, 4, 0]),
    ]
}
