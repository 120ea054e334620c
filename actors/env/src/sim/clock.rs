//! The simulated clock and computing threads of one life of a host.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bittorrent::Time;

use super::queue::{Event, EventKey};
use super::state::{Life, Shared};
use super::world::World;
use crate::{Clock, Compute, Sleep};

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
        World::BEGIN_UNIX_MS + self.shared.lock().now.as_nanos() / 1_000_000
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
        let this = &mut *self;
        let mut state = this.shared.lock();
        if state.now >= this.deadline {
            return Poll::Ready(());
        }
        match this.key.and_then(|key| state.queue.get_mut(key)) {
            Some(Event::Wake(waker)) => waker.clone_from(cx.waker()),
            _ => {
                let wake = Event::Wake(cx.waker().clone());
                this.key = Some(state.schedule(this.deadline, this.life, wake));
            }
        }
        Poll::Pending
    }
}

impl Drop for SimSleep {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let removed = self.shared.lock().queue.cancel(key);
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
        const TAKES: Duration = Duration::from_micros(50);
        let mut state = self.shared.lock();
        let at = state.now + TAKES;
        state.schedule(at, self.life, Event::Job(job));
    }
}
