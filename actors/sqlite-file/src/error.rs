//! What can go wrong with a database, as far as a caller tells it apart.

use rusqlite::ErrorCode;

/// Why a database refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The disk is full.
    #[error("the disk is full: {0}")]
    Full(String),
    /// The file cannot be read or written.
    #[error("cannot read or write the database: {0}")]
    Io(String),
    /// Another program holds the file for longer than we wait.
    #[error("another program is using the database: {0}")]
    Busy(String),
    /// The file is damaged, or no database.
    #[error("the database is damaged: {0}")]
    Corrupt(String),
    /// The file is a database of something else.
    #[error("{path} is the database of another program (application id {found:#010x})")]
    Foreign {
        /// The file.
        path: String,
        /// Its application id.
        found: u32,
    },
    /// The file was written by a newer version of this program.
    #[error("the database has schema version {found}, this version knows {known}: upgrade first")]
    NewerSchema {
        /// The version of the file.
        found: usize,
        /// The newest version that is known here.
        known: usize,
    },
    /// The database was closed, or the thread could not finish the job.
    #[error("the database is closed")]
    Closed,
    /// A mistake of ours in a statement.
    #[error("database: {0}")]
    Statement(String),
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        let text = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full(text),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy(text),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt(text),
            Some(
                ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
                | ErrorCode::PermissionDenied
                | ErrorCode::FileLockingProtocolFailed
                | ErrorCode::NoLargeFileSupport,
            ) => Self::Io(text),
            // Rows whose types are not those of the schema were not written by us.
            None if is_wrong_row(&error) => Self::Corrupt(text),
            Some(_) | None => Self::Statement(text),
        }
    }
}

fn is_wrong_row(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
    )
}
