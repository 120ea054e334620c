//! The built program refuses what is wrong with an exit code and one sentence.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests may panic"
)]

use std::io::Write;
use std::process::{Command, Output, Stdio};

/// Runs the program with `input` on standard input, without the settings of whoever runs the tests.
fn run(arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_torrentedge"));
    command.args(arguments).env_clear().env("HOME", "/nowhere");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    // It may have ended before it read all of it.
    let _ = child.stdin.take().expect("a pipe").write_all(input);
    child.wait_with_output().expect("it ends")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("no signal ended it")
}

/// It fails with this exit code, and the last line on standard error holds `part`.
fn refused(arguments: &[&str], input: &[u8], expected: i32, part: &str) {
    let output = run(arguments, input);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(code(&output), expected, "{arguments:?}: {said}");
    let last = said.lines().last().unwrap_or_default();
    assert!(last.starts_with("torrentedge: ") && last.contains(part), "{arguments:?}: {said}");
    assert!(output.stdout.is_empty(), "{arguments:?} wrote a result");
}

#[test]
fn says_its_version_and_its_help() {
    for arguments in [&["--version"][..], &["--help"], &["download", "--help"]] {
        assert_eq!(code(&run(arguments, b"")), 0);
    }
    assert_eq!(code(&run(&["nothing-like-it"], b"")), 2);
    assert_eq!(code(&run(&[], b"")), 2);
}

#[test]
fn bencode_is_checked_on_standard_input() {
    assert_eq!(code(&run(&["bencode-check"], b"d1:ai1ee")), 0);
    refused(&["bencode-check"], b"d1:bi1e1:ai1ee", 1, "at byte");
    refused(&["bencode-check"], b"", 1, "at byte 0");
    refused(&["bencode-check"], &b"l".repeat(1_000_000), 1, "at byte");
    refused(&["bencode-check"], &vec![b'0'; 10_000_001], 1, "longer than 10000000 bytes");
}

#[test]
fn files_that_are_no_torrents() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("f");
    std::fs::write(&file, b"d4:infod4:name2:..ee").unwrap();
    let (file, directory) = (file.to_str().unwrap(), directory.path().to_str().unwrap());
    refused(&["inspect", file], b"", 1, "piece length");
    refused(&["inspect", "--json", "/nowhere/f"], b"", 3, "/nowhere/f: cannot open");
    refused(&["inspect", directory], b"", 1, "cannot read");
    refused(&["inspect", "/dev/zero"], b"", 1, "longer than 10000000 bytes");
    refused(&["verify", file, "-d", directory], b"", 1, "piece length");
    refused(&["seed", file, "-d", directory], b"", 1, "piece length");
    refused(&["download", file, "-o", directory], b"", 1, "piece length");
    refused(&["download", "/nowhere/f", "-o", directory], b"", 3, "cannot open");
    refused(&["create", "/nowhere/f", "-o", file], b"", 3, "cannot open");
}

#[test]
fn magnet_links_are_shown_or_refused() {
    let link = "magnet:?xt=urn:btih:c12fe1c06bba254a9dc9f519b335aa7c1367a88a&dn=a";
    assert_eq!(code(&run(&["magnet", "--json", link], b"")), 0);
    assert_eq!(code(&run(&["magnet", link], b"")), 0);
    refused(&["magnet", "magnet:?xt=urn:btih:zz"], b"", 1, "`xt` at byte 11");
    refused(&["magnet", ""], b"", 1, "begins with `magnet:?`");
    refused(&["download", "magnet:?dn=a", "-o", "d"], b"", 1, "no `xt`");
}

#[test]
fn what_comes_later_is_told() {
    let download = |flag| ["download", "magnet:?xt=urn:btih:x", "-o", "d", flag];
    refused(&download("--transport=utp"), b"", 2, "uTP comes later");
    refused(&download("--transport=both"), b"", 2, "uTP comes later");
    refused(&download("--dht-bootstrap=h:1"), b"", 2, "no DHT yet");
}

#[test]
fn the_configuration_is_shown_and_checked() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("c.toml");
    std::fs::write(&file, "[engine.network]\nlisten_port = 7000\n").unwrap();
    let path = file.to_str().unwrap();
    let shown = run(&["config", "show", "--origin", "--config", path], b"");
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(text.contains(&format!("listen_port = 7000  # {path}:2:1")), "{text}");
    assert_eq!(code(&run(&["config", "check"], b"")), 0);
    std::fs::write(&file, "[engine.network]\nlisten_prt = 7000\n").unwrap();
    refused(&["config", "check", "--config", path], b"", 2, "did you mean");
    refused(&["config", "check", "--config", "/nowhere/c"], b"", 2, "cannot read");
}

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_torrentedge"));
    command.args(["config", "show"]).env_clear().env("HOME", "/nowhere");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = command.stdout(writer).stderr(Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(0));
}
