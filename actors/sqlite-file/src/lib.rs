//! One SQLite file: schema versions, one writing thread with group commit, one reading thread.
//!
//! [`Database`] is what the store and the event log stand on. It is the only crate that links SQLite,
//! and knows nothing of what is kept: its users hand in a [`Schema`] and closures over a
//! [`rusqlite::Connection`].
//!
//! A write is acknowledged when it is on disk (WAL, `synchronous=FULL`). A single such commit costs a
//! few milliseconds, so the writing thread commits whatever is queued at once: each write keeps its own
//! success or failure (a savepoint), all share one wait for the disk. Readers see the last commit and
//! wait for no writer.
//!
//! The threads are real ones, outside of `NodeEnv`: a simulation uses the memory implementations of the
//! store and the event log, never this.

mod database;
mod error;
mod open;
mod threads;

pub use database::Database;
pub use error::Error;
pub use open::Schema;
pub use rusqlite;
