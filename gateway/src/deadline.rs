//! The bound on how long the gateway waits for anything.

use std::future::Future;
use std::time::Duration;

/// What `work` leads to, or `None` if that takes longer than `limit`.
#[expect(clippy::disallowed_methods, reason = "the gateway is an edge and is never simulated")]
pub(crate) async fn within<F: Future>(limit: Duration, work: F) -> Option<F::Output> {
    tokio::time::timeout(limit, work).await.ok()
}
