//! Where real time and threads come in: the bridge speaks to real brokers, and is never simulated.

use std::future::Future;
use std::time::{Duration, Instant};

use event_log::EventLogError;

/// The time.
#[expect(clippy::disallowed_methods, reason = "the bridge is an edge and is never simulated")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// What `work` leads to, or `None` if that takes longer than `limit`.
#[expect(clippy::disallowed_methods, reason = "the bridge is an edge and is never simulated")]
pub(crate) async fn within<F: Future>(limit: Duration, work: F) -> Option<F::Output> {
    tokio::time::timeout(limit, work).await.ok()
}

/// Lets time pass between two attempts.
pub(crate) async fn pause(time: Duration) {
    within(time, std::future::pending::<()>()).await;
}

/// Makes a call that blocks, on a thread for such.
///
/// # Errors
///
/// [`EventLogError::Unavailable`] if the runtime ends, or the call panicked.
#[expect(clippy::disallowed_methods, reason = "the bridge is an edge and is never simulated")]
pub(crate) async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> T + Send + 'static,
) -> Result<T, EventLogError> {
    let done = tokio::task::spawn_blocking(call).await;
    done.map_err(|_| EventLogError::Unavailable("a call to Kafka did not end".to_owned()))
}
