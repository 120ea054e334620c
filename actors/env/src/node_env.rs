//! [`NodeEnv`]: everything that a node receives, in one handle.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bittorrent::Time;
use ractor::{ActorRef, Message};
use rand::rngs::{SmallRng, StdRng};
use rand::{RngCore, SeedableRng};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use crate::disk::{Disk, DiskLane, FileSystem};
use crate::live::{Live, LiveCounts};
use crate::net::Net;
use crate::task::{Task, Timer};

/// A future that ends when its moment has come.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Monotonic time, wall time and timers.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Now, since the host started.
    fn now(&self) -> Time;
    /// Wall time in milliseconds since 1970-01-01 UTC; for records, never for decisions.
    fn unix_ms(&self) -> u64;
    /// Ends at `deadline`, at once if it has passed.
    fn sleep_until(&self, deadline: Time) -> Sleep;
}

/// Threads for work that would block an async thread for longer than 500 µs.
pub trait Compute: Send + Sync + fmt::Debug {
    /// How many jobs can run at once; at least 1.
    fn parallelism(&self) -> usize;
    /// Runs `job` on one of the threads.
    fn submit(&self, job: Box<dyn FnOnce() + Send>);
}

/// The pool that should have done a job ended before it was done: the host is going down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the host is shutting down")]
pub struct Gone;

/// What a [`NodeEnv`] is made of.
#[derive(Debug)]
pub struct Parts {
    /// Time and timers.
    pub clock: Arc<dyn Clock>,
    /// Sockets and names.
    pub net: Arc<dyn Net>,
    /// Files.
    pub disk: Arc<dyn Disk>,
    /// Threads for hashing.
    pub compute: Arc<dyn Compute>,
    /// From which all chance of the node follows.
    pub seed: u64,
    /// Whether keys come from `seed` too (simulation) or from the operating system.
    pub seeded_secrets: bool,
}

/// The world as a node sees it. Clones are handles of the same world.
#[derive(Clone)]
pub struct NodeEnv {
    shared: Arc<Shared>,
}

struct Shared {
    parts: Parts,
    draws: AtomicU64,
    live: LiveCounts,
}

impl fmt::Debug for NodeEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeEnv").field("parts", &self.shared.parts).finish_non_exhaustive()
    }
}

impl NodeEnv {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let shared = Shared { parts, draws: AtomicU64::new(0), live: LiveCounts::default() };
        Self { shared: Arc::new(shared) }
    }

    /// Now, since the host started.
    #[must_use]
    pub fn now(&self) -> Time {
        self.shared.parts.clock.now()
    }

    /// Wall time in milliseconds since 1970-01-01 UTC; for records, never for decisions.
    #[must_use]
    pub fn unix_ms(&self) -> u64 {
        self.shared.parts.clock.unix_ms()
    }

    /// Ends after `duration`.
    #[must_use]
    pub fn sleep(&self, duration: Duration) -> Sleep {
        self.sleep_until(self.now() + duration)
    }

    /// Ends at `deadline`, at once if it has passed.
    #[must_use]
    pub fn sleep_until(&self, deadline: Time) -> Sleep {
        self.shared.parts.clock.sleep_until(deadline)
    }

    /// The output of `work`, or `None` when `limit` passed first; `work` is dropped then.
    pub async fn timeout<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = T> + Send,
    ) -> Option<T> {
        let mut sleep = self.sleep(limit);
        let mut work = std::pin::pin!(work);
        std::future::poll_fn(|cx| {
            if let std::task::Poll::Ready(output) = work.as_mut().poll(cx) {
                return std::task::Poll::Ready(Some(output));
            }
            sleep.as_mut().poll(cx).map(|()| None)
        })
        .await
    }

    /// A generator of its own for one component; equal seeds and equal order of calls give equal draws.
    #[must_use]
    pub fn rng(&self, component: &str) -> SmallRng {
        SmallRng::seed_from_u64(self.draw(component))
    }

    /// A generator for keys: the operating system's entropy on a real host.
    #[must_use]
    pub fn secrets(&self) -> StdRng {
        if self.shared.parts.seeded_secrets {
            return StdRng::seed_from_u64(self.draw("secrets"));
        }
        StdRng::from_os_rng()
    }

    fn draw(&self, component: &str) -> u64 {
        let nth = self.shared.draws.fetch_add(1, Ordering::Relaxed);
        let digest = Sha256::new()
            .chain_update(self.shared.parts.seed.to_le_bytes())
            .chain_update(nth.to_le_bytes())
            .chain_update(component)
            .finalize();
        let mut seed = [0; 8];
        seed.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        u64::from_le_bytes(seed)
    }

    /// Sockets and names.
    #[must_use]
    pub fn net(&self) -> &Arc<dyn Net> {
        &self.shared.parts.net
    }

    /// Runs `job` on a disk thread.
    ///
    /// # Errors
    ///
    /// [`Gone`] when the host goes down before the job is done.
    pub async fn disk<T: Send + 'static>(
        &self,
        lane: DiskLane,
        job: impl FnOnce(&dyn FileSystem) -> T + Send + 'static,
    ) -> Result<T, Gone> {
        let (done, result) = oneshot::channel();
        self.shared.parts.disk.submit(
            lane,
            Box::new(move |files| {
                // The one who asked may have gone; then nobody wants the result.
                let _ = done.send(job(files));
            }),
        );
        result.await.map_err(|_| Gone)
    }

    /// Runs `job` on a computing thread.
    ///
    /// # Errors
    ///
    /// [`Gone`] when the host goes down before the job is done.
    pub async fn compute<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Gone> {
        let (done, result) = oneshot::channel();
        self.shared.parts.compute.submit(Box::new(move || {
            let _ = done.send(job());
        }));
        result.await.map_err(|_| Gone)
    }

    /// How many computing jobs can run at once.
    #[must_use]
    pub fn parallelism(&self) -> usize {
        self.shared.parts.compute.parallelism()
    }

    /// Starts a task that ends when its handle is dropped. `kind` names it in [`NodeEnv::live`].
    #[must_use = "dropping the handle ends the task"]
    pub fn spawn<T: Send + 'static>(
        &self,
        kind: &'static str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Task<T> {
        Task::spawn(self.count(kind), work)
    }

    /// Tells `actor` the message after `delay`, unless the timer is dropped before.
    #[must_use = "dropping the timer cancels it"]
    pub fn send_after<M: Message>(
        &self,
        delay: Duration,
        actor: &ActorRef<M>,
        message: M,
    ) -> Timer {
        let sleep = self.sleep(delay);
        let actor = actor.clone();
        self.spawn("timer", async move {
            sleep.await;
            // An actor that has stopped needs no reminder.
            let _ = actor.cast(message);
        })
    }

    /// Counts one more of `kind` until the guard is dropped: how tests see that nothing was left behind.
    #[must_use]
    pub fn count(&self, kind: &'static str) -> Live {
        self.shared.live.count(kind)
    }

    /// How many of each kind live now; kinds with none are left out.
    #[must_use]
    pub fn live(&self) -> std::collections::BTreeMap<&'static str, usize> {
        self.shared.live.snapshot()
    }

    /// Fills `bytes` with chance for a name (a peer id, a request id).
    pub fn fill(&self, component: &str, bytes: &mut [u8]) {
        self.rng(component).fill_bytes(bytes);
    }
}
