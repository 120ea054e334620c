//! The built program makes torrents of files, shows them, and finds what is missing of them.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests may panic"
)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use sha1::{Digest, Sha1};

/// Runs the program in a directory, without the settings of whoever runs the tests.
fn run(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_torrentedge"));
    command.args(arguments).current_dir(directory).env_clear().env("HOME", "/nowhere");
    command.output().expect("it starts")
}

/// Runs it and reads the JSON on its standard output.
fn json(directory: &Path, arguments: &[&str], code: i32) -> Value {
    let output = run(directory, arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
}

fn refused(directory: &Path, arguments: &[&str], part: &str) {
    let output = run(directory, arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(matches!(output.status.code(), Some(1..=99)), "{arguments:?}: {said}");
    assert!(said.contains(part), "{arguments:?}: {said}");
}

/// A directory with a directory `data` of files with lengths around those of pieces.
fn sample() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let files =
        [("a/odd name.bin", 100_001), ("b", 16_384), ("c/d/e", 1), ("empty", 0), ("z", 400_000)];
    for (number, (path, length)) in (0_u8..).zip(files) {
        let path = directory.path().join("data").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let bytes: Vec<u8> =
            (0..length).map(|at: u32| (at >> 4).to_le_bytes()[0] ^ number).collect();
        fs::write(path, bytes).unwrap();
    }
    directory
}

#[test]
fn made_shown_and_verified_in_each_version() {
    let sample = sample();
    let at = sample.path();
    for (flag, has_v1, has_v2) in
        [("--v1", true, false), ("--v2", false, true), ("--hybrid", true, true)]
    {
        let create = ["create", "data", "-o", "t", flag, "--piece-length=32768", "--json"];
        let made = json(at, &create, 0);
        let shown = json(at, &["inspect", "--json", "t"], 0);
        assert_eq!((&made["v1"], &made["v2"]), (&shown["v1"], &shown["v2"]));
        assert_eq!((shown["v1"].is_string(), shown["v2"].is_string()), (has_v1, has_v2));
        assert_eq!(shown["piece_length"], 32_768);
        let report = json(at, &["verify", "t", "-d", ".", "--json"], 0);
        assert_eq!(report["complete"], true, "{report}");
        assert_eq!(report["files"].as_array().unwrap().len(), 5);
        damage_and_repair(at);
    }
}

/// Changes a byte of `z`, removes `b`, cuts `a`; then puts them back.
fn damage_and_repair(at: &Path) {
    let path = |name: &str| at.join("data").join(name);
    let (z, b, a) = (path("z"), path("b"), path("a/odd name.bin"));
    let before = [&z, &b, &a].map(|path| fs::read(path).unwrap());
    let mut changed = before[0].clone();
    changed[399_999] ^= 1;
    fs::write(&z, changed).unwrap();
    fs::remove_file(&b).unwrap();
    fs::write(&a, &before[2][..50_000]).unwrap();
    let report = json(at, &["verify", "t", "-d", ".", "--json"], 1);
    assert_eq!(report["complete"], false);
    let states: Vec<&str> =
        report["files"].as_array().unwrap().iter().map(|f| f["state"].as_str().unwrap()).collect();
    assert_eq!(states[0], "short", "{report}");
    assert_eq!(states[1], "missing", "{report}");
    assert_eq!(states[4], "incomplete", "{report}");
    refused(at, &["verify", "t", "-d", "."], "missing or wrong");
    for (path, bytes) in [&z, &b, &a].into_iter().zip(before) {
        fs::write(path, bytes).unwrap();
    }
    assert_eq!(json(at, &["verify", "t", "-d", ".", "--json"], 0)["complete"], true);
}

#[test]
fn a_single_file_has_the_info_hash_that_follows_from_its_bytes() {
    let sample = sample();
    let at = sample.path();
    let pieces: Vec<u8> =
        fs::read(at.join("data/z")).unwrap().chunks(65_536).flat_map(Sha1::digest).collect();
    let mut info =
        format!("d6:lengthi400000e4:name1:z12:piece lengthi65536e6:pieces{}:", pieces.len())
            .into_bytes();
    info.extend(pieces);
    info.push(b'e');
    let expected: String = Sha1::digest(&info).iter().map(|byte| format!("{byte:02x}")).collect();
    let create = ["create", "data/z", "-o", "z.torrent", "--piece-length=65536", "--json"];
    assert_eq!(json(at, &create, 0)["v1"], expected.as_str());
    assert_eq!(json(at, &["verify", "z.torrent", "-d", "data", "--json"], 0)["pieces"], 7);
}

#[test]
fn what_stands_around_the_files_is_written() {
    let sample = sample();
    let at = sample.path();
    let tracker = ["--tracker=http://t/announce", "--tracker=udp://u:1", "--private"];
    let create = ["create", "data", "-o", "t", "--web-seed=http://w/", "--comment=hello"];
    json(at, &[&create[..], &tracker, &["--json"]].concat(), 0);
    let shown = json(at, &["inspect", "--json", "t"], 0);
    assert_eq!(shown["trackers"], serde_json::json!([["http://t/announce"], ["udp://u:1"]]));
    assert_eq!(shown["web_seeds"], serde_json::json!(["http://w/"]));
    assert_eq!((&shown["private"], &shown["comment"]), (&true.into(), &"hello".into()));
    assert_eq!(run(at, &["inspect", "t"]).status.code(), Some(0));
    // Made again, it replaces the first, and nothing is left beside it.
    json(at, &[&create[..], &["--json"]].concat(), 0);
    assert_eq!(json(at, &["inspect", "--json", "t"], 0)["private"], false);
    assert_eq!(fs::read_dir(at).unwrap().count(), 2);
}

#[test]
fn says_why_it_makes_none() {
    let sample = sample();
    let at = sample.path();
    let create = |more: &str| refused(at, &["create", "data", "-o", "t", more], &more[2..9]);
    create("--tracker=nowhere");
    create("--tracker=file:///etc/passwd");
    create("--web-seed=udp://a:1");
    refused(at, &["create", "data", "-o", "t", "--piece-length=1000"], "piece length of 1000");
    refused(at, &["create", "data", "-o", "data/z"], "would be a part of the torrent");
    refused(at, &["create", "data", "-o", "nowhere/t"], "cannot write");
    refused(at, &["create", "data", "-o", "/dev/null"], "not a regular file");
    refused(at, &["create", "data", "-o", "data"], "not a regular file");
    refused(at, &["create", "data/empty", "-o", "t"], "not one byte");
    assert!(!at.join("t").exists());
}

#[test]
fn a_directory_that_is_not_there_has_nothing_to_verify() {
    let sample = sample();
    let at = sample.path();
    json(at, &["create", "data", "-o", "t", "--json"], 0);
    let output = run(at, &["verify", "t", "-d", "nowhere"]);
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn an_interrupted_command_says_so_and_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    // It has no bytes on the disk, and hashing it takes far longer than this test.
    fs::File::create(at.join("sparse")).unwrap().set_len(1 << 36).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_torrentedge"));
    let arguments = ["create", "sparse", "-o", "t"];
    command.args(arguments).current_dir(at).env_clear().env("HOME", "/nowhere");
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let pid = child.id().to_string();
    while !catches_interrupt(&pid) {
        assert_eq!(child.try_wait().unwrap(), None, "it ended by itself");
        std::thread::yield_now();
    }
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(String::from_utf8_lossy(&output.stderr).ends_with("torrentedge: interrupted\n"));
    assert_eq!(fs::read_dir(at).unwrap().count(), 1);
}

/// Whether a process has a handler for SIGINT (number 2) by now.
fn catches_interrupt(pid: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    caught.is_some_and(|mask| mask & 0b10 != 0)
}
