//! Starting an engine: its runtime, its world, its store and its log.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cluster_config::{Config, EventLogKind, Retention, StoreKind, TopicDeclaration};
use env::NodeEnv;
use env::real::{RealConfig, node_env};
use event_log::{EventLog, MemoryLog, SqliteLog};
use store::{MemoryStore, SqliteStore, TorrentStore};
use swarm::{EventKeeping, Foundation, Settings, Swarm, TORRENT_UPDATES};

use crate::failure::Failure;
use crate::kafka;
use crate::shutdown::Requests;

/// The file by which a process has a directory for itself.
const LOCK_FILE: &str = "lock";
/// Threads that still read or write when all else has ended get this time.
const THREADS_END: Duration = Duration::from_secs(5);

/// Runs `work` on the engine's runtime: one thread, since all that takes long has threads of its own.
///
/// # Errors
///
/// The runtime cannot be made, or `work` failed.
pub(crate) fn run<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Failure::failed(format_args!("cannot start: {error}")))?;
    let result = runtime.block_on(work);
    runtime.shutdown_timeout(THREADS_END);
    result
}

/// The real world, for commands that need its time and no engine.
pub(crate) fn world() -> NodeEnv {
    node_env(&RealConfig { disk_threads: 1, compute_threads: 1 })
}

/// Begins to listen for signals.
///
/// # Errors
///
/// The system does not let us.
pub(crate) fn requests() -> Result<Requests, Failure> {
    Requests::listen().map_err(|error| Failure::failed(format_args!("cannot start: {error}")))
}

/// Starts an engine.
///
/// # Errors
///
/// Its port is taken, or a certificate file cannot be used.
pub(crate) async fn start(
    config: &Config,
    store: Arc<dyn TorrentStore>,
    log: Option<Arc<dyn EventLog>>,
) -> Result<Swarm, Failure> {
    let threads = config.engine.disk.threads as usize;
    let env = node_env(&RealConfig { disk_threads: threads, compute_threads: 0 });
    let settings = Settings {
        engine: config.engine.clone(),
        tracker: config.tracker.clone(),
        limits: config.limits.clone(),
        data_dir: home(&config.node.data_dir),
    };
    let keeping = log.and_then(|log| keeping(config, log));
    Swarm::start(Foundation { env, settings, store, log: keeping }).await.map_err(Failure::failed)
}

/// How events of torrents are kept, as the topic is declared.
fn keeping(config: &Config, log: Arc<dyn EventLog>) -> Option<EventKeeping> {
    let mut topics = config.event_log.topics().into_iter();
    let TopicDeclaration { partitions, retention, .. } =
        topics.find(|topic| topic.name == TORRENT_UPDATES)?;
    let (age, partition_bytes) = match retention {
        Retention::Newest { age, partition_bytes } => (age, partition_bytes),
        Retention::NewestOfKey { .. } => (None, None),
    };
    Some(EventKeeping { log, partitions, age, partition_bytes })
}

/// Takes a directory for this process alone, until the file that is returned is closed.
///
/// # Errors
///
/// Another process has it, or the file cannot be made.
pub(crate) fn take(directory: &Path) -> Result<File, Failure> {
    std::fs::create_dir_all(directory).map_err(|error| Failure::file(directory, "make", &error))?;
    let path = directory.join(LOCK_FILE);
    let file = File::create(&path).map_err(|error| Failure::file(&path, "make", &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let directory = directory.display();
            Err(Failure::failed(format_args!(
                "another torrentedge is at work in {directory}: end it, or choose another directory"
            )))
        }
        Err(TryLockError::Error(error)) => Err(Failure::file(&path, "lock", &error)),
    }
}

/// Takes the node's directory for this process alone.
///
/// # Errors
///
/// As [`take`].
pub(crate) fn take_data_dir(config: &Config) -> Result<File, Failure> {
    take(&home(&config.node.data_dir))
}

/// Opens the store that the configuration names.
///
/// # Errors
///
/// It cannot be opened.
pub(crate) fn open_store(config: &Config) -> Result<Arc<dyn TorrentStore>, Failure> {
    match config.store.kind {
        StoreKind::Memory => Ok(Arc::new(MemoryStore::new())),
        StoreKind::Sqlite => {
            let path = place(config, &config.store.path)?;
            let store = SqliteStore::open(&path);
            store
                .map(|store| Arc::new(store) as Arc<dyn TorrentStore>)
                .map_err(|error| Failure::failed(format_args!("{}: {error}", path.display())))
        }
    }
}

/// Opens the event log that the configuration names. Must be called on the engine's runtime.
///
/// # Errors
///
/// It cannot be opened.
pub(crate) fn open_log(config: &Config) -> Result<Arc<dyn EventLog>, Failure> {
    match config.event_log.kind {
        EventLogKind::Memory => Ok(Arc::new(MemoryLog::new())),
        EventLogKind::Kafka => kafka::open(&config.event_log.kafka),
        EventLogKind::Sqlite => {
            let path = place(config, &config.event_log.path)?;
            let log = SqliteLog::open(&path);
            log.map(|log| Arc::new(log) as Arc<dyn EventLog>)
                .map_err(|error| Failure::failed(format_args!("{}: {error}", path.display())))
        }
    }
}

/// A file of the node, in a directory that is there.
fn place(config: &Config, path: &Path) -> Result<PathBuf, Failure> {
    let path = home(&config.node.data_dir).join(path);
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)
            .map_err(|error| Failure::file(directory, "make", &error))?;
    }
    Ok(path)
}

/// `~` at the beginning is the user's home.
fn home(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::var_os("HOME")) {
        (Ok(rest), Some(home)) => Path::new(&home).join(rest),
        _ => path.to_owned(),
    }
}
