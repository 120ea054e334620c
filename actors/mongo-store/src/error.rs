//! What an error of the driver means for a caller.

use mongodb::error::{Error, ErrorKind, WriteFailure};
use store::StoreError;

/// There is a document with this `_id` already.
const DUPLICATE_KEY: i32 = 11_000;
/// The disk of the server is full.
const OUT_OF_DISK_SPACE: i32 = 14_031;

/// The code that the server gave, if it refused a command or a write.
fn code(error: &Error) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(refused) => Some(refused.code),
        ErrorKind::Write(WriteFailure::WriteError(refused)) => Some(refused.code),
        ErrorKind::InsertMany(refused) => Some(refused.write_errors.as_ref()?.first()?.code),
        _ => None,
    }
}

/// Whether it says that a document is there already.
pub(crate) fn is_duplicate(error: &Error) -> bool {
    code(error) == Some(DUPLICATE_KEY)
}

/// The error for a caller. The text names servers, never credentials.
pub(crate) fn refused(error: &Error) -> StoreError {
    if code(error) == Some(OUT_OF_DISK_SPACE) {
        return StoreError::Full("MongoDB has no room left".to_owned());
    }
    match error.kind.as_ref() {
        ErrorKind::Shutdown => StoreError::Closed,
        ErrorKind::Bson(error) => StoreError::Corrupt(format!("a document of MongoDB: {error}")),
        kind => StoreError::Unavailable(format!("MongoDB: {kind}")),
    }
}
