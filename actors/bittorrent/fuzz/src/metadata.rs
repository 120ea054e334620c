//! Messages that carry the info dictionary (BEP 9).

use bittorrent::wire::metadata::{METADATA_PIECE_LEN, Message};
use bytes::Bytes;

use crate::Seed;

/// Reads a message and writes it again.
pub fn check(bytes: &[u8]) {
    let Ok(message) = Message::decode(Bytes::copy_from_slice(bytes)) else { return };
    if let Message::Data { data, .. } = &message {
        assert!(data.len() <= METADATA_PIECE_LEN as usize && bytes.ends_with(data));
    }
    assert_eq!(Message::decode(message.encode()), Ok(message));
}

/// A message of each kind, and one that BEP 9 does not know.
pub fn seeds() -> Vec<Seed> {
    let data = Bytes::from_static(b"d4:name1:xe");
    let data = Message::Data { piece: 2, total_size: 32_779, data };
    vec![
        ("request", Message::Request { piece: 1 }.encode().to_vec()),
        ("data", data.encode().to_vec()),
        ("reject", Message::Reject { piece: 3 }.encode().to_vec()),
        ("unknown", b"d8:msg_typei9e5:piecei0ee".to_vec()),
    ]
}
