//! The door to an engine, on this node or another.

use std::ops::Range;
use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;

use crate::{
    Command, EngineError, Event, NodeSnapshot, Reply, TorrentDetail, TorrentId, TorrentSnapshot,
};

/// Bytes of a file, in order; ends early with an error when the torrent stops or is removed.
pub type ContentStream = Pin<Box<dyn Stream<Item = Result<Bytes, EngineError>> + Send>>;
/// Events from now on. A reader that is too slow misses the oldest and sees a gap in `seq`.
pub type EventFeed = Pin<Box<dyn Stream<Item = Event> + Send>>;

/// Part of a file's content.
pub struct Content {
    /// What is sent, a sub-range of what was asked for.
    pub range: Range<u64>,
    /// Length of the file in bytes.
    pub file_length: u64,
    /// The file's name, its last path part.
    pub name: String,
    /// The bytes: only verified ones, waited for where they are missing.
    pub bytes: ContentStream,
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Content").field("range", &self.range).finish_non_exhaustive()
    }
}

/// An engine: commands and questions about torrents. Implementations are cheap handles.
///
/// # Errors
///
/// Every method fails with an [`EngineError`]: [`NotFound`](crate::ErrorCode::NotFound) for an unknown
/// torrent, [`ShuttingDown`](crate::ErrorCode::ShuttingDown) while the node ends, and as documented.
#[async_trait]
pub trait Engine: Send + Sync {
    /// Does something.
    async fn command(&self, command: Command) -> Result<Reply, EngineError>;
    /// All torrents, by the time they were added, then id.
    async fn torrents(&self) -> Result<Vec<TorrentSnapshot>, EngineError>;
    /// One torrent.
    async fn torrent(&self, id: TorrentId) -> Result<TorrentDetail, EngineError>;
    /// The node as a whole.
    async fn node(&self) -> Result<NodeSnapshot, EngineError>;
    /// Opens `range` (clipped to the file; `None` is all of it) of file `file` for reading, and raises
    /// the priority of what it needs.
    /// `RangeNotSatisfiable` if it begins at or beyond the end.
    async fn content(
        &self,
        id: TorrentId,
        file: u32,
        range: Option<Range<u64>>,
    ) -> Result<Content, EngineError>;
    /// Events from now on.
    fn events(&self) -> EventFeed;
}
