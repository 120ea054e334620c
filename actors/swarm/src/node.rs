//! What all torrents of a node share: its world, limits, budgets and counts.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bittorrent::PeerId;
use cluster_config::{EngineConfig, LimitsConfig, Rate, TrackerConfig};
use control::{Event, EventKind, TorrentId, TorrentSettings};
use env::NodeEnv;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use sha2::{Digest, Sha256};
use store::TorrentStore;
use tokio::sync::{Semaphore, broadcast};

use crate::address::AddressPolicy;
use crate::credit::Budget;
use crate::directory::Directory;
use crate::disk::DiskPool;
use crate::fetch::Fetcher;
use crate::limiter::Limiter;
use crate::publisher::Publisher;

/// Events that a slow reader may be behind before it misses the oldest.
const EVENTS_BEHIND_MAX: usize = 1024;

/// How an engine is to be run: the parts of the configuration that it looks at.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Of `[engine]`.
    pub engine: EngineConfig,
    /// Of `[tracker]`.
    pub tracker: TrackerConfig,
    /// Of `[limits]`.
    pub limits: LimitsConfig,
    /// Where relative download directories are taken from.
    pub data_dir: PathBuf,
}

/// What all torrents of a node share.
#[derive(Debug)]
pub(crate) struct Node {
    env: NodeEnv,
    settings: Settings,
    /// The files of all torrents.
    pub(crate) disk: DiskPool,
    /// Bytes that were requested and not yet written.
    pub(crate) budget: Arc<Budget>,
    /// How fast the node downloads.
    pub(crate) down: Arc<Limiter>,
    /// How fast the node uploads.
    pub(crate) up: Arc<Limiter>,
    /// Connections to peers.
    pub(crate) connections: Slots,
    /// Connections that are being opened.
    pub(crate) half_open: Slots,
    /// Which addresses are spoken to.
    pub(crate) policy: AddressPolicy,
    /// Fetches over HTTP.
    pub(crate) fetcher: Fetcher,
    /// What outlives the process.
    pub(crate) store: Arc<dyn TorrentStore>,
    /// Which torrent an incoming handshake means.
    pub(crate) directory: Directory,
    /// Announces that may wait for an answer at once.
    pub(crate) announces: Semaphore,
    /// Events of all torrents, for those that listen. Made for the first of them, as the ring is large; in `Arc`s,
    /// as a ring of whole events is four times as large.
    events: OnceLock<broadcast::Sender<Arc<Event>>>,
    /// Keeps them in the event log.
    pub(crate) publisher: Option<Publisher>,
    secret: [u8; 32],
    listen_port: AtomicU16,
    /// The next stream that is accepted makes the listener panic.
    #[cfg(test)]
    pub(crate) listener_panics: std::sync::atomic::AtomicBool,
}

impl Node {
    /// Puts the parts together.
    pub(crate) fn new(
        env: NodeEnv,
        settings: Settings,
        fetcher: Fetcher,
        store: Arc<dyn TorrentStore>,
        publisher: Option<Publisher>,
    ) -> Arc<Self> {
        let now = env.now();
        let mut secret = [0; 32];
        env.secrets().fill_bytes(&mut secret);
        let engine = &settings.engine;
        Arc::new(Self {
            disk: DiskPool::new(env.clone(), &engine.disk),
            budget: Budget::new(engine.memory.unwritten.as_bytes()),
            down: Arc::new(Limiter::new(bytes_per_s(engine.rates.down), now)),
            up: Arc::new(Limiter::new(bytes_per_s(engine.rates.up), now)),
            connections: Slots::new(engine.network.max_connections),
            half_open: Slots::new(engine.network.max_half_open),
            policy: AddressPolicy::new(&engine.network),
            fetcher,
            store,
            directory: Directory::default(),
            announces: Semaphore::new(settings.tracker.max_concurrent_announces as usize),
            events: OnceLock::new(),
            publisher,
            secret,
            listen_port: AtomicU16::new(0),
            #[cfg(test)]
            listener_panics: std::sync::atomic::AtomicBool::new(false),
            env,
            settings,
        })
    }

    /// The node's world.
    pub(crate) const fn env(&self) -> &NodeEnv {
        &self.env
    }

    /// How it is to be run.
    pub(crate) const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The most blocks that are requested of a peer at once: a budget's worth, as libtorrent at most.
    pub(crate) fn window_max(&self) -> u32 {
        let blocks = self.settings.engine.memory.unwritten_per_torrent.as_bytes()
            / u64::from(bittorrent::BLOCK_LEN);
        u32::try_from(blocks).unwrap_or(u32::MAX).clamp(16, 2_000)
    }

    /// The most requests of a peer that wait.
    pub(crate) const fn queue_max(&self) -> u32 {
        self.settings.limits.requests_per_peer
    }

    /// The port on which peers reach us, while there is one.
    pub(crate) fn listen_port(&self) -> Option<u16> {
        Some(self.listen_port.load(Ordering::Relaxed)).filter(|&port| port != 0)
    }

    /// The listener listens here now.
    pub(crate) fn set_listen_port(&self, port: u16) {
        self.listen_port.store(port, Ordering::Relaxed);
    }

    /// Panics, once, if a test has set [`Node::listener_panics`].
    #[cfg(test)]
    pub(crate) fn panics_if_told(&self) {
        assert!(!self.listener_panics.swap(false, Ordering::AcqRel), "as the test wants it");
    }

    /// What this program calls itself to peers.
    pub(crate) fn client_name() -> String {
        format!("TorrentEdge {}", env!("CARGO_PKG_VERSION"))
    }

    /// Our name in a torrent (BEP 20): one for each, so that nobody can tell that two are ours, and the
    /// same for all connections of a run, so that trackers and peers know us again.
    pub(crate) fn peer_id_of(&self, id: TorrentId) -> PeerId {
        let digest = Sha256::new().chain_update(self.secret).chain_update(id.0).finalize();
        let mut seed = [0; 32];
        seed.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        bittorrent::peer_id::generate(&mut StdRng::from_seed(seed))
    }

    /// Where a torrent's files stand.
    pub(crate) fn download_dir(&self, settings: &TorrentSettings) -> PathBuf {
        let default = &self.settings.engine.download_dir;
        self.settings.data_dir.join(settings.download_dir.as_ref().unwrap_or(default))
    }

    /// Events from now on; who is behind by more than `EVENTS_BEHIND_MAX` misses the oldest.
    pub(crate) fn listen_to_events(&self) -> broadcast::Receiver<Arc<Event>> {
        self.events.get_or_init(|| broadcast::channel(EVENTS_BEHIND_MAX).0).subscribe()
    }

    /// Tells an event to all who listen.
    pub(crate) fn publish(&self, id: TorrentId, seq: u64, kind: EventKind) {
        let event = Event { id, epoch: 1, seq, at_ms: self.env.unix_ms(), kind };
        if let Some(publisher) = &self.publisher {
            publisher.publish(event.clone());
        }
        if let Some(events) = self.events.get() {
            // Nobody listens any more.
            let _ = events.send(Arc::new(event));
        }
    }
}

/// A rate as a number; 0 is no limit.
pub(crate) fn bytes_per_s(rate: Rate) -> u64 {
    rate.limit_bytes_per_s().map_or(0, NonZeroU64::get)
}

/// A number of things that may be had at once.
#[derive(Debug, Clone)]
pub(crate) struct Slots {
    taken: Arc<AtomicUsize>,
    limit: usize,
}

/// One of [`Slots`], until dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    taken: Arc<AtomicUsize>,
}

impl Slots {
    /// So many.
    pub(crate) fn new(limit: u32) -> Self {
        Self { taken: Arc::default(), limit: limit as usize }
    }

    /// Takes one, if there is one.
    pub(crate) fn take(&self) -> Option<Slot> {
        let more = |taken| (taken < self.limit).then_some(taken + 1);
        self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok()?;
        Some(Slot { taken: Arc::clone(&self.taken) })
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Acquire)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_bounded_and_come_back() {
        let slots = Slots::new(2);
        let (first, second) = (slots.take(), slots.take());
        assert!(first.is_some() && second.is_some() && slots.take().is_none());
        drop(first);
        assert_eq!(slots.taken(), 1);
        assert!(slots.take().is_some());
    }
}
