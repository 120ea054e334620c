//! Why a store refuses.

use control::{Epoch, TorrentId};

/// Why a store refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// There is no such torrent.
    #[error("no torrent {0} in the store")]
    NotFound(TorrentId),
    /// The torrent is there already.
    #[error("torrent {0} is in the store already")]
    Conflict(TorrentId),
    /// Whoever wrote does not own the torrent any more.
    #[error("torrent {torrent} is in epoch {current}, not {said}")]
    StaleEpoch {
        /// Which torrent.
        torrent: TorrentId,
        /// The writer's epoch.
        said: Epoch,
        /// The torrent's.
        current: Epoch,
    },
    /// What was to be kept is beyond a limit of the store.
    #[error("cannot be stored: {0}")]
    Invalid(String),
    /// There is no room left.
    #[error("the store is full: {0}")]
    Full(String),
    /// The disk, network or server behind the store fails; later it may work.
    #[error("the store fails: {0}")]
    Unavailable(String),
    /// What is kept is damaged, or not ours.
    #[error("the store is damaged: {0}")]
    Corrupt(String),
    /// The store was written by a newer version of this program.
    #[error("the store has schema version {found}, this version knows {known}: upgrade first")]
    NewerSchema {
        /// The version of what is kept.
        found: usize,
        /// The newest version that is known here.
        known: usize,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl From<sqlite_file::Error> for StoreError {
    fn from(error: sqlite_file::Error) -> Self {
        use sqlite_file::Error as E;
        match error {
            E::Full(reason) => Self::Full(reason),
            E::Io(reason) | E::Busy(reason) => Self::Unavailable(reason),
            E::Corrupt(reason) => Self::Corrupt(reason),
            E::Foreign { .. } | E::Statement(_) => Self::Corrupt(error.to_string()),
            E::NewerSchema { found, known } => Self::NewerSchema { found, known },
            E::Closed => Self::Closed,
        }
    }
}

impl From<sqlite_file::rusqlite::Error> for StoreError {
    fn from(error: sqlite_file::rusqlite::Error) -> Self {
        sqlite_file::Error::from(error).into()
    }
}
