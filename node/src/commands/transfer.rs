//! `torrentedge download` and `seed`: one torrent, without a daemon.
//!
//! The flags become settings of the configuration and a torrent to be added; [`transfer`] is where the
//! engine is given both.

use std::path::{Path, PathBuf};

use cluster_config::{Config, Flag};
use control::{AddTorrent, TorrentSettings};
use tracing::info;

use super::source::{self, Looked};
use crate::cli::{DownloadFlags, EncryptionFlag, Global, NetworkFlags, SeedFlags, TransportFlag};
use crate::failure::Failure;
use crate::progress::Screen;
use crate::selection::FileSelection;
use crate::startup;

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
    transfer(Job { config, add, files_later, end }, screen)
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
    transfer(Job { config, add, files_later: None, end: End::WhenAsked }, screen)
}

/// ENGINE: starts an engine with `job.config`, adds `job.add`, shows its progress on `screen`, and ends
/// as `job.end` says or at a signal (`shutdown::Requests`; after one, exit code 130 for a download that
/// is not complete). `job.files_later` is applied when the info dictionary is known.
fn transfer(job: Job, _screen: &Screen) -> Result<(), Failure> {
    let Job { config, add, files_later, end } = job;
    tracing::debug!(
        port = config.engine.network.listen_port,
        peers = add.peers.len(),
        ?end,
        later = files_later.is_some(),
        "ready"
    );
    Err(Failure::failed("the engine is not wired yet"))
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
