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
mod suspicion;

use cluster_config::NodeName;

pub use control::{Epoch, Holder, Incarnation, NodeRow, NodeState, TorrentRow};
pub use fence::{Fence, StaleEpoch};
pub use lease::{Answer, Lease, Step};
pub use suspicion::{Step as JudgeStep, Suspicion};

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
