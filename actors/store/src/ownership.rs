//! Who lives and who owns what: the rows by which a cluster agrees, each changed by compare-and-set only.
//!
//! A node begins a life, renews its lease, and ends it; any other may declare that life over. A torrent is
//! assigned by whoever saw its present epoch. Which of these somebody should do, and when, are the rules of
//! `cluster`; here is only that two who try the same at once do not both succeed. All times are the store's own:
//! no node's clock is ever compared with another's.

use std::time::Duration;

use async_trait::async_trait;
use control::{Epoch, Holder, Incarnation, NodeName, NodeRow, NodeState, TorrentId, TorrentRow};

use crate::error::StoreError;

/// The longest address of a node, in bytes: a host name of 253 and a port.
pub const ADDRESS_LEN_MAX: usize = 260;

/// The most nodes of a cluster that a store lists.
pub const NODES_MAX: usize = 1000;

/// What a node tells of itself when it begins a life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeInfo {
    /// Which data directory it has locked. A node that begins with the same one proves by the lock that the life
    /// before it is gone.
    pub data_id: [u8; 16],
    /// Where other nodes reach it: host and port.
    pub address: String,
    /// Its share of the torrents beside others' shares; 0 owns none.
    pub weight: u32,
}

/// A node as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeEntry {
    /// Its latest life.
    pub row: NodeRow,
    /// What that life told of itself.
    pub info: NodeInfo,
}

/// What became of beginning a life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// It lives, in this incarnation.
    Begun {
        /// Higher than that of every life of this node before.
        incarnation: Incarnation,
        /// The store's time, in milliseconds since 1970-01-01 UTC.
        now_ms: u64,
    },
    /// A life of this node with another data directory may still go on.
    Occupied {
        /// Until when at least, by the store's time.
        lease_until_ms: u64,
    },
}

/// What became of renewing a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// The row was written.
    Renewed {
        /// The store's time, in milliseconds since 1970-01-01 UTC.
        now_ms: u64,
    },
    /// This life is over: declared dead, or another one of this node has begun.
    Over,
}

/// Why a life is declared over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// More than half of those who may judge cannot reach it, or it is the node's own end.
    Unreachable,
    /// Its lease ran out before this time, which the store itself said. Without effect if it was renewed since.
    Expired {
        /// The store's time, in milliseconds since 1970-01-01 UTC.
        now_ms: u64,
    },
}

impl Verdict {
    /// Whether it holds against a row of a life that is not over.
    #[must_use]
    pub const fn holds(self, row: &NodeRow) -> bool {
        match self {
            Self::Unreachable => true,
            Self::Expired { now_ms } => row.has_expired(now_ms),
        }
    }
}

/// What became of assigning a torrent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assignment {
    /// It is assigned, in this new epoch.
    Assigned(Epoch),
    /// The epoch was not the present one any more; this is the row.
    Lost(TorrentRow),
}

/// Rows of nodes and owners. The same value is a [`TorrentStore`](crate::TorrentStore): a torrent's row begins,
/// in epoch 0 and without an owner, and ends with its record.
///
/// # Errors
///
/// Every method fails with a [`StoreError`]: [`NotFound`](StoreError::NotFound) for a torrent that is not there,
/// [`Invalid`](StoreError::Invalid) beyond a limit, and whatever the disk or network behind it does. After any
/// other failure the change may have been made or not; reading the row again tells.
#[async_trait]
pub trait OwnershipStore: Send + Sync + std::fmt::Debug {
    /// Begins a life of `node`: up, with the next incarnation and a lease of this length from the store's now on.
    ///
    /// Refused while a life that has another `data_id` is neither dead nor beyond its lease.
    async fn begin(
        &self,
        node: &NodeName,
        info: &NodeInfo,
        lease: Duration,
    ) -> Result<Begin, StoreError>;

    /// Makes the lease of a life that is not over last this long from the store's now on.
    async fn renew(&self, holder: &Holder, lease: Duration) -> Result<Renewal, StoreError>;

    /// Says that a life takes no more torrents and gives away those that it has. `false` if it is over.
    async fn drain(&self, holder: &Holder) -> Result<bool, StoreError>;

    /// Declares a life over; `false` if it was already, or is not to be. Once only: of many who say it at once
    /// one gets `true`.
    async fn depose(&self, holder: &Holder, verdict: Verdict) -> Result<bool, StoreError>;

    /// All nodes, by name; at most [`NODES_MAX`].
    async fn nodes(&self) -> Result<Vec<NodeEntry>, StoreError>;

    /// A torrent's row.
    async fn ownership(&self, torrent: TorrentId) -> Result<TorrentRow, StoreError>;

    /// Gives a torrent to `owner` in the epoch after `seen`, if `seen` is the present one: a claim, a hand-over,
    /// or with `None` a release.
    async fn assign(
        &self,
        torrent: TorrentId,
        seen: Epoch,
        owner: Option<&Holder>,
    ) -> Result<Assignment, StoreError>;

    /// The torrents that some life of `node` owns, or those of nobody, by id: those after `after`, or from the
    /// first; at most `limit` and [`PAGE_LEN_MAX`](crate::PAGE_LEN_MAX). An empty page is the end.
    async fn owned(
        &self,
        node: Option<&NodeName>,
        after: Option<TorrentId>,
        limit: usize,
    ) -> Result<Vec<(TorrentId, TorrentRow)>, StoreError>;
}

impl NodeEntry {
    /// The life of `node` after `before`, its last one; or until when that one may go on.
    pub(crate) fn next_life(
        before: Option<&Self>,
        node: &NodeName,
        info: &NodeInfo,
        now_ms: u64,
        lease: Duration,
    ) -> Result<Self, u64> {
        if let Some(Self { row, info: theirs }) = before
            && theirs.data_id != info.data_id
            && row.state != NodeState::Dead
            && !row.has_expired(now_ms)
        {
            return Err(row.lease_until_ms);
        }
        let lives = before.map_or(0, |entry| entry.row.holder.incarnation.0);
        let row = NodeRow {
            holder: Holder { node: node.clone(), incarnation: Incarnation(lives + 1) },
            state: NodeState::Up,
            lease_until_ms: now_ms.saturating_add(lease_ms(lease)),
        };
        Ok(Self { row, info: info.clone() })
    }
}

impl NodeInfo {
    /// Checks the bounds, which are the same for every store.
    ///
    /// # Errors
    ///
    /// [`StoreError::Invalid`], with what is too much.
    pub fn check(&self) -> Result<(), StoreError> {
        if self.address.len() > ADDRESS_LEN_MAX {
            let len = self.address.len();
            let why = format!("an address of {len} bytes, more than {ADDRESS_LEN_MAX}");
            return Err(StoreError::Invalid(why));
        }
        Ok(())
    }
}

/// The length of a lease, in milliseconds.
#[must_use]
pub fn lease_ms(lease: Duration) -> u64 {
    // A lease beyond this would outlive the machines; it still fits a database's signed number.
    u64::try_from(lease.as_millis()).unwrap_or(u64::MAX).min(1 << 52)
}
