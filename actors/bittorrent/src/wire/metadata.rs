//! Messages that carry the info dictionary (BEP 9).

use bytes::{Bytes, BytesMut};

use super::extension::Error;
use crate::bencode::{self, Encoder, Limits};

/// Length of a piece of the info dictionary but the last, in bytes.
pub const METADATA_PIECE_LEN: u32 = 16 * 1024;

/// A message of `ut_metadata`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Asks for a piece.
    Request {
        /// Which.
        piece: u32,
    },
    /// A piece.
    Data {
        /// Which.
        piece: u32,
        /// Length of the whole info dictionary in bytes.
        total_size: u32,
        /// Its bytes.
        data: Bytes,
    },
    /// The piece is not served.
    Reject {
        /// Which.
        piece: u32,
    },
}

impl Message {
    /// The payload.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let (kind, piece, size, data) = match self {
            Self::Request { piece } => (0, *piece, None, None),
            Self::Data { piece, total_size, data } => (1, *piece, Some(*total_size), Some(data)),
            Self::Reject { piece } => (2, *piece, None, None),
        };
        let mut head = Encoder::new();
        head.dict().bytes("msg_type").int(kind).bytes("piece").int(piece);
        if let Some(size) = size {
            head.bytes("total_size").int(size);
        }
        head.end();
        let mut out = BytesMut::from(&head.finish()[..]);
        out.extend_from_slice(data.map_or(&[], |data| &data[..]));
        out.freeze()
    }

    /// Reads a payload; data is a slice of it.
    ///
    /// # Errors
    ///
    /// It is no such message; kinds beyond those of BEP 9 are errors too.
    pub fn decode(payload: Bytes) -> Result<Self, Error> {
        let (kind, piece, total_size, length) = {
            let (document, length) = bencode::parse_prefix(&payload, Limits::MESSAGE)?;
            let head = document.root().dict().ok_or(Error)?;
            let number = |key| head.int(key).and_then(|value| u32::try_from(value).ok());
            let kind = number("msg_type").ok_or(Error)?;
            (kind, number("piece").ok_or(Error)?, number("total_size"), length)
        };
        match kind {
            0 => Ok(Self::Request { piece }),
            1 => {
                let data = payload.slice(length..);
                if data.len() > METADATA_PIECE_LEN as usize {
                    return Err(Error);
                }
                Ok(Self::Data { piece, total_size: total_size.ok_or(Error)?, data })
            }
            2 => Ok(Self::Reject { piece }),
            _ => Err(Error),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_examples_of_the_bep() {
        let request = Message::Request { piece: 0 };
        assert_eq!(&request.encode()[..], b"d8:msg_typei0e5:piecei0ee");
        let data =
            Message::Data { piece: 0, total_size: 3425, data: Bytes::from_static(b"xxxxxxxx") };
        let bytes = data.encode();
        assert_eq!(&bytes[..], b"d8:msg_typei1e5:piecei0e10:total_sizei3425eexxxxxxxx");
        assert_eq!(Message::decode(bytes), Ok(data));
        let reject = Bytes::from_static(b"d8:msg_typei2e5:piecei0ee");
        assert_eq!(Message::decode(reject), Ok(Message::Reject { piece: 0 }));
    }

    #[test]
    fn refuses_data_without_a_size_or_too_long() {
        for bad in
            [&b"d8:msg_typei1e5:piecei0eex"[..], b"d8:msg_typei1ee", b"d8:msg_typei9e5:piecei0ee"]
        {
            assert_eq!(Message::decode(Bytes::copy_from_slice(bad)), Err(Error));
        }
        let long = Bytes::from(vec![0; 16_385]);
        let long = Message::Data { piece: 0, total_size: 1, data: long }.encode();
        assert_eq!(Message::decode(long), Err(Error));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in any::<Vec<u8>>()) {
            let _ = Message::decode(bytes.into());
        }
    }
}
