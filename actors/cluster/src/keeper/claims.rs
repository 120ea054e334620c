//! Which torrents a node claims, and when.
//!
//! Torrents of lives that are over and of nobody are looked for by name, page by page, whenever rows were read. The
//! best-ranked node claims at once, the one of rank k after k seconds and a bit of chance, unless the torrent is taken
//! by then. A node claims what its own earlier lives owned at once: the data is here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bittorrent::{InfoHash, Time};
use control::{Epoch, Holder, NodeName, NodeRow, NodeState, TorrentId, TorrentRow};
use rand::Rng;
use store::NodeEntry;

use super::{Act, Ask, Keeper};
use crate::placement::{Candidate, rank};

/// How much later each further candidate claims.
const RANK_DELAY: Duration = Duration::from_secs(1);
/// The most that chance adds to that.
const JITTER: Duration = Duration::from_millis(200);
/// The most torrents that are noted to be claimed; more are found by the next search.
const NOTED_MAX: usize = 10_000;

/// The torrents that a life is to claim.
#[derive(Debug)]
pub(super) struct Claims {
    me: Holder,
    nodes: Vec<NodeEntry>,
    /// The store's time, in milliseconds.
    store_ms: u64,
    /// Whose torrents are to be looked for.
    searches: VecDeque<Option<NodeName>>,
    searching: Option<Search>,
    /// Lives that are over and own nothing.
    empty: BTreeSet<Holder>,
    noted: BTreeMap<TorrentId, Noted>,
    in_flight: BTreeSet<TorrentId>,
    is_stopped: bool,
}

#[derive(Debug)]
struct Search {
    node: Option<NodeName>,
    is_first_page: bool,
}

#[derive(Debug, Clone, Copy)]
struct Noted {
    at: Time,
    seen: Epoch,
}

impl Claims {
    pub(super) const fn new(me: Holder) -> Self {
        Self {
            me,
            nodes: Vec::new(),
            store_ms: 0,
            searches: VecDeque::new(),
            searching: None,
            empty: BTreeSet::new(),
            noted: BTreeMap::new(),
            in_flight: BTreeSet::new(),
            is_stopped: false,
        }
    }

    /// All nodes, as they were read just now: whose torrents are free is looked up.
    pub(super) fn nodes(&mut self, nodes: Vec<NodeEntry>, store_ms: u64, acts: &mut Vec<Act>) {
        self.nodes = nodes;
        self.store_ms = store_ms;
        let rows = self.nodes.iter().map(|node| &node.row);
        let over =
            rows.filter(|row| row.state == NodeState::Dead && !self.empty.contains(&row.holder));
        let names: Vec<NodeName> = over.map(|row| row.holder.node.clone()).collect();
        for name in names {
            self.search(Some(name));
        }
        self.search(Some(self.me.node.clone()));
        self.search(None);
        self.ask_first(acts);
    }

    /// Looks for the torrents of a node, or of nobody, when it comes to it.
    pub(super) fn search(&mut self, node: Option<NodeName>) {
        if !self.searches.contains(&node) {
            self.searches.push_back(node);
        }
    }

    /// Begins the next search, if none goes on.
    pub(super) fn ask_first(&mut self, acts: &mut Vec<Act>) {
        if self.searching.is_none()
            && let Some(node) = self.searches.pop_front()
        {
            self.searching = Some(Search { node: node.clone(), is_first_page: true });
            acts.push(Act::Ask(self.me.incarnation, Ask::Owned { node, after: None }));
        }
    }

    /// A page of what is looked for; empty at the end, none if there was no answer. What this very life owns by it is
    /// returned: the answer to a claim was lost, or the node had let go before its lease went on.
    pub(super) fn page(
        &mut self,
        page: Option<&[(TorrentId, TorrentRow)]>,
        now: Time,
        chance: &mut impl Rng,
        acts: &mut Vec<Act>,
    ) -> Vec<(TorrentId, Epoch)> {
        let Some(search) = self.searching.take() else { return Vec::new() };
        let mut mine = Vec::new();
        for (torrent, row) in page.unwrap_or_default() {
            if row.owner.as_ref() == Some(&self.me) {
                mine.push((*torrent, row.epoch));
            } else {
                self.note(*torrent, row, now, chance);
            }
        }
        match page.and_then(|page| page.last()) {
            Some((last, _)) if self.noted.len() < NOTED_MAX => {
                let ask = Ask::Owned { node: search.node.clone(), after: Some(*last) };
                acts.push(Act::Ask(self.me.incarnation, ask));
                self.searching = Some(Search { is_first_page: false, ..search });
                return mine;
            }
            Some(_) => {}
            None => {
                if page.is_some() && search.is_first_page {
                    let rows = self.nodes.iter().map(|node| &node.row);
                    let dead = rows.filter(|row| row.state == NodeState::Dead);
                    let of_node = dead.filter(|row| Some(&row.holder.node) == search.node.as_ref());
                    self.empty.extend(of_node.map(|row| row.holder.clone()));
                }
            }
        }
        self.ask_first(acts);
        mine
    }

    fn note(&mut self, torrent: TorrentId, row: &TorrentRow, now: Time, chance: &mut impl Rng) {
        let owner = row.owner.as_ref();
        let owner_row = owner.and_then(|owner| self.row_of(&owner.node));
        let is_known = self.noted.get(&torrent).is_some_and(|noted| noted.seen == row.epoch);
        if self.is_stopped
            || !row.is_free(owner_row)
            || is_known
            || self.in_flight.contains(&torrent)
        {
            return;
        }
        let was_mine = owner.is_some_and(|owner| owner.node == self.me.node);
        let wait = if was_mine { Some(Duration::ZERO) } else { self.wait(torrent, chance) };
        if let Some(wait) = wait {
            self.noted.insert(torrent, Noted { at: now + wait, seen: row.epoch });
        }
    }

    /// The best-ranked life that can own a torrent, other than this one.
    pub(super) fn heir(&self, torrent: TorrentId) -> Option<Holder> {
        let ranked = self.ranked(torrent);
        let heir = ranked.iter().find(|node| **node != self.me.node)?;
        self.row_of(heir).map(|row| row.holder.clone())
    }

    /// Claims nothing any more.
    pub(super) fn stop(&mut self) {
        self.noted.clear();
        self.is_stopped = true;
    }

    fn row_of(&self, node: &NodeName) -> Option<&NodeRow> {
        self.nodes.iter().map(|node| &node.row).find(|row| row.holder.node == *node)
    }

    /// The nodes that can own a torrent, the best first.
    fn ranked(&self, torrent: TorrentId) -> Vec<NodeName> {
        let lives = |row: &NodeRow| row.state != NodeState::Dead && !row.has_expired(self.store_ms);
        let living = self.nodes.iter().filter(|node| lives(&node.row));
        let candidates: Vec<Candidate> = living
            .map(|node| Candidate {
                node: node.row.holder.node.clone(),
                weight: f64::from(node.info.weight),
                has_data: false,
                has_room: true,
                drains: node.row.state == NodeState::Draining,
            })
            .collect();
        rank(InfoHash(*torrent.as_bytes()), &candidates).into_iter().cloned().collect()
    }

    /// How long this node leaves the torrent to better ones; none if it takes none.
    fn wait(&self, torrent: TorrentId, chance: &mut impl Rng) -> Option<Duration> {
        let rank = self.ranked(torrent).iter().position(|node| *node == self.me.node)?;
        let delay = RANK_DELAY.saturating_mul(u32::try_from(rank).unwrap_or(u32::MAX));
        let jitter = if rank == 0 { 0.0 } else { chance.random_range(0.0..1.0) };
        Some(delay + JITTER.mul_f64(jitter))
    }

    /// When the next claim is due.
    pub(super) fn poll_timeout(&self) -> Time {
        if self.in_flight.len() >= Keeper::CLAIMS_MAX {
            return Time::MAX;
        }
        self.noted.values().map(|noted| noted.at).min().unwrap_or(Time::MAX)
    }

    /// Makes the claims that are due.
    pub(super) fn handle_timeout(&mut self, now: Time, acts: &mut Vec<Act>) {
        let room = Keeper::CLAIMS_MAX.saturating_sub(self.in_flight.len());
        let due = self.noted.iter().filter(|(_, noted)| now >= noted.at).take(room);
        for (torrent, seen) in
            due.map(|(torrent, noted)| (*torrent, noted.seen)).collect::<Vec<_>>()
        {
            self.noted.remove(&torrent);
            self.in_flight.insert(torrent);
            acts.push(Act::Ask(self.me.incarnation, Ask::Claim { torrent, seen }));
        }
    }

    /// A claim has come to its end; who lost it learns of the row by the next search.
    pub(super) fn answered(&mut self, torrent: TorrentId, now: Time, acts: &mut Vec<Act>) {
        self.in_flight.remove(&torrent);
        self.handle_timeout(now, acts);
    }
}
