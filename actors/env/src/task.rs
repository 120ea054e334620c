//! Tasks that have an owner.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::task::JoinHandle;

use crate::live::Live;

/// A task that ends when its handle is dropped. Awaiting it gives its output.
#[derive(Debug)]
#[must_use = "dropping the handle ends the task"]
pub struct Task<T> {
    handle: JoinHandle<T>,
}

/// A reminder that is cancelled when dropped.
pub type Timer = Task<()>;

impl<T: Send + 'static> Task<T> {
    pub(crate) fn spawn(live: Live, work: impl Future<Output = T> + Send + 'static) -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is where tasks get their owner")]
        let handle = tokio::spawn(async move {
            let _live = live;
            work.await
        });
        Self { handle }
    }
}

impl<T> Task<T> {
    /// Whether the task has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

/// `None` when the task panicked or the host is going down.
impl<T> Future for Task<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.handle).poll(cx).map(Result::ok)
    }
}
