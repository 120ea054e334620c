//! The same seed gives the same run, byte for byte, in two processes.
//!
//! The test starts its own program again with [`SEED_VAR`] set; such a child runs the scenario and prints
//! the hash of its trace. One simulation is one process, as actors are numbered by process.

use std::process::Command;

use env::sim::Kill;

use crate::lab::{Lab, Sample};

/// Set in the children: the seed of their world.
const SEED_VAR: &str = "ENGINE_TEST_SEED";
/// Before the hash in a child's output.
const MARK: &str = "trace hash: ";

/// One seed, leeches that find each other, one of them by a link alone, one killed in the middle and
/// restarted, and a torrent that is removed while it is busy with several peers.
fn scenario(seed: u64) -> String {
    let mut lab = Lab::new(seed);
    if std::env::var_os("ENGINE_TEST_TRACE").is_some() {
        lab.world.keep_trace();
    }
    let sample = Sample::single("sample", 4_000_000, 64 * 1024);
    let (seed, leech, other) = (lab.host("seed"), lab.host("leech"), lab.host("other"));
    lab.seed(seed, &sample);
    lab.add(leech, &sample, &[seed]);
    lab.add(other, &sample, &[seed, leech]);
    let by_link = lab.host("by-link");
    lab.add_with(by_link, &sample, &[seed, leech, other], |add| {
        add.source = control::Source::Magnet(sample.magnet());
    });
    lab.run(0.25);
    lab.kill(leech, Kill::Power);
    lab.run(0.2);
    lab.remove(other, sample.id, true);
    lab.add(other, &sample, &[seed]);
    lab.start(leech);
    lab.until_whole(leech, &sample, 120);
    lab.until_whole(other, &sample, 120);
    lab.until_whole(by_link, &sample, 120);
    lab.ask(seed, |swarm| async move { swarm.shutdown().await });
    lab.run(5.0);
    if let Some(path) = std::env::var_os("ENGINE_TEST_TRACE") {
        std::fs::write(path, lab.world.trace_lines().concat()).expect("a trace");
    }
    lab.world.trace_hash().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn in_a_process(seed: u64) -> String {
    let program = std::env::current_exe().expect("this program");
    let child = Command::new(program)
        .args(["determinism::one_run", "--exact", "--nocapture", "--test-threads=1"])
        .env(SEED_VAR, seed.to_string())
        .output()
        .expect("a child");
    let printed = String::from_utf8_lossy(&child.stdout).into_owned();
    let hash = printed.lines().find_map(|line| Some(line.split_once(MARK)?.1.to_owned()));
    hash.unwrap_or_else(|| panic!("no hash: {printed}{}", String::from_utf8_lossy(&child.stderr)))
}

/// What a child runs; nothing unless it is one.
#[test]
#[expect(clippy::print_stdout, reason = "the parent reads it")]
fn one_run() {
    let Ok(seed) = std::env::var(SEED_VAR) else { return };
    println!("\n{MARK}{}", scenario(seed.parse().expect("a number")));
}

#[test]
fn two_processes_with_one_seed_run_alike() {
    let first = in_a_process(1);
    assert_eq!(first.len(), 64, "{first}");
    assert_eq!(in_a_process(1), first);
    assert_ne!(in_a_process(2), first);
}
