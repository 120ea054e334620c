//! Rules of the tree that the compiler and clippy do not see, each as a test.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a failing rule panics"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use harness::scene::root;
use serde_json::Value;

/// Crates of the workspace that a crate may depend on; also for its tests, but for those in
/// [`MAY_TEST_WITH`].
const MAY_DEPEND_ON: &[(&str, &[&str])] = &[
    ("bittorrent", &[]),
    ("lane-hash", &[]),
    ("cluster-config", &[]),
    ("control", &["bittorrent", "cluster-config"]),
    ("env", &["bittorrent", "cluster-config"]),
    ("cluster", &["bittorrent", "control", "cluster-config", "env", "store"]),
    ("sqlite-file", &[]),
    ("event-log", &["control", "cluster-config", "env", "sqlite-file"]),
    ("store", &["control", "cluster-config", "env", "sqlite-file"]),
    ("kafka-bridge", &["event-log", "control", "cluster-config", "env"]),
    ("mongo-store", &["store", "control", "cluster-config", "env"]),
    (
        "swarm",
        &[
            "bittorrent",
            "lane-hash",
            "control",
            "cluster",
            "event-log",
            "store",
            "cluster-config",
            "env",
        ],
    ),
    (
        "gateway",
        &[
            "control",
            "cluster",
            "event-log",
            "store",
            "cluster-config",
            "env",
            "kafka-bridge",
            "mongo-store",
        ],
    ),
    (
        "node",
        &[
            "bittorrent",
            "lane-hash",
            "cluster-config",
            "control",
            "env",
            "cluster",
            "event-log",
            "store",
            "kafka-bridge",
            "mongo-store",
            "swarm",
            "gateway",
        ],
    ),
    (
        "simulations",
        &[
            "bittorrent",
            "lane-hash",
            "cluster-config",
            "control",
            "env",
            "cluster",
            "event-log",
            "store",
            "swarm",
        ],
    ),
    // It drives the programs from outside.
    ("tests", &["control"]),
];

/// Edges for tests alone, beside those of [`MAY_DEPEND_ON`].
const MAY_TEST_WITH: &[(&str, &str)] = &[];

/// What must not be in the dependencies of a pure crate: runtimes, sockets, and chance by the system.
const NOT_IN_PURE: &[&str] = &["tokio", "mio", "socket2", "async-std", "getrandom"];

/// Licences that ask for nothing but a notice, or not even that.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Names of files that have not found their idea yet.
const NAMES_WITHOUT_AN_IDEA: &[&str] =
    &["utils", "util", "common", "helpers", "helper", "manager", "misc"];

/// What stands at the top of the tree; the rest begins with a dot.
const TOP_LEVEL: &[&str] = &[
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "Makefile",
    "README.md",
    "actors",
    "cluster-config",
    "deploy",
    "gateway",
    "node",
    "simulations",
    "tests",
    "web",
];

/// `cargo metadata` of the workspace with all its dependencies.
fn metadata() -> &'static Value {
    static METADATA: OnceLock<Value> = OnceLock::new();
    METADATA.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .args(["metadata", "--format-version", "1", "--offline", "--locked"])
            .current_dir(root());
        let output = cargo.output().expect("cargo runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("cargo writes JSON")
    })
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The files that git tracks or would track, relative to the root.
fn tracked() -> Vec<PathBuf> {
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root());
    let output = git.output().expect("git runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).expect("paths are UTF-8");
    let paths = names.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from);
    paths.filter(|path| root().join(path).is_file()).collect()
}

fn sources() -> Vec<(PathBuf, String)> {
    let rust = tracked().into_iter().filter(|path| path.extension().is_some_and(|end| end == "rs"));
    rust.map(|path| (path.clone(), fs::read_to_string(root().join(path)).expect("UTF-8"))).collect()
}

/// Fails with all breaches of a rule, not only the first.
fn assert_none(rule: &str, breaches: impl IntoIterator<Item = String>) {
    let breaches: Vec<String> = breaches.into_iter().collect();
    assert!(breaches.is_empty(), "{rule}:\n  {}", breaches.join("\n  "));
}

#[test]
fn dependencies_point_down() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_DEPEND_ON.iter().copied().collect();
    let mut breaches = Vec::new();
    for package in list(&metadata()["packages"]).filter(|package| package["source"].is_null()) {
        let name = text(&package["name"]);
        let Some(may) = allowed.get(name) else {
            breaches.push(format!("{name} is not in the table of tests/tidy.rs"));
            continue;
        };
        for dependency in list(&package["dependencies"]).filter(|entry| entry["path"].is_string()) {
            let on = text(&dependency["name"]);
            let for_tests = dependency["kind"] == "dev" && MAY_TEST_WITH.contains(&(name, on));
            if !may.contains(&on) && !for_tests {
                breaches.push(format!("{name} depends on {on}"));
            }
        }
    }
    assert_none("a crate knows only those below it", breaches);
}

/// Names of all packages that `name` needs to be built, itself included, without what only its tests
/// need or other crates' features pull in.
fn closure(name: &str) -> BTreeSet<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--offline", "--locked", "--edges", "normal", "--prefix", "none"]);
    let output = cargo.args(["--package", name]).current_dir(root()).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("names are UTF-8");
    lines.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn pure_crates_know_no_runtime_socket_or_system_chance() {
    for pure in ["bittorrent", "lane-hash"] {
        let needs = closure(pure);
        let wrong = NOT_IN_PURE.iter().filter(|name| needs.contains(**name));
        assert_none("pure crates stay pure", wrong.map(|name| format!("{pure} needs {name}")));
    }
}

#[test]
fn tests_drive_the_engine_from_outside() {
    let needs = closure("tests");
    assert!(!needs.contains("swarm") && !needs.contains("bittorrent"), "tests links the engine");
}

#[test]
fn ractor_has_no_cluster_and_no_async_trait() {
    for node in list(&metadata()["resolve"]["nodes"]) {
        let id = text(&node["id"]);
        if id.contains("#ractor@") {
            let wrong = list(&node["features"]).map(text);
            let wrong = wrong.filter(|name| matches!(*name, "cluster" | "async-trait"));
            assert_none("features of ractor", wrong.map(str::to_owned));
        }
    }
}

#[test]
fn cryptography_is_ring_alone() {
    // A second provider makes rustls refuse to choose, at run time.
    let nodes = list(&metadata()["resolve"]["nodes"]).map(|node| text(&node["id"]));
    let wrong = nodes.filter(|id| id.contains("#aws-lc"));
    assert_none("cryptography is ring's", wrong.map(str::to_owned));
}

#[test]
fn licences_of_dependencies_are_permissive() {
    let mut breaches = Vec::new();
    for package in list(&metadata()["packages"]) {
        let licence = text(&package["license"]);
        if !is_permissive(licence) {
            breaches.push(format!(
                "{} {}: {licence:?}",
                text(&package["name"]),
                text(&package["version"])
            ));
        }
    }
    assert_none("licences", breaches);
}

#[test]
fn dependencies_come_from_one_registry() {
    let sources: BTreeSet<&str> =
        list(&metadata()["packages"]).filter_map(|package| package["source"].as_str()).collect();
    assert!(sources.len() <= 1, "{sources:?}");
    assert!(sources.iter().all(|source| source.starts_with("registry+")), "{sources:?}");
}

/// Whether an SPDX expression, or the older form with slashes, leaves a choice that is in [`LICENCES`].
fn is_permissive(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = &words[..];
    let permissive = any_of(&mut rest);
    permissive && rest.is_empty()
}

fn any_of(words: &mut &[&str]) -> bool {
    let mut permissive = all_of(words);
    while let ["OR", rest @ ..] = *words {
        *words = rest;
        permissive |= all_of(words);
    }
    permissive
}

fn all_of(words: &mut &[&str]) -> bool {
    let mut permissive = one(words);
    while let ["AND", rest @ ..] = *words {
        *words = rest;
        permissive &= one(words);
    }
    permissive
}

fn one(words: &mut &[&str]) -> bool {
    match *words {
        ["(", rest @ ..] => {
            *words = rest;
            let permissive = any_of(words);
            let closed = words.first() == Some(&")");
            *words = words.get(1..).unwrap_or_default();
            permissive && closed
        }
        [name, "WITH", exception, rest @ ..] => {
            *words = rest;
            LICENCES.contains(&format!("{name} WITH {exception}").as_str())
        }
        [name, rest @ ..] => {
            *words = rest;
            LICENCES.contains(name)
        }
        [] => false,
    }
}

#[test]
fn reads_licence_expressions() {
    assert!(is_permissive("MIT/Apache-2.0"));
    assert!(is_permissive("(MIT OR Apache-2.0) AND Unicode-3.0"));
    assert!(is_permissive("MIT OR LGPL-2.1-or-later"));
    assert!(!is_permissive("MIT AND LGPL-2.1-or-later"));
    assert!(!is_permissive("(MIT OR Apache-2.0) AND GPL-3.0"));
    assert!(!is_permissive(""));
}

#[test]
fn every_file_begins_with_what_it_is() {
    let silent = sources().into_iter().filter(|(_, text)| !text.starts_with("//! "));
    assert_none(
        "a file opens with a module doc",
        silent.map(|(path, _)| path.display().to_string()),
    );
}

#[test]
fn files_are_named_after_an_idea() {
    let nameless = tracked().into_iter().filter(|path| {
        let stem =
            |part: &Path| part.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        path.iter().any(|part| NAMES_WITHOUT_AN_IDEA.contains(&stem(Path::new(part)).as_str()))
    });
    assert_none("names without an idea", nameless.map(|path| path.display().to_string()));
}

#[test]
fn wire_modules_name_their_bep() {
    const WIRE: &[&str] = &["wire", "tracker", "dht", "utp"];
    let mut breaches = Vec::new();
    for (path, text) in sources() {
        let Ok(inside) = path.strip_prefix("actors/bittorrent/src") else { continue };
        let first = inside.iter().next().unwrap_or_default().to_string_lossy();
        let is_test = path.file_stem().is_some_and(|stem| stem == "tests");
        let doc: String = text.lines().take_while(|line| line.starts_with("//!")).collect();
        if WIRE.contains(&first.trim_end_matches(".rs")) && !is_test && !doc.contains("BEP ") {
            breaches.push(path.display().to_string());
        }
    }
    assert_none("a wire module's doc names its BEP", breaches);
}

#[test]
fn nothing_sleeps() {
    // Written so that this file does not contain what it looks for.
    let calls = ["thread::", "time::", "time."].map(|prefix| format!("{prefix}{}(", "sleep"));
    let mut breaches = Vec::new();
    for path in tracked() {
        let is_code = path.extension().is_some_and(|end| end == "rs" || end == "py" || end == "js");
        // The one crate that owns real timers; a benchmark samples at intervals.
        let may = path.starts_with("actors/env") || path.starts_with("tests/bench");
        if !is_code || may {
            continue;
        }
        let text = fs::read_to_string(root().join(&path)).expect("UTF-8");
        for (number, line) in text.lines().enumerate() {
            if calls.iter().any(|call| line.contains(call.as_str())) {
                breaches.push(format!("{}:{}", path.display(), number + 1));
            }
        }
    }
    assert_none("waits are for events, with a deadline", breaches);
}

#[test]
fn no_test_is_ignored() {
    let attribute = format!("#[{}", "ignore");
    let ignored = sources().into_iter().filter(|(_, text)| text.contains(&attribute));
    assert_none("no test is ignored", ignored.map(|(path, _)| path.display().to_string()));
}

#[test]
fn the_tree_names_no_machine_and_no_registry_host() {
    let paths = ["work", "root"].map(|name| format!("/{name}/"));
    let hosts =
        [("crates", "io"), ("npmjs", "org"), ("pypi", "org"), ("debian", "org"), ("golang", "org")];
    let hosts = hosts.map(|(name, domain)| format!("{name}.{domain}"));
    let mut breaches = Vec::new();
    for path in tracked() {
        // Cargo writes the registry's name into its lock files.
        if path.ends_with("Cargo.lock") {
            continue;
        }
        let Ok(text) = fs::read_to_string(root().join(&path)) else { continue };
        for (number, line) in text.lines().enumerate() {
            let names_path = paths.iter().any(|name| stands_alone(line, name));
            if names_path || hosts.iter().any(|host| line.contains(host.as_str())) {
                breaches.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    assert_none("paths of a machine, hosts of a registry", breaches);
}

/// Whether an absolute path begins with `prefix` somewhere in `line`.
fn stands_alone(line: &str, prefix: &str) -> bool {
    line.match_indices(prefix).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|letter| {
            !letter.is_alphanumeric() && !matches!(letter, '.' | '/' | '}' | '-' | '_')
        })
    })
}

#[test]
fn the_top_level_is_fixed() {
    let tops: BTreeSet<String> = tracked()
        .iter()
        .filter_map(|path| path.iter().next())
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    let strange = tops
        .into_iter()
        .filter(|name| !name.starts_with('.') && !TOP_LEVEL.contains(&name.as_str()));
    assert_none("the top level is fixed", strange);
}
