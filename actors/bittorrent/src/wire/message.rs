//! The messages of the peer wire protocol (BEP 3, 5, 6, 10).

use bytes::Bytes;

use crate::{BlockRef, PieceIndex};

/// One message after the handshake.
///
/// Piece numbers are as the peer sent them: whoever knows the torrent checks them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A message of length zero.
    KeepAlive,
    /// The sender will not serve requests.
    Choke,
    /// The sender serves requests again.
    Unchoke,
    /// The sender wants something that the receiver has.
    Interested,
    /// The sender wants nothing that the receiver has.
    NotInterested,
    /// The sender has this piece.
    Have(PieceIndex),
    /// The pieces that the sender has, the first piece in the highest bit of the first byte.
    Bitfield(Bytes),
    /// The sender wants this block.
    Request(BlockRef),
    /// A block.
    Piece {
        /// The piece that it belongs to.
        piece: PieceIndex,
        /// Its offset in the piece, in bytes.
        begin: u32,
        /// Its bytes, a slice of the receive buffer.
        block: Bytes,
    },
    /// The sender no longer wants this block.
    Cancel(BlockRef),
    /// The UDP port of the sender's DHT node (BEP 5).
    Port(u16),
    /// The sender would serve this piece cheaply (BEP 6).
    SuggestPiece(PieceIndex),
    /// The sender has every piece (BEP 6).
    HaveAll,
    /// The sender has no piece (BEP 6).
    HaveNone,
    /// The sender will not serve this request (BEP 6).
    RejectRequest(BlockRef),
    /// The sender serves this piece also to a choked peer (BEP 6).
    AllowedFast(PieceIndex),
    /// A message of the extension protocol (BEP 10).
    Extended {
        /// 0 is the extension handshake; others as the receiver's handshake assigned them.
        id: u8,
        /// What follows the id.
        payload: Bytes,
    },
}
