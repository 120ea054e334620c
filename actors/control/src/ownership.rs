//! Whose effects count: lives of nodes, epochs of torrents, and the rows that tell of both.
//!
//! One row a node ([`NodeRow`]) says which life of it goes on and until when it need not be heard of; one row a
//! torrent ([`TorrentRow`]) who owns it and since which epoch. The rules over these rows are in `cluster`, the
//! rows themselves in a store.

use std::fmt;

use cluster_config::NodeName;
use serde::{Deserialize, Serialize};

/// Which life of a node it is: counted up in its row at each start, never a clock.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Incarnation(pub u64);

/// Which ownership of a torrent it is: counted up by each claim. 0 is before the first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One life of a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Holder {
    /// Which node.
    pub node: NodeName,
    /// Which life of it.
    pub incarnation: Incarnation,
}

/// What a node is, by its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum NodeState {
    /// It takes part.
    Up,
    /// It hands over what it owns, and takes nothing.
    Draining,
    /// Its incarnation is over: by a judgement of the others, or because its lease ran out.
    Dead,
}

/// A node's row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeRow {
    /// Its latest life.
    pub holder: Holder,
    /// What it is.
    pub state: NodeState,
    /// Until when it need not be heard of, in milliseconds of the store's clock.
    pub lease_until_ms: u64,
}

/// A torrent's row, as far as ownership goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct TorrentRow {
    /// How often it was claimed.
    pub epoch: Epoch,
    /// Who claimed it last.
    pub owner: Option<Holder>,
}

impl NodeRow {
    /// Whether this life goes on as far as the row tells.
    #[must_use]
    pub fn is(&self, holder: &Holder) -> bool {
        self.holder == *holder && self.state != NodeState::Dead
    }

    /// Whether its lease ran out before `now_ms`, a time that the store itself said.
    #[must_use]
    pub const fn has_expired(&self, now_ms: u64) -> bool {
        self.lease_until_ms < now_ms
    }
}

impl TorrentRow {
    /// Whether it may be claimed: nobody owns it, or its owner's life is over. `owner` is the row of the node that
    /// owns it. A row that is not there, or that tells of an earlier life than the owner's, is one that was read too
    /// early, and says nothing.
    #[must_use]
    pub fn is_free(&self, owner: Option<&NodeRow>) -> bool {
        let Some(holder) = &self.owner else { return true };
        owner.is_some_and(|row| {
            let is_of_before = row.holder.incarnation < holder.incarnation;
            row.holder.node == holder.node && !is_of_before && !row.is(holder)
        })
    }

    /// The row after a claim.
    #[must_use]
    pub fn claimed_by(&self, holder: Holder) -> Self {
        Self { epoch: Epoch(self.epoch.0 + 1), owner: Some(holder) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(name: &str, incarnation: u64) -> Holder {
        Holder { node: NodeName::new(name).unwrap(), incarnation: Incarnation(incarnation) }
    }

    fn row(name: &str, incarnation: u64, state: NodeState, lease_until_ms: u64) -> NodeRow {
        NodeRow { holder: holder(name, incarnation), state, lease_until_ms }
    }

    #[test]
    fn a_torrent_is_free_when_its_owners_life_is_over() {
        let torrent = TorrentRow::default();
        assert!(torrent.is_free(None));
        let torrent = torrent.claimed_by(holder("a", 3));
        assert_eq!(torrent.epoch, Epoch(1));
        let is_free = |row: Option<NodeRow>| torrent.is_free(row.as_ref());
        assert!(!is_free(Some(row("a", 3, NodeState::Up, 0))));
        assert!(!is_free(Some(row("a", 3, NodeState::Draining, 0))));
        assert!(is_free(Some(row("a", 3, NodeState::Dead, 99))));
        assert!(is_free(Some(row("a", 4, NodeState::Up, 99))));
        assert!(!is_free(None));
        assert!(!is_free(Some(row("a", 2, NodeState::Dead, 0))), "read before its owner began");
    }
}
