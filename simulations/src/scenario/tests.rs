//! Tests of reading and drawing.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::plan::{FaultKind, Role};

const SMALL: &str = r#"name = "small"
about = "One seed and two peers."

[torrent]
size = "1 MiB"
piece_length = "64 KiB"

[[hosts]]
class = "tracker"
role = "tracker"

[[hosts]]
class = "seed"
has = 1.0
tracker = "tracker"

[[hosts]]
class = "peer"
count = 2
up = ["100 KiB/s", "1 MiB/s"]
arrives = ["0s", "5s"]
knows = ["seed"]
tracker = "tracker"
config = { "engine.choker.upload_slots" = 3 }

[faults]
until = "30s"

[faults.crash]
per_minute = [10, 20]
lasts = ["1s", "2s"]

[faults.slow-link]
per_minute = 10
share = 0.5

[expect]
complete_within = "60s"
must_reach = ["have-all"]
"#;

/// The refusal of [`SMALL`] with one text in it replaced by another.
fn refused(text: &str, by: &str) -> String {
    assert!(SMALL.contains(text), "{text}");
    let changed = SMALL.replacen(text, by, 1);
    Scenario::parse("small.toml", &changed).unwrap_err().to_string()
}

/// That a change is refused at a line with a message that contains some words.
fn check(text: &str, by: &str, line: usize, words: &[&str]) {
    let message = refused(text, by);
    assert!(message.starts_with(&format!("small.toml:{line}: ")), "{by}: {message}");
    for word in words {
        assert!(message.contains(word), "{by}: {message}");
    }
}

#[test]
fn what_is_right_is_read() {
    let scenario = Scenario::parse("small.toml", SMALL).unwrap();
    assert_eq!(scenario.name, "small");
    assert_eq!(scenario.must_reach, ["have-all"]);
    let plan = scenario.draw(1);
    let names: Vec<&str> = plan.hosts.iter().map(|host| host.name.as_str()).collect();
    assert_eq!(names, ["tracker", "seed", "peer-1", "peer-2"]);
    assert_eq!(plan.hosts[2].knows, [1]);
    assert_eq!(plan.hosts[2].tracker, Some(0));
    assert_eq!(plan.hosts[2].config["engine.choker.upload_slots"], "3");
    assert!((100 << 10..=1 << 20).contains(&plan.hosts[2].up));
    assert_eq!(plan.expect.complete_within_ms, 60_000);
    assert_eq!(plan.torrent.files, [1 << 20]);
    assert!(plan.faults_end_ms >= 30_000);
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest() {
    check(
        "piece_length",
        "pice_length",
        6,
        &["unknown key pice_length", "did you mean piece_length?"],
    );
    check("role =", "rol =", 10, &["unknown key rol", "did you mean role?"]);
    check("per_minute = 10\n", "per_hour = 10\n", 34, &["unknown key per_hour"]);
    check(
        "[faults.slow-link]",
        "[faults.slow_link]",
        33,
        &["slow_link", "did you mean slow-link?"],
    );
    check(
        "\"tracker\"\n\n[[hosts]]\nclass = \"seed\"",
        "\"trackr\"\n\n[[hosts]]\nclass = \"seed\"",
        10,
        &["unknown word trackr", "did you mean tracker?"],
    );
    check(
        "upload_slots",
        "upload_slts",
        24,
        &["unknown key engine.choker.upload_slts", "did you mean engine.choker.upload_slots?"],
    );
}

#[test]
fn what_is_missing_is_named() {
    check("piece_length = \"64 KiB\"\n", "", 4, &["missing field piece_length"]);
    assert!(
        refused("[expect]\ncomplete_within = \"60s\"\nmust_reach = [\"have-all\"]\n", "")
            .contains("missing field expect")
    );
}

#[test]
fn a_rate_below_zero_is_refused() {
    check(
        "[\"100 KiB/s\", \"1 MiB/s\"]",
        "\"-1 MiB/s\"",
        20,
        &["expected a rate with its unit", "-1 MiB/s"],
    );
    check("[\"100 KiB/s\", \"1 MiB/s\"]", "-1", 20, &["expected a rate with its unit"]);
    check("per_minute = 10\n", "per_minute = -10\n", 34, &["expected a number from 0 to 600"]);
}

#[test]
fn impossible_sizes_are_refused() {
    check("count = 2", "count = 0", 19, &["expected a whole number from 1 to 5000", "not 0"]);
    check("count = 2", "count = 5001", 19, &["expected a whole number from 1 to 5000"]);
    check("count = 2", "count = 4999", 8, &["5001 hosts, expected 1 to 5000"]);
    check("\"64 KiB\"", "\"60 KiB\"", 6, &["expected a power of two"]);
    check("\"64 KiB\"", "\"32 MiB\"", 6, &["expected a power of two", "16 MiB"]);
    check("has = 1.0", "has = 1.5", 14, &["expected a number from 0 to 1", "1.5"]);
    check("size = \"1 MiB\"", "size = \"2 TiB\"", 5, &["to 1 TiB", "2 TiB"]);
    check("size = \"1 MiB\"", "size = \"1 GiB\"\nfiles = [\"1 B\"]", 4, &["either size or files"]);
    check("size = \"1 MiB\"", "size = \"900 GiB\"", 4, &["impossible size", "at most 131072"]);
    check("size = \"1 MiB\"", "files = []", 4, &["expected 1 to 1000 files"]);
    let large =
        SMALL.replace("1 MiB\"\npiece_length = \"64 KiB\"", "40 GiB\"\npiece_length = \"1 MiB\"");
    let message = Scenario::parse("small.toml", &large).unwrap_err().to_string();
    assert!(message.contains("in memory, expected at most 64 GiB"), "{message}");
    check("has = 1.0", "has = 0.5", 8, &["nobody has all pieces"]);
}

#[test]
fn references_must_lead_somewhere() {
    check(
        "knows = [\"seed\"]",
        "knows = [\"sed\"]",
        22,
        &["unknown class sed", "did you mean seed?"],
    );
    check(
        "knows = [\"seed\"]",
        "knows = { class = \"seed\", count = 2 }",
        22,
        &["a count of at most 1"],
    );
    check("knows = [\"seed\"]", "knows = [\"tracker\"]", 22, &["is a tracker"]);
    check("tracker = \"tracker\"", "tracker = \"seed\"", 15, &["seed is no tracker"]);
    check(
        "lasts = [\"1s\", \"2s\"]",
        "hosts = [\"pear\"]",
        31,
        &["unknown class pear", "did you mean peer?"],
    );
    check(
        "[\"have-all\"]",
        "[\"have-al\"]",
        39,
        &["unknown rare path have-al", "did you mean have-all?"],
    );
    check("must_reach", "not_complete = [\"leech\"]\nmust_reach", 39, &["unknown class leech"]);
}

#[test]
fn what_contradicts_itself_is_refused() {
    check("lasts = [\"1s\", \"2s\"]", "lasts = [\"1s\", \"20m\"]", 29, &["from 1ms to 10m"]);
    check("lasts = [\"1s\", \"2s\"]", "share = 0.5", 29, &["crash takes no share"]);
    check("lasts = [\"1s\", \"2s\"]", "lasts = [\"2s\", \"1s\"]", 31, &["least value first"]);
    check("until = \"30s\"", "until = \"2h\"", 27, &["within 1h"]);
    check(
        "arrives = [\"0s\", \"5s\"]",
        "arrives = \"5s\"\nleaves = \"4s\"",
        22,
        &["after the last has arrived"],
    );
    check("class = \"peer\"", "class = \"seed\"", 18, &["stands here twice"]);
    check("class = \"peer\"", "class = \"everyone\"", 18, &["other than everyone"]);
    check("has = 1.0", "has = 1.0\nstart = \"magnet\"", 15, &["expected has = 0"]);
    check(
        "piece_length = \"64 KiB\"",
        "piece_length = \"64 KiB\"\nprivate = true",
        23,
        &["private torrent"],
    );
    check("= 3 }", "= 3000 }", 24, &["engine.choker.upload_slots = 3000: expected"]);
    check(
        "\"engine.choker.upload_slots\" = 3",
        "\"engine.network.listen_port\" = 3",
        24,
        &["set by the simulation"],
    );
    check("\"engine.choker.upload_slots\" = 3", "\"gateway.listen\" = 3", 24, &["not simulated"]);
    check(
        "\"engine.choker.upload_slots\" = 3",
        "engine.choker.upload_slots = 3",
        24,
        &["whole key in quotes"],
    );
}

#[test]
fn a_pin_that_only_the_defaults_contradict_is_right() {
    let text = SMALL
        .replace("\"engine.choker.upload_slots\" = 3", "\"engine.network.max_connections\" = 9");
    let plan = Scenario::parse("small.toml", &text).unwrap().draw(0);
    assert_eq!(plan.check(), Ok(()));
}

#[test]
fn an_unknown_name_is_answered_by_the_nearest_and_all() {
    let message = find("flash-crwod").unwrap_err().to_string();
    assert!(message.contains("did you mean flash-crowd?"), "{message}");
    assert!(message.contains("one-seed-one-leech"), "{message}");
    let message = find("not/there.toml").unwrap_err().to_string();
    assert!(message.starts_with("not/there.toml: cannot read"), "{message}");
}

#[test]
fn a_file_is_found_by_its_path() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mine.toml");
    std::fs::write(&path, SMALL).unwrap();
    assert_eq!(find(path.to_str().unwrap()).unwrap().name, "small");
}

#[test]
fn every_plan_of_every_scenario_is_legal() {
    for (name, _) in names() {
        let scenario = find(name).unwrap();
        // A thousand hosts take their time, as does loading the configuration of every host, which
        // `setting` tests by itself.
        let is_large = scenario.draw(0).hosts.len() > 100;
        for seed in 0..if is_large { 10 } else { 200 } {
            let mut plan = scenario.draw(seed);
            if seed >= 10 || is_large {
                plan.hosts.iter_mut().for_each(|host| host.config.clear());
            }
            assert_eq!(plan.check(), Ok(()), "{name}, seed {seed}");
            assert_eq!((plan.scenario.as_str(), plan.seed), (name, seed));
        }
    }
}

#[test]
fn every_scenario_is_as_large_as_it_should_be() {
    for (name, _) in names() {
        let plan = find(name).unwrap().draw(0);
        let hosts = plan.hosts.len();
        if name == "flash-crowd-1000" {
            assert_eq!(hosts, 1000);
            continue;
        }
        assert!((2..=60).contains(&hosts), "{name}: {hosts} hosts");
        assert!(content_of(&plan.torrent) <= 64 << 20, "{name}");
    }
}

#[test]
fn every_kind_of_fault_is_used_and_left_out() {
    let scenario = find("everything").unwrap();
    let kinds = scenario.text.faults.as_ref().unwrap().kinds().count();
    let mut masks = BTreeSet::new();
    let mut all = BTreeSet::new();
    for seed in 0..200 {
        let mask: BTreeSet<&str> =
            scenario.draw(seed).faults.iter().map(|fault| fault.kind.word()).collect();
        all.extend(mask.iter().copied());
        masks.insert(mask);
    }
    assert_eq!(all.len(), kinds, "{all:?}");
    assert!(masks.len() > 50, "{}", masks.len());
}

#[test]
fn no_host_goes_down_twice_at_once() {
    let scenario = find("crash-loop").unwrap();
    let mut crashes = 0;
    for seed in 0..50 {
        let plan = scenario.draw(seed);
        let mut back = vec![0; plan.hosts.len()];
        for fault in &plan.faults {
            if let FaultKind::Crash { host } | FaultKind::PowerCut { host } = fault.kind {
                assert!(fault.at_ms > back[host] || back[host] == 0, "seed {seed}");
                back[host] = fault.at_ms + fault.for_ms;
                crashes += 1;
            }
        }
    }
    assert!(crashes > 200, "{crashes}");
}

proptest! {
    #[test]
    fn the_same_seed_draws_the_same_plan_and_another_another(seed: u64) {
        let scenario = Scenario::parse("small.toml", SMALL).unwrap();
        prop_assert_eq!(scenario.draw(seed), scenario.draw(seed));
        prop_assert_ne!(scenario.draw(seed).hosts, scenario.draw(seed.wrapping_add(1)).hosts);
    }

    #[test]
    fn another_fault_shifts_neither_hosts_nor_the_other_faults(seed: u64) {
        let scenario = Scenario::parse("small.toml", SMALL).unwrap();
        let other = SMALL.replace("per_minute = 10\nshare = 0.5", "per_minute = 20\nshare = 0.1");
        let other = Scenario::parse("small.toml", &other).unwrap();
        let (plan, other) = (scenario.draw(seed), other.draw(seed));
        prop_assert_eq!(&plan.hosts, &other.hosts);
        let crashes = |plan: &crate::plan::Plan| {
            let mut faults = plan.faults.clone();
            faults.retain(|fault| matches!(fault.kind, FaultKind::Crash { .. }));
            faults
        };
        prop_assert_eq!(crashes(&plan), crashes(&other));
    }

    #[test]
    fn another_class_shifts_no_other_host(seed: u64) {
        let scenario = Scenario::parse("small.toml", SMALL).unwrap();
        let more = SMALL.replace("[faults]", "[[hosts]]\nclass = \"late\"\ncount = 3\n\n[faults]");
        let more = Scenario::parse("small.toml", &more).unwrap();
        let (plan, more) = (scenario.draw(seed), more.draw(seed));
        prop_assert_eq!(&plan.hosts[..], &more.hosts[..plan.hosts.len()]);
    }

    #[test]
    fn no_text_panics(text in "(\\[|\\]|name|hosts|=|\"|[a-z]|\n| |[0-9]){0,120}") {
        let _ = Scenario::parse("any.toml", &text);
    }

    #[test]
    fn no_change_of_a_scenario_panics(from in 0..SMALL.len(), len in 0..40_usize, by in "[ -~]{0,8}") {
        let end = (from + len).min(SMALL.len());
        let text = format!("{}{by}{}", &SMALL[..from], &SMALL[end..]);
        if let Ok(scenario) = Scenario::parse("any.toml", &text) {
            prop_assert_eq!(scenario.draw(1).check(), Ok(()));
        }
    }
}

#[test]
fn trackers_run_no_engine() {
    for (name, _) in names() {
        let plan = find(name).unwrap().draw(0);
        let mut trackers = plan.hosts.iter().filter(|host| host.role == Role::Tracker);
        assert!(trackers.all(|host| host.config.is_empty() && host.has == 0.0), "{name}");
    }
}
