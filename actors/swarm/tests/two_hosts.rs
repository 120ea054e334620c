//! Two hosts of a simulated world and one torrent: the same actors as on a real host.

#![allow(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may panic, and clippy knows only functions that are tests themselves"
)]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bittorrent::metainfo::Metainfo;
use bittorrent::metainfo::create::{
    Hashes, Options, Plan, Segment, SourceFile, Surroundings, Version,
};
use bytes::Bytes;
use cluster_config::{Encryption, EngineConfig, LimitsConfig, TrackerConfig};
use control::{
    AddTorrent, Command, Engine, EventKind, Source, TorrentDetail, TorrentId, TorrentSettings,
    TorrentState,
};
use env::NodeEnv;
use env::sim::{HostConfig, HostId, Kill, LinkConfig, World};
use futures_util::StreamExt;
use sha1::{Digest, Sha1};
use store::MemoryStore;
use swarm::{Foundation, Settings, Swarm};

const PIECE: u32 = 64 * 1024;
const NAME: &str = "sample";

/// Bytes that look random and are not.
fn content(len: usize) -> Vec<u8> {
    let mut state = 7_u64;
    let next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

fn metainfo(content: &[u8]) -> Bytes {
    let file = SourceFile {
        path: Vec::new(),
        length: content.len() as u64,
        executable: false,
        hidden: false,
    };
    let options = Options { version: Version::V1, piece_length: Some(PIECE), private: false };
    let plan = Plan::new(NAME, vec![file], options).expect("a plan");
    let mut hashes = Hashes::default();
    for piece in 0..plan.piece_count() {
        let mut hash = Sha1::new();
        for segment in plan.segments(bittorrent::PieceIndex(piece)) {
            let Segment::File { offset, length, .. } = segment else { continue };
            hash.update(&content[offset as usize..(offset + u64::from(length)) as usize]);
        }
        hashes.v1.push(hash.finalize().into());
    }
    plan.finish(&hashes, &Surroundings::default()).expect("a metainfo").into()
}

fn settings() -> Settings {
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

/// What a host shows of itself.
#[derive(Debug, Default)]
struct Shown {
    detail: Option<TorrentDetail>,
    completed: bool,
}

struct Pair {
    world: World,
    seed: HostId,
    leech: HostId,
    content: Vec<u8>,
    torrent: Bytes,
    shown: [Arc<Mutex<Shown>>; 2],
    stores: [Arc<MemoryStore>; 2],
}

impl Pair {
    fn new(seed: u64, len: usize) -> Self {
        let mut world = World::new(seed);
        let mut host = |name: &str| {
            world.add_host(HostConfig { name: name.to_owned(), link: LinkConfig::default() })
        };
        let (seed, leech) = (host("seed"), host("leech"));
        let content = content(len);
        world.disk(seed).put(format!("/data/downloads/{NAME}"), &content);
        let torrent = metainfo(&content);
        Self {
            world,
            seed,
            leech,
            content,
            torrent,
            shown: Default::default(),
            stores: [Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new())],
        }
    }

    fn id(&self) -> TorrentId {
        Metainfo::parse(&self.torrent).expect("a metainfo").torrent_id()
    }

    fn start(&mut self, host: HostId) {
        let at = usize::from(host == self.leech);
        let (store, shown) = (Arc::clone(&self.stores[at]), Arc::clone(&self.shown[at]));
        store.reopen();
        let (torrent, id) = (self.torrent.clone(), self.id());
        let seed = SocketAddr::new(World::ip_of(self.seed), 6881);
        let peers = if host == self.leech { vec![seed] } else { Vec::new() };
        self.world.start(host, move |env: NodeEnv| {
            Box::pin(async move {
                let foundation =
                    Foundation { env: env.clone(), settings: settings(), store, log: None };
                let swarm = Swarm::start(foundation).await.expect("an engine");
                let mut events = swarm.events();
                let add = AddTorrent {
                    source: Source::Metainfo(torrent),
                    settings: TorrentSettings::default(),
                    stopped: false,
                    peers: peers.clone(),
                };
                if swarm.command(Command::Add(add)).await.is_err() {
                    // It is there from an earlier life.
                    env.sleep(Duration::from_millis(20)).await;
                    swarm.command(Command::AddPeers { id, peers }).await.expect("a torrent");
                }
                let watch = Arc::clone(&shown);
                let _watch = env.spawn("watch", async move {
                    while let Some(event) = events.next().await {
                        if event.kind == EventKind::Completed {
                            watch.lock().expect("a lock").completed = true;
                        }
                    }
                });
                loop {
                    env.sleep(Duration::from_millis(50)).await;
                    let detail = swarm.torrent(id).await.ok();
                    shown.lock().expect("a lock").detail = detail;
                }
            })
        });
    }

    fn detail(&self, host: HostId) -> Option<TorrentDetail> {
        let at = usize::from(host == self.leech);
        self.shown[at].lock().expect("a lock").detail.clone()
    }

    fn have_bytes(&self, host: HostId) -> u64 {
        self.detail(host).map_or(0, |detail| detail.torrent.have_bytes)
    }

    fn run_until_complete(&mut self, limit: Duration) {
        let (leech, len) = (self.leech, self.content.len() as u64);
        let shown = Arc::clone(&self.shown[1]);
        let done = self.world.run_until(limit, |_| {
            let shown = shown.lock().expect("a lock");
            shown.detail.as_ref().is_some_and(|detail| {
                detail.torrent.have_bytes == len && detail.torrent.state == TorrentState::Seeding
            })
        });
        assert!(done, "not complete: {:?}", self.detail(leech).map(|detail| detail.torrent));
        let found = self.world.disk(self.leech).get(format!("/data/downloads/{NAME}"));
        assert!(found.as_deref() == Some(&self.content[..]), "the download differs");
    }
}

#[test]
fn a_torrent_goes_from_one_host_to_another() {
    let mut pair = Pair::new(1, 3_000_001);
    let (seed, leech) = (pair.seed, pair.leech);
    pair.start(seed);
    pair.start(leech);
    pair.run_until_complete(Duration::from_secs(30));
    let detail = pair.detail(leech).expect("a torrent");
    assert_eq!(detail.torrent.downloaded_bytes, 3_000_001, "every block once: {detail:#?}");
    pair.world.run_for(Duration::from_secs(1));
    let detail = pair.detail(seed).expect("a torrent");
    assert_eq!(detail.torrent.uploaded_bytes, 3_000_001);
}

#[test]
fn a_killed_download_goes_on_where_it_was() {
    for how in [Kill::Process, Kill::Power] {
        let mut pair = Pair::new(2, 30_000_000);
        let (seed, leech) = (pair.seed, pair.leech);
        pair.start(seed);
        pair.start(leech);
        pair.world.run_for(Duration::from_secs(2));
        let before = pair.have_bytes(leech);
        assert!(before > 0 && before < 30_000_000, "{before} bytes");
        pair.world.kill(leech, how);
        pair.world.run_for(Duration::from_millis(200));
        pair.shown[1].lock().expect("a lock").detail = None;
        pair.start(leech);
        pair.world.run_for(Duration::from_millis(300));
        let after = pair.have_bytes(leech);
        if how == Kill::Process {
            assert!(after >= before, "{how:?}: {after} of {before} bytes are left");
        } else {
            assert!(after > 0, "{how:?}: nothing of {before} bytes is left");
        }
        pair.run_until_complete(Duration::from_secs(60));
    }
}

#[test]
fn a_killed_seed_comes_back() {
    let mut pair = Pair::new(3, 30_000_000);
    let (seed, leech) = (pair.seed, pair.leech);
    pair.start(seed);
    pair.start(leech);
    pair.world.run_for(Duration::from_secs(1));
    pair.world.kill(seed, Kill::Power);
    pair.world.run_for(Duration::from_secs(5));
    pair.start(seed);
    pair.run_until_complete(Duration::from_secs(400));
}
