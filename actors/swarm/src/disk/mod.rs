//! Torrents' files: reading for peers, hashing and writing what they send, rechecks, flushes.
//!
//! [`DiskPool`] is the node's: open files, and the hash service. [`TorrentFiles`] is one torrent's: peer
//! connections read from it directly. [`StorageActor`] is the actor through which pieces reach the disk,
//! and which knows what may be claimed of it. All calls on files go through [`NodeEnv::disk`], so the
//! same code runs on a simulated disk.
//!
//! - `layout`: where bytes stand, what is not synced · `handles`: open files
//! - `read`, `write`: runs of bytes with as few calls as the system allows
//! - `hasher`: the queue of work for the lanes · `storage`: the actor · `check`: rechecks
//!
//! Nothing is written that was not verified (rows of large pieces aside), and nothing is claimed that
//! was not synced. A piece that reaches into a file that is not wanted brings that file into being, sparse,
//! since the piece could not be served without it. Torrents of BEP 52 alone, which have no SHA-1 of their pieces, are refused.

mod check;
mod error;
mod files;
mod handles;
mod hasher;
mod layout;
mod prepare;
mod read;
mod storage;
#[cfg(test)]
mod tests;
mod write;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bittorrent::metainfo::Info;
use cluster_config::DiskConfig;
use env::{NodeEnv, Task};
use tokio::sync::Semaphore;

pub use check::{OnProgress, check};
pub use error::StorageError;
pub use files::TorrentFiles;
pub use hasher::{Digest, Outcome};
pub use storage::{
    Flushed, Internal, OnEvent, StorageActor, StorageArgs, StorageEvent, StorageMsg, StorageState,
};

use handles::{Handles, Uid};
use hasher::{Hasher, Work};
use layout::Layout;

/// The node's open files and its hash service. Clones are handles of the same one; the service ends with
/// the last.
#[derive(Debug, Clone)]
pub struct DiskPool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    env: NodeEnv,
    handles: Arc<Handles>,
    hasher: Arc<Hasher>,
    checks: Semaphore,
    torrents: AtomicU64,
    _workers: Vec<Task<()>>,
}

impl DiskPool {
    /// Starts the hash service; inside the node's runtime.
    #[must_use]
    pub fn new(env: NodeEnv, config: &DiskConfig) -> Self {
        let cores = env.parallelism().max(1);
        let threads = config.threads as usize;
        let hasher = Arc::<Hasher>::default();
        // One thread at least is left for those who read.
        let workers = hasher.start(&env, cores.min(threads.saturating_sub(1)).max(1));
        let checks = match config.verify_concurrency as usize {
            0 => cores,
            checks => checks,
        };
        let handles = Arc::new(Handles::new(config.max_open_files as usize));
        let (checks, torrents) = (Semaphore::new(checks), AtomicU64::new(0));
        Self {
            shared: Arc::new(Shared { env, handles, hasher, checks, torrents, _workers: workers }),
        }
    }

    /// Makes a hash worker panic at its next batch.
    #[cfg(test)]
    pub(crate) fn panic_hasher(&self) {
        self.shared.hasher.panics.store(true, Ordering::Release);
    }

    fn env(&self) -> &NodeEnv {
        &self.shared.env
    }

    fn checks(&self) -> &Semaphore {
        &self.shared.checks
    }

    fn layout(&self, info: Arc<Info>, root: PathBuf) -> Arc<Layout> {
        let uid = Uid(self.shared.torrents.fetch_add(1, Ordering::Relaxed));
        Arc::new(Layout::new(uid, info, root, Arc::clone(&self.shared.handles)))
    }

    fn hash(&self, work: Work) {
        self.shared.hasher.push(self.shared.env.now(), work);
    }
}
