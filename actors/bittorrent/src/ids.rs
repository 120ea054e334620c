//! The names of things: info-hashes, torrent ids, peer ids, pieces and blocks.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Length of a block in bytes; only the last block of a torrent's piece may be shorter.
pub const BLOCK_LEN: u32 = 16 * 1024;

/// A hexadecimal name was not of the right length or had another character in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be {digits} hexadecimal digits")]
pub struct ParseIdError {
    what: &'static str,
    digits: usize,
}

macro_rules! hash_type {
    ($(#[$doc:meta])* $name:ident, $len:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// The raw bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let error = ParseIdError { what: $what, digits: 2 * $len };
                let mut bytes = [0; $len];
                if text.len() != 2 * $len {
                    return Err(error);
                }
                for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
                    let digits = std::str::from_utf8(pair).map_err(|_| error.clone())?;
                    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                        return Err(error);
                    }
                    *byte = u8::from_str_radix(digits, 16).map_err(|_| error.clone())?;
                }
                Ok(Self(bytes))
            }
        }

        /// Hexadecimal digits in text formats, raw bytes in binary ones.
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    serializer.serialize_bytes(&self.0)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                    text.parse().map_err(D::Error::custom)
                } else {
                    let bytes = <&[u8]>::deserialize(deserializer)?;
                    <[u8; $len]>::try_from(bytes).map(Self).map_err(D::Error::custom)
                }
            }
        }
    };
}

hash_type! {
    /// SHA-1 over the raw bytes of a v1 info dictionary (BEP 3).
    InfoHash, 20, "a v1 info-hash"
}
hash_type! {
    /// SHA-256 over the raw bytes of a v2 info dictionary (BEP 52).
    InfoHashV2, 32, "a v2 info-hash"
}
hash_type! {
    /// The name of a torrent in routes, topics, store and directories: its v1 info-hash where it has
    /// one, else its v2 info-hash cut to 20 bytes (as BEP 52 does on the wire).
    TorrentId, 20, "a torrent id"
}

impl From<InfoHash> for TorrentId {
    fn from(hash: InfoHash) -> Self {
        Self(hash.0)
    }
}

impl From<InfoHashV2> for TorrentId {
    fn from(hash: InfoHashV2) -> Self {
        let mut cut = [0; 20];
        for (to, from) in cut.iter_mut().zip(hash.0) {
            *to = from;
        }
        Self(cut)
    }
}

/// The 20 bytes by which a peer names itself in a handshake (BEP 3, 20).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub [u8; 20]);

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({})", self.0.escape_ascii())
    }
}

/// The number of a piece in its torrent, from 0.
///
/// A number from the wire becomes one only after it was checked against the number of pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PieceIndex(pub u32);

impl PieceIndex {
    /// The index as a position in a table of pieces.
    #[must_use]
    pub const fn as_usize(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for PieceIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A range of bytes in a piece, as requests name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BlockRef {
    /// The piece.
    pub piece: PieceIndex,
    /// Offset in the piece, in bytes.
    pub begin: u32,
    /// Length in bytes.
    pub length: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trip_and_refusals() {
        let id = TorrentId([0xab; 20]);
        assert_eq!(id.to_string().parse::<TorrentId>(), Ok(id));
        assert_eq!("AB".repeat(20).parse::<TorrentId>(), Ok(id));
        for bad in ["", "ab", &"zz".repeat(20), &"+1".repeat(20), &"ab".repeat(21)] {
            assert!(bad.parse::<TorrentId>().is_err(), "{bad}");
        }
    }
}
