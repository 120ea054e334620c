//! What every driver of a BitTorrent client implements, and what a test asks of it.

use std::fmt;
use std::net::SocketAddrV4;
use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::{Deadline, Host, Process, Scene};

/// The port on which every client listens, each being on a host of its own.
pub const PORT: u16 = 42_000;

/// How peers must talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// The plain handshake of BEP 3, nothing encrypted.
    Plain,
    /// An MSE handshake that selects RC4 for all that follows.
    MseRc4,
    /// An MSE handshake that selects plaintext for the payload.
    MsePlaintext,
}

impl fmt::Display for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::MseRc4 => "mse-rc4",
            Self::MsePlaintext => "mse-plaintext",
        })
    }
}

/// What a client is given to describe a torrent.
#[derive(Debug, Clone)]
pub enum Source {
    /// A `.torrent` file.
    File(PathBuf),
    /// A magnet link.
    Magnet(String),
}

impl Source {
    /// As an argument on a command line.
    pub fn argument(&self) -> String {
        match self {
            Self::File(path) => path.to_string_lossy().into_owned(),
            Self::Magnet(link) => link.clone(),
        }
    }
}

/// What a client is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It has the data and shares it until it is stopped.
    Seed,
    /// It fetches the data.
    Download,
}

/// One torrent for one client.
#[derive(Debug, Clone)]
pub struct Job {
    /// Where the client runs.
    pub host: Host,
    /// Where it leaves its output.
    pub logs: PathBuf,
    /// Tells its files from those of other clients of the test.
    pub label: String,
    /// What it transfers.
    pub source: Source,
    /// Where the data is, or is to be; the torrent's name is below it.
    pub dir: PathBuf,
    /// How it talks to peers. A seed accepts nothing else, where the client can be told so.
    pub encryption: Encryption,
    /// Peers to dial. Not every client can be told.
    pub peers: Vec<SocketAddrV4>,
    /// Upload limit in bytes a second.
    pub upload_limit: Option<u64>,
}

impl Job {
    /// A job on a new host and in a new directory, both for `label`: plain, no peers, no limit.
    ///
    /// # Errors
    ///
    /// No host or directory can be made.
    pub fn new(scene: &Scene, label: &str, source: &Source) -> Result<Self> {
        Ok(Self {
            host: scene.host()?,
            logs: scene.logs(),
            label: label.to_owned(),
            source: source.clone(),
            dir: scene.dir(label)?,
            encryption: Encryption::Plain,
            peers: Vec::new(),
            upload_limit: None,
        })
    }
}

/// How far a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Starting, checking files or fetching.
    Working,
    /// All data is there and checked: a seed shares it, a download has written it.
    Complete,
}

/// A way to ask a client how far it is.
pub type Look = Box<dyn FnMut(&mut Process) -> Result<Progress>>;

/// A running client.
pub struct Peer {
    /// Its process.
    pub process: Process,
    /// Where it listens for peers.
    pub address: SocketAddrV4,
    look: Look,
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("process", &self.process).finish_non_exhaustive()
    }
}

impl Peer {
    /// A client that listens on [`PORT`] of its job's host.
    pub fn new(job: &Job, process: Process, look: Look) -> Self {
        Self { process, address: job.host.at(PORT), look }
    }

    /// Waits until the client has all data: then a seed can be downloaded from, and the files of a
    /// download compared.
    ///
    /// # Errors
    ///
    /// The client failed, or the deadline passed first.
    pub fn wait_complete(&mut self, deadline: &Deadline) -> Result<()> {
        let Self { process, look, .. } = self;
        deadline.wait_for("a complete torrent", || match look(process)? {
            Progress::Working => Ok(None),
            Progress::Complete => Ok(Some(())),
        })
    }
}

/// A client that a test can run.
pub trait Client: Sync {
    /// The program's name.
    fn name(&self) -> &'static str;

    /// Starts the client on a job.
    ///
    /// # Errors
    ///
    /// It cannot be started, or cannot do what the job asks.
    fn start(&self, role: Role, job: &Job) -> Result<Peer>;

    /// Whether the client can be told a peer's address.
    fn dials(&self) -> bool;

    /// Whether the client writes files of length 0.
    fn creates_empty_files(&self) -> bool {
        true
    }

    /// Whether the client, in this role and opening the connection or not, can be made to use
    /// `encryption` and no other.
    fn can(&self, role: Role, dialling: bool, encryption: Encryption) -> bool;
}

/// Refuses peers in the job of a client that cannot dial them.
pub(crate) fn refuse_peers(client: &dyn Client, job: &Job) -> Result<()> {
    if !job.peers.is_empty() {
        bail!("{} cannot be told to dial a peer", client.name());
    }
    Ok(())
}

/// Reads progress from a line `complete` on standard output, failing when the program has ended.
pub(crate) fn look_for_line() -> Look {
    Box::new(|process| {
        if process.stdout().lines().any(|line| line == "complete") {
            return Ok(Progress::Complete);
        }
        process.ensure_running()?;
        Ok(Progress::Working)
    })
}
