//! `torrentedge simulate` becomes the program that simulates.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "tests may panic")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

/// Runs `simulate` of the program in this directory, which alone is on `PATH`.
fn simulate(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(directory.join("torrentedge"));
    command.arg("simulate").args(arguments).env_clear().env("PATH", directory);
    command.output().expect("it starts")
}

/// One test, because a file that another thread's child still has open cannot be started.
#[test]
fn becomes_the_program_that_simulates_or_says_how_to_build_it() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let directory = directory.path();
    // Nothing else is beside this name of it.
    fs::hard_link(env!("CARGO_BIN_EXE_torrentedge"), directory.join("torrentedge")).unwrap();

    let output = simulate(directory, &["list"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cargo build --release -p simulations"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");

    let script = "#!/bin/sh\nfor word in \"$@\"; do printf '<%s>' \"$word\"; done\nexit 7\n";
    let program = directory.join("torrentedge-sim");
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let output = simulate(directory, &["run", "a b", "--seed", "1", "--help"]);
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    assert_eq!(output.stdout, b"<run><a b><--seed><1><--help>");
}
