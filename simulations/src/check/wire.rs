//! Reads the peer wire as an onlooker: one direction of a stream, in whatever parts it comes.
//!
//! Blocks are handed on as they come and are never copied. What does not begin with a handshake of BEP 3
//! is opaque (encrypted, or no peer wire at all).

use bittorrent::wire::codec;
use bittorrent::wire::{Message, Reserved};
use bittorrent::{BlockRef, PieceIndex};
use bytes::{Buf, Bytes, BytesMut};

const HANDSHAKE_LEN: usize = 68;
const PIECE_HEADER_LEN: usize = 13;
const PIECE_ID: u8 = 7;
/// Longer messages do not come from an engine.
const MESSAGE_LEN_MAX: usize = 16 << 20;

/// What was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// The handshake.
    Handshake(Reserved),
    /// A part of a block: its bytes from this offset of the piece.
    Part { piece: u32, at: u32, bytes: Bytes },
    /// A block was sent to its end.
    Block(BlockRef),
    /// Any other message.
    Message(Message),
}

/// One direction of a stream.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    state: State,
    buf: BytesMut,
    seen: u64,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Handshake,
    Messages,
    Block {
        block: BlockRef,
        left: u32,
    },
    Opaque,
}

impl Wire {
    /// Whether this is no peer wire that can be read.
    pub(crate) const fn is_opaque(&self) -> bool {
        matches!(self.state, State::Opaque)
    }

    /// Takes bytes as they were sent, and gives what was said with the offset in the stream at which each
    /// ended.
    pub(crate) fn take(&mut self, mut bytes: Bytes, said: &mut Vec<(u64, Said)>) {
        while !bytes.is_empty() {
            match self.state {
                State::Opaque => {
                    self.seen += bytes.len() as u64;
                    return;
                }
                State::Block { block, left } => self.take_block(&mut bytes, block, left, said),
                State::Handshake | State::Messages if self.needed() > MESSAGE_LEN_MAX => {
                    self.state = State::Opaque;
                }
                State::Handshake | State::Messages => {
                    let missing = self.needed().saturating_sub(self.buf.len());
                    let part = bytes.split_to(missing.min(bytes.len()));
                    self.seen += part.len() as u64;
                    self.buf.extend_from_slice(&part);
                    if self.buf.len() == self.needed() {
                        self.finish(said);
                    }
                }
            }
        }
    }

    fn take_block(
        &mut self,
        bytes: &mut Bytes,
        block: BlockRef,
        left: u32,
        said: &mut Vec<(u64, Said)>,
    ) {
        let taken = bytes.len().min(left as usize);
        let part = bytes.split_to(taken);
        self.seen += taken as u64;
        let left_now = left - u32::try_from(taken).unwrap_or(left);
        let at = block.begin.saturating_add(block.length - left);
        said.push((self.seen, Said::Part { piece: block.piece.0, at, bytes: part }));
        self.state = State::Block { block, left: left_now };
        if left_now == 0 {
            self.state = State::Messages;
            said.push((self.seen, Said::Block(block)));
        }
    }

    /// How long the buffer must be before something can be said.
    fn needed(&self) -> usize {
        if matches!(self.state, State::Handshake) {
            return HANDSHAKE_LEN;
        }
        let Some(mut length) = self.buf.get(..4) else { return 4 };
        let length = length.get_u32() as usize;
        match self.buf.get(4) {
            None if length == 0 => 4,
            None => 5,
            Some(&PIECE_ID) if length + 4 >= PIECE_HEADER_LEN => PIECE_HEADER_LEN,
            Some(_) => 4 + length,
        }
    }

    fn finish(&mut self, said: &mut Vec<(u64, Said)>) {
        if matches!(self.state, State::Handshake) {
            let head = b"\x13BitTorrent protocol";
            if !self.buf.starts_with(head) {
                self.state = State::Opaque;
                return;
            }
            let mut reserved = [0; 8];
            reserved.copy_from_slice(self.buf.get(head.len()..head.len() + 8).unwrap_or(&[0; 8]));
            said.push((self.seen, Said::Handshake(Reserved(reserved))));
            self.buf.clear();
            self.state = State::Messages;
            return;
        }
        if self.buf.get(4) == Some(&PIECE_ID) && self.buf.len() == PIECE_HEADER_LEN {
            let mut header = self.buf.split();
            let length = header.get_u32();
            header.advance(1);
            let (piece, begin) = (PieceIndex(header.get_u32()), header.get_u32());
            let length = length.saturating_sub(9);
            let block = BlockRef { piece, begin, length };
            self.state = State::Block { block, left: length };
            return;
        }
        match codec::decode(&mut self.buf) {
            Ok(Some(message)) => said.push((self.seen, Said::Message(message))),
            Ok(None) => {}
            Err(_) => self.state = State::Opaque,
        }
        self.buf.clear();
    }
}

#[cfg(test)]
mod tests {
    use bittorrent::wire::Handshake;
    use bittorrent::{InfoHash, PeerId};

    use super::*;

    fn stream() -> BytesMut {
        let mut out = BytesMut::new();
        let handshake = Handshake {
            reserved: Reserved::OURS,
            info_hash: InfoHash([1; 20]),
            peer_id: PeerId([2; 20]),
        };
        out.extend_from_slice(&handshake.encode());
        let block = BlockRef { piece: PieceIndex(3), begin: 16_384, length: 5 };
        for message in [
            Message::KeepAlive,
            Message::Bitfield(Bytes::from_static(&[0xf0])),
            Message::Request(block),
            Message::Piece {
                piece: block.piece,
                begin: 16_384,
                block: Bytes::from_static(b"block"),
            },
            Message::Unchoke,
        ] {
            codec::encode(&message, &mut out);
        }
        out
    }

    fn read(step: usize) -> (Vec<(u64, Said)>, Vec<u8>) {
        let (mut wire, mut said, mut block) = (Wire::default(), Vec::new(), Vec::new());
        for part in stream().chunks(step) {
            let mut new = Vec::new();
            wire.take(Bytes::copy_from_slice(part), &mut new);
            for (end, one) in new {
                match one {
                    Said::Part { piece: 3, at, bytes } => {
                        assert_eq!(at as usize, 16_384 + block.len());
                        block.extend_from_slice(&bytes);
                    }
                    one => said.push((end, one)),
                }
            }
        }
        (said, block)
    }

    #[test]
    fn reads_the_same_in_whatever_parts_it_comes() {
        let (said, block) = read(usize::MAX);
        assert_eq!(block, b"block");
        assert_eq!(said.len(), 6, "{said:?}");
        assert_eq!(said.last(), Some(&(stream().len() as u64, Said::Message(Message::Unchoke))));
        for step in 1..100 {
            assert_eq!(read(step), (said.clone(), block.clone()), "parts of {step} bytes");
        }
    }

    #[test]
    fn what_is_no_peer_wire_is_opaque() {
        let (mut wire, mut said) = (Wire::default(), Vec::new());
        wire.take(Bytes::from(vec![7; 100]), &mut said);
        assert!(wire.is_opaque() && said.is_empty());
    }
}
