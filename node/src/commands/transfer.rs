//! `torrentedge download` and `seed`: one torrent, without a daemon.
//!
//! The flags become settings of the configuration and a torrent to be added; [`transfer`] is where the
//! engine is given both.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cluster_config::{Config, Flag};
use control::{
    AddTorrent, Command, Engine, EngineError, ErrorCode, EventFeed, EventKind, RemoveTorrent,
    Reply, Source, TorrentDetail, TorrentId, TorrentSettings, TorrentSnapshot, TorrentState,
};
use event_log::EventLog;
use futures_util::StreamExt;
use indicatif::HumanBytes;
use sha2::Digest;
use store::{MemoryStore, SqliteStore, TorrentStore};
use swarm::Swarm;
use tracing::info;

use super::source::{self, Looked};
use crate::cli::{DownloadFlags, EncryptionFlag, Global, NetworkFlags, SeedFlags, TransportFlag};
use crate::failure::Failure;
use crate::progress::{Progress, Screen};
use crate::selection::FileSelection;
use crate::shutdown::Requests;
use crate::{engine, startup};

/// Where downloads that are not complete remember what is there, below their directory.
const KEPT_DIR: &str = ".torrentedge";
/// The store in the directory of one of them.
const KEPT_STORE: &str = "store.sqlite";
/// What is shown is looked at so often.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What is to be transferred, and when it ends.
#[derive(Debug)]
struct Job {
    /// The settings in force.
    config: Config,
    /// The torrent. The priorities of its files are set if its info dictionary is known.
    add: AddTorrent,
    /// The files of a torrent whose info dictionary is not known yet.
    files_later: Option<FileSelection>,
    end: End,
    /// What is there is remembered until it is complete.
    resumes: bool,
    /// It ends only when all is on the disk.
    syncs: bool,
}

/// When a transfer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// When the wanted files are complete and verified.
    WhenComplete,
    /// When the program is asked to.
    WhenAsked,
}

/// Downloads a torrent.
///
/// # Errors
///
/// It was called wrongly, the source is refused, or the transfer failed.
pub(crate) fn download(
    global: &Global,
    flags: &DownloadFlags,
    screen: &Screen,
) -> Result<(), Failure> {
    let settings = settings_of(&flags.network)?;
    let looked = source::look_at(&flags.source)?;
    let directory = absolute(&flags.output)?;
    let config = startup::start(global, &flags.config, settings, screen)?;
    tell_what_is_off(&flags.network);
    let known = looked.info.as_ref().map(|info| info.files().len());
    let priorities = match (&flags.files, known) {
        (Some(files), Some(count)) => files.priorities(count).map_err(Failure::usage)?,
        (Some(_) | None, _) => Vec::new(),
    };
    let settings = TorrentSettings {
        download_dir: Some(directory),
        sequential: flags.sequential,
        priorities,
        ..TorrentSettings::default()
    };
    let files_later = if known.is_none() { flags.files.clone() } else { None };
    let end = if flags.seed { End::WhenAsked } else { End::WhenComplete };
    let add = add(looked, settings, &flags.network);
    let resumes = true;
    transfer(Job { config, add, files_later, end, resumes, syncs: flags.sync }, screen)
}

/// Seeds files that are on this machine.
///
/// # Errors
///
/// It was called wrongly, the torrent is refused, its directory is not there, or the transfer failed.
pub(crate) fn seed(global: &Global, flags: &SeedFlags, screen: &Screen) -> Result<(), Failure> {
    let settings = settings_of(&flags.network)?;
    let looked = source::look_at_file(&flags.torrent)?;
    std::fs::read_dir(&flags.dir).map_err(|error| Failure::file(&flags.dir, "open", &error))?;
    let directory = absolute(&flags.dir)?;
    let config = startup::start(global, &flags.config, settings, screen)?;
    tell_what_is_off(&flags.network);
    let settings = TorrentSettings { download_dir: Some(directory), ..TorrentSettings::default() };
    let add = add(looked, settings, &flags.network);
    let end = End::WhenAsked;
    let (files_later, resumes, syncs) = (None, false, true);
    transfer(Job { config, add, files_later, end, resumes, syncs }, screen)
}

/// Runs an engine for one torrent.
fn transfer(job: Job, screen: &Screen) -> Result<(), Failure> {
    engine::run(async move {
        let mut requests = engine::requests()?;
        let kept = Kept::open(&job)?;
        let log: Option<Arc<dyn EventLog>> = None;
        let swarm = engine::start(&job.config, kept.store(), log).await?;
        let outcome = Transfer::begin(&swarm, &job, screen).await;
        let outcome = match outcome {
            Ok(mut transfer) => transfer.run(&mut requests, &job).await,
            Err(failure) => Err(failure),
        };
        swarm.shutdown().await;
        if outcome.is_ok() && job.end == End::WhenComplete {
            kept.remove();
        }
        outcome
    })
}

/// What is kept of a download until it is complete, so that it goes on where it was interrupted: a store
/// in the directory that it goes to.
struct Kept {
    store: Arc<dyn TorrentStore>,
    /// The directory of this download alone, which nobody else is at work in while the file is open.
    place: Option<(PathBuf, File)>,
}

impl Kept {
    /// A download has a store of its own, by its source; a seed has nothing to lose.
    fn open(job: &Job) -> Result<Self, Failure> {
        let Some(directory) = job.add.settings.download_dir.as_ref().filter(|_| job.resumes) else {
            return Ok(Self { store: Arc::new(MemoryStore::new()), place: None });
        };
        let name: String =
            source_name(&job.add.source).iter().map(|byte| format!("{byte:02x}")).collect();
        let directory = directory.join(KEPT_DIR).join(name);
        let lock = engine::take(&directory)?;
        let path = directory.join(KEPT_STORE);
        let store = SqliteStore::open(&path).map_err(|error| {
            let path = path.display();
            Failure::failed(format_args!("{path}: {error}; remove it to begin anew"))
        })?;
        Ok(Self { store: Arc::new(store), place: Some((directory, lock)) })
    }

    fn store(&self) -> Arc<dyn TorrentStore> {
        Arc::clone(&self.store)
    }

    /// Nothing is left to be gone on with.
    fn remove(&self) {
        let Some((directory, _)) = &self.place else { return };
        // All that is in it is ours. What cannot be removed does no harm.
        let _ = std::fs::remove_dir_all(directory);
        if let Some(kept) = directory.parent() {
            // Other downloads may be at work in it.
            let _ = std::fs::remove_dir(kept);
        }
    }
}

/// Ten bytes by which a source is known again.
fn source_name(source: &Source) -> [u8; 10] {
    let digest = match source {
        Source::Metainfo(bytes) => sha2::Sha256::digest(bytes),
        Source::Magnet(text) | Source::Url(text) => sha2::Sha256::digest(text),
    };
    let mut name = [0; 10];
    name.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    name
}

/// One torrent in an engine, and what is shown of it.
struct Transfer<'a> {
    swarm: &'a Swarm,
    screen: &'a Screen,
    events: EventFeed,
    id: TorrentId,
    end: End,
    files_later: Option<FileSelection>,
    progress: Option<(&'static str, Progress)>,
}

impl<'a> Transfer<'a> {
    /// Adds the torrent, or goes on with it.
    async fn begin(swarm: &'a Swarm, job: &Job, screen: &'a Screen) -> Result<Self, Failure> {
        let events = swarm.events();
        let added = swarm.command(Command::Add(job.add.clone())).await;
        let id = match added {
            Ok(Reply::Added(id)) => id,
            Ok(Reply::Done) => return Err(Failure::failed("the engine did not name the torrent")),
            Err(error) if error.code == ErrorCode::Conflict => {
                resume(swarm, &job.add).await.map_err(Failure::failed)?
            }
            Err(error) => return Err(Failure::failed(error)),
        };
        let files_later = job.files_later.clone();
        Ok(Self { swarm, screen, events, id, end: job.end, files_later, progress: None })
    }

    /// Shows the torrent until it has come to its end, and lets it go.
    async fn run(&mut self, requests: &mut Requests, job: &Job) -> Result<(), Failure> {
        self.watch(requests).await?;
        if job.end == End::WhenComplete && !job.syncs {
            // Nothing will be claimed of it, so nobody need wait for the disk.
            let remove = RemoveTorrent { id: self.id, with_data: false };
            self.swarm.command(Command::Remove(remove)).await.map_err(Failure::failed)?;
        }
        Ok(())
    }

    /// Shows the torrent until it has come to its end.
    async fn watch(&mut self, requests: &mut Requests) -> Result<(), Failure> {
        let env = self.swarm.env().clone();
        loop {
            if self.look().await? {
                return Ok(());
            }
            let mut tick = env.sleep(LOOK_EVERY);
            loop {
                tokio::select! {
                    biased;
                    () = requests.next() => return self.interrupted().await,
                    event = self.events.next() => {
                        let event = event.map(|event| event.kind);
                        if event.as_ref().is_none_or(is_turn) {
                            break;
                        }
                    }
                    () = &mut tick => break,
                }
            }
        }
    }

    /// Shows how far it is; says whether it has come to its end.
    async fn look(&mut self) -> Result<bool, Failure> {
        let detail = self.swarm.torrent(self.id).await.map_err(Failure::failed)?;
        self.select_files(&detail).await?;
        let torrent = &detail.torrent;
        match torrent.state {
            TorrentState::Error => {
                let why = torrent.error.clone().unwrap_or_else(|| "it cannot go on".to_owned());
                return Err(Failure::failed(why));
            }
            TorrentState::Seeding | TorrentState::Finished => {
                if self.end == End::WhenComplete || torrent.state == TorrentState::Finished {
                    self.progress = None;
                    return Ok(true);
                }
            }
            TorrentState::Stopped
            | TorrentState::Queued
            | TorrentState::Checking
            | TorrentState::Metadata
            | TorrentState::Downloading => {}
        }
        self.show(torrent);
        Ok(false)
    }

    fn show(&mut self, torrent: &TorrentSnapshot) {
        let (what, done) = match torrent.state {
            TorrentState::Checking => ("checking", checked_bytes(torrent)),
            TorrentState::Seeding | TorrentState::Finished => ("seeding", torrent.have_bytes),
            TorrentState::Metadata => ("metadata", 0),
            _ => ("downloading", torrent.have_bytes),
        };
        if self.progress.as_ref().is_none_or(|(shown, _)| *shown != what) {
            // The old bar goes before the new one comes.
            self.progress = None;
            let total = if what == "checking" { torrent.total_bytes } else { torrent.wanted_bytes };
            self.progress = Some((what, self.screen.begin(what, total)));
        }
        let up = if torrent.up_bytes_per_s > 0 {
            format!(", {} /s up", HumanBytes(torrent.up_bytes_per_s))
        } else {
            String::new()
        };
        if let Some((_, progress)) = &mut self.progress {
            progress.set(done, &format!("{} peers{up}", torrent.peers));
        }
    }

    /// Applies a choice of files as soon as they are known.
    async fn select_files(&mut self, detail: &TorrentDetail) -> Result<(), Failure> {
        if detail.files.is_empty() {
            return Ok(());
        }
        let Some(files) = self.files_later.take() else { return Ok(()) };
        let priorities = files.priorities(detail.files.len()).map_err(Failure::usage)?;
        let settings = TorrentSettings { priorities, ..detail.settings.clone() };
        let set = Command::Set { id: self.id, settings: Box::new(settings) };
        self.swarm.command(set).await.map_err(Failure::failed)?;
        Ok(())
    }

    /// Someone asked us to end: for a seed that is its end, for a download it is too early.
    async fn interrupted(&mut self) -> Result<(), Failure> {
        self.progress = None;
        let state = self.swarm.torrent(self.id).await.map(|detail| detail.torrent.state);
        match (self.end, state) {
            (End::WhenAsked, Ok(TorrentState::Seeding)) => Ok(()),
            _ => Err(Failure::interrupted()),
        }
    }
}

/// Whether an event is worth a look at once.
fn is_turn(kind: &EventKind) -> bool {
    matches!(
        kind,
        EventKind::State { .. }
            | EventKind::Completed
            | EventKind::Error { .. }
            | EventKind::Metadata { .. }
    )
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share for people"
)]
fn checked_bytes(torrent: &TorrentSnapshot) -> u64 {
    (torrent.total_bytes as f64 * torrent.checked.unwrap_or(0.0)) as u64
}

/// Goes on with a torrent that an earlier run left.
async fn resume(swarm: &Swarm, add: &AddTorrent) -> Result<TorrentId, EngineError> {
    let mut torrents = swarm.torrents().await?;
    let Some(torrent) = torrents.pop() else {
        return Err(EngineError::new(ErrorCode::Internal, "the torrent is there and is not"));
    };
    let id = torrent.id;
    tracing::info!(info_hash = %id, "going on where an earlier run ended");
    swarm.command(Command::Set { id, settings: Box::new(add.settings.clone()) }).await?;
    swarm.command(Command::Start(id)).await?;
    swarm.command(Command::AddPeers { id, peers: add.peers.clone() }).await?;
    Ok(id)
}

fn add(looked: Looked, settings: TorrentSettings, network: &NetworkFlags) -> AddTorrent {
    AddTorrent { source: looked.source, settings, stopped: false, peers: network.peer.clone() }
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::file(path, "name", &error))
}

/// The flags as settings of the configuration.
///
/// # Errors
///
/// A flag asks for what cannot be done yet.
fn settings_of(flags: &NetworkFlags) -> Result<Vec<Flag>, Failure> {
    if let Some(TransportFlag::Utp | TransportFlag::Both) = flags.transport {
        return Err(Failure::usage("--transport: only tcp is there yet, uTP comes later"));
    }
    if !flags.dht_bootstrap.is_empty() {
        return Err(Failure::usage("--dht-bootstrap: there is no DHT yet, it comes later"));
    }
    let encryption = flags.encryption.map(|encryption| match encryption {
        EncryptionFlag::Plain => "plain",
        EncryptionFlag::Prefer => "prefer",
        EncryptionFlag::Require => "require",
    });
    // A torrent that is transferred by itself is not remembered.
    let settings = [
        ("the command", "store.kind", Some("memory".to_owned())),
        ("the command", "event_log.kind", Some("memory".to_owned())),
        ("--listen-ip", "engine.network.listen_ip", flags.listen_ip.map(|ip| ip.to_string())),
        ("--port", "engine.network.listen_port", flags.port.map(|port| port.to_string())),
        ("--encryption", "engine.network.encryption", encryption.map(str::to_owned)),
        (
            "--allow-private-peers",
            "engine.network.allow_private_peers",
            flags.allow_private_peers.then(|| "true".to_owned()),
        ),
        ("--limit-down", "engine.rates.down", flags.limit_down.as_deref().map(rate)),
        ("--limit-up", "engine.rates.up", flags.limit_up.as_deref().map(rate)),
    ];
    let given = settings.into_iter().filter_map(|(name, key, value)| Some((name, key, value?)));
    Ok(given.map(|(name, key, value)| Flag::new(name, key, value)).collect())
}

/// A bare number is in bytes a second.
fn rate(text: &str) -> String {
    let is_bare = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_bare { format!("{text} B/s") } else { text.to_owned() }
}

/// Flags that switch off what is not there are told, not ignored.
fn tell_what_is_off(flags: &NetworkFlags) {
    if flags.no_dht {
        info!("--no-dht changes nothing: there is no DHT yet");
    }
    if flags.no_lsd {
        info!("--no-lsd changes nothing: there is no search in the local network yet");
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use cluster_config::{Encryption, Sources};

    use super::*;
    use crate::cli::{Cli, Command};

    fn network(flags: &[&str]) -> NetworkFlags {
        let line = ["torrentedge", "download", "s", "-o", "d"].iter().chain(flags);
        match Cli::try_parse_from(line).unwrap().command {
            Command::Download(flags) => flags.network,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn flags_become_settings() {
        let flags = network(&[
            "--listen-ip=127.0.0.1",
            "--port=7000",
            "--encryption=require",
            "--transport=tcp",
            "--limit-up=2000",
            "--limit-down=5 MB/s",
            "--allow-private-peers",
            "--no-dht",
        ]);
        let sources = Sources::bare([("HOME", "/home/u")]).with_flags(settings_of(&flags).unwrap());
        let (config, _) = Config::load(&sources).unwrap();
        let (network, rates) = (config.engine.network, config.engine.rates);
        assert_eq!(
            (network.listen_ip.to_string().as_str(), network.listen_port),
            ("127.0.0.1", 7000)
        );
        assert_eq!(network.encryption, Encryption::Require);
        assert!(network.allow_private_peers);
        assert_eq!(rates.up.limit_bytes_per_s().unwrap().get(), 2000);
        assert_eq!(rates.down.limit_bytes_per_s().unwrap().get(), 5_000_000);
        assert_eq!(config.store.kind, cluster_config::StoreKind::Memory);
    }

    #[test]
    fn what_comes_later_is_refused() {
        for flags in [["--transport=utp"], ["--transport=both"], ["--dht-bootstrap=a:1"]] {
            let failure = settings_of(&network(&flags)).unwrap_err();
            assert!(failure.to_string().contains("yet"), "{failure}");
        }
    }
}
