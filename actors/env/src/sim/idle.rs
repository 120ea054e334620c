//! Driving a host's runtime until all its tasks wait.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

use tokio::runtime::{Builder, Runtime};

const RUNNING: u8 = 0;
const WAITING: u8 = 1;
const IDLE: u8 = 2;

/// Tells the thread that drives a host that all its tasks wait: tokio calls us before it parks.
#[derive(Debug, Default)]
pub(super) struct IdleSignal {
    state: AtomicU8,
    waker: Mutex<Option<Waker>>,
}

impl IdleSignal {
    fn about_to_park(&self) {
        if self.state.compare_exchange(WAITING, IDLE, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// Ends when all tasks of the runtime wait.
    pub(super) async fn wait(&self) {
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

/// A runtime without timers or sockets that tells `idle` when it has nothing to do.
#[expect(
    clippy::expect_used,
    reason = "a runtime without drivers needs nothing that could be missing"
)]
pub(super) fn build_runtime(idle: &Arc<IdleSignal>) -> Runtime {
    let idle = Arc::clone(idle);
    Builder::new_current_thread()
        .on_thread_park(move || idle.about_to_park())
        .build()
        .expect("a current-thread runtime without drivers")
}
