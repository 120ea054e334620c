//! What outlives a process: the store traits with memory and SQLite stores.
//!
//! [`TorrentStore`] is what an engine keeps its torrents in: a small [`TorrentRecord`] each, its
//! [`TorrentSource`] (metainfo or magnet link) and its checkpoint apart, so that ten thousand torrents
//! are listed without touching either; and a few values of the node itself. Everything that changes goes
//! through one call, [`TorrentStore::write`], which keeps all of its [`Change`]s or none.
//!
//! [`OwnershipStore`] is what a cluster agrees by: rows of nodes and of owners, changed by compare-and-set. An
//! owner's writes carry a [`Change::Fence`], so that nothing of a former owner is kept.
//!
//! [`Outbox`] is what waits to be told to the event log, written with the state that it tells.
//!
//! [`MemoryStore`] serves tests and simulations, and can be told to fail or stall. [`SqliteStore`]
//! serves one machine. Both pass the one suite in `conformance`, as any further one has to. The
//! persistence actor, which coalesces and retries the writes of many torrents, will stand here too.
//!
//! This crate must not know the engine: it decides nothing, and never looks into a metainfo or a
//! checkpoint.

mod change;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod error;
mod memory;
mod outbox;
mod ownership;
mod record;
mod sqlite;

use async_trait::async_trait;
use bytes::Bytes;
use control::TorrentId;

pub use change::{
    CHECKPOINT_LEN_MAX, Change, META_LEN_MAX, SOURCE_LEN_MAX, settings_from_json, settings_to_json,
};
pub use error::StoreError;
pub use memory::MemoryStore;
pub use outbox::{FACT_LEN_MAX, FACT_TOPIC_LEN_MAX, FACTS_MAX, Fact, Outbox, Place};
pub use ownership::{
    ADDRESS_LEN_MAX, Assignment, Begin, NODES_MAX, NodeEntry, NodeInfo, OwnershipStore, Renewal,
    Verdict, lease_ms,
};
pub use record::{Desired, PageKey, TorrentRecord, TorrentSource};
pub use sqlite::SqliteStore;

/// The most records that a page holds; more can be asked for but are not given.
pub const PAGE_LEN_MAX: usize = 1000;

/// Where an engine keeps its torrents. Implementations are shared behind an `Arc`.
///
/// # Errors
///
/// Every method fails with a [`StoreError`]: [`NotFound`](StoreError::NotFound) and
/// [`Conflict`](StoreError::Conflict) as documented, and whatever the disk or network behind it does.
#[async_trait]
pub trait TorrentStore: Send + Sync + std::fmt::Debug {
    /// Makes all changes, in their order, or none of them. When this returns they outlive a power cut.
    ///
    /// A caller that goes away before the answer cannot tell whether the changes were made.
    ///
    /// `Conflict` where a torrent to be added is there; `NotFound` where one to be changed is not.
    async fn write(&self, changes: Vec<Change>) -> Result<(), StoreError>;

    /// A torrent's record; `NotFound` if there is none.
    async fn torrent(&self, id: TorrentId) -> Result<TorrentRecord, StoreError>;

    /// Records by the time they were added, then id: those after `after`, or from the first; at most
    /// `limit` and [`PAGE_LEN_MAX`]. An empty page is the end.
    async fn torrents(
        &self,
        after: Option<PageKey>,
        limit: usize,
    ) -> Result<Vec<TorrentRecord>, StoreError>;

    /// How many torrents there are.
    async fn count(&self) -> Result<u64, StoreError>;

    /// What a torrent was made from; `NotFound` if there is no such torrent.
    async fn source(&self, id: TorrentId) -> Result<TorrentSource, StoreError>;

    /// The last checkpoint of a torrent, if one was written; `NotFound` if there is no such torrent.
    async fn checkpoint(&self, id: TorrentId) -> Result<Option<Bytes>, StoreError>;

    /// A value of the node itself (its identity, say), if it was set.
    async fn meta(&self, key: &str) -> Result<Option<Bytes>, StoreError>;

    /// Finishes what was begun and lets go of files and threads; later calls give
    /// [`Closed`](StoreError::Closed).
    async fn close(&self);
}
