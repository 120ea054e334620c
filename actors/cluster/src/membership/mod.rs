//! Who is in the cluster, and how each node says that it does: hints, never the truth about ownership.
//!
//! [`Members`] is a machine: what a node knows of others, and what of it is news. Each node says of itself where it
//! is dialled, whether it drains, how busy it is and what room it has ([`Record`]); of two records of a node the one
//! of the later life, then of the higher version, holds. Where a node is and whether it stays is told onward by
//! everybody, so that one who knows a single other comes to know all; figures are told by the node itself alone.
//! [`gossip`] sends it over lanes.
//!
//! Not by chitchat (0.13), which reads tokio's clock and the thread's chance itself and keeps its machine private:
//! no simulation could replay it. With a lane between any two nodes there is little left for it to do.

pub mod gossip;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use control::{Holder, NodeName};
use serde::{Deserialize, Serialize};

/// The most nodes that one knows of; of more nothing is learned.
pub const MEMBERS_MAX: usize = 1024;

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Which node, and which life of it.
    pub holder: Holder,
    /// Counts what this life said.
    pub version: u64,
    /// Where it is and whether it stays.
    pub place: Place,
    /// How it does.
    pub figures: Figures,
}

/// Where a node is and whether it stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Where control lanes are dialled.
    pub control: SocketAddr,
    /// Where bulk connections are dialled.
    pub bulk: SocketAddr,
    /// Whether it stays.
    pub stay: Stay,
}

/// Whether a node stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stay {
    /// It takes part.
    Stays,
    /// It hands over what it owns, and takes nothing.
    Drains,
    /// It has left in order: nobody dials it.
    Left,
}

/// How a node does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// How busy it is, in thousandths of what it can.
    pub load_permille: u16,
    /// Room for torrents, in bytes.
    pub disk_free_bytes: u64,
}

/// What a node knows of all.
#[derive(Debug)]
pub struct Members {
    own: Record,
    others: BTreeMap<NodeName, Record>,
}

/// What was new in what was told.
#[derive(Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct News {
    /// Nodes, lives or places: to be told to all others.
    pub onward: Vec<Record>,
    /// How many records were new in any way.
    pub learned: usize,
}

impl Members {
    /// Knows itself alone.
    #[must_use]
    pub fn new(holder: Holder, place: Place) -> Self {
        let own = Record { holder, version: 1, place, figures: Figures::default() };
        Self { own, others: BTreeMap::new() }
    }

    /// What this node says of itself.
    #[must_use]
    pub fn own(&self) -> &Record {
        &self.own
    }

    /// The others, by name; also those that have left.
    pub fn others(&self) -> impl Iterator<Item = &Record> {
        self.others.values()
    }

    /// All that is known, to be told to somebody new.
    #[must_use]
    pub fn all(&self) -> Vec<Record> {
        std::iter::once(&self.own).chain(self.others.values()).cloned().collect()
    }

    /// Says whether this node stays: what is to be told to all.
    pub fn set_stay(&mut self, stay: Stay) -> Record {
        self.own.place.stay = stay;
        self.own.version += 1;
        self.own.clone()
    }

    /// Says how this node does: what is to be told to all, if anything changed.
    pub fn set_figures(&mut self, figures: Figures) -> Option<Record> {
        if self.own.figures == figures {
            return None;
        }
        self.own.figures = figures;
        self.own.version += 1;
        Some(self.own.clone())
    }

    /// Takes in what another node tells. What it says of this node is passed over.
    pub fn learn(&mut self, told: Vec<Record>) -> News {
        let mut news = News::default();
        for record in told {
            let node = &record.holder.node;
            if *node == self.own.holder.node {
                continue;
            }
            let before = self.others.get(node);
            let age = |record: &Record| (record.holder.incarnation, record.version);
            let is_known = before.is_some_and(|before| age(before) >= age(&record));
            if is_known || (before.is_none() && self.others.len() >= MEMBERS_MAX) {
                continue;
            }
            news.learned += 1;
            let place = |record: &Record| (record.holder.incarnation, record.place);
            if before.map(place) != Some(place(&record)) {
                news.onward.push(record.clone());
            }
            self.others.insert(node.clone(), record);
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use control::Incarnation;
    use proptest::prelude::*;

    use super::*;

    fn holder(node: &str, life: u64) -> Holder {
        Holder { node: NodeName::new(node).unwrap(), incarnation: Incarnation(life) }
    }

    fn place(port: u16, stay: Stay) -> Place {
        let at = SocketAddr::from(([10, 0, 0, 1], port));
        Place { control: at, bulk: at, stay }
    }

    fn record(node: &str, life: u64, version: u64, port: u16) -> Record {
        let figures = Figures { load_permille: 1, disk_free_bytes: version };
        Record { holder: holder(node, life), version, place: place(port, Stay::Stays), figures }
    }

    fn members() -> Members {
        Members::new(holder("a", 1), place(1, Stay::Stays))
    }

    #[test]
    fn a_later_life_or_version_holds_and_places_alone_are_told_onward() {
        let mut members = members();
        let mut learn = |record: Record| {
            let news = members.learn(vec![record]);
            (news.learned, news.onward.len())
        };
        assert_eq!(learn(record("b", 1, 1, 2)), (1, 1), "a new node");
        assert_eq!(learn(record("b", 1, 1, 2)), (0, 0), "known");
        assert_eq!(learn(record("b", 1, 2, 2)), (1, 0), "figures");
        assert_eq!(learn(record("b", 1, 3, 3)), (1, 1), "it moved");
        assert_eq!(learn(record("b", 2, 1, 3)), (1, 1), "it came back");
        assert_eq!(learn(record("b", 1, 9, 3)), (0, 0), "of the life before");
        assert_eq!(learn(record("a", 9, 9, 3)), (0, 0), "of ourselves");
        assert_eq!(members.all().len(), 2);
    }

    #[test]
    fn what_a_node_says_of_itself_has_a_version() {
        let mut members = members();
        let figures = Figures { load_permille: 500, disk_free_bytes: 7 };
        assert_eq!(members.set_figures(figures).unwrap().version, 2);
        assert_eq!(members.set_figures(figures), None);
        let left = members.set_stay(Stay::Left);
        assert_eq!((left.version, left.place.stay), (3, Stay::Left));
    }

    #[test]
    fn more_nodes_than_there_may_be_are_not_learned() {
        let mut members = members();
        let many = (0..MEMBERS_MAX + 5).map(|nth| record(&format!("n{nth}"), 1, 1, 2)).collect();
        assert_eq!(members.learn(many).learned, MEMBERS_MAX);
        assert_eq!(members.learn(vec![record("n0", 1, 2, 2)]).learned, 1, "known ones go on");
    }

    proptest! {
        #[test]
        fn the_order_in_which_nodes_hear_does_not_matter(
            told in prop::collection::vec((0_usize..4, 0_u64..3, 0_u64..3), 0..30),
            seed in any::<prop::sample::Index>(),
        ) {
            // One life says one thing in one version.
            let records: Vec<_> = told
                .iter()
                .map(|(node, life, version)| {
                    let port = u16::try_from(life * 3 + version).unwrap();
                    record(["b", "c", "d", "e"][*node], *life, *version, port)
                })
                .collect();
            let mut turned = records.clone();
            if !turned.is_empty() {
                turned.rotate_left(seed.index(records.len()));
            }
            let (mut one, mut other) = (members(), members());
            for record in records {
                let _ = one.learn(vec![record]);
            }
            let _ = other.learn(turned);
            prop_assert_eq!(one.all(), other.all());
        }
    }
}
