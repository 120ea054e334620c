//! Several machines against one table of rows.

use proptest::prelude::*;

use super::*;

fn holder(node: usize, incarnation: u64) -> Holder {
    let node = NodeName::new(&format!("n{node}")).unwrap();
    Holder { node, incarnation: Incarnation(incarnation) }
}

fn at(ms: u64) -> Time {
    Time::ZERO + Duration::from_millis(ms)
}

/// Nodes with lanes between all of them, their rows, and a store that answers at once.
struct Cluster {
    rows: Vec<NodeRow>,
    nodes: Vec<Suspicion>,
    /// Pairs without a lane.
    cut: Vec<(usize, usize)>,
    now: u64,
    /// Nodes that do nothing.
    asleep: Vec<usize>,
    /// The store cannot be reached.
    store_is_away: bool,
    deposed: Vec<(u64, usize, Holder)>,
}

impl Cluster {
    fn new(nodes: usize) -> Self {
        let row =
            |n| NodeRow { holder: holder(n, 1), state: NodeState::Up, lease_until_ms: u64::MAX };
        let mut this = Self {
            rows: (0..nodes).map(row).collect(),
            nodes: (0..nodes).map(|n| Suspicion::new(holder(n, 1), at(0))).collect(),
            cut: Vec::new(),
            now: 0,
            asleep: Vec::new(),
            store_is_away: false,
            deposed: Vec::new(),
        };
        for a in 0..nodes {
            for b in (0..nodes).filter(|b| *b != a) {
                this.nodes[a].lane_up(holder(b, 1), &mut Vec::new());
            }
        }
        this
    }

    fn is_cut(&self, a: usize, b: usize) -> bool {
        self.cut.contains(&(a, b)) || self.cut.contains(&(b, a))
    }

    /// The lane between two nodes ends; both see it unless they sleep.
    fn cut(&mut self, a: usize, b: usize) {
        self.cut.push((a, b));
        for (one, other) in [(a, b), (b, a)] {
            if self.asleep.contains(&one) {
                continue;
            }
            let mut steps = Vec::new();
            self.nodes[one].lane_down(at(self.now), &holder(other, 1), &mut steps);
            self.perform(one, steps);
        }
    }

    fn heal(&mut self, a: usize, b: usize) {
        self.cut.retain(|pair| *pair != (a, b) && *pair != (b, a));
        for (one, other) in [(a, b), (b, a)] {
            let mut steps = Vec::new();
            self.nodes[one].lane_up(holder(other, 1), &mut steps);
            self.perform(one, steps);
        }
    }

    /// A node ends: all its lanes do.
    fn kill(&mut self, node: usize) {
        self.asleep.push(node);
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            self.cut(other, node);
        }
    }

    fn perform(&mut self, node: usize, steps: Vec<Step>) {
        for step in steps {
            let mut more = Vec::new();
            match step {
                Step::Suspect(suspect) => {
                    self.tell(node, |to, from, more| to.reported(from, suspect.clone(), more))
                }
                Step::Withdraw(suspect) => {
                    self.tell(node, |to, from, _| to.withdrawn(from, &suspect))
                }
                Step::Read => {
                    let read = (!self.store_is_away).then_some((self.rows.as_slice(), self.now));
                    self.nodes[node].rows(at(self.now), read, &mut more);
                }
                Step::Depose(suspect, _) => {
                    self.depose(node, suspect);
                }
            }
            self.perform(node, more);
        }
    }

    fn tell(&mut self, from: usize, told: impl Fn(&mut Suspicion, &Holder, &mut Vec<Step>)) {
        for to in 0..self.nodes.len() {
            if to == from || self.is_cut(from, to) || self.asleep.contains(&to) {
                continue;
            }
            let mut steps = Vec::new();
            told(&mut self.nodes[to], &holder(from, 1), &mut steps);
            self.perform(to, steps);
        }
    }

    /// Renews its own row and deposes the other's.
    fn depose(&mut self, judge: usize, suspect: Holder) {
        let lives = self.rows[judge].state != NodeState::Dead;
        let number = (0..self.nodes.len()).find(|n| holder(*n, 1) == suspect).unwrap();
        let has_expired = self.rows[number].has_expired(self.now);
        if !lives || !self.rows[number].is(&suspect) {
            return;
        }
        let judges: Vec<usize> = (0..self.nodes.len())
            .filter(|n| *n != number && self.rows[*n].state != NodeState::Dead)
            .collect();
        let lost = judges.iter().filter(|n| self.is_cut(**n, number)).count();
        assert!(
            has_expired || lost * 2 > judges.len(),
            "{judge} deposes {number}: {lost} of {judges:?}"
        );
        self.rows[number].state = NodeState::Dead;
        self.deposed.push((self.now, judge, suspect));
    }

    fn run_until(&mut self, end: u64) {
        while self.now < end {
            self.now += 10;
            for node in 0..self.nodes.len() {
                if self.asleep.contains(&node) || at(self.now) < self.nodes[node].poll_timeout() {
                    continue;
                }
                let mut steps = Vec::new();
                self.nodes[node].handle_timeout(at(self.now), &mut steps);
                self.perform(node, steps);
            }
        }
    }

    fn dead(&self) -> Vec<usize> {
        let dead = self.rows.iter().enumerate().filter(|(_, row)| row.state == NodeState::Dead);
        dead.map(|(node, _)| node).collect()
    }
}

#[test]
fn a_node_that_all_lost_is_deposed_at_once_by_the_best_judge() {
    for nodes in 2..=9 {
        let mut cluster = Cluster::new(nodes);
        cluster.run_until(1_000);
        cluster.kill(0);
        cluster.run_until(1_050);
        assert_eq!(cluster.dead(), [0], "{nodes} nodes");
        let names: Vec<NodeName> = (1..nodes).map(|n| holder(n, 1).node).collect();
        let suspect = holder(0, 1).node;
        let best = rank_judges(&suspect, names.iter())[0];
        let (_, judge, _) = &cluster.deposed[0];
        assert_eq!(holder(*judge, 1).node, *best, "{nodes} nodes");
    }
}

#[test]
fn where_the_best_judge_is_gone_too_the_next_one_acts() {
    let mut cluster = Cluster::new(7);
    cluster.run_until(1_000);
    let names: Vec<NodeName> = (1..7).map(|n| holder(n, 1).node).collect();
    let suspect = holder(0, 1).node;
    let best = rank_judges(&suspect, names.iter())[0].clone();
    let best = (1..7).find(|n| holder(*n, 1).node == best).unwrap();
    cluster.kill(best);
    cluster.kill(0);
    cluster.run_until(3_000);
    let mut dead = cluster.dead();
    dead.sort_unstable();
    let mut expected = vec![0, best];
    expected.sort_unstable();
    assert_eq!(dead, expected);
    assert!(cluster.deposed.iter().all(|(when, ..)| *when <= 2_000), "{:?}", cluster.deposed);
}

#[test]
fn one_cut_link_deposes_nobody() {
    let mut cluster = Cluster::new(3);
    cluster.run_until(500);
    cluster.cut(0, 1);
    cluster.run_until(60_000);
    assert_eq!(cluster.dead(), Vec::<usize>::new());
    cluster.heal(0, 1);
    assert!(cluster.nodes.iter().all(|node| node.reports.is_empty()));
}

#[test]
fn who_comes_back_hears_of_the_suspicions() {
    let mut cluster = Cluster::new(3);
    cluster.cut(1, 2);
    cluster.kill(0);
    cluster.run_until(2_000);
    assert_eq!(cluster.dead(), Vec::<usize>::new());
    cluster.heal(1, 2);
    cluster.run_until(3_000);
    assert_eq!(cluster.dead(), [0]);
}

#[test]
fn a_minority_is_deposed_and_deposes_nobody() {
    let mut cluster = Cluster::new(5);
    cluster.run_until(500);
    for a in [0, 1] {
        for b in [2, 3, 4] {
            cluster.cut(a, b);
        }
    }
    cluster.run_until(3_000);
    assert_eq!(cluster.dead(), [0, 1]);
    assert!(cluster.deposed.iter().all(|(_, judge, _)| *judge >= 2), "{:?}", cluster.deposed);
}

#[test]
fn of_an_even_split_one_half_goes_on() {
    for nodes in [2, 4, 6] {
        let mut cluster = Cluster::new(nodes);
        cluster.run_until(500);
        for a in 0..nodes / 2 {
            for b in nodes / 2..nodes {
                cluster.cut(a, b);
            }
        }
        cluster.run_until(6_000);
        let dead = cluster.dead();
        let half = |n: usize| n < nodes / 2;
        assert_eq!(dead.len(), nodes / 2, "{nodes} nodes: {dead:?}");
        assert!(dead.iter().all(|n| half(*n) == half(dead[0])), "{nodes} nodes: {dead:?}");
    }
}

#[test]
fn who_slept_judges_nobody_before_it_has_listened_again() {
    let mut cluster = Cluster::new(2);
    cluster.run_until(500);
    cluster.asleep.push(0);
    cluster.run_until(5_000);
    cluster.asleep.clear();
    // It finds the lane gone when it wakes, and is told to look at its timers at the same moment.
    let mut steps = Vec::new();
    cluster.nodes[0].handle_timeout(at(5_000), &mut steps);
    cluster.nodes[0].lane_down(at(5_000), &holder(1, 1), &mut steps);
    assert!(steps.is_empty(), "{steps:?}");
    cluster.nodes[0].lane_up(holder(1, 1), &mut steps);
    cluster.run_until(10_000);
    assert_eq!(cluster.dead(), Vec::<usize>::new());
    // A lane that stays away is suspected once the quiet is over.
    cluster.cut(0, 1);
    cluster.run_until(12_000);
    assert_eq!(cluster.dead().len(), 1);
}

#[test]
fn a_lease_that_ran_out_needs_no_reports() {
    let mut cluster = Cluster::new(3);
    cluster.run_until(500);
    // Nobody saw its lane end: it was never there.
    cluster.rows[2].lease_until_ms = 600;
    cluster.run_until(700);
    let mut steps = Vec::new();
    cluster.nodes[0].look(&mut steps);
    cluster.perform(0, steps);
    cluster.run_until(1_400);
    assert_eq!(cluster.dead(), [2]);
}

#[test]
fn a_store_that_is_away_is_asked_again() {
    let mut cluster = Cluster::new(3);
    cluster.run_until(500);
    cluster.store_is_away = true;
    cluster.kill(0);
    cluster.run_until(5_000);
    assert_eq!(cluster.dead(), Vec::<usize>::new());
    cluster.store_is_away = false;
    cluster.run_until(6_500);
    assert_eq!(cluster.dead(), [0]);
}

#[test]
fn what_strangers_tell_is_bounded() {
    let mut node = Suspicion::new(holder(0, 1), at(0));
    let mut steps = Vec::new();
    node.reported(&holder(1, 1), holder(2, 1), &mut steps);
    assert!(node.reports.is_empty(), "of a life without a lane");
    node.lane_up(holder(1, 1), &mut steps);
    for n in 0..3_000 {
        node.reported(&holder(1, 1), holder(2, n), &mut steps);
    }
    assert_eq!(node.reports.len(), Suspicion::SUSPECTS_MAX);
    assert_eq!(steps, [Step::Read]);
    // A life that has no row is none.
    node.rows(at(1), Some((&[], 0)), &mut steps);
    assert!(node.reports.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// However links and nodes fail: who is deposed was out of reach of more than half of its judges.
    #[test]
    fn only_a_majority_deposes(
        nodes in 2_usize..7,
        faults in prop::collection::vec((0_usize..7, 0_usize..7, 0_u8..3, 0_u64..3_000), 1..20),
    ) {
        let mut cluster = Cluster::new(nodes);
        for (a, b, what, wait) in faults {
            let end = cluster.now + wait;
            cluster.run_until(end);
            let (a, b) = (a % nodes, b % nodes);
            if a != b {
                match what {
                    0 if !cluster.is_cut(a, b) => cluster.cut(a, b),
                    1 if cluster.is_cut(a, b) && !cluster.asleep.contains(&a) && !cluster.asleep.contains(&b) => cluster.heal(a, b),
                    2 if !cluster.asleep.contains(&a) => cluster.kill(a),
                    _ => {}
                }
            }
            let end = cluster.now + 1_000;
            cluster.run_until(end);
        }
        // In the end, whoever is out of everybody's reach is dead where a judge lives that is in the majority.
        let living: Vec<usize> = (0..nodes).filter(|n| !cluster.asleep.contains(n) && !cluster.dead().contains(n)).collect();
        for gone in cluster.asleep.clone() {
            let judges: Vec<usize> = (0..nodes).filter(|n| *n != gone && !cluster.dead().contains(n)).collect();
            let connected = living.iter().all(|a| living.iter().all(|b| a == b || !cluster.is_cut(*a, *b)));
            if connected && living.len() * 2 > judges.len() {
                prop_assert!(cluster.dead().contains(&gone), "{gone} is gone and nobody says so");
            }
        }
    }
}
