//! All that two and three nodes can do with one torrent under the rules, in every order.
//!
//! A search over states: each step is one thing that one node, the network or chance does, and what takes
//! several steps in reality (read, then compare-and-set; send, then arrive; judge, then depose) takes several
//! here, so everything may happen in between. Time is chance: a lease may run out whenever it likes. What is
//! looked at: an epoch has one owner, and no effect of an epoch is taken in after one of a higher.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// Epochs and lives beyond these are not looked at: by then everything has happened that can.
const EPOCHS: u64 = 2;
const LIVES: u64 = 2;
const NOW_MS: u64 = 50;

/// What holds; a rule that does not is there to see that the search finds it.
#[derive(Debug, Clone, Copy)]
struct Rules {
    compares_before_it_sets: bool,
    fences: bool,
}

const RULES: Rules = Rules { compares_before_it_sets: true, fences: true };

/// A write on its way.
type Write = (u64, usize, u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    life: u64,
    dead: bool,
    expired: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Node {
    runs: bool,
    pauses: bool,
    /// The store cannot be reached.
    cut_off: bool,
    frozen: bool,
    life: u64,
    /// In which epoch it believes that it owns the torrent; 0 is in none.
    believes: u64,
    /// The epoch of the row that it read to claim it.
    read: Option<u64>,
    /// Whom it is about to depose, and which life.
    verdict: Option<(usize, u64)>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct World {
    rows: Vec<Row>,
    nodes: Vec<Node>,
    epoch: u64,
    owner: Option<(usize, u64)>,
    /// Pairs of nodes without a lane.
    cuts: BTreeSet<(usize, usize)>,
    writes: BTreeSet<Write>,
    fence: Fence,
    /// Who claimed each epoch, the first first.
    claims: Vec<(usize, u64)>,
    /// What may still go wrong.
    faults: u32,
}

/// What did not hold, and rare things that were seen.
#[derive(Debug, Default)]
struct Found {
    broken: Option<&'static str>,
    states: usize,
    sometimes: BTreeMap<&'static str, usize>,
}

impl Found {
    fn reached(&mut self, what: &'static str) {
        *self.sometimes.entry(what).or_default() += 1;
    }
}

fn name(node: usize) -> NodeName {
    NodeName::new(&format!("n{node}")).unwrap()
}

fn holder((node, life): (usize, u64)) -> Holder {
    Holder { node: name(node), incarnation: Incarnation(life) }
}

impl World {
    fn new(nodes: usize, faults: u32) -> Self {
        Self {
            rows: vec![Row { life: 1, dead: false, expired: false }; nodes],
            nodes: vec![Node { runs: true, life: 1, ..Node::default() }; nodes],
            epoch: 0,
            owner: None,
            cuts: BTreeSet::new(),
            writes: BTreeSet::new(),
            fence: Fence::default(),
            claims: Vec::new(),
            faults,
        }
    }

    fn row(&self, node: usize) -> NodeRow {
        let row = self.rows[node];
        NodeRow {
            holder: holder((node, row.life)),
            state: if row.dead { NodeState::Dead } else { NodeState::Up },
            lease_until_ms: if row.expired { NOW_MS - 1 } else { NOW_MS },
        }
    }

    fn claimant(&self, epoch: u64) -> Option<(usize, u64)> {
        self.claims.get(usize::try_from(epoch - 1).ok()?).copied()
    }

    fn is_free(&self) -> bool {
        let torrent = TorrentRow { epoch: Epoch(self.epoch), owner: self.owner.map(holder) };
        torrent.is_free(self.owner.map(|(node, _)| self.row(node)).as_ref())
    }

    fn is_cut(&self, a: usize, b: usize) -> bool {
        self.cuts.contains(&(a.min(b), a.max(b)))
    }

    /// Whether a node's own row says that it lives.
    fn lives(&self, node: usize) -> bool {
        self.row(node).is(&holder((node, self.nodes[node].life)))
    }

    fn begin_life(&mut self, node: usize) {
        let life = self.rows[node].life + 1;
        self.rows[node] = Row { life, dead: false, expired: false };
        let cut_off = self.nodes[node].cut_off;
        self.nodes[node] = Node { runs: true, life, cut_off, ..Node::default() };
    }

    /// Whether more than half of those who judge `suspect` and can tell `judge` so cannot reach it.
    fn is_condemned(&self, suspect: usize, judge: usize) -> bool {
        let rows: Vec<_> = (0..self.rows.len()).map(|node| self.row(node)).collect();
        let suspects_name = name(suspect);
        let judges: Vec<_> = electorate(&rows, &suspects_name, NOW_MS)
            .map(|row| rows.iter().position(|other| other == row).unwrap())
            .collect();
        let silent = !self.nodes[suspect].runs || self.nodes[suspect].pauses;
        let reports = judges.iter().filter(|&&one| {
            let node = self.nodes[one];
            let tells = one == judge || !self.is_cut(one, judge);
            node.runs && !node.pauses && tells && (silent || self.is_cut(one, suspect))
        });
        judges.contains(&judge) && is_majority(reports.count(), judges.len())
    }

    /// All that may happen next.
    fn steps(&self, rules: Rules, found: &mut Found) -> Vec<Self> {
        let mut next = Vec::new();
        for node in 0..self.nodes.len() {
            self.acts(node, rules, found, &mut next);
            self.fails(node, &mut next);
        }
        for &write in &self.writes {
            next.push(self.arrives(write, rules, found));
        }
        next
    }

    fn change(&self, next: &mut Vec<Self>, change: impl FnOnce(&mut Self)) {
        let mut world = self.clone();
        change(&mut world);
        next.push(world);
    }

    fn acts(&self, node: usize, rules: Rules, found: &mut Found, next: &mut Vec<Self>) {
        let me = self.nodes[node];
        if !me.runs || me.pauses {
            return;
        }
        if me.believes > 0 && !me.frozen {
            self.change(next, |world| _ = world.writes.insert((me.believes, node, me.life)));
        }
        if me.cut_off {
            return;
        }
        if self.lives(node) {
            self.change(next, |world| {
                world.rows[node].expired = false;
                world.nodes[node].frozen = false;
            });
        } else if me.life < LIVES {
            found.reached("a deposed node begins a new life");
            self.change(next, |world| world.begin_life(node));
        }
        if self.is_free() && !me.frozen && self.epoch < EPOCHS {
            self.change(next, |world| world.nodes[node].read = Some(world.epoch));
        }
        if let Some(read) = me.read {
            self.change(next, |world| world.claim(node, read, rules, found));
        }
        for other in (0..self.nodes.len()).filter(|&other| other != node && !self.rows[other].dead)
        {
            if self.is_condemned(other, node) {
                let verdict = Some((other, self.rows[other].life));
                self.change(next, |world| world.nodes[node].verdict = verdict);
            }
            if self.rows[other].expired {
                found.reached("a lease ran out");
                self.change(next, |world| world.rows[other].dead = true);
            }
        }
        if let Some((other, life)) = me.verdict {
            self.change(next, |world| {
                world.nodes[node].verdict = None;
                // Its own row first: who is dead does not judge.
                if world.lives(node) && world.rows[other].life == life {
                    world.rows[node].expired = false;
                    world.rows[other].dead = true;
                    found.reached("a majority deposed");
                }
            });
        }
    }

    fn claim(&mut self, node: usize, read: u64, rules: Rules, found: &mut Found) {
        self.nodes[node].read = None;
        if self.epoch != read && rules.compares_before_it_sets {
            found.reached("a claim came too late");
            return;
        }
        self.epoch = read + 1;
        let life = self.nodes[node].life;
        self.owner = Some((node, life));
        self.nodes[node].believes = self.epoch;
        if self.claims.len() as u64 == read {
            self.claims.push((node, life));
        } else {
            found.broken = Some("an epoch has two owners");
        }
        let believers = self.nodes.iter().filter(|node| node.runs && node.believes > 0).count();
        if believers > 1 {
            found.reached("two nodes believe that they own it");
        }
    }

    fn arrives(&self, write: Write, rules: Rules, found: &mut Found) -> Self {
        let mut world = self.clone();
        world.writes.remove(&write);
        let (epoch, node, life) = write;
        let highest = world.fence.highest();
        let mut passed = world.fence.pass(Epoch(epoch));
        if !rules.fences {
            world.fence = Fence::at(Epoch(epoch));
            passed = Ok(());
        }
        if passed.is_err() {
            found.reached("a late owner's write was refused");
            if world.nodes[node].life == life {
                world.nodes[node].believes = 0;
            }
        } else if Epoch(epoch) < highest {
            found.broken = Some("an effect of an epoch that was over was taken in");
        } else if self.claimant(epoch) != Some((node, life)) {
            found.broken = Some("an effect of somebody who never owned it was taken in");
        }
        world
    }

    fn fails(&self, node: usize, next: &mut Vec<Self>) {
        let me = self.nodes[node];
        // What heals costs nothing.
        if !me.runs && !me.cut_off && self.rows[node].life < LIVES {
            self.change(next, |world| world.begin_life(node));
        }
        if me.pauses {
            self.change(next, |world| world.nodes[node].pauses = false);
        }
        if me.cut_off {
            self.change(next, |world| world.nodes[node].cut_off = false);
        }
        for other in node + 1..self.nodes.len() {
            if self.is_cut(node, other) {
                self.change(next, |world| _ = world.cuts.remove(&(node, other)));
            }
        }
        if self.faults == 0 {
            return;
        }
        let mut fault = |change: &mut dyn FnMut(&mut Self)| {
            self.change(next, |world| {
                world.faults -= 1;
                change(world);
            });
        };
        if me.runs {
            // What it has sent is on its way all the same.
            fault(&mut |world| {
                world.nodes[node] = Node { life: me.life, cut_off: me.cut_off, ..Node::default() };
            });
            if !me.pauses {
                fault(&mut |world| world.nodes[node].pauses = true);
            }
        }
        if !me.cut_off {
            fault(&mut |world| world.nodes[node].cut_off = true);
        }
        if !self.rows[node].expired {
            // The node knows by its own clock, when it looks.
            fault(&mut |world| {
                world.rows[node].expired = true;
                world.nodes[node].frozen = true;
            });
        }
        for other in node + 1..self.nodes.len() {
            if !self.is_cut(node, other) {
                fault(&mut |world| _ = world.cuts.insert((node, other)));
            }
        }
    }
}

/// Looks at every state that can be reached, until something does not hold.
fn search(nodes: usize, faults: u32, rules: Rules) -> Found {
    let mut found = Found::default();
    let first = World::new(nodes, faults);
    let mut seen = BTreeSet::from([first.clone()]);
    let mut open = vec![first];
    while let Some(world) = open.pop() {
        for next in world.steps(rules, &mut found) {
            if seen.insert(next.clone()) {
                open.push(next);
            }
        }
        if found.broken.is_some() {
            break;
        }
    }
    found.states = seen.len();
    found
}

#[test]
fn whatever_two_nodes_do_an_epoch_has_one_owner_and_late_effects_do_not_exist() {
    let found = search(2, 2, RULES);
    assert_eq!(found.broken, None);
    for rare in [
        "a claim came too late",
        "a late owner's write was refused",
        "two nodes believe that they own it",
        "a majority deposed",
        "a lease ran out",
        "a deposed node begins a new life",
    ] {
        assert!(found.sometimes.contains_key(rare), "{rare}: {found:?}");
    }
}

#[test]
fn whatever_three_nodes_do_an_epoch_has_one_owner_and_late_effects_do_not_exist() {
    let found = search(3, 1, RULES);
    assert_eq!(found.broken, None);
    assert!(found.sometimes.contains_key("a majority deposed"), "{found:?}");
}

#[test]
fn the_search_finds_a_claim_that_does_not_compare() {
    let found = search(2, 1, Rules { compares_before_it_sets: false, ..RULES });
    assert_eq!(found.broken, Some("an epoch has two owners"));
}

#[test]
fn the_search_finds_a_missing_fence() {
    let found = search(2, 2, Rules { fences: false, ..RULES });
    assert_eq!(found.broken, Some("an effect of an epoch that was over was taken in"));
}
