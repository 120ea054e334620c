//! A laboratory: hosts of a simulated world that each run an engine, commanded from outside.
//!
//! The tests of the actors from outside and those from inside the crate share it. What a test asks of a
//! host is a job that the host's main task takes up within [`LOOK_EVERY`] of simulated time; the world
//! runs until its answer is there.

#![allow(dead_code, reason = "two test programs share it, and neither uses all of it")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may panic, and clippy knows only functions that are tests themselves"
)]

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bittorrent::metainfo::Metainfo;
use bittorrent::metainfo::create::{
    Hashes, Options, Plan, Segment, SourceFile, Surroundings, Version,
};
use bytes::Bytes;
use cluster_config::{Encryption, EngineConfig, LimitsConfig, TrackerConfig};
use control::{
    AddTorrent, Command, Engine, EngineError, Event, EventKind, NodeSnapshot, RemoveTorrent, Reply,
    Source, TorrentDetail, TorrentId, TorrentSettings, TorrentState,
};
use env::NodeEnv;
use env::sim::{HostConfig, HostId, Kill, LinkConfig, World};
use event_log::{EventLog, MemoryLog, PageLimit};
use futures_util::StreamExt;
use sha1::{Digest, Sha1};
use store::MemoryStore;
use swarm::{EventKeeping, Foundation, Settings, Swarm, TORRENT_UPDATES};

/// How often a host looks for something to do.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Within this time a host must have answered.
const ANSWER_TIME: Duration = Duration::from_secs(30);
/// How long hosts keep events.
pub(crate) const EVENT_AGE: Duration = Duration::from_secs(7200);
/// Where all hosts listen.
pub(crate) const PORT: u16 = 6881;

type Job = Box<dyn FnOnce(Swarm) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;
type Jobs = Arc<Mutex<VecDeque<Job>>>;

/// Bytes that look random and are not.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// A torrent and its files' bytes.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// The name of the file or directory.
    pub(crate) name: String,
    /// Paths below the download directory, and what stands there.
    pub(crate) files: Vec<(String, Vec<u8>)>,
    /// The metainfo.
    pub(crate) metainfo: Bytes,
    /// Its id.
    pub(crate) id: TorrentId,
}

impl Sample {
    /// A torrent of one file.
    pub(crate) fn single(name: &str, len: usize, piece: u32) -> Self {
        Self::new(name, &[("", len)], piece)
    }

    /// A torrent of these files.
    pub(crate) fn new(name: &str, files: &[(&str, usize)], piece: u32) -> Self {
        let seed = name.bytes().fold(7_u64, |seed, byte| seed * 31 + u64::from(byte));
        let bytes: Vec<_> = (seed..).zip(files).map(|(seed, (_, len))| noise(seed, *len)).collect();
        let sources = files.iter().map(|(path, len)| SourceFile {
            path: if path.is_empty() { Vec::new() } else { vec![(*path).to_owned()] },
            length: *len as u64,
            executable: false,
            hidden: false,
        });
        let options = Options { version: Version::V1, piece_length: Some(piece), private: false };
        let plan = Plan::new(name, sources.collect(), options).expect("a plan");
        let mut hashes = Hashes::default();
        for piece in (0..plan.piece_count()).map(bittorrent::PieceIndex) {
            let mut hash = Sha1::new();
            for segment in plan.segments(piece) {
                let Segment::File { file, offset, length } = segment else { continue };
                hash.update(&bytes[file][offset as usize..(offset + u64::from(length)) as usize]);
            }
            hashes.v1.push(hash.finalize().into());
        }
        let metainfo = plan.finish(&hashes, &Surroundings::default()).expect("a metainfo");
        let metainfo = Bytes::from(metainfo);
        let id = Metainfo::parse(&metainfo).expect("a metainfo").torrent_id();
        let path = |path: &str| {
            if path.is_empty() { name.to_owned() } else { format!("{name}/{path}") }
        };
        let files = files.iter().zip(bytes).map(|((at, _), bytes)| (path(at), bytes)).collect();
        Self { name: name.to_owned(), files, metainfo, id }
    }

    /// Bytes of all files.
    pub(crate) fn len(&self) -> u64 {
        self.files.iter().map(|(_, bytes)| bytes.len() as u64).sum()
    }

    /// A link to it.
    pub(crate) fn magnet(&self) -> String {
        format!("magnet:?xt=urn:btih:{}", self.id)
    }
}

struct Host {
    settings: Settings,
    store: Arc<MemoryStore>,
    log: Arc<MemoryLog>,
    jobs: Jobs,
    env: Arc<Mutex<Option<NodeEnv>>>,
    events: Arc<Mutex<Vec<Event>>>,
}

/// The laboratory.
pub(crate) struct Lab {
    /// Its world.
    pub(crate) world: World,
    hosts: BTreeMap<HostId, Host>,
}

/// What hosts are set to unless a test says otherwise.
pub(crate) fn settings() -> Settings {
    let mut engine = EngineConfig::default();
    engine.network.allow_private_peers = true;
    engine.network.encryption = Encryption::Plain;
    engine.disk.resume_flush_interval = Duration::from_secs(1);
    Settings {
        engine,
        tracker: TrackerConfig::default(),
        limits: LimitsConfig::default(),
        data_dir: "/data".into(),
    }
}

impl Lab {
    /// An empty one.
    pub(crate) fn new(seed: u64) -> Self {
        Self { world: World::new(seed), hosts: BTreeMap::new() }
    }

    /// A host that runs nothing yet.
    pub(crate) fn bare_host(&mut self, name: &str, link: LinkConfig) -> HostId {
        self.world.add_host(HostConfig { name: name.to_owned(), link })
    }

    /// A host that runs an engine.
    pub(crate) fn host(&mut self, name: &str) -> HostId {
        self.host_with(name, |_| {})
    }

    /// A host that runs an engine with other settings.
    pub(crate) fn host_with(&mut self, name: &str, change: impl FnOnce(&mut Settings)) -> HostId {
        self.host_on(name, LinkConfig::default(), change)
    }

    /// A host with this link that runs an engine with other settings.
    pub(crate) fn host_on(
        &mut self,
        name: &str,
        link: LinkConfig,
        change: impl FnOnce(&mut Settings),
    ) -> HostId {
        let host = self.bare_host(name, link);
        let mut settings = settings();
        change(&mut settings);
        let one = Host {
            settings,
            store: Arc::new(MemoryStore::new()),
            log: Arc::new(MemoryLog::new()),
            jobs: Jobs::default(),
            env: Arc::default(),
            events: Arc::default(),
        };
        self.hosts.insert(host, one);
        self.start(host);
        host
    }

    /// Starts a host's engine, again if it was killed.
    pub(crate) fn start(&mut self, host: HostId) {
        let of = &self.hosts[&host];
        of.store.reopen();
        of.log.reopen();
        of.jobs.lock().expect("a lock").clear();
        let (settings, store) = (of.settings.clone(), Arc::clone(&of.store));
        let log = EventKeeping {
            log: Arc::clone(&of.log) as Arc<dyn EventLog>,
            partitions: 12,
            age: Some(EVENT_AGE),
            partition_bytes: None,
        };
        let (jobs, shown, events) =
            (Arc::clone(&of.jobs), Arc::clone(&of.env), Arc::clone(&of.events));
        self.world.start(host, move |env: NodeEnv| {
            *shown.lock().expect("a lock") = Some(env.clone());
            Box::pin(async move {
                let foundation = Foundation { env: env.clone(), settings, store, log: Some(log) };
                let swarm = Swarm::start(foundation).await.expect("an engine");
                let mut feed = swarm.events();
                let _watch = env.spawn("watch", async move {
                    while let Some(event) = feed.next().await {
                        events.lock().expect("a lock").push(event);
                    }
                });
                loop {
                    let job = jobs.lock().expect("a lock").pop_front();
                    match job {
                        Some(job) => job(swarm.clone()).await,
                        None => env.sleep(LOOK_EVERY).await,
                    }
                }
            })
        });
    }

    /// Ends a host.
    pub(crate) fn kill(&mut self, host: HostId, how: Kill) {
        self.world.kill(host, how);
    }

    /// Where a host's engine listens.
    pub(crate) fn address(host: HostId) -> SocketAddr {
        SocketAddr::new(World::ip_of(host), PORT)
    }

    /// Runs the world for a time.
    pub(crate) fn run(&mut self, seconds: f64) {
        self.world.run_for(Duration::from_secs_f64(seconds));
    }

    /// Has a host do something, and runs the world until it is done.
    pub(crate) fn ask<T, F>(
        &mut self,
        host: HostId,
        ask: impl FnOnce(Swarm) -> F + Send + 'static,
    ) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let answer = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&answer);
        let job: Job = Box::new(move |swarm| {
            Box::pin(async move {
                let value = ask(swarm).await;
                *slot.lock().expect("a lock") = Some(value);
            })
        });
        self.hosts[&host].jobs.lock().expect("a lock").push_back(job);
        let there = |_: &World| answer.lock().expect("a lock").is_some();
        assert!(self.world.run_until(ANSWER_TIME, there), "host {} does not answer", host.0);
        answer.lock().expect("a lock").take().expect("an answer")
    }

    /// Gives a host's engine a command.
    pub(crate) fn command(&mut self, host: HostId, command: Command) -> Result<Reply, EngineError> {
        self.ask(host, |swarm| async move { swarm.command(command).await })
    }

    /// Adds a torrent.
    pub(crate) fn add(&mut self, host: HostId, sample: &Sample, peers: &[HostId]) -> TorrentId {
        self.add_with(host, sample, peers, |_| {})
    }

    /// Adds a torrent with other settings.
    pub(crate) fn add_with(
        &mut self,
        host: HostId,
        sample: &Sample,
        peers: &[HostId],
        change: impl FnOnce(&mut AddTorrent),
    ) -> TorrentId {
        let mut add = AddTorrent {
            source: Source::Metainfo(sample.metainfo.clone()),
            settings: TorrentSettings::default(),
            stopped: false,
            peers: peers.iter().map(|&peer| Self::address(peer)).collect(),
        };
        change(&mut add);
        let added = self.command(host, Command::Add(add));
        assert_eq!(added, Ok(Reply::Added(sample.id)));
        sample.id
    }

    /// Puts a torrent's files on a host's disk and adds it.
    pub(crate) fn seed(&mut self, host: HostId, sample: &Sample) -> TorrentId {
        self.put(host, sample);
        let id = self.add(host, sample, &[]);
        self.until_state(host, id, TorrentState::Seeding, 60);
        id
    }

    /// Puts a torrent's files on a host's disk.
    pub(crate) fn put(&self, host: HostId, sample: &Sample) {
        for (path, bytes) in &sample.files {
            self.world.disk(host).put(format!("/data/downloads/{path}"), bytes);
        }
    }

    /// Removes a torrent.
    pub(crate) fn remove(&mut self, host: HostId, id: TorrentId, with_data: bool) {
        let remove = Command::Remove(RemoveTorrent { id, with_data });
        assert_eq!(self.command(host, remove), Ok(Reply::Done));
    }

    /// All that a host shows of a torrent.
    pub(crate) fn detail(&mut self, host: HostId, id: TorrentId) -> TorrentDetail {
        let detail = self.ask(host, move |swarm| async move { swarm.torrent(id).await });
        detail.expect("a torrent")
    }

    /// What a host shows of itself.
    pub(crate) fn node(&mut self, host: HostId) -> NodeSnapshot {
        self.ask(host, |swarm| async move { swarm.node().await }).expect("a node")
    }

    /// Waits until a torrent shows what is wanted.
    pub(crate) fn until(
        &mut self,
        host: HostId,
        id: TorrentId,
        seconds: u64,
        wanted: impl Fn(&TorrentDetail) -> bool,
    ) -> TorrentDetail {
        let end = self.world.now() + Duration::from_secs(seconds);
        loop {
            let detail = self.detail(host, id);
            if wanted(&detail) {
                return detail;
            }
            assert!(self.world.now() < end, "not within {seconds} s: {detail:#?}");
            self.run(0.05);
        }
    }

    /// Waits until a torrent is in this state.
    pub(crate) fn until_state(
        &mut self,
        host: HostId,
        id: TorrentId,
        state: TorrentState,
        seconds: u64,
    ) -> TorrentDetail {
        self.until(host, id, seconds, |detail| detail.torrent.state == state)
    }

    /// Waits until a host has all of a torrent, and looks whether it is right.
    pub(crate) fn until_whole(&mut self, host: HostId, sample: &Sample, seconds: u64) {
        self.until(host, sample.id, seconds, |detail| {
            detail.torrent.have_bytes == sample.len()
                && detail.torrent.state == TorrentState::Seeding
        });
        self.assert_right(host, sample);
    }

    /// All files of a torrent stand on a host's disk as they should.
    pub(crate) fn assert_right(&self, host: HostId, sample: &Sample) {
        for (path, bytes) in &sample.files {
            let found = self.file(host, path);
            assert!(found.as_ref() == Some(bytes), "{path} differs on host {}", host.0);
        }
    }

    /// A file below a host's download directory.
    pub(crate) fn file(&self, host: HostId, path: &str) -> Option<Vec<u8>> {
        self.world.disk(host).get(format!("/data/downloads/{path}"))
    }

    /// What was told of torrents on a host.
    pub(crate) fn events(&self, host: HostId) -> Vec<EventKind> {
        let events = self.hosts[&host].events.lock().expect("a lock");
        events.iter().map(|event| event.kind.clone()).collect()
    }

    /// A host's event log.
    pub(crate) fn log(&self, host: HostId) -> Arc<MemoryLog> {
        Arc::clone(&self.hosts[&host].log)
    }

    /// The numbers of the events that a host keeps of its torrents, by partition in their order.
    pub(crate) fn kept(&mut self, host: HostId) -> Vec<u64> {
        let log = self.log(host);
        self.ask(host, move |_| async move {
            let topics = log.topics().await.expect("topics");
            let mut seqs = Vec::new();
            for partition in 0..topics.iter().map(|topic| topic.partitions).sum() {
                let from = log.watermarks(TORRENT_UPDATES, partition).await.expect("marks").low;
                let limit = PageLimit { records: 10_000, bytes: usize::MAX };
                let page = log.read(TORRENT_UPDATES, partition, from, limit).await.expect("a page");
                for stored in page.records {
                    let payload = stored.record.payload.as_ref().expect("a payload");
                    let event: Event = serde_json::from_slice(payload).expect("an event");
                    seqs.push(event.seq);
                }
            }
            seqs
        })
    }

    /// A host's world.
    pub(crate) fn env(&self, host: HostId) -> NodeEnv {
        self.hosts[&host].env.lock().expect("a lock").clone().expect("a host that was started")
    }

    /// How many actors, tasks, timers and sockets live on a host.
    pub(crate) fn live(&self, host: HostId) -> BTreeMap<&'static str, usize> {
        self.env(host).live()
    }

    /// What outlives a host's process.
    pub(crate) fn store(&self, host: HostId) -> Arc<MemoryStore> {
        Arc::clone(&self.hosts[&host].store)
    }
}
