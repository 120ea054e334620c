//! Why a metainfo file is refused.

use crate::bencode;

/// Why a metainfo file or an info dictionary is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not bencode, or not canonical.
    #[error("not a torrent: {0}")]
    Bencode(#[from] bencode::Error),
    /// Longer than is read.
    #[error("{actual} bytes long, at most {limit} are read")]
    TooLong {
        /// Its length in bytes.
        actual: usize,
        /// The most that is read.
        limit: usize,
    },
    /// The outermost value is no dictionary.
    #[error("not a torrent: the outermost value must be a dictionary")]
    NotADictionary,
    /// A key is not there.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A key has a value that it must not have.
    #[error("`{key}` must be {expected}")]
    Wrong {
        /// The key.
        key: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// More pieces than are read.
    #[error("{actual} pieces, at most {limit} are read")]
    TooManyPieces {
        /// Pieces that the lengths ask for.
        actual: u64,
        /// The most that is read.
        limit: u32,
    },
    /// Not one hash a piece.
    #[error("`pieces` holds {hashes} hashes for {pieces} pieces")]
    WrongHashCount {
        /// Hashes that are there.
        hashes: usize,
        /// Pieces that the lengths ask for.
        pieces: u64,
    },
    /// A file's path could leave the torrent's directory, or cannot be one.
    #[error("path {path:?}: {why}")]
    Path {
        /// The path as it stands there, shortened.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Both descriptions of a hybrid torrent must be of the same files.
    #[error("the v1 and v2 files of a hybrid torrent differ at {0:?}")]
    HybridMismatch(String),
    /// A file's piece layer does not hash to its root.
    #[error("the piece layer of {0:?} is wrong or missing")]
    Layer(String),
}
