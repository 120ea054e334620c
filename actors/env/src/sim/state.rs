//! What all simulated hosts share: the moment, the events to come, the network and the trace.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bittorrent::Time;

use super::net::NetState;
use super::queue::{Event, EventKey, Queue};
use super::seen::Seen;
use super::trace::Trace;

/// Which life of which host: timers and jobs of an earlier life are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Life {
    pub(super) host: usize,
    pub(super) incarnation: u32,
}

/// The shared state of a world; locked only between the steps of one thread.
pub(super) struct Shared {
    state: Mutex<State>,
}

pub(super) struct State {
    pub(super) now: Time,
    pub(super) queue: Queue,
    pub(super) net: NetState,
    pub(super) trace: Trace,
    /// What was seen and not yet taken; `None` while nobody watches.
    pub(super) seen: Option<Vec<Seen>>,
    /// Who is to be woken when the lock is given back.
    pub(super) woken: Vec<Waker>,
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
            queue: Queue::default(),
            net,
            trace: Trace::default(),
            seen: None,
            woken: Vec::new(),
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
        self.queue.push(at.max(self.now), life, event)
    }

    /// Adds a line to the trace: the moment, then what happened.
    pub(super) fn trace(&mut self, what: fmt::Arguments<'_>) {
        self.trace.line(self.now, what);
    }

    /// Tells the observer, if there is one.
    pub(super) fn see(&mut self, what: impl FnOnce() -> Seen) {
        if let Some(seen) = &mut self.seen {
            seen.push(what());
        }
    }
}
