//! Peer wire messages to and from bytes (BEP 3, 5, 6, 10).

use bytes::{Buf, BufMut, BytesMut};

use super::Message;
use crate::{BlockRef, PieceIndex};

/// The longest message that is read, in bytes; as in libtorrent, more ends the connection.
pub const MESSAGE_MAX: u32 = 1024 * 1024;

/// The id of [`Message::Bitfield`].
pub const ID_BITFIELD: u8 = 5;
/// The id of [`Message::Piece`].
pub const ID_PIECE: u8 = 7;
/// The id of [`Message::Extended`].
pub const ID_EXTENDED: u8 = 20;
const ID_CHOKE: u8 = 0;
const ID_UNCHOKE: u8 = 1;
const ID_INTERESTED: u8 = 2;
const ID_NOT_INTERESTED: u8 = 3;
const ID_HAVE: u8 = 4;
const ID_REQUEST: u8 = 6;
const ID_CANCEL: u8 = 8;
const ID_PORT: u8 = 9;
const ID_SUGGEST: u8 = 13;
const ID_HAVE_ALL: u8 = 14;
const ID_HAVE_NONE: u8 = 15;
const ID_REJECT: u8 = 16;
const ID_ALLOWED_FAST: u8 = 17;

/// A message that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Longer than [`MESSAGE_MAX`].
    #[error("a message of {0} bytes, at most {MESSAGE_MAX} are read")]
    TooLong(u32),
    /// A length that its kind of message cannot have.
    #[error("a message with id {id} and {length} bytes")]
    WrongLength {
        /// The kind.
        id: u8,
        /// Bytes behind the id.
        length: usize,
    },
}

/// Takes one whole message off the front of `buf`, or leaves it as it is.
///
/// The bytes of a block are a slice of `buf`'s memory, not a copy. Messages with an unknown id are
/// skipped, as BEP 3 leaves room for later ones.
///
/// # Errors
///
/// The message is too long (told by its first four bytes) or of a length that it cannot have.
pub fn decode(buf: &mut BytesMut) -> Result<Option<Message>, Error> {
    loop {
        let Some((mut prefix, rest)) = buf.split_at_checked(4) else { return Ok(None) };
        let length = prefix.get_u32();
        if length > MESSAGE_MAX {
            return Err(Error::TooLong(length));
        }
        if rest.len() < length as usize {
            return Ok(None);
        }
        buf.advance(4);
        if length == 0 {
            return Ok(Some(Message::KeepAlive));
        }
        let mut body = buf.split_to(length as usize);
        let id = body.get_u8();
        if let Some(message) = decode_body(id, body)? {
            return Ok(Some(message));
        }
    }
}

/// Bytes behind the id of messages that have a fixed length.
const fn fixed_length(id: u8) -> Option<usize> {
    match id {
        ID_CHOKE..=ID_NOT_INTERESTED | ID_HAVE_ALL | ID_HAVE_NONE => Some(0),
        ID_HAVE | ID_SUGGEST | ID_ALLOWED_FAST => Some(4),
        ID_REQUEST | ID_CANCEL | ID_REJECT => Some(12),
        ID_PORT => Some(2),
        _ => None,
    }
}

fn decode_body(id: u8, mut body: BytesMut) -> Result<Option<Message>, Error> {
    let length = body.len();
    let least = match id {
        ID_PIECE => 8,
        ID_EXTENDED => 1,
        _ => 0,
    };
    if fixed_length(id).is_some_and(|fixed| fixed != length) || length < least {
        return Err(Error::WrongLength { id, length });
    }
    let message = match id {
        ID_PIECE => {
            let (piece, begin) = (PieceIndex(body.get_u32()), body.get_u32());
            Message::Piece { piece, begin, block: body.freeze() }
        }
        ID_REQUEST => Message::Request(block(&mut body)),
        ID_HAVE => Message::Have(PieceIndex(body.get_u32())),
        ID_CHOKE => Message::Choke,
        ID_UNCHOKE => Message::Unchoke,
        ID_INTERESTED => Message::Interested,
        ID_NOT_INTERESTED => Message::NotInterested,
        ID_BITFIELD => Message::Bitfield(body.freeze()),
        ID_CANCEL => Message::Cancel(block(&mut body)),
        ID_PORT => Message::Port(body.get_u16()),
        ID_SUGGEST => Message::SuggestPiece(PieceIndex(body.get_u32())),
        ID_HAVE_ALL => Message::HaveAll,
        ID_HAVE_NONE => Message::HaveNone,
        ID_REJECT => Message::RejectRequest(block(&mut body)),
        ID_ALLOWED_FAST => Message::AllowedFast(PieceIndex(body.get_u32())),
        ID_EXTENDED => Message::Extended { id: body.get_u8(), payload: body.freeze() },
        _ => return Ok(None),
    };
    Ok(Some(message))
}

/// Reads three numbers; the caller has checked that they are there.
fn block(body: &mut BytesMut) -> BlockRef {
    let (piece, begin, length) = (body.get_u32(), body.get_u32(), body.get_u32());
    BlockRef { piece: PieceIndex(piece), begin, length }
}

/// Appends a message to `out`.
pub fn encode(message: &Message, out: &mut BytesMut) {
    match message {
        Message::KeepAlive => out.put_u32(0),
        Message::Choke => head(out, ID_CHOKE, 0),
        Message::Unchoke => head(out, ID_UNCHOKE, 0),
        Message::Interested => head(out, ID_INTERESTED, 0),
        Message::NotInterested => head(out, ID_NOT_INTERESTED, 0),
        Message::HaveAll => head(out, ID_HAVE_ALL, 0),
        Message::HaveNone => head(out, ID_HAVE_NONE, 0),
        Message::Have(piece) => encode_piece(out, ID_HAVE, *piece),
        Message::SuggestPiece(piece) => encode_piece(out, ID_SUGGEST, *piece),
        Message::AllowedFast(piece) => encode_piece(out, ID_ALLOWED_FAST, *piece),
        Message::Request(block) => encode_block(out, ID_REQUEST, *block),
        Message::Cancel(block) => encode_block(out, ID_CANCEL, *block),
        Message::RejectRequest(block) => encode_block(out, ID_REJECT, *block),
        Message::Bitfield(bits) => {
            head(out, ID_BITFIELD, bits.len());
            out.put_slice(bits);
        }
        Message::Piece { piece, begin, block } => {
            let length = u32::try_from(block.len()).unwrap_or(u32::MAX);
            out.put_slice(&piece_header(*piece, *begin, length));
            out.put_slice(block);
        }
        Message::Port(port) => {
            head(out, ID_PORT, 2);
            out.put_u16(*port);
        }
        Message::Extended { id, payload } => {
            head(out, ID_EXTENDED, 1 + payload.len());
            out.put_u8(*id);
            out.put_slice(payload);
        }
    }
}

fn head(out: &mut BytesMut, id: u8, length: usize) {
    out.put_u32(u32::try_from(length + 1).unwrap_or(u32::MAX));
    out.put_u8(id);
}

fn encode_piece(out: &mut BytesMut, id: u8, piece: PieceIndex) {
    head(out, id, 4);
    out.put_u32(piece.0);
}

fn encode_block(out: &mut BytesMut, id: u8, block: BlockRef) {
    head(out, id, 12);
    out.put_u32(block.piece.0);
    out.put_u32(block.begin);
    out.put_u32(block.length);
}

/// What stands before a block of `length` bytes on the wire.
#[must_use]
pub fn piece_header(piece: PieceIndex, begin: u32, length: u32) -> [u8; 13] {
    let mut header = [0; 13];
    let mut out = &mut header[..];
    out.put_u32(length.saturating_add(9));
    out.put_u8(ID_PIECE);
    out.put_u32(piece.0);
    out.put_u32(begin);
    header
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn feed(bytes: &[u8]) -> Result<Option<Message>, Error> {
        decode(&mut BytesMut::from(bytes))
    }

    #[test]
    fn known_bytes() {
        assert_eq!(feed(&[0, 0, 0, 0]), Ok(Some(Message::KeepAlive)));
        assert_eq!(feed(&[0, 0, 0, 1, 1]), Ok(Some(Message::Unchoke)));
        assert_eq!(feed(&[0, 0, 0, 5, 4, 0, 0, 1, 2]), Ok(Some(Message::Have(PieceIndex(258)))));
        let piece = [0, 0, 0, 11, 7, 0, 0, 0, 1, 0, 0, 64, 0, b'h', b'i'];
        let block = Bytes::from_static(b"hi");
        assert_eq!(
            feed(&piece),
            Ok(Some(Message::Piece { piece: PieceIndex(1), begin: 16_384, block }))
        );
        assert_eq!(piece_header(PieceIndex(1), 16_384, 2), piece[..13]);
    }

    #[test]
    fn refuses_what_is_too_long_by_its_prefix_alone() {
        assert_eq!(feed(&[0, 16, 0, 1]), Err(Error::TooLong(0x10_0001)));
        assert_eq!(feed(&[0xff; 4]), Err(Error::TooLong(u32::MAX)));
    }

    #[test]
    fn refuses_wrong_lengths() {
        for (id, length) in [(0, 1), (4, 3), (4, 5), (6, 11), (7, 7), (9, 1), (14, 1), (20, 0)] {
            let mut bytes = vec![0, 0, 0, length + 1, id];
            bytes.extend(vec![0; usize::from(length)]);
            assert_eq!(feed(&bytes), Err(Error::WrongLength { id, length: usize::from(length) }));
        }
    }

    #[test]
    fn skips_unknown_ids_and_waits_for_the_rest() {
        assert_eq!(feed(&[0, 0, 0, 3, 99, 1, 2, 0, 0, 0, 1, 0]), Ok(Some(Message::Choke)));
        let mut buf = BytesMut::from(&[0, 0, 0, 5, 4, 0, 0][..]);
        assert_eq!(decode(&mut buf), Ok(None));
        assert_eq!(buf.len(), 7, "left as it is");
    }

    fn messages() -> impl Strategy<Value = Message> {
        let block = (any::<u32>(), any::<u32>(), any::<u32>())
            .prop_map(|(p, begin, length)| BlockRef { piece: PieceIndex(p), begin, length });
        let bytes = prop::collection::vec(any::<u8>(), 0..64).prop_map(Bytes::from);
        prop_oneof![
            Just(Message::KeepAlive),
            Just(Message::HaveAll),
            any::<u32>().prop_map(|p| Message::Have(PieceIndex(p))),
            block.clone().prop_map(Message::Request),
            block.prop_map(Message::RejectRequest),
            bytes.clone().prop_map(Message::Bitfield),
            any::<u16>().prop_map(Message::Port),
            (any::<u8>(), bytes.clone())
                .prop_map(|(id, payload)| Message::Extended { id, payload }),
            (any::<u32>(), any::<u32>(), bytes).prop_map(|(p, begin, block)| Message::Piece {
                piece: PieceIndex(p),
                begin,
                block
            }),
        ]
    }

    proptest! {
        #[test]
        fn round_trips_byte_by_byte(sent in prop::collection::vec(messages(), 0..8)) {
            let mut wire = BytesMut::new();
            sent.iter().for_each(|message| encode(message, &mut wire));
            let (mut buf, mut got) = (BytesMut::new(), Vec::new());
            for byte in wire {
                buf.put_u8(byte);
                got.extend(decode(&mut buf).unwrap());
            }
            prop_assert_eq!(got, sent);
            prop_assert!(buf.is_empty());
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            let mut buf = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = decode(&mut buf) {}
        }
    }
}
