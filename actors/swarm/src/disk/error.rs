//! What can go wrong with a torrent's files, told so that a person knows what to do.

use std::io;
use std::path::{Path, PathBuf};

use bittorrent::{BlockRef, PieceIndex};

/// Why files could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// No room, or the user's quota is used up.
    #[error("no room for {}: free some space, then resume the torrent", path.display())]
    Full {
        /// What was written.
        path: PathBuf,
    },
    /// The file system takes no writes.
    #[error("{} is on a read-only file system: mount it writable, then resume the torrent", path.display())]
    ReadOnly {
        /// What was written.
        path: PathBuf,
    },
    /// The system does not let us.
    #[error("no permission for {}: let the node's user read and write it, then resume the torrent", path.display())]
    Permission {
        /// What was opened.
        path: PathBuf,
    },
    /// A file that should hold bytes is not there or too short.
    #[error("{} is missing or too short: bring it back or recheck the torrent", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// Anything else that the system told, such as a disk that fails.
    #[error("{}: {message}: look at the disk, then recheck the torrent", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system told.
        message: String,
    },
    /// No such bytes in the torrent; a mistake of the one who asked.
    #[error("no {} bytes at {} of piece {}", .0.length, .0.begin, .0.piece)]
    OutOfRange(BlockRef),
    /// The torrent has no SHA-1 of this piece, as it is of BEP 52 alone.
    #[error("piece {0} has no v1 hash")]
    NoHash(PieceIndex),
    /// The torrent's files were deleted meanwhile.
    #[error("the torrent's files were deleted")]
    Deleted,
    /// Storing failed by our own mistake, again and again.
    #[error("storing the torrent failed too often: see the log, then start the torrent again")]
    TooOften,
    /// The work was given up: by a mistake of ours, or because the node is going down. Says nothing of
    /// the disk.
    #[error("the disk work was given up")]
    GivenUp,
}

impl StorageError {
    /// What the system's `error` about `path` means for us.
    pub(super) fn new(path: &Path, error: &io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            io::ErrorKind::PermissionDenied => Self::Permission { path },
            io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => Self::Missing { path },
            _ => Self::Io { path, message: error.to_string() },
        }
    }
}

impl From<env::Gone> for StorageError {
    fn from(_: env::Gone) -> Self {
        Self::GivenUp
    }
}
