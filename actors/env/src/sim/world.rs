//! The world: hosts, their lives, and the loop that runs one event after another.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bittorrent::Time;
use tokio::runtime::Runtime;

use super::clock::{SimClock, SimCompute};
use super::disk::{PageStore, SimDisk};
use super::idle::{IdleSignal, build_runtime};
use super::net::{DatagramConfig, LinkConfig, NetState, SimNet, ip_of};
use super::queue::Event;
use super::seen::Seen;
use super::state::{Life, Shared};
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
    /// Equal pages of all disks.
    pages: PageStore,
    /// Empty between steps; kept for its memory.
    woken: Vec<Waker>,
    seed: u64,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("hosts", &self.hosts.len()).finish_non_exhaustive()
    }
}

impl World {
    /// 2026-01-01T00:00:00Z, in milliseconds since 1970: every world begins there.
    pub const BEGIN_UNIX_MS: u64 = 1_767_225_600_000;

    /// An empty world; all chance in it follows from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            shared: Shared::new(NetState::new(seed)),
            hosts: Vec::new(),
            pages: PageStore::default(),
            woken: Vec::new(),
            seed,
        }
    }

    /// Adds a host that does not run yet.
    pub fn add_host(&mut self, config: HostConfig) -> HostId {
        let id = self.hosts.len();
        self.shared.lock().net.add_host(&config.name, config.link);
        let seed = self.seed ^ (id as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let disk = SimDisk::new(seed, self.pages.clone());
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
        ip_of(host.0)
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
        // Its timers and jobs stay in the queue and are passed over: they belong to an earlier life.
        drop(runtime);
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
        self.set_one_way_cut(a, b, cut);
        self.set_one_way_cut(b, a, cut);
    }

    /// As [`World::set_cut`], but only what `from` sends to `to`.
    pub fn set_one_way_cut(&mut self, from: HostId, to: HostId, cut: bool) {
        self.shared.lock().set_cut(from.0, to.0, cut);
    }

    /// Pulls a host's plug, or puts it in again. Meanwhile nothing leaves or reaches it and nobody is
    /// told: bytes of streams wait, datagrams are lost, attempts to connect get no answer.
    pub fn unplug(&mut self, host: HostId, unplugged: bool) {
        self.shared.lock().unplug(host.0, unplugged);
    }

    /// Gives a host another link from now on.
    pub fn set_link(&mut self, host: HostId, link: LinkConfig) {
        self.shared.lock().set_link(host.0, link);
    }

    /// Resets all streams between two hosts: both ends see it after the latency.
    pub fn reset(&mut self, a: HostId, b: HostId) {
        self.shared.lock().reset(a.0, b.0);
    }

    /// Says what happens to datagrams on their way from now on.
    pub fn set_datagrams(&mut self, config: DatagramConfig) {
        self.shared.lock().set_datagrams(config);
    }

    /// Collects what is seen of streams from here on, for [`World::take_seen`].
    pub fn watch(&mut self) {
        self.shared.lock().seen.get_or_insert_default();
    }

    /// What was seen since it was last taken.
    #[must_use]
    pub fn take_seen(&mut self) -> Vec<Seen> {
        self.shared.lock().seen.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// As [`World::take_seen`], into a buffer whose memory is used for what is seen next.
    pub fn swap_seen(&mut self, into: &mut Vec<Seen>) {
        into.clear();
        if let Some(seen) = &mut self.shared.lock().seen {
            std::mem::swap(seen, into);
        }
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
        self.shared.lock().trace.keep();
    }

    /// The kept lines of the trace.
    #[must_use]
    pub fn trace_lines(&self) -> Vec<String> {
        self.shared.lock().trace.lines()
    }

    /// Writes the lines of the trace from here on to `out`, in large parts; the last when the world ends
    /// or [`World::trace_hash`] is asked for. An error of `out` ends the writing, not the simulation.
    pub fn trace_to(&mut self, out: Box<dyn std::io::Write + Send>) {
        self.shared.lock().trace.write_to(out);
    }

    /// Adds a line of the observer's to the trace.
    pub fn note(&mut self, what: &str) {
        self.shared.lock().trace(format_args!("note {what}"));
    }

    /// SHA-256 over the trace so far.
    #[must_use]
    pub fn trace_hash(&self) -> [u8; 32] {
        self.shared.lock().trace.hash()
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

    /// Lets a host run now: somebody outside has left something for one of its tasks.
    pub fn poke(&mut self, host: HostId) {
        self.shared.lock().trace(format_args!("poke {}", host.0));
        self.run_host(host.0);
    }

    /// Runs the next event that is due by `end`; else moves the clock there and says false.
    pub fn step(&mut self, end: Time) -> bool {
        let mut state = self.shared.lock();
        let (life, event) = loop {
            let Some((at, life, event)) = state.queue.pop_due(end) else {
                state.now = state.now.max(end);
                return false;
            };
            if matches!(event, Event::Net(_)) || state.net.life_of(life.host) == Some(life) {
                state.now = at;
                break (life, event);
            }
            // Of a life that is over. What it holds may reach for the lock when it is dropped.
            drop(state);
            drop(event);
            state = self.shared.lock();
        };
        state.processed += 1;
        let has_work = match event {
            Event::Net(event) => state.deliver(event),
            Event::Wake(waker) => {
                state.trace(format_args!("timer {}", life.host));
                state.woken.push(waker);
                true
            }
            Event::Job(job) => {
                state.trace(format_args!("job {}", life.host));
                drop(state);
                job();
                self.run_host(life.host);
                return true;
            }
        };
        std::mem::swap(&mut state.woken, &mut self.woken);
        drop(state);
        self.woken.drain(..).for_each(Waker::wake);
        if has_work {
            self.run_host(life.host);
        }
        true
    }

    /// Lets a host run until all its tasks wait.
    fn run_host(&mut self, host: usize) {
        let Some(Host { runtime: Some(runtime), idle, .. }) = self.hosts.get(host) else { return };
        runtime.block_on(idle.wait());
    }
}

impl Drop for World {
    /// Ends all hosts; events that are still to come hold the world that holds them.
    fn drop(&mut self) {
        self.hosts.clear();
        let events = std::mem::take(&mut self.shared.lock().queue);
        drop(events);
    }
}
