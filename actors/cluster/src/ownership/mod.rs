//! Who owns a torrent, and whose effects count.
//!
//! One row a node ([`NodeRow`]) says which incarnation of it lives, one row a torrent ([`TorrentRow`]) who owns
//! it and since which epoch. A claim is a compare-and-set that makes the next epoch, so an epoch has one
//! owner. The epoch travels in everything that an owner does, and whoever takes it in keeps a [`Fence`], which
//! refuses a lower one. So two nodes may both believe that they own a torrent for a moment, and only the
//! newer one's effects exist: lease and majority decide when work is done again, never whose work counts.
//!
//! The rules are functions of rows as they were read. `model` (in the tests) lets two and three nodes do
//! all that these rules allow, in every order, beside crashes, pauses and cuts.

mod fence;
mod lease;
#[cfg(test)]
mod model;

use std::fmt;

use cluster_config::NodeName;

pub use fence::{Fence, StaleEpoch};
pub use lease::{Answer, Lease, Step};

/// Which life of a node it is: counted up in its row at each start, never a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Incarnation(pub u64);

/// Which ownership of a torrent it is: counted up by each claim. 0 is before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One life of a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    /// Which node.
    pub node: NodeName,
    /// Which life of it.
    pub incarnation: Incarnation,
}

/// What a node is, by its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeState {
    /// It takes part.
    Up,
    /// It hands over what it owns, and takes nothing.
    Draining,
    /// Its incarnation is over: by a judgement of the others, or because its lease ran out.
    Dead,
}

/// A node's row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeRow {
    /// Its latest life.
    pub holder: Holder,
    /// What it is.
    pub state: NodeState,
    /// Until when it need not be heard of, in milliseconds of the store's clock.
    pub lease_until_ms: u64,
}

/// A torrent's row, as far as ownership goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
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
    /// Whether it may be claimed: nobody owns it, or its owner's life is over. `owner` is the row of the node
    /// that owns it, none if there is no such row any more.
    #[must_use]
    pub fn is_free(&self, owner: Option<&NodeRow>) -> bool {
        self.owner.as_ref().is_none_or(|holder| !owner.is_some_and(|row| row.is(holder)))
    }

    /// The row after a claim.
    #[must_use]
    pub fn claimed_by(&self, holder: Holder) -> Self {
        Self { epoch: Epoch(self.epoch.0 + 1), owner: Some(holder) }
    }
}

/// Who judges a suspect: those that are up or drain with a live lease, without the suspect. To be made of rows
/// that were read right before.
pub fn electorate<'a>(
    rows: &'a [NodeRow],
    suspect: &'a NodeName,
    now_ms: u64,
) -> impl Iterator<Item = &'a NodeRow> {
    let votes = move |row: &&NodeRow| row.state != NodeState::Dead && !row.has_expired(now_ms);
    rows.iter().filter(votes).filter(move |row| row.holder.node != *suspect)
}

/// Whether so many reports are more than half of the electorate.
#[must_use]
pub const fn is_majority(reports: usize, electorate: usize) -> bool {
    reports * 2 > electorate
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
        assert!(is_free(None));
    }

    #[test]
    fn who_is_dead_late_or_suspected_does_not_judge() {
        let rows = [
            row("a", 1, NodeState::Up, 100),
            row("b", 1, NodeState::Draining, 100),
            row("c", 1, NodeState::Dead, 100),
            row("d", 1, NodeState::Up, 49),
            row("e", 1, NodeState::Up, 100),
        ];
        let suspect = NodeName::new("e").unwrap();
        let judges = electorate(&rows, &suspect, 50).map(|row| row.holder.node.as_str());
        assert_eq!(judges.collect::<Vec<_>>(), ["a", "b"]);
        // The other one of two nodes is all of the electorate; nobody is a majority of nobody.
        assert!(is_majority(1, 1) && is_majority(2, 3) && !is_majority(1, 2) && !is_majority(0, 0));
    }
}
