//! Facts that wait to be told: written with the state that they tell, so that they outlive the node that wrote them.
//!
//! A fact is an event that must arrive. Its owner's write holds it beside the change that it tells ([`Change::Tell`]),
//! under the same fence; whoever owns the torrent then, this node or the next one, publishes what waits in order and
//! takes it out ([`Change::Told`]). A fact that was published and not yet taken out is published again: readers go by
//! epoch and sequence.
//!
//! [`Change::Tell`]: crate::Change::Tell
//! [`Change::Told`]: crate::Change::Told

use async_trait::async_trait;
use bytes::Bytes;
use control::{Epoch, TorrentId};

use crate::error::StoreError;

/// The longest topic of a fact, in bytes: Kafka's.
pub const FACT_TOPIC_LEN_MAX: usize = 249;

/// The longest fact, in bytes.
pub const FACT_LEN_MAX: usize = 64 << 10;

/// The most facts of one torrent that wait; a write that would add more is refused as [`StoreError::Full`].
pub const FACTS_MAX: usize = 10_000;

/// An event that must arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// Which torrent it is about.
    pub torrent: TorrentId,
    /// Where it stands among the torrent's facts.
    pub place: Place,
    /// Where it is to be published.
    pub topic: String,
    /// What is to be published, as the publisher encodes it.
    pub record: Bytes,
}

/// Where a fact stands among those of its torrent: by epoch, then by the number in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// In which epoch it was written.
    pub epoch: Epoch,
    /// Counts the torrent's events in this epoch.
    pub seq: u64,
}

/// The facts that wait. The same value is a [`TorrentStore`](crate::TorrentStore), whose writes put them in and take
/// them out; they do not go with their torrent, whose end is a fact as well.
///
/// # Errors
///
/// Every method fails with a [`StoreError`], as the disk or network behind it does.
#[async_trait]
pub trait Outbox: Send + Sync + std::fmt::Debug {
    /// The facts of a torrent, in their order; at most `limit` and [`PAGE_LEN_MAX`](crate::PAGE_LEN_MAX).
    async fn facts(&self, torrent: TorrentId, limit: usize) -> Result<Vec<Fact>, StoreError>;

    /// The torrents that have any, by id: those after `after`, or from the first; at most `limit` and
    /// [`PAGE_LEN_MAX`](crate::PAGE_LEN_MAX).
    async fn waiting(
        &self,
        after: Option<TorrentId>,
        limit: usize,
    ) -> Result<Vec<TorrentId>, StoreError>;
}
