//! What a peer has.
//!
//! A peer with every piece or with none costs no memory. Before the metadata is known (a magnet link)
//! the number of pieces is unknown too: what the peer claims is kept as it came, within
//! [`PIECES_MAX`], and checked when the metadata is there.

use crate::PieceIndex;
use crate::bitfield::Bitfield;

use super::action::{HaveUpdate, Violation};

/// The most pieces of a torrent (libtorrent's limit); a bitfield of 256 KiB.
pub(super) const PIECES_MAX: u32 = 2_097_152;

/// The pieces that a peer says it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerPieces {
    /// The number of pieces is not known yet.
    Unknown(Claims),
    /// None.
    None,
    /// All.
    All,
    /// Some, at least one and not all.
    Some(Bitfield),
}

/// What a peer claimed before the number of pieces was known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claims {
    all: bool,
    /// Length of the bitfield that came, in bytes.
    stated_len: Option<usize>,
    /// As on the wire, as long as it needs to be.
    bits: Vec<u8>,
}

impl PeerPieces {
    /// Whether the peer has this piece.
    #[must_use]
    pub fn has(&self, piece: PieceIndex) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Some(bits) => bits.contains(piece),
            Self::Unknown(claims) => claims.has(piece),
        }
    }

    /// The bits, if the peer has some pieces and not all.
    #[must_use]
    pub const fn bits(&self) -> Option<&Bitfield> {
        match self {
            Self::Some(bits) => Some(bits),
            Self::Unknown(_) | Self::None | Self::All => None,
        }
    }

    /// How many of `piece_count` pieces the peer has; none while that is unknown.
    #[must_use]
    pub fn count(&self, piece_count: u32) -> Option<u32> {
        match self {
            Self::None => Some(0),
            Self::All => Some(piece_count),
            Self::Some(bits) => Some(bits.count()),
            Self::Unknown(_) => None,
        }
    }

    /// Whether the peer has every piece.
    #[must_use]
    pub const fn is_all(&self) -> bool {
        matches!(self, Self::All | Self::Unknown(Claims { all: true, .. }))
    }

    /// The peer has all or nothing.
    pub(super) fn set_all_or_none(&mut self, all: bool) {
        *self = match self {
            Self::Unknown(_) => Self::Unknown(Claims { all, ..Claims::default() }),
            _ if all => Self::All,
            _ => Self::None,
        };
    }

    /// Takes a bitfield of a torrent of `piece_count` pieces.
    pub(super) fn set_bits(&mut self, bytes: &[u8], piece_count: u32) -> Result<(), Violation> {
        if let Self::Unknown(claims) = self {
            if bytes.len() > (PIECES_MAX / 8) as usize {
                return Err(Violation::BadBitfield);
            }
            claims.bits = bytes.to_vec();
            claims.stated_len = Some(bytes.len());
            return Ok(());
        }
        let bits = Bitfield::from_bytes(bytes, piece_count).map_err(|_| Violation::BadBitfield)?;
        *self = Self::of(bits, piece_count);
        Ok(())
    }

    /// Adds a piece that the torrent has; says whether it is new.
    pub(super) fn add(&mut self, piece: PieceIndex, piece_count: u32) -> bool {
        match self {
            Self::All => return false,
            Self::Unknown(claims) => return claims.add(piece),
            Self::None => {
                let mut bits = Bitfield::new(piece_count);
                bits.insert(piece);
                *self = Self::Some(bits);
            }
            Self::Some(bits) => {
                if !bits.insert(piece) {
                    return false;
                }
            }
        }
        if self.count(piece_count) == Some(piece_count) {
            *self = Self::All;
        }
        true
    }

    /// Takes away a piece; says whether the peer had it.
    pub(super) fn remove(&mut self, piece: PieceIndex, piece_count: u32) -> bool {
        match self {
            Self::None => return false,
            Self::Unknown(claims) => return claims.remove(piece),
            Self::All => {
                let mut bits = Bitfield::full(piece_count);
                bits.remove(piece);
                *self = Self::Some(bits);
            }
            Self::Some(bits) => {
                if !bits.remove(piece) {
                    return false;
                }
            }
        }
        if self.count(piece_count) == Some(0) {
            *self = Self::None;
        }
        true
    }

    /// The number of pieces is known now: checks what the peer claimed.
    pub(super) fn resolve(&mut self, piece_count: u32) -> Result<(), Violation> {
        let Self::Unknown(claims) = self else { return Ok(()) };
        if claims.all {
            *self = Self::All;
            return Ok(());
        }
        let len = piece_count.div_ceil(8) as usize;
        if claims.stated_len.is_some_and(|stated| stated != len) {
            return Err(Violation::BadBitfield);
        }
        let mut bytes = std::mem::take(&mut claims.bits);
        if bytes.iter().skip(len).any(|&byte| byte != 0) {
            return Err(Violation::BadBitfield);
        }
        bytes.resize(len, 0);
        let bits = Bitfield::from_bytes(&bytes, piece_count).map_err(|_| Violation::BadBitfield)?;
        *self = Self::of(bits, piece_count);
        Ok(())
    }

    /// The change that brings someone who knows nothing up to date, if there is one.
    pub(super) const fn update(&self) -> Option<HaveUpdate> {
        match self {
            Self::Unknown(_) | Self::None => None,
            Self::All => Some(HaveUpdate::All),
            Self::Some(_) => Some(HaveUpdate::Bitfield),
        }
    }

    fn of(bits: Bitfield, piece_count: u32) -> Self {
        match bits.count() {
            0 => Self::None,
            count if count == piece_count => Self::All,
            _ => Self::Some(bits),
        }
    }
}

impl Claims {
    fn has(&self, piece: PieceIndex) -> bool {
        let byte = self.bits.get(piece.as_usize() / 8).copied().unwrap_or(0);
        self.all || byte & mask(piece) != 0
    }

    fn add(&mut self, piece: PieceIndex) -> bool {
        if self.all || piece.0 >= PIECES_MAX {
            return false;
        }
        let position = piece.as_usize() / 8;
        if self.bits.len() <= position {
            self.bits.resize(position + 1, 0);
        }
        let Some(byte) = self.bits.get_mut(position) else { return false };
        let is_new = *byte & mask(piece) == 0;
        *byte |= mask(piece);
        is_new
    }

    fn remove(&mut self, piece: PieceIndex) -> bool {
        let Some(byte) = self.bits.get_mut(piece.as_usize() / 8) else { return false };
        let had = *byte & mask(piece) != 0;
        *byte &= !mask(piece);
        had
    }
}

/// The bit of a piece in its byte: the first piece is in the highest bit.
const fn mask(piece: PieceIndex) -> u8 {
    0x80 >> (piece.0 % 8)
}
