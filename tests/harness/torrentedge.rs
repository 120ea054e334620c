//! Drives `torrentedge download` and `torrentedge seed`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};

use crate::client::{Client, Encryption, Job, PORT, Peer, Progress, Role};
use crate::{Process, scene};

/// The program under test.
#[derive(Debug)]
pub struct Torrentedge;

impl Client for Torrentedge {
    fn name(&self) -> &'static str {
        "torrentedge"
    }

    fn start(&self, role: Role, job: &Job) -> Result<Peer> {
        let dir = job.dir.to_string_lossy();
        let mut arguments = match role {
            Role::Seed => vec!["seed".to_owned(), job.source.argument(), format!("-d{dir}")],
            Role::Download => {
                vec!["download".to_owned(), job.source.argument(), format!("-o{dir}")]
            }
        };
        arguments.extend(network_arguments(job));
        let name = format!("{}-torrentedge", job.label);
        let process = Process::start(&job.host, &job.logs, &name, &program()?, arguments)?;
        let host = job.host.clone();
        let look = move |process: &mut Process| match role {
            // It checks the files before it listens.
            Role::Seed => {
                process.ensure_running()?;
                Ok(if host.listens(PORT) { Progress::Complete } else { Progress::Working })
            }
            Role::Download => match process.try_exit()? {
                None => Ok(Progress::Working),
                Some(status) => {
                    ensure!(status.success(), "torrentedge download ended with {status}");
                    Ok(Progress::Complete)
                }
            },
        };
        Ok(Peer::new(job, process, Box::new(look)))
    }

    fn dials(&self) -> bool {
        true
    }

    fn can(&self, _role: Role, _dialling: bool, _encryption: Encryption) -> bool {
        // `require` takes both selections: which one is used is left to the other client.
        true
    }
}

/// The network flags of `download` and `seed` for a job.
pub fn network_arguments(job: &Job) -> Vec<String> {
    let encryption = match job.encryption {
        Encryption::Plain => "plain",
        Encryption::MseRc4 | Encryption::MsePlaintext => "require",
    };
    let mut arguments = vec![
        format!("--listen-ip={}", job.host.address()),
        format!("--port={PORT}"),
        format!("--encryption={encryption}"),
        "--transport=tcp".to_owned(),
        "--no-dht".to_owned(),
        "--no-lsd".to_owned(),
        "--allow-private-peers".to_owned(),
    ];
    arguments.extend(job.peers.iter().map(|peer| format!("--peer={peer}")));
    arguments.extend(job.upload_limit.map(|limit| format!("--limit-up={limit}")));
    arguments
}

/// The program to test: `TORRENTEDGE_BIN`, or else the release build of this tree.
///
/// # Errors
///
/// It has not been built.
pub fn program() -> Result<PathBuf> {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| match std::env::var_os("TORRENTEDGE_BIN") {
        Some(path) => PathBuf::from(path),
        None => scene::root().join("target/release/torrentedge"),
    });
    ensure!(
        program.is_file(),
        "{} is not built: run `cargo build --release -p node`",
        program.display()
    );
    Ok(program.clone())
}

/// Runs the program to its end, with `input` from a file or nothing, outside any test network.
///
/// # Errors
///
/// It cannot be started.
pub fn run(arguments: &[&str], input: Option<&Path>) -> Result<Output> {
    let stdin = match input {
        Some(path) => Stdio::from(std::fs::File::open(path)?),
        None => Stdio::null(),
    };
    let mut command = Command::new(program()?);
    command.args(arguments).stdin(stdin).env_remove("RUST_LOG");
    command.output().with_context(|| format!("torrentedge {}", arguments.join(" ")))
}
