//! The program, as a person runs it: equal hashes, old failures, and an end that was asked for.

#![expect(
    clippy::expect_used,
    reason = "a test may panic, and clippy knows only functions that are tests"
)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn sim(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_torrentedge-sim"));
    // What fails is written down where it runs.
    command.args(args).current_dir(env!("CARGO_TARGET_TMPDIR"));
    command
}

fn output(args: &[&str]) -> Output {
    sim(args).output().expect("the program")
}

fn last_line(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_owned()
}

fn hash(output: &Output) -> String {
    let line = last_line(output);
    let (_, rest) = line.split_once("hash ").expect("a hash in the verdict");
    rest.split(',').next().unwrap_or_default().to_owned()
}

#[test]
fn the_same_seed_gives_the_same_hash_and_another_seed_another() {
    let run = |seed| output(&["run", "faults-small", "--seed", seed]);
    let (first, again, other) = (run("3"), run("3"), run("4"));
    assert!(first.status.success(), "{}", last_line(&first));
    assert_eq!(hash(&first), hash(&again));
    assert_ne!(hash(&first), hash(&other));
}

/// Each plan that failed once and was made small stays mended.
#[test]
fn what_failed_once_passes() {
    let repros = Path::new(env!("CARGO_MANIFEST_DIR")).join("repros");
    let files: Vec<_> =
        repros.read_dir().expect("repros").map(|entry| entry.expect("one").path()).collect();
    assert!(!files.is_empty());
    for file in files {
        let replayed = output(&["replay", &file.to_string_lossy()]);
        assert!(replayed.status.success(), "{}: {}", file.display(), last_line(&replayed));
    }
}

#[test]
fn a_run_beyond_its_limits_says_so_and_keeps_what_it_had() {
    let run = |limit, value| output(&["run", "flash-crowd", "--seed", "1", "--json", limit, value]);
    for (limit, value, why) in
        [("--memory-limit", "48MiB", "of memory are used"), ("--cpu-limit", "1", "CPU-seconds")]
    {
        let stopped = run(limit, value);
        assert_eq!(stopped.status.code(), Some(1));
        let document: serde_json::Value =
            serde_json::from_slice(&stopped.stdout).expect("a document");
        let text = document.to_string();
        assert!(text.contains(why) && text.contains("\"stopped\""), "{limit}: {text}");
        let completed = document.pointer("/outcomes/0/series");
        assert!(completed.is_some(), "what was seen so far");
    }
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_the_run_and_leaves_what_was_done() {
    let mut child = sim(&["run", "one-seed-one-leech", "--seeds", "100000", "--jobs", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    // Its first word of progress: it is at work.
    let mut progress = BufReader::new(child.stderr.take().expect("standard error"));
    let mut line = String::new();
    progress.read_line(&mut line).expect("a line");
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().expect("kill").success());
    #[expect(clippy::disallowed_methods, reason = "this is the outside of a simulation")]
    let rest = std::thread::spawn(move || progress.lines().count());
    let ended = child.wait_with_output().expect("its end");
    rest.join().expect("the rest of standard error");
    assert_eq!(ended.status.code(), Some(130), "{line}");
    assert!(
        last_line(&ended).starts_with("interrupted: one-seed-one-leech"),
        "{}",
        last_line(&ended)
    );
}
