//! The world: hosts, their lives, and the loop that runs one event after another.

use std::future::{Future, poll_fn};
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use bittorrent::Time;
use tokio::runtime::{Builder, Runtime};

use super::disk::SimDisk;
use super::net::{LinkConfig, NetState, SimNet};
use super::queue::{Event, Life, Shared, SimClock, SimCompute};
use crate::{NodeEnv, Parts};

/// A host of a [`World`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostId(pub usize);

/// What a host has.
#[derive(Debug, Clone)]
pub struct HostConfig {
    /// Its name, which resolves to its address.
    pub name: String,
    /// Its link.
    pub link: LinkConfig,
}

/// How a host ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kill {
    /// The process ends (as by `kill -9`): written bytes stay, peers see their connections reset.
    Process,
    /// The power fails: unsynced writes may be lost or torn, peers hear nothing.
    Power,
}

type Main = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Host {
    config: HostConfig,
    disk: SimDisk,
    incarnation: u32,
    started: Time,
    runtime: Option<Runtime>,
    idle: Arc<IdleSignal>,
}

/// Hosts, a network and a clock.
pub struct World {
    shared: Arc<Shared>,
    hosts: Vec<Host>,
    seed: u64,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("hosts", &self.hosts.len()).finish_non_exhaustive()
    }
}

impl World {
    /// An empty world; all chance in it follows from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { shared: Shared::new(NetState::default()), hosts: Vec::new(), seed }
    }

    /// Adds a host that does not run yet.
    pub fn add_host(&mut self, config: HostConfig) -> HostId {
        let id = self.hosts.len();
        let ip = Self::ip_of(HostId(id));
        self.shared.lock().net.add_host(&config.name, ip, config.link);
        let disk = SimDisk::new(self.seed ^ (id as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        self.hosts.push(Host {
            config,
            disk,
            incarnation: 0,
            started: Time::ZERO,
            runtime: None,
            idle: Arc::default(),
        });
        HostId(id)
    }

    /// The address of a host: 10.x.y.z.
    #[must_use]
    pub fn ip_of(host: HostId) -> IpAddr {
        let number = u32::try_from(host.0 + 1).unwrap_or(u32::MAX) & 0x00ff_ffff;
        IpAddr::V4(Ipv4Addr::from(0x0a00_0000 | number))
    }

    /// The disk of a host, which outlives its lives.
    ///
    /// # Panics
    ///
    /// There is no such host.
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "documented: a host id of another world is a bug")]
    pub fn disk(&self, host: HostId) -> &SimDisk {
        &self.hosts[host.0].disk
    }

    /// Starts a life of `host` that runs `main` until it is killed.
    ///
    /// # Panics
    ///
    /// There is no such host, or it runs.
    #[expect(clippy::indexing_slicing, reason = "documented: a host id of another world is a bug")]
    pub fn start(&mut self, host: HostId, main: impl FnOnce(NodeEnv) -> Main) {
        let now = self.shared.lock().now;
        let slot = &mut self.hosts[host.0];
        assert!(slot.runtime.is_none(), "{} runs already", slot.config.name);
        slot.incarnation += 1;
        slot.started = now;
        let life = Life { host: host.0, incarnation: slot.incarnation };
        let env = self.env_of(host, life);
        let idle = Arc::<IdleSignal>::default();
        let runtime = build_runtime(&idle);
        {
            let _inside = runtime.enter();
            let main = main(env);
            #[expect(clippy::disallowed_methods, reason = "the host's runtime owns its main task")]
            drop(tokio::spawn(main));
        }
        let slot = &mut self.hosts[host.0];
        slot.runtime = Some(runtime);
        slot.idle = idle;
        let mut state = self.shared.lock();
        state.host_started(life);
        state.trace(format_args!("host {} starts {}", host.0, life.incarnation));
        drop(state);
        self.run_host(host.0);
    }

    #[expect(clippy::indexing_slicing, reason = "the caller has checked the host")]
    fn env_of(&self, host: HostId, life: Life) -> NodeEnv {
        let slot = &self.hosts[host.0];
        let shared = &self.shared;
        let seed = self.seed
            ^ (host.0 as u64 + 1).wrapping_mul(0xd6e8_feb8_6659_fd93)
            ^ u64::from(life.incarnation).rotate_left(32);
        NodeEnv::new(Parts {
            clock: Arc::new(SimClock { shared: Arc::clone(shared), life, started: slot.started }),
            net: Arc::new(SimNet { shared: Arc::clone(shared), life }),
            disk: Arc::new(slot.disk.for_life(Arc::clone(shared), life)),
            compute: Arc::new(SimCompute { shared: Arc::clone(shared), life }),
            seed,
            seeded_secrets: true,
        })
    }

    /// Ends the life of `host`: all its tasks, timers and sockets are gone when this returns.
    ///
    /// # Panics
    ///
    /// There is no such host, or it does not run.
    #[expect(clippy::indexing_slicing, reason = "documented: a host id of another world is a bug")]
    pub fn kill(&mut self, host: HostId, how: Kill) {
        let slot = &mut self.hosts[host.0];
        let life = Life { host: host.0, incarnation: slot.incarnation };
        let runtime = slot.runtime.take();
        assert!(runtime.is_some(), "{} does not run", slot.config.name);
        {
            let mut state = self.shared.lock();
            state.trace(format_args!("host {} is killed: {how:?}", host.0));
            // Before the runtime drops its sockets: a dead process closes nothing in order.
            state.host_killed(life, how == Kill::Process);
        }
        drop(runtime);
        let stale = {
            let mut state = self.shared.lock();
            let own = state
                .events
                .iter()
                .filter(|(_, (of, event))| *of == life && !matches!(event, Event::Net(_)));
            let keys: Vec<_> = own.map(|(&key, _)| key).collect();
            keys.into_iter().filter_map(|key| state.events.remove(&key)).collect::<Vec<_>>()
        };
        drop(stale);
        if how == Kill::Power {
            self.hosts[host.0].disk.power_cut();
        }
    }

    /// Whether a host runs.
    #[must_use]
    pub fn runs(&self, host: HostId) -> bool {
        self.hosts.get(host.0).is_some_and(|host| host.runtime.is_some())
    }

    /// Cuts the path between two hosts, or heals it; what is sent meanwhile waits (streams) or is lost.
    pub fn set_cut(&mut self, a: HostId, b: HostId, cut: bool) {
        let mut state = self.shared.lock();
        state.trace(format_args!("path {}-{} cut: {cut}", a.0, b.0));
        state.set_cut(a.0, b.0, cut);
    }

    /// The moment, since the world began.
    #[must_use]
    pub fn now(&self) -> Time {
        self.shared.lock().now
    }

    /// Events that have happened.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.shared.lock().processed
    }

    /// Keeps the lines of the trace from here on, for [`World::trace_lines`].
    pub fn keep_trace(&mut self) {
        self.shared.lock().lines.get_or_insert_default();
    }

    /// The kept lines of the trace.
    #[must_use]
    pub fn trace_lines(&self) -> Vec<String> {
        self.shared.lock().lines.clone().unwrap_or_default()
    }

    /// Adds a line of the observer's to the trace.
    pub fn note(&mut self, what: &str) {
        self.shared.lock().trace(format_args!("note {what}"));
    }

    /// SHA-256 over the trace so far.
    #[must_use]
    pub fn trace_hash(&self) -> [u8; 32] {
        self.shared.lock().trace_hash()
    }

    /// Runs until `done` says so (asked after each event) or `limit` has passed; says whether it was done.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now() + limit;
        loop {
            if done(self) {
                return true;
            }
            if !self.step(end) {
                return done(self);
            }
        }
    }

    /// Runs for `duration` of simulated time.
    pub fn run_for(&mut self, duration: Duration) {
        self.run_until(duration, |_| false);
    }

    /// Runs the next event that is due by `end`; else moves the clock there and says false.
    fn step(&mut self, end: Time) -> bool {
        let mut state = self.shared.lock();
        let due = state.events.first_key_value().map(|(&key, _)| key).filter(|key| key.0 <= end);
        let Some((key, (life, event))) =
            due.and_then(|key| Some((key, state.events.remove(&key)?)))
        else {
            state.now = state.now.max(end);
            return false;
        };
        state.now = key.0;
        state.processed += 1;
        let wakes = match event {
            Event::Net(event) => state.deliver(event),
            Event::Wake(waker) => {
                state.trace(format_args!("timer {}", life.host));
                vec![waker]
            }
            Event::Job(job) => {
                state.trace(format_args!("job {}", life.host));
                drop(state);
                job();
                self.run_host(life.host);
                return true;
            }
        };
        drop(state);
        wakes.into_iter().for_each(Waker::wake);
        self.run_host(life.host);
        true
    }

    /// Lets a host run until all its tasks wait.
    fn run_host(&mut self, host: usize) {
        let Some(Host { runtime: Some(runtime), idle, .. }) = self.hosts.get(host) else { return };
        runtime.block_on(idle.wait());
    }
}

/// Tells the thread that drives a host that all its tasks wait: tokio calls us before it parks.
#[derive(Debug, Default)]
struct IdleSignal {
    state: AtomicU8,
    waker: Mutex<Option<Waker>>,
}

const RUNNING: u8 = 0;
const WAITING: u8 = 1;
const IDLE: u8 = 2;

impl IdleSignal {
    fn about_to_park(&self) {
        if self.state.compare_exchange(WAITING, IDLE, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    async fn wait(&self) {
        self.state.store(RUNNING, Ordering::Release);
        poll_fn(|cx| {
            if self.state.load(Ordering::Acquire) == IDLE {
                return Poll::Ready(());
            }
            *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
            self.state.store(WAITING, Ordering::Release);
            Poll::Pending
        })
        .await;
    }
}

#[expect(
    clippy::expect_used,
    reason = "a runtime without drivers needs nothing that could be missing"
)]
fn build_runtime(idle: &Arc<IdleSignal>) -> Runtime {
    let idle = Arc::clone(idle);
    Builder::new_current_thread()
        .on_thread_park(move || idle.about_to_park())
        .build()
        .expect("a current-thread runtime without drivers")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use bytes::BytesMut;
    use rand::Rng;

    use super::*;

    fn host(world: &mut World, name: &str) -> HostId {
        world.add_host(HostConfig { name: name.to_owned(), link: LinkConfig::default() })
    }

    /// An echo server and a client that sends random bytes in a few writes, twice as a world's life.
    fn echo(seed: u64, kill: Option<Kill>) -> (usize, [u8; 32]) {
        let mut world = World::new(seed);
        let (server, client) = (host(&mut world, "server"), host(&mut world, "client"));
        let serve = |env: NodeEnv| -> Main {
            Box::pin(async move {
                let listener = env.net().listen("0.0.0.0:7000".parse().unwrap()).await.unwrap();
                loop {
                    let stream = listener.accept().await.unwrap();
                    let mut buf = BytesMut::with_capacity(4096);
                    while stream.read_some(&mut buf).await.is_ok_and(|read| read > 0) {
                        if stream.write_all(&buf.split()).await.is_err() {
                            break;
                        }
                        buf.reserve(4096);
                    }
                }
            })
        };
        world.start(server, serve);
        let echoed = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&echoed);
        world.start(client, move |env| {
            Box::pin(async move {
                let mut rng = env.rng("client");
                loop {
                    let to = env.net().resolve("server", 7000).await.unwrap()[0];
                    let Ok(stream) = env.net().connect(to, None).await else {
                        env.sleep(Duration::from_millis(100)).await;
                        continue;
                    };
                    let mut buf = BytesMut::with_capacity(65536);
                    let sent: Vec<u8> =
                        (0..rng.random_range(1..4096)).map(|_| rng.random()).collect();
                    if stream.write_all(&sent).await.is_err() {
                        continue;
                    }
                    while buf.len() < sent.len() {
                        if !stream.read_some(&mut buf).await.is_ok_and(|read| read > 0) {
                            break;
                        }
                    }
                    count.fetch_add(buf.len(), Ordering::Relaxed);
                    env.sleep(Duration::from_millis(50)).await;
                }
            })
        });
        world.run_for(Duration::from_secs(1));
        if let Some(how) = kill {
            world.kill(server, how);
            world.run_for(Duration::from_secs(1));
            let before = echoed.load(Ordering::Relaxed);
            world.start(server, serve);
            world.run_for(Duration::from_secs(2));
            if how == Kill::Process {
                assert!(echoed.load(Ordering::Relaxed) > before, "goes on after the restart");
            }
        }
        (echoed.load(Ordering::Relaxed), world.trace_hash())
    }

    #[test]
    fn the_same_seed_gives_the_same_trace_and_another_seed_another() {
        let (echoed, hash) = echo(1, None);
        assert!(echoed > 1000, "{echoed}");
        assert_eq!(echo(1, None).1, hash);
        assert_ne!(echo(2, None).1, hash);
    }

    #[test]
    fn a_killed_host_loses_everything_and_comes_back() {
        assert_eq!(echo(3, Some(Kill::Process)), echo(3, Some(Kill::Process)));
        assert_eq!(echo(3, Some(Kill::Power)), echo(3, Some(Kill::Power)));
    }

    #[test]
    fn a_power_cut_keeps_what_was_synced() {
        let mut world = World::new(7);
        let id = host(&mut world, "disk");
        world.start(id, |env| {
            Box::pin(async move {
                let done = env.disk(crate::disk::DiskLane::Foreground, |files| {
                    let path = std::path::Path::new("/data/file");
                    let file = files.open(path, crate::disk::OpenMode::ReadWrite).unwrap();
                    file.write_all_at(&mut [std::io::IoSlice::new(&[1; 4096])], 0).unwrap();
                    file.sync().unwrap();
                    files.sync_dir(std::path::Path::new("/data")).unwrap();
                    file.write_all_at(&mut [std::io::IoSlice::new(&[2; 8192])], 4096).unwrap();
                });
                done.await.unwrap();
            })
        });
        world.run_for(Duration::from_secs(1));
        assert_eq!(world.disk(id).get("/data/file").unwrap().len(), 12288);
        world.kill(id, Kill::Power);
        let left = world.disk(id).get("/data/file").unwrap();
        assert!(left[..4096].iter().all(|&byte| byte == 1));
    }
}
