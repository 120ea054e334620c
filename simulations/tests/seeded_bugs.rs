//! The checks bite: each mistake of `swarm::bugs` is found, by the invariant that it breaks.
//!
//! A mistake is planted and a scenario run seed after seed until the invariant fails, which must happen
//! within [`SEEDS_MAX`] seeds. Without the mistake the same seeds must pass: what was found was the mistake.
//! A mistake is planted in a whole process, so each hunt is one: the test starts its own program again with
//! [`BUG_VAR`] set. Only with the feature `seeded-bugs`.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test may panic, and clippy knows only functions that are tests themselves"
)]

use std::process::Command;
use std::time::Duration;

use simulations::outcome::Verdict;
use simulations::plan::Plan;
use simulations::run::{self, Limits};
use simulations::scenario;
use swarm::bugs::{Bug, plant};

/// Within so many seeds a mistake must be found.
const SEEDS_MAX: u64 = 200;
/// Set in the children: the name of the mistake.
const BUG_VAR: &str = "SEEDED_BUG";
/// Set in the children: how many seeds to run.
const SEEDS_VAR: &str = "SEEDED_BUG_SEEDS";
/// Set in the children that must find nothing: nothing is planted.
const CLEAN_VAR: &str = "SEEDED_BUG_CLEAN";
/// Before the find in a child's output.
const MARK: &str = "find: ";
/// For all seeds of a child together.
const LIMITS: Limits = Limits { cpu: Duration::from_secs(24 * 3600), rss_bytes: 4 << 30 };

/// A mistake, where it is looked for, and what must not hold then.
struct Hunt {
    bug: Bug,
    scenario: &'static str,
    invariant: &'static str,
    change: fn(&mut Plan),
}

const HUNTS: [Hunt; 10] = [
    hunt(Bug::SkipsTheHashCheck, "corrupting-peer", "I1"),
    hunt(Bug::ServesUnverified, "one-seed-one-leech", "I1"),
    hunt(Bug::ForgetsToSync, "power-cuts", "I2"),
    hunt(Bug::ClaimsTooEarly, "crash-loop", "I2"),
    hunt(Bug::CountsTwice, "one-seed-one-leech", "I5"),
    hunt(Bug::LeaksAnActor, "one-seed-one-leech", "I6"),
    Hunt { change: crowd, ..hunt(Bug::IgnoresChokes, "flash-crowd", "I7") },
    hunt(Bug::RequestsTwice, "one-seed-one-leech", "I7"),
    Hunt { change: crowd, ..hunt(Bug::UnchokesTooMany, "flash-crowd", "I7") },
    Hunt { change: thirst, ..hunt(Bug::BreaksTheRateLimit, "rate-limited", "I9") },
];

const fn hunt(bug: Bug, scenario: &'static str, invariant: &'static str) -> Hunt {
    Hunt { bug, scenario, invariant, change: |_| {} }
}

/// Few slots and slow uplinks, so that many wait for long; and nobody hides what is said.
fn crowd(plan: &mut Plan) {
    let total: u64 = plan.torrent.files.iter().sum();
    for host in &mut plan.hosts {
        host.up = (total / 60).max(20_000);
        let pins = [
            ("engine.choker.mode", "fixed"),
            ("engine.choker.upload_slots", "2"),
            ("engine.network.encryption", "plain"),
        ];
        host.config.extend(pins.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }
    unhurried(plan);
}

/// More to be had, and no limit on having it: nothing but the limit on what is sent holds a host back.
fn thirst(plan: &mut Plan) {
    plan.torrent.files.iter_mut().for_each(|length| *length *= 8);
    for host in &mut plan.hosts {
        host.config.retain(|key, _| !key.ends_with("down"));
    }
    unhurried(plan);
}

/// Without what is expected of the scenario as it was.
fn unhurried(plan: &mut Plan) {
    plan.expect.complete_within_ms += 1_200_000;
    plan.expect.sent_ratio_max = 0.0;
}

impl Hunt {
    fn of(bug: Bug) -> &'static Self {
        HUNTS.iter().find(|hunt| hunt.bug == bug).expect("a hunt for every bug")
    }

    fn run(&self, seed: u64) -> Verdict {
        let scenario = scenario::find(self.scenario).expect("a scenario of this name");
        let mut plan = scenario.draw(seed);
        (self.change)(&mut plan);
        run::run(&plan, &LIMITS, None).verdict
    }

    /// The first of these seeds in which what is hunted was found, and what was seen.
    fn search(&self, seeds: u64, is_found: impl Fn(&Verdict) -> bool) -> Option<(u64, Verdict)> {
        (0..seeds).map(|seed| (seed, self.run(seed))).find(|(_, verdict)| is_found(verdict))
    }

    fn breaks(&self, verdict: &Verdict) -> bool {
        match verdict {
            Verdict::Failed { invariant, .. } => invariant == self.invariant,
            Verdict::Passed => false,
            Verdict::Stopped { message } => panic!("a run was stopped: {message}"),
        }
    }
}

/// What a child does; nothing unless this is one.
#[test]
#[expect(clippy::print_stdout, reason = "the parent reads it")]
fn one_hunt() {
    let Ok(name) = std::env::var(BUG_VAR) else { return };
    let hunt = Hunt::of(name.parse().expect("a bug"));
    let seeds = std::env::var(SEEDS_VAR).expect("how many seeds").parse().expect("a number");
    let found = if std::env::var_os(CLEAN_VAR).is_some() {
        hunt.search(seeds, |verdict| *verdict != Verdict::Passed)
    } else {
        plant(Some(hunt.bug));
        hunt.search(seeds, |verdict| hunt.breaks(verdict))
    };
    println!("\n{MARK}{}", serde_json::to_string(&found).expect("JSON"));
}

/// Runs a child and gives what it found.
fn in_a_process(bug: Bug, seeds: u64, clean: bool) -> Option<(u64, Verdict)> {
    let mut child = Command::new(std::env::current_exe().expect("this program"));
    child.args(["one_hunt", "--exact", "--nocapture", "--test-threads=1"]);
    child.env(BUG_VAR, bug.name()).env(SEEDS_VAR, seeds.to_string());
    if clean {
        child.env(CLEAN_VAR, "1");
    }
    let output = child.output().expect("a child");
    let printed = String::from_utf8_lossy(&output.stdout);
    let found = printed.lines().find_map(|line| line.strip_prefix(MARK));
    let Some(found) = found else {
        panic!("no answer: {printed}{}", String::from_utf8_lossy(&output.stderr));
    };
    serde_json::from_str(found).expect("JSON")
}

fn is_found(bug: Bug) {
    let Hunt { scenario, invariant, .. } = Hunt::of(bug);
    let found = in_a_process(bug, SEEDS_MAX, false);
    let Some((seed, _)) = found else {
        panic!("{bug} breaks {invariant} in no seed of {scenario} below {SEEDS_MAX}");
    };
    let clean = in_a_process(bug, seed + 1, true);
    assert_eq!(clean, None, "{scenario} without {bug}");
}

#[test]
fn there_is_a_hunt_for_every_bug() {
    let harmless = Bug::SaysAnotherByte;
    let hunted = |&bug: &Bug| bug == harmless || HUNTS.iter().any(|hunt| hunt.bug == bug);
    assert!(Bug::ALL.iter().all(hunted));
}

/// The hash of a seed by the program, which alone has what makes it the same in every process.
fn hash_of_a_run(bug: Option<Bug>) -> String {
    let mut program = Command::new(env!("CARGO_BIN_EXE_torrentedge-sim"));
    program.args(["run", "one-seed-one-leech", "--seed", "7", "--json"]);
    program.env_remove(BUG_VAR).envs(bug.map(|bug| (BUG_VAR, bug.name())));
    let output = program.output().expect("the program");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    document.get("hash").and_then(|hash| hash.as_str()).expect("a hash").to_owned()
}

#[test]
fn one_byte_that_is_said_differently_changes_the_hash() {
    let hash = hash_of_a_run(None);
    assert_eq!(hash_of_a_run(None), hash);
    assert_ne!(hash_of_a_run(Some(Bug::SaysAnotherByte)), hash);
}

#[test]
fn a_skipped_hash_check_breaks_i1() {
    is_found(Bug::SkipsTheHashCheck);
}

#[test]
fn serving_what_is_not_verified_breaks_i1() {
    is_found(Bug::ServesUnverified);
}

#[test]
fn a_forgotten_sync_breaks_i2() {
    is_found(Bug::ForgetsToSync);
}

#[test]
fn claiming_too_early_breaks_i2() {
    is_found(Bug::ClaimsTooEarly);
}

#[test]
fn counting_twice_breaks_i5() {
    is_found(Bug::CountsTwice);
}

#[test]
fn a_leaked_actor_breaks_i6() {
    is_found(Bug::LeaksAnActor);
}

#[test]
fn ignoring_chokes_breaks_i7() {
    is_found(Bug::IgnoresChokes);
}

#[test]
fn requesting_twice_breaks_i7() {
    is_found(Bug::RequestsTwice);
}

#[test]
fn unchoking_too_many_breaks_i7() {
    is_found(Bug::UnchokesTooMany);
}

#[test]
fn breaking_the_rate_limit_breaks_i9() {
    is_found(Bug::BreaksTheRateLimit);
}
