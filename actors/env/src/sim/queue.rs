//! What all simulated hosts share: the moment, the events to come and the trace.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bittorrent::Time;
use sha2::{Digest, Sha256};

use super::net::{NetEvent, NetState};
use crate::{Clock, Compute, Sleep};

/// A place in the order of events.
pub(super) type EventKey = (Time, u64);

/// Which life of which host: events of an earlier life are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Life {
    pub(super) host: usize,
    pub(super) incarnation: u32,
}

/// What happens at a moment.
pub(super) enum Event {
    /// A timer of a host is due.
    Wake(Waker),
    /// The result of a disk or computing job arrives.
    Job(Box<dyn FnOnce() + Send>),
    /// Something arrives over the network.
    Net(NetEvent),
}

/// The shared state of a world; locked only between the steps of one thread.
pub(super) struct Shared {
    state: Mutex<State>,
}

pub(super) struct State {
    pub(super) now: Time,
    next: u64,
    pub(super) events: BTreeMap<EventKey, (Life, Event)>,
    pub(super) net: NetState,
    trace: Sha256,
    pub(super) lines: Option<Vec<String>>,
    pub(super) processed: u64,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(net: NetState) -> Arc<Self> {
        let state = State {
            now: Time::ZERO,
            next: 0,
            events: BTreeMap::new(),
            net,
            trace: Sha256::new(),
            lines: None,
            processed: 0,
        };
        Arc::new(Self { state: Mutex::new(state) })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in a simulation ends it; what is locked is only read after that.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    pub(super) fn schedule(&mut self, at: Time, life: Life, event: Event) -> EventKey {
        let key = (at.max(self.now), self.next);
        self.next += 1;
        self.events.insert(key, (life, event));
        key
    }

    /// Adds a line to the trace: the moment, then what happened.
    pub(super) fn trace(&mut self, what: fmt::Arguments<'_>) {
        let line = format!("{} {what}\n", self.now.as_nanos());
        self.trace.update(&line);
        if let Some(lines) = &mut self.lines {
            lines.push(line);
        }
    }

    pub(super) fn trace_hash(&self) -> [u8; 32] {
        self.trace.clone().finalize().into()
    }
}

/// A checksum for the trace (FNV-1a), so that it tells contents apart without holding them.
pub(super) fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The clock of one life of a host.
#[derive(Debug)]
pub(super) struct SimClock {
    pub(super) shared: Arc<Shared>,
    pub(super) life: Life,
    pub(super) started: Time,
}

struct SimSleep {
    shared: Arc<Shared>,
    life: Life,
    deadline: Time,
    key: Option<EventKey>,
}

impl Clock for SimClock {
    fn now(&self) -> Time {
        Time::ZERO + self.shared.lock().now.since(self.started)
    }

    fn unix_ms(&self) -> u64 {
        /// 2026-01-01T00:00:00Z: simulations begin there.
        const BEGIN_MS: u64 = 1_767_225_600_000;
        BEGIN_MS + self.shared.lock().now.as_nanos() / 1_000_000
    }

    fn sleep_until(&self, deadline: Time) -> Sleep {
        let deadline = self.started + deadline.since_start();
        Box::pin(SimSleep {
            shared: Arc::clone(&self.shared),
            life: self.life,
            deadline,
            key: None,
        })
    }
}

impl Future for SimSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        if state.now >= self.deadline {
            return Poll::Ready(());
        }
        let wake = Event::Wake(cx.waker().clone());
        if let Some((_, event)) = self.key.and_then(|key| state.events.get_mut(&key)) {
            *event = wake;
        } else {
            self.key = Some(state.schedule(self.deadline, self.life, wake));
        }
        Poll::Pending
    }
}

impl Drop for SimSleep {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let removed = self.shared.lock().events.remove(&key);
        // Dropping a waker may drop a task: not under the lock.
        drop(removed);
    }
}

/// Computing in a simulation: done at once, known a moment later.
#[derive(Debug)]
pub(super) struct SimCompute {
    pub(super) shared: Arc<Shared>,
    pub(super) life: Life,
}

impl Compute for SimCompute {
    fn parallelism(&self) -> usize {
        1
    }

    fn submit(&self, job: Box<dyn FnOnce() + Send>) {
        /// What a job takes on the simulated clock.
        const TAKES: std::time::Duration = std::time::Duration::from_micros(50);
        let mut state = self.shared.lock();
        let at = state.now + TAKES;
        state.schedule(at, self.life, Event::Job(job));
    }
}
