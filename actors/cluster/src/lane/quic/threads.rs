//! Threads for bulk alone.
//!
//! Encrypting and packing bulk keeps a core busy. On the threads of the other tasks a call would wait behind it for
//! milliseconds (measured: 3.2 ms for 0.06); on threads of its own the system lets the call's thread through.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, TokioRuntime};
use tokio::runtime::Handle;

/// Threads on which QUIC works for bulk connections. They end when this is dropped, and the connections with them.
pub struct BulkThreads {
    runtime: Option<tokio::runtime::Runtime>,
    handle: Handle,
}

impl fmt::Debug for BulkThreads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BulkThreads").finish_non_exhaustive()
    }
}

impl BulkThreads {
    /// Starts so many threads, at least one. QUIC drives each connection in one task, so more than there are
    /// busy connections do not help.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub fn start(threads: usize) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("bulk")
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        Ok(Self { runtime: Some(runtime), handle })
    }

    pub(super) fn runtime(&self) -> Arc<dyn Runtime> {
        Arc::new(OnThreads(self.handle.clone()))
    }
}

impl Drop for BulkThreads {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting for the threads would block whoever drops this, who may be a task.
            runtime.shutdown_background();
        }
    }
}

/// What QUIC runs on, wherever it is called from.
#[derive(Debug)]
struct OnThreads(Handle);

impl Runtime for OnThreads {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        let _inside = self.0.enter();
        TokioRuntime.new_timer(at)
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        drop(self.0.spawn(future));
    }

    #[expect(clippy::disallowed_types, reason = "quinn drives a socket of the system itself")]
    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let _inside = self.0.enter();
        TokioRuntime.wrap_udp_socket(socket)
    }
}
