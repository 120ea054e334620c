//! `torrentedge cluster`: the built program makes certificates that nodes take, and keeps keys to itself.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "tests may panic")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use cluster::lane::quic::{ControlTuning, Credentials, CredentialsError, QuicTransport};
use cluster::lane::{Directory, Hello, Lanes, LocalNode, MINOR, OpenError, Transport};
use cluster::ownership::Incarnation;
use control::NodeName;

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_torrentedge"));
    command.args(arguments).env_clear().env("HOME", "/nowhere").output().expect("it runs")
}

fn works(arguments: &[&str]) -> String {
    let output = run(arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// It fails so, in one sentence that holds no key.
fn refused(arguments: &[&str], code: i32, part: &str) {
    let output = run(arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    assert!(said.contains(part) && !said.contains("PRIVATE"), "{arguments:?}: {said}");
    assert!(output.stdout.is_empty());
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn credentials(dir: &Path) -> Result<Credentials, CredentialsError> {
    let read = |name: &str| fs::read(dir.join(name)).unwrap();
    Credentials::from_pem(&read("ca.pem"), &read("node.pem"), &read("node.key"))
}

const TODAY_S: fn() -> u64 = || {
    let now = fs::metadata("/proc/self").unwrap().modified().unwrap();
    now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
};
const DAY_S: u64 = 86_400;

#[test]
fn makes_an_authority_and_nodes_that_it_certifies() {
    let temporary = tempfile::tempdir().unwrap();
    let (ca, out) = (temporary.path().join("ca"), temporary.path().join("nodes/node-1"));
    let (ca_arg, out_arg) = (ca.to_str().unwrap(), out.to_str().unwrap());
    let said = works(&["cluster", "init-ca", ca_arg]);
    assert!(said.contains("ca.key") && !said.contains("PRIVATE"), "{said}");
    assert_eq!(
        (mode(&ca), mode(&ca.join("ca.key")), mode(&ca.join("ca.pem"))),
        (0o700, 0o600, 0o644)
    );

    let issue = ["cluster", "issue", "node-1", "--ca", ca_arg, "--out", out_arg];
    let more = ["--days", "30", "--address", "10.0.0.1", "--address", "node-1.example"];
    let said = works(&[&issue[..], &more].concat());
    assert!(said.contains("node-1 for 30 days") && !said.contains("PRIVATE"), "{said}");
    assert_eq!(
        (mode(&out), mode(&out.join("node.key")), mode(&out.join("node.pem"))),
        (0o700, 0o600, 0o644)
    );
    assert_eq!(fs::read(out.join("ca.pem")).unwrap(), fs::read(ca.join("ca.pem")).unwrap());
    let credentials = credentials(&out).unwrap();
    assert_eq!(credentials.node().as_str(), "node-1");
    let now_s = TODAY_S();
    assert_eq!(credentials.verify(now_s + 29 * DAY_S), Ok(()));
    assert_eq!(credentials.verify(now_s + 31 * DAY_S), Err(CredentialsError::Unverified));
    assert_eq!(credentials.verify(now_s - DAY_S), Err(CredentialsError::Unverified));

    // Nothing is overwritten, and nothing changes.
    let before = fs::read(out.join("node.key")).unwrap();
    refused(&issue, 1, "is there already");
    refused(&["cluster", "init-ca", ca_arg], 1, "is there already");
    assert_eq!(fs::read(out.join("node.key")).unwrap(), before);
}

/// Opens a lane between nodes with these credentials, over QUIC on loopback.
async fn lane(from: &Credentials, to: &Credentials) -> Result<(), OpenError> {
    let env = env::real::node_env(&env::real::RealConfig { disk_threads: 1, compute_threads: 1 });
    let local = |node: &NodeName| {
        let (node, incarnation) = (node.clone(), Incarnation(1));
        let hello = Hello { node, incarnation, minor: MINOR, features: 0 };
        LocalNode::new(env.clone(), hello, Directory::default())
    };
    let bind = |credentials: &Credentials| {
        let at = "127.0.0.1:0".parse().unwrap();
        Arc::new(QuicTransport::bind(credentials, &ControlTuning::default(), at).unwrap())
    };
    let (a, b) = (bind(from), bind(to));
    let at = b.local_addr();
    let _serving = Lanes::new(env.clone(), local(to.node())).serve(b);
    let (lane, _running) = local(from.node()).dial(&*a, to.node(), at).await?;
    assert_eq!(lane.peer(), to.node());
    Ok(())
}

#[tokio::test]
async fn nodes_of_one_authority_open_lanes_and_those_of_two_do_not() {
    let temporary = tempfile::tempdir().unwrap();
    let path = |name: &str| temporary.path().join(name).to_str().unwrap().to_owned();
    let issue = |node: &str, ca: &str| {
        let out = path(&format!("{ca}-{node}"));
        works(&["cluster", "issue", node, "--ca", &path(ca), "--out", &out]);
        credentials(Path::new(&out)).unwrap()
    };
    works(&["cluster", "init-ca", &path("one")]);
    works(&["cluster", "init-ca", &path("two")]);
    let (a, b, stranger) = (issue("a", "one"), issue("b", "one"), issue("b", "two"));
    assert_eq!(lane(&a, &b).await, Ok(()));
    assert_eq!(lane(&a, &stranger).await, Err(OpenError::Certificate));
    assert_eq!(lane(&stranger, &a).await, Err(OpenError::Certificate));
}

#[test]
fn says_what_is_wrong() {
    let temporary = tempfile::tempdir().unwrap();
    let path = |name: &str| temporary.path().join(name).to_str().unwrap().to_owned();
    let (ca, other, out) = (path("ca"), path("other"), path("out"));
    let issue = |node: &str, ca: &str| {
        ["cluster", "issue", node, "--ca", ca, "--out", &out].map(str::to_owned).to_vec()
    };
    let refuse = |arguments: Vec<String>, code, part| {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        refused(&arguments, code, part);
    };
    refuse(issue("a", &ca), 3, "ca.pem: cannot read");
    works(&["cluster", "init-ca", &ca]);
    works(&["cluster", "init-ca", &other]);
    refuse(issue("Not_A_Name", &ca), 2, "small letters");
    let with = |flags: &[&str]| {
        [issue("a", &ca), flags.iter().map(|it| it.to_string()).collect()].concat()
    };
    refuse(with(&["--days", "0"]), 2, "--days");
    refuse(with(&["--days", "4000"]), 2, "--days");
    refuse(with(&["--address", "a/b"]), 2, "neither a host name nor an IP address");
    // The key of another authority.
    fs::copy(temporary.path().join("other/ca.key"), temporary.path().join("ca/ca.key")).unwrap();
    refuse(issue("a", &ca), 1, "not the key of the certificate beside it");
    fs::write(temporary.path().join("ca/ca.key"), "-----BEGIN PRIVATE KEY-----\nabc\n").unwrap();
    refuse(issue("a", &ca), 1, "not a private key");
    assert!(!temporary.path().join("out").exists(), "nothing was written");
}
