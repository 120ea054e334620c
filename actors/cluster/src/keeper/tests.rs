//! Keepers of several nodes against one store, event by event, with kills, pauses, cuts and a store that is away.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use control::NodeState;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use store::NodeInfo;

use super::*;

/// A lane is given up after this time without an answer: the default of actors.md §4, and a keep-alive.
const IDLE_MS: u64 = 1_200;
const LEASE_MS: u64 = Lease::LENGTH.as_secs() * 1000;

fn name(node: usize) -> NodeName {
    NodeName::new(&format!("n{node}")).unwrap()
}

fn torrent(number: u8) -> TorrentId {
    TorrentId([number; 20])
}

/// What happens at a moment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Wake(usize),
    /// A question reaches the store.
    Asked(usize, u64, Incarnation, usize),
    /// An answer reaches a node of this process.
    Told(usize, u64, Incarnation, usize),
    LaneUp(usize, u64, usize),
    LaneDown(usize, u64, usize, u64),
    Said(usize, u64, usize),
    Adopt(usize, u64),
}

struct Node {
    keeper: Keeper,
    process: u64,
    runs: bool,
    pauses: bool,
    store_cut: bool,
    frozen: bool,
    drained: bool,
    serves: BTreeMap<TorrentId, Epoch>,
}

struct World {
    now: u64,
    queue: BinaryHeap<std::cmp::Reverse<(u64, u64, Event)>>,
    next: u64,
    nodes: Vec<Node>,
    rows: BTreeMap<NodeName, NodeRow>,
    torrents: BTreeMap<TorrentId, TorrentRow>,
    /// Who claimed each epoch of each torrent.
    claims: BTreeMap<(TorrentId, Epoch), Holder>,
    asks: Vec<Ask>,
    tolds: Vec<Told>,
    words: Vec<(Holder, bool, Holder)>,
    cuts: BTreeSet<(usize, usize)>,
    chance: SmallRng,
    store_is_away: bool,
}

impl World {
    fn new(nodes: usize, torrents: u8, seed: u64) -> Self {
        let keeper = |n| Node {
            keeper: Keeper::new(name(n), Time::ZERO),
            process: 1,
            runs: true,
            pauses: false,
            store_cut: false,
            frozen: false,
            drained: false,
            serves: BTreeMap::new(),
        };
        let mut this = Self {
            now: 0,
            queue: BinaryHeap::new(),
            next: 0,
            nodes: (0..nodes).map(keeper).collect(),
            rows: BTreeMap::new(),
            torrents: (0..torrents).map(|n| (torrent(n), TorrentRow::default())).collect(),
            claims: BTreeMap::new(),
            asks: Vec::new(),
            tolds: Vec::new(),
            words: Vec::new(),
            cuts: BTreeSet::new(),
            chance: SmallRng::seed_from_u64(seed),
            store_is_away: false,
        };
        for node in 0..nodes {
            this.wake_later(node);
        }
        this
    }

    fn time(&self) -> Time {
        Time::ZERO + Duration::from_millis(self.now)
    }

    fn push(&mut self, after_ms: u64, event: Event) {
        self.next += 1;
        self.queue.push(std::cmp::Reverse((self.now + after_ms, self.next, event)));
    }

    fn is_cut(&self, a: usize, b: usize) -> bool {
        self.cuts.contains(&(a.min(b), a.max(b)))
    }

    fn reaches(&self, a: usize, b: usize) -> bool {
        let lives = |n: usize| self.nodes[n].runs && !self.nodes[n].pauses;
        a != b && lives(a) && lives(b) && !self.is_cut(a, b)
    }

    fn wake_later(&mut self, node: usize) {
        let due = self.nodes[node].keeper.poll_timeout();
        if due < Time::MAX {
            let due_ms = u64::try_from(due.since_start().as_millis()).unwrap();
            self.push((due_ms + 1).saturating_sub(self.now), Event::Wake(node));
        }
    }

    /// Lets a node's machine work, and does what it wants.
    fn work(
        &mut self,
        node: usize,
        work: impl FnOnce(&mut Keeper, Time, &mut SmallRng, &mut Vec<Act>),
    ) {
        let mut acts = Vec::new();
        let now = self.time();
        work(&mut self.nodes[node].keeper, now, &mut self.chance, &mut acts);
        for act in acts {
            self.act(node, act);
        }
        self.wake_later(node);
    }

    fn act(&mut self, node: usize, act: Act) {
        let process = self.nodes[node].process;
        match act {
            Act::Ask(life, ask) => {
                self.asks.push(ask);
                let latency = self.chance.random_range(1..40);
                self.push(latency, Event::Asked(node, process, life, self.asks.len() - 1));
            }
            Act::Suspect(_) | Act::Withdraw(_) => {
                let from = self.nodes[node].keeper.holder().unwrap().clone();
                let word = match act {
                    Act::Suspect(suspect) => (from, true, suspect),
                    Act::Withdraw(suspect) => (from, false, suspect),
                    _ => unreachable!(),
                };
                self.words.push(word);
                for to in (0..self.nodes.len()).filter(|to| *to != node) {
                    if self.reaches(node, to) {
                        let process = self.nodes[to].process;
                        let latency = self.chance.random_range(1..5);
                        self.push(latency, Event::Said(to, process, self.words.len() - 1));
                    }
                }
            }
            Act::Live(_) => {
                for other in 0..self.nodes.len() {
                    self.connect(node, other);
                }
            }
            Act::Serve(torrent, epoch) => {
                self.nodes[node].serves.insert(torrent, epoch);
            }
            Act::Drop(torrent) => {
                self.nodes[node].serves.remove(&torrent);
            }
            Act::Release(torrent, _) => {
                self.work(node, |keeper, _, _, acts| keeper.released(torrent, acts));
            }
            Act::Adopt(heir, _) => {
                let to = (0..self.nodes.len()).find(|n| name(*n) == heir.node).unwrap();
                if self.reaches(node, to) {
                    let process = self.nodes[to].process;
                    self.push(2, Event::Adopt(to, process));
                }
            }
            Act::Drained => self.nodes[node].drained = true,
            Act::Freeze => self.nodes[node].frozen = true,
            Act::Thaw => self.nodes[node].frozen = false,
            Act::End => {
                for other in 0..self.nodes.len() {
                    self.disconnect_now(node, other);
                }
            }
        }
    }

    /// Opens the lane between two nodes that can reach each other.
    fn connect(&mut self, a: usize, b: usize) {
        if self.reaches(a, b) {
            for (one, other) in [(a, b), (b, a)] {
                self.push(3, Event::LaneUp(one, self.nodes[one].process, other));
            }
        }
    }

    /// Both ends find out that the lane is gone.
    fn disconnect(&mut self, a: usize, b: usize) {
        for (one, other) in [(a, b), (b, a)] {
            let Some(life) = self.nodes[other].keeper.holder().map(|holder| holder.incarnation.0)
            else {
                continue;
            };
            let late = self.chance.random_range(0..300);
            self.push(IDLE_MS + late, Event::LaneDown(one, self.nodes[one].process, other, life));
        }
    }

    /// A life closes its lanes: others see it at once.
    fn disconnect_now(&mut self, ended: usize, other: usize) {
        if self.reaches(ended, other)
            && let Some(row) = self.rows.get(&name(ended)).map(|row| row.holder.incarnation.0)
        {
            self.push(3, Event::LaneDown(other, self.nodes[other].process, ended, row));
        }
    }

    fn kill(&mut self, node: usize) {
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            self.disconnect(node, other);
        }
        self.nodes[node].runs = false;
        self.nodes[node].serves.clear();
    }

    fn restart(&mut self, node: usize) {
        let now = self.time();
        let slot = &mut self.nodes[node];
        slot.process += 1;
        (slot.runs, slot.pauses, slot.frozen, slot.drained) = (true, false, false, false);
        slot.keeper = Keeper::new(name(node), now);
        self.wake_later(node);
    }

    fn cut(&mut self, a: usize, b: usize) {
        if self.cuts.insert((a.min(b), a.max(b))) {
            self.disconnect(a, b);
        }
    }

    fn heal(&mut self) {
        self.cuts.clear();
        self.store_is_away = false;
        for node in 0..self.nodes.len() {
            self.nodes[node].store_cut = false;
            self.nodes[node].pauses = false;
            if !self.nodes[node].runs {
                self.restart(node);
            }
            self.wake_later(node);
        }
        for a in 0..self.nodes.len() {
            for b in a + 1..self.nodes.len() {
                self.connect(a, b);
            }
        }
    }

    fn run_for(&mut self, ms: u64) {
        let end = self.now + ms;
        while let Some(std::cmp::Reverse((at, ..))) = self.queue.peek()
            && *at <= end
        {
            let std::cmp::Reverse((at, _, event)) = self.queue.pop().unwrap();
            self.now = at;
            self.happen(event);
            self.check();
        }
        self.now = end;
    }

    fn is_up(&self, node: usize, process: u64) -> bool {
        let slot = &self.nodes[node];
        slot.runs && slot.process == process
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Wake(node) => {
                if self.nodes[node].pauses {
                    // It finds its timers late when it goes on.
                } else if self.nodes[node].runs
                    && self.time() >= self.nodes[node].keeper.poll_timeout()
                {
                    self.work(node, |keeper, now, _, acts| keeper.handle_timeout(now, acts));
                }
            }
            Event::Asked(node, process, life, ask) => {
                let told = if self.store_is_away || self.nodes[node].store_cut {
                    self.asks[ask].unanswered()
                } else {
                    self.answer(node, life, ask)
                };
                self.tolds.push(told);
                let latency = self.chance.random_range(1..40);
                self.push(latency, Event::Told(node, process, life, self.tolds.len() - 1));
            }
            Event::Told(node, process, life, told) if self.is_up(node, process) => {
                if self.nodes[node].pauses {
                    self.push(50, Event::Told(node, process, life, told));
                    return;
                }
                let told = self.tolds[told].clone();
                self.work(node, |keeper, now, chance, acts| {
                    keeper.told(now, life, told, chance, acts)
                });
            }
            Event::LaneUp(node, process, other)
                if self.is_up(node, process) && self.reaches(node, other) =>
            {
                if let Some(other) = self.nodes[other].keeper.holder().cloned() {
                    self.work(node, |keeper, now, _, acts| keeper.lane_up(now, other, acts));
                }
            }
            Event::LaneDown(node, process, other, life) if self.is_up(node, process) => {
                if self.nodes[node].pauses {
                    self.push(50, Event::LaneDown(node, process, other, life));
                    return;
                }
                let gone = Holder { node: name(other), incarnation: Incarnation(life) };
                self.work(node, |keeper, now, _, acts| keeper.lane_down(now, &gone, acts));
            }
            Event::Said(node, process, word)
                if self.is_up(node, process) && !self.nodes[node].pauses =>
            {
                let (from, suspects, suspect) = self.words[word].clone();
                self.work(node, |keeper, now, _, acts| {
                    if suspects {
                        keeper.reported(now, &from, suspect, acts);
                    } else {
                        keeper.withdrawn(&from, &suspect);
                    }
                });
            }
            Event::Adopt(node, process)
                if self.is_up(node, process) && !self.nodes[node].pauses =>
            {
                self.work(node, |keeper, _, _, acts| keeper.adopt(acts));
            }
            Event::Adopt(..)
            | Event::Told(..)
            | Event::LaneUp(..)
            | Event::LaneDown(..)
            | Event::Said(..) => {}
        }
    }

    /// The store: each question is one compare-and-set.
    fn answer(&mut self, node: usize, life: Incarnation, ask: usize) -> Told {
        let me = Holder { node: name(node), incarnation: life };
        match self.asks[ask].clone() {
            Ask::Begin => {
                let before = self.rows.get(&me.node).map_or(0, |row| row.holder.incarnation.0);
                let incarnation = Incarnation(before + 1);
                let row = NodeRow {
                    holder: Holder { node: me.node.clone(), incarnation },
                    state: NodeState::Up,
                    lease_until_ms: self.now + LEASE_MS,
                };
                self.rows.insert(me.node, row);
                Told::Begun(Some((incarnation, self.now)))
            }
            Ask::Renew => match self.rows.get_mut(&me.node).filter(|row| row.is(&me)) {
                Some(row) => {
                    row.lease_until_ms = self.now + LEASE_MS;
                    Told::Renewed(Answer::Renewed, self.now)
                }
                None => Told::Renewed(Answer::Refused, self.now),
            },
            Ask::Nodes => {
                let info = NodeInfo { data_id: [0; 16], address: String::new(), weight: 100 };
                let nodes = self
                    .rows
                    .values()
                    .map(|row| NodeEntry { row: row.clone(), info: info.clone() });
                Told::Nodes(Some(nodes.collect()))
            }
            Ask::Depose(holder, verdict) => {
                let row = self.rows.get_mut(&holder.node).filter(|row| row.is(&holder));
                let row = row.filter(|row| verdict.holds(row));
                Told::Deposed(Some(row.map(|row| row.state = NodeState::Dead).is_some()))
            }
            Ask::Drain => {
                let row = self.rows.get_mut(&me.node).filter(|row| row.is(&me));
                Told::Draining(Some(row.map(|row| row.state = NodeState::Draining).is_some()))
            }
            Ask::Give { torrent, seen, to } => {
                let row = self.torrents.get_mut(&torrent).unwrap();
                if row.epoch == seen {
                    *row = TorrentRow { epoch: Epoch(seen.0 + 1), owner: to.clone() };
                    let before = to.map(|to| self.claims.insert((torrent, row.epoch), to));
                    assert_eq!(before.flatten(), None, "two owners of an epoch");
                }
                Told::Given(torrent, Some(row.clone()))
            }
            Ask::Owned { node, after } => {
                let rows = self.torrents.iter().filter(|(id, row)| {
                    row.owner.as_ref().map(|owner| &owner.node) == node.as_ref()
                        && after.is_none_or(|after| **id > after)
                });
                Told::Owned(Some(rows.take(3).map(|(id, row)| (*id, row.clone())).collect()))
            }
            Ask::Claim { torrent, seen } => {
                let row = self.torrents.get_mut(&torrent).unwrap();
                if row.epoch == seen {
                    *row = row.claimed_by(me.clone());
                    let before = self.claims.insert((torrent, row.epoch), me);
                    assert_eq!(before, None, "two owners of an epoch");
                }
                Told::Claimed(torrent, Some(row.clone()))
            }
        }
    }

    /// What holds after every event.
    fn check(&self) {
        for (number, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.runs) {
            for (torrent, epoch) in &node.serves {
                let owner = &self.claims[&(*torrent, *epoch)];
                assert_eq!(owner.node, name(number), "serves what another claimed");
                let Some(may) = node.keeper.may_act(*torrent, self.time()) else { continue };
                assert_eq!(may, *epoch);
                let row = &self.torrents[torrent];
                if row.epoch != *epoch {
                    // Overlap is allowed, for as long as the loser's next renewal takes; its effects do not count.
                    assert!(row.epoch > *epoch);
                }
            }
        }
    }

    /// Torrents that no running node owns in their present epoch.
    fn lost(&self) -> usize {
        let is_served = |id: &TorrentId, row: &TorrentRow| {
            self.nodes.iter().any(|node| {
                let acts = node.runs
                    && !node.pauses
                    && node.keeper.may_act(*id, self.time()) == Some(row.epoch);
                acts && node.serves.get(id) == Some(&row.epoch)
            })
        };
        self.torrents.iter().filter(|(id, row)| !is_served(id, row)).count()
    }

    /// Runs until all is owned again; how long that took, in milliseconds.
    fn until_owned(&mut self, limit: u64) -> u64 {
        let begin = self.now;
        while self.lost() > 0 {
            assert!(
                self.now - begin < limit,
                "{} torrents without an owner after {limit} ms",
                self.lost()
            );
            self.run_for(10);
        }
        self.now - begin
    }
}

#[test]
fn torrents_of_nobody_are_shared_out() {
    let mut world = World::new(3, 30, 1);
    let took = world.until_owned(5_000);
    assert!(took <= 3_000, "{took} ms");
    for node in &world.nodes {
        assert!((3..=20).contains(&node.serves.len()), "{}", node.serves.len());
    }
}

#[test]
fn after_a_kill_all_is_owned_again_in_three_seconds() {
    let mut times = Vec::new();
    for seed in 0..250 {
        let nodes = 3 + usize::try_from(seed % 3).unwrap();
        let mut world = World::new(nodes, 12, seed);
        world.until_owned(5_000);
        world.run_for(2_000 + seed * 7);
        for _ in 0..4 {
            let victim = world.chance.random_range(0..nodes);
            world.kill(victim);
            times.push(world.until_owned(22_000));
            world.run_for(1_000);
            world.heal();
            world.until_owned(22_000);
            world.run_for(2_000);
        }
    }
    times.sort_unstable();
    let (median, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    assert_eq!(times.len(), 1_000);
    assert!(p99 <= 3_000, "median {median}, p99 {p99}, at most {:?} ms", times.last());
    assert!(median <= 1_800, "median {median} ms");
}

#[test]
fn without_a_majority_the_lease_decides() {
    let mut world = World::new(5, 10, 3);
    world.until_owned(5_000);
    world.run_for(3_000);
    for node in 0..3 {
        world.kill(node);
    }
    let took = world.until_owned(30_000);
    assert!((15_000..=24_000).contains(&took), "{took} ms");
}

#[test]
fn who_slept_through_its_own_end_begins_a_new_life() {
    let mut world = World::new(3, 10, 4);
    world.until_owned(5_000);
    world.run_for(3_000);
    let before = world.nodes[0].keeper.holder().unwrap().clone();
    for other in 1..3 {
        world.disconnect(0, other);
    }
    world.nodes[0].pauses = true;
    let took = world.until_owned(5_000);
    assert!(took <= 3_000, "{took} ms");
    world.run_for(20_000);
    world.heal();
    world.run_for(4_000);
    let after = world.nodes[0].keeper.holder().unwrap();
    assert!(after.incarnation > before.incarnation);
    assert_eq!(world.lost(), 0);
}

#[test]
fn a_store_that_is_away_moves_nothing_and_then_all_goes_on() {
    let mut world = World::new(3, 10, 5);
    world.until_owned(5_000);
    world.run_for(2_000);
    let epochs: Vec<Epoch> = world.torrents.values().map(|row| row.epoch).collect();
    world.store_is_away = true;
    world.run_for(10_000);
    assert_eq!(world.lost(), 0, "leases hold");
    world.run_for(10_000);
    assert!(world.nodes.iter().all(|node| node.frozen));
    world.heal();
    world.run_for(3_000);
    assert_eq!(world.lost(), 0);
    assert!(world.nodes.iter().all(|node| !node.frozen));
    assert_eq!(world.torrents.values().map(|row| row.epoch).collect::<Vec<_>>(), epochs);
}

#[test]
fn who_stops_in_order_leaves_no_gap() {
    for seed in 0..20 {
        let nodes = 2 + usize::try_from(seed % 4).unwrap();
        let mut world = World::new(nodes, 12, seed);
        world.until_owned(5_000);
        world.run_for(3_000);
        for leaver in 0..nodes {
            let mut longest = 0;
            world.work(leaver, |keeper, _, _, acts| keeper.drain(acts));
            let end = world.now + 5_000;
            while !world.nodes[leaver].drained || world.lost() > 0 {
                assert!(world.now < end, "{} torrents of {leaver} are left", world.lost());
                longest = longest.max(world.until_owned(1_000));
                world.run_for(1);
            }
            // Some questions to a store that takes up to 80 ms for each.
            assert!(longest <= 500, "a gap of {longest} ms");
            assert!(world.nodes[leaver].serves.is_empty());
            world.kill(leaver);
            world.restart(leaver);
            world.run_for(4_000);
            assert_eq!(world.lost(), 0);
        }
    }
}

#[test]
fn the_last_node_gives_its_torrents_to_nobody() {
    let mut world = World::new(1, 3, 9);
    world.until_owned(5_000);
    world.work(0, |keeper, _, _, acts| keeper.drain(acts));
    world.run_for(1_000);
    assert!(world.nodes[0].drained);
    assert!(world.torrents.values().all(|row| row.owner.is_none()));
    world.restart(0);
    world.until_owned(5_000);
}

#[test]
fn who_is_told_of_a_newer_epoch_lets_go() {
    let mut world = World::new(1, 1, 6);
    world.until_owned(5_000);
    let mut acts = Vec::new();
    let keeper = &mut world.nodes[0].keeper;
    keeper.stale(torrent(0), Epoch(1), &mut acts);
    assert!(acts.is_empty());
    keeper.stale(torrent(0), Epoch(2), &mut acts);
    assert_eq!(acts, [Act::Drop(torrent(0))]);
    assert_eq!(keeper.may_act(torrent(0), Time::from_secs(1)), None);
}

/// Kills, pauses, cuts, even splits and a store that is away for some or all, in any order; then all heals, and
/// every torrent has one owner in its present epoch.
#[test]
fn after_any_faults_each_torrent_has_one_owner() {
    let seeds =
        std::env::var("KEEPER_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(200);
    for seed in 0..seeds {
        let nodes = 2 + usize::try_from(seed % 6).unwrap();
        let mut world = World::new(nodes, 8, seed);
        let mut chance = SmallRng::seed_from_u64(!seed);
        for _ in 0..chance.random_range(1..25) {
            world.run_for(chance.random_range(0..6_000));
            let (a, b) = (chance.random_range(0..nodes), chance.random_range(0..nodes));
            match chance.random_range(0..9) {
                0 if world.nodes[a].runs => world.kill(a),
                1 if !world.nodes[a].runs => world.restart(a),
                2 if a != b => world.cut(a, b),
                3 => {
                    for other in (0..nodes).filter(|other| other % 2 != a % 2) {
                        world.cut(a, other);
                    }
                }
                4 => world.nodes[a].store_cut = true,
                5 => world.store_is_away = chance.random_bool(0.5),
                6 if world.nodes[a].runs => {
                    for other in (0..nodes).filter(|other| *other != a) {
                        world.disconnect(a, other);
                    }
                    world.nodes[a].pauses = true;
                }
                7 | 8 => world.heal(),
                _ => {}
            }
        }
        world.heal();
        world.run_for(60_000);
        let owners = |id: &TorrentId, row: &TorrentRow| {
            let theirs =
                world.nodes.iter().filter(|node| node.keeper.may_act(*id, world.time()).is_some());
            theirs.filter(|node| node.serves.get(id) == Some(&row.epoch)).count()
        };
        for (id, row) in &world.torrents {
            assert_eq!(owners(id, row), 1, "seed {seed}: {row:?}");
        }
        let stale = world
            .nodes
            .iter()
            .flat_map(|node| &node.serves)
            .filter(|(id, epoch)| world.torrents[*id].epoch != **epoch);
        assert_eq!(stale.count(), 0, "seed {seed}: who lost a torrent does not know it");
    }
}
