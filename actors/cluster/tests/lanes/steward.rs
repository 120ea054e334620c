//! Stewards of several nodes on simulated hosts: the real actor, lanes of the twin, one store that can be far or away.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use cluster::lane::twin::{TwinConfig, TwinTransport};
use cluster::membership::gossip::Seed;
use cluster::membership::{Place, Stay};
use cluster::steward::{Ground, Holding, Steward};
use control::{Epoch, Holder, NodeName, TorrentId, TorrentRow};
use env::NodeEnv;
use env::sim::{HostConfig, HostId, Kill, LinkConfig, World};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use store::{
    Assignment, Begin, Change, MemoryStore, NodeEntry, NodeInfo, OwnershipStore, Renewal,
    StoreError, TorrentRecord, TorrentSource, TorrentStore, Verdict,
};
use tokio::sync::watch;

use crate::party::node;

const PORT: u16 = 7000;
const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
/// What the store takes to answer.
const STORE_LATENCY: Duration = Duration::from_millis(15);

/// The store as one node sees it: at a distance, and away when it is cut off.
#[derive(Debug, Clone)]
struct FarStore {
    env: NodeEnv,
    store: Arc<MemoryStore>,
    is_cut: Arc<AtomicBool>,
}

impl FarStore {
    async fn reach(&self) -> Result<&MemoryStore, StoreError> {
        self.env.sleep(STORE_LATENCY).await;
        if self.is_cut.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable("it is cut off".to_owned()));
        }
        Ok(&self.store)
    }
}

#[async_trait]
impl OwnershipStore for FarStore {
    async fn begin(
        &self,
        node: &NodeName,
        info: &NodeInfo,
        lease: Duration,
    ) -> Result<Begin, StoreError> {
        self.reach().await?.begin(node, info, lease).await
    }

    async fn renew(&self, holder: &Holder, lease: Duration) -> Result<Renewal, StoreError> {
        self.reach().await?.renew(holder, lease).await
    }

    async fn drain(&self, holder: &Holder) -> Result<bool, StoreError> {
        self.reach().await?.drain(holder).await
    }

    async fn depose(&self, holder: &Holder, verdict: Verdict) -> Result<bool, StoreError> {
        self.reach().await?.depose(holder, verdict).await
    }

    async fn nodes(&self) -> Result<Vec<NodeEntry>, StoreError> {
        self.reach().await?.nodes().await
    }

    async fn ownership(&self, torrent: TorrentId) -> Result<TorrentRow, StoreError> {
        self.reach().await?.ownership(torrent).await
    }

    async fn assign(
        &self,
        torrent: TorrentId,
        seen: Epoch,
        owner: Option<&Holder>,
    ) -> Result<Assignment, StoreError> {
        self.reach().await?.assign(torrent, seen, owner).await
    }

    async fn owned(
        &self,
        node: Option<&NodeName>,
        after: Option<TorrentId>,
        limit: usize,
    ) -> Result<Vec<(TorrentId, TorrentRow)>, StoreError> {
        self.reach().await?.owned(node, after, limit).await
    }
}

/// What a host shows to the test.
#[derive(Debug, Default)]
struct Shown {
    holding: Option<watch::Receiver<Holding>>,
    steward: Option<Arc<Steward>>,
    env: Option<NodeEnv>,
}

struct Cluster {
    world: World,
    hosts: Vec<HostId>,
    shown: Vec<Arc<Mutex<Shown>>>,
    cut_off: Vec<Arc<AtomicBool>>,
    store: Arc<MemoryStore>,
    clock: Arc<OnceLock<NodeEnv>>,
    torrents: u8,
}

/// Does at once what waits for nothing.
fn now<T>(work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match work.as_mut().poll(&mut context) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("the store in memory waits"),
    }
}

impl Cluster {
    fn new(nodes: usize, torrents: u8, seed: u64) -> Self {
        let mut world = World::new(seed);
        let link = LinkConfig::DEFAULT;
        let names = &NAMES[..nodes];
        let host = |name: &&str| HostConfig { name: (*name).to_owned(), link };
        let hosts = names.iter().map(|name| world.add_host(host(name))).collect();
        let clock = Arc::<OnceLock<NodeEnv>>::default();
        let reads = Arc::clone(&clock);
        let store = MemoryStore::with_clock(move || reads.get().map_or(0, NodeEnv::unix_ms));
        let adds = (0..torrents).map(|n| {
            let source = TorrentSource::Magnet("magnet:?".to_owned());
            Change::add(TorrentRecord::new(TorrentId([n; 20]), u64::from(n)), source)
        });
        now(store.write(adds.collect())).unwrap();
        let mut this = Self {
            world,
            hosts,
            shown: names.iter().map(|_| Arc::default()).collect(),
            cut_off: names.iter().map(|_| Arc::default()).collect(),
            store: Arc::new(store),
            clock,
            torrents,
        };
        for nth in 0..nodes {
            this.start(nth);
        }
        this
    }

    fn start(&mut self, nth: usize) {
        let address = |nth: usize| SocketAddr::new(World::ip_of(self.hosts[nth]), PORT);
        let (at, seed) = (address(nth), Seed { node: node(NAMES[0]), control: address(0) });
        let shown = Arc::clone(&self.shown[nth]);
        let (store, is_cut) = (Arc::clone(&self.store), Arc::clone(&self.cut_off[nth]));
        let clock = Arc::clone(&self.clock);
        self.world.start(self.hosts[nth], move |env| {
            let _ = clock.set(env.clone());
            Box::pin(async move {
                let name = node(NAMES[nth]);
                let config = TwinConfig::control(1, name.clone());
                let any = SocketAddr::from(([0, 0, 0, 0], PORT));
                let transport = TwinTransport::listen(&env, config, any).await.unwrap();
                let data_id = [u8::try_from(nth).unwrap(); 16];
                let steward = Arc::new(Steward::start(
                    &env,
                    Ground {
                        node: name,
                        info: NodeInfo { data_id, address: at.to_string(), weight: 100 },
                        store: Arc::new(FarStore { env: env.clone(), store, is_cut }),
                        transport: Arc::new(transport),
                        place: Place { control: at, bulk: at, stay: Stay::Stays },
                        seeds: vec![seed],
                    },
                ));
                let mut holding = steward.holding();
                *shown.lock().unwrap() = Shown {
                    holding: Some(steward.holding()),
                    steward: Some(Arc::clone(&steward)),
                    env: Some(env),
                };
                // There is nothing to flush here.
                while holding.changed().await.is_ok() {
                    let releasing = holding.borrow_and_update().releasing.clone();
                    for torrent in releasing {
                        steward.released(torrent).await;
                    }
                }
            })
        });
    }

    fn kill(&mut self, nth: usize, how: Kill) {
        self.world.kill(self.hosts[nth], how);
        *self.shown[nth].lock().unwrap() = Shown::default();
    }

    /// What a node owns and may act for now.
    fn acts_for(&self, nth: usize) -> BTreeMap<TorrentId, Epoch> {
        let shown = self.shown[nth].lock().unwrap();
        let (Some(holding), Some(env)) = (&shown.holding, &shown.env) else {
            return BTreeMap::new();
        };
        let holding = holding.borrow();
        if env.now() < holding.safe_until { holding.owned.clone() } else { BTreeMap::new() }
    }

    fn row(&self, torrent: u8) -> TorrentRow {
        now(self.store.ownership(TorrentId([torrent; 20]))).unwrap()
    }

    /// Torrents that nobody acts for in their present epoch, and those for which several do.
    fn lost(&self) -> usize {
        let acting: Vec<_> = (0..self.hosts.len()).map(|nth| self.acts_for(nth)).collect();
        (0..self.torrents)
            .filter(|n| {
                let epoch = self.row(*n).epoch;
                let owners =
                    acting.iter().filter(|owned| owned.get(&TorrentId([*n; 20])) == Some(&epoch));
                let owners = owners.count();
                assert!(owners <= 1, "{owners} owners of {n} in {epoch}");
                owners == 0
            })
            .count()
    }

    /// How long it takes until all torrents have an owner that acts.
    fn until_owned(&mut self, limit: Duration) -> Duration {
        let (begin, step) = (self.world.now(), Duration::from_millis(10));
        while self.lost() > 0 {
            let passed = self.world.now().since(begin);
            assert!(passed < limit, "{} torrents without an owner after {passed:?}", self.lost());
            self.world.run_for(step);
        }
        self.world.now().since(begin)
    }
}

impl Cluster {
    /// Something goes wrong, or is mended.
    fn fail(&mut self, chance: &mut SmallRng, a: usize, b: usize) {
        let runs = self.world.runs(self.hosts[a]);
        match chance.random_range(0..8) {
            0 if runs => self.kill(a, Kill::Power),
            1 if runs => self.kill(a, Kill::Process),
            0..=2 if !runs => self.start(a),
            3 if a != b => self.world.set_cut(self.hosts[a], self.hosts[b], true),
            4 if a != b => self.world.set_one_way_cut(self.hosts[a], self.hosts[b], true),
            5 => self.world.unplug(self.hosts[a], true),
            6 => self.cut_off[a].store(chance.random_bool(0.7), Ordering::Relaxed),
            7 => self.heal(),
            _ => {}
        }
    }

    fn heal(&mut self) {
        for a in 0..self.hosts.len() {
            self.world.unplug(self.hosts[a], false);
            self.cut_off[a].store(false, Ordering::Relaxed);
            if !self.world.runs(self.hosts[a]) {
                self.start(a);
            }
            for b in 0..a {
                self.world.set_cut(self.hosts[a], self.hosts[b], false);
            }
        }
    }
}

const START: Duration = Duration::from_secs(8);
const TAKEOVER: Duration = Duration::from_secs(3);

#[test]
fn after_a_kill_the_torrents_have_an_owner_again_within_three_seconds() {
    let mut times = Vec::new();
    for seed in 0..8 {
        let nodes = 3 + usize::try_from(seed % 3).unwrap();
        let mut cluster = Cluster::new(nodes, 12, seed);
        cluster.until_owned(START);
        cluster.world.run_for(Duration::from_secs(4));
        for victim in 0..nodes {
            let how = if victim % 2 == 0 { Kill::Power } else { Kill::Process };
            cluster.kill(victim, how);
            times.push(cluster.until_owned(TAKEOVER));
            cluster.start(victim);
            cluster.world.run_for(Duration::from_secs(20));
            assert_eq!(cluster.lost(), 0, "seed {seed}");
        }
    }
    times.sort_unstable();
    assert!(times[times.len() / 2] <= Duration::from_secs(2), "{times:?}");
}

#[test]
fn a_node_without_power_restarts_as_another_life() {
    let mut cluster = Cluster::new(3, 9, 3);
    cluster.until_owned(START);
    cluster.world.run_for(Duration::from_secs(4));
    cluster.kill(1, Kill::Process);
    cluster.start(1);
    // It knows its own directory: it need not wait for anybody.
    let took = cluster.until_owned(TAKEOVER);
    assert!(took <= Duration::from_secs(1), "{took:?}");
    cluster.world.run_for(Duration::from_secs(10));
    assert_eq!(cluster.lost(), 0);
    let lives: Vec<u64> = now(cluster.store.nodes())
        .unwrap()
        .iter()
        .map(|node| node.row.holder.incarnation.0)
        .collect();
    assert_eq!(lives, [1, 2, 1]);
}

#[test]
fn an_unplugged_node_loses_its_torrents_and_comes_back_as_another_life() {
    let mut cluster = Cluster::new(3, 9, 4);
    cluster.until_owned(START);
    cluster.world.run_for(Duration::from_secs(4));
    // From peers and from the store.
    cluster.world.unplug(cluster.hosts[2], true);
    cluster.cut_off[2].store(true, Ordering::Relaxed);
    let before = cluster.acts_for(2);
    assert!(!before.is_empty());
    let is_over = |cluster: &Cluster, (torrent, epoch): (&TorrentId, &Epoch)| {
        now(cluster.store.ownership(*torrent)).unwrap().epoch > *epoch
    };
    cluster.world.run_for(TAKEOVER);
    // It believes for a while; none of its epochs is the present one, and others act.
    assert_eq!(cluster.acts_for(2), before);
    assert!(before.iter().all(|owned| is_over(&cluster, owned)));
    assert_eq!(cluster.lost(), 0);
    cluster.world.run_for(Duration::from_secs(20));
    assert!(cluster.acts_for(2).is_empty(), "its lease is over");
    cluster.world.unplug(cluster.hosts[2], false);
    cluster.cut_off[2].store(false, Ordering::Relaxed);
    cluster.world.run_for(Duration::from_secs(15));
    assert_eq!(cluster.lost(), 0);
    let shown = cluster.shown[2].lock().unwrap();
    assert_eq!(shown.holding.as_ref().unwrap().borrow().holder.as_ref().unwrap().incarnation.0, 2);
}

#[test]
fn nodes_that_stop_in_order_hand_over_without_a_gap() {
    let mut cluster = Cluster::new(3, 12, 6);
    cluster.until_owned(START);
    cluster.world.run_for(Duration::from_secs(4));
    for leaver in 0..3 {
        let steward = cluster.shown[leaver].lock().unwrap().steward.clone().unwrap();
        now(steward.drain());
        drop(steward);
        cluster.world.poke(cluster.hosts[leaver]);
        let mut longest = Duration::ZERO;
        let is_drained = |cluster: &Cluster| {
            let shown = cluster.shown[leaver].lock().unwrap();
            shown.holding.as_ref().is_some_and(|holding| holding.borrow().is_drained)
        };
        for _ in 0..200 {
            longest = longest.max(cluster.until_owned(Duration::from_secs(1)));
            cluster.world.run_for(Duration::from_millis(10));
        }
        assert!(is_drained(&cluster) && cluster.acts_for(leaver).is_empty());
        assert!(longest <= Duration::from_millis(300), "{longest:?}");
        cluster.kill(leaver, Kill::Process);
        cluster.start(leaver);
        cluster.world.run_for(Duration::from_secs(8));
        assert_eq!(cluster.lost(), 0);
    }
}

#[test]
fn a_store_that_is_away_for_all_moves_nothing() {
    let mut cluster = Cluster::new(3, 9, 5);
    cluster.until_owned(START);
    cluster.world.run_for(Duration::from_secs(4));
    let epochs: Vec<Epoch> = (0..9).map(|n| cluster.row(n).epoch).collect();
    for (away_s, expected) in [(12, 0), (40, 9)] {
        cluster.cut_off.iter().for_each(|cut| cut.store(true, Ordering::Relaxed));
        cluster.world.run_for(Duration::from_secs(away_s));
        assert_eq!(cluster.lost(), expected, "after {away_s} s");
        cluster.cut_off.iter().for_each(|cut| cut.store(false, Ordering::Relaxed));
        cluster.world.run_for(Duration::from_secs(15));
        assert_eq!(cluster.lost(), 0);
    }
    assert_eq!((0..9).map(|n| cluster.row(n).epoch).collect::<Vec<_>>(), epochs);
}

#[test]
fn the_same_seed_is_the_same_run() {
    let run = |seed| {
        let mut cluster = Cluster::new(4, 8, seed);
        cluster.until_owned(START);
        cluster.kill(1, Kill::Power);
        cluster.world.run_for(Duration::from_secs(5));
        cluster.world.set_cut(cluster.hosts[0], cluster.hosts[3], true);
        cluster.world.run_for(Duration::from_secs(5));
        cluster.world.set_cut(cluster.hosts[0], cluster.hosts[3], false);
        cluster.start(1);
        cluster.world.run_for(Duration::from_secs(10));
        assert_eq!(cluster.lost(), 0, "seed {seed}");
        cluster.world.trace_hash()
    };
    let hash = run(1);
    assert_eq!(run(1), hash);
    assert_ne!(run(2), hash);
}

/// Kills, restarts, cut and slow links, nodes and stores that are out of reach, in any order; then all heals.
/// At every look no torrent has two owners that act in its present epoch; in the end each has one.
/// `STEWARD_SEEDS=1000` runs more of them.
#[test]
fn after_any_faults_each_torrent_has_one_owner() {
    let seeds = std::env::var("STEWARD_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    for seed in 0..seeds.unwrap_or(20_u64) {
        let nodes = 2 + usize::try_from(seed % 4).unwrap();
        let mut cluster = Cluster::new(nodes, 8, seed);
        let mut chance = SmallRng::seed_from_u64(!seed);
        for _ in 0..chance.random_range(1..12) {
            for _ in 0..chance.random_range(1..20) {
                cluster.world.run_for(Duration::from_millis(chance.random_range(1..600)));
                let _ = cluster.lost();
            }
            let (a, b) = (chance.random_range(0..nodes), chance.random_range(0..nodes));
            cluster.fail(&mut chance, a, b);
        }
        cluster.heal();
        cluster.world.run_for(Duration::from_secs(60));
        assert_eq!(cluster.lost(), 0, "seed {seed}");
        for nth in 0..nodes {
            for (torrent, epoch) in cluster.acts_for(nth) {
                let row = now(cluster.store.ownership(torrent)).unwrap();
                assert_eq!(
                    row.epoch, epoch,
                    "seed {seed}: it does not know that it lost {torrent}"
                );
            }
        }
    }
}
