//! The listener, its connections, and their end.
//!
//! The gateway is an edge of real sockets that no simulation runs, so sockets, tasks and the wall clock
//! are taken from tokio and std here, and only here. Every connection is a task of [`Gateway::serve`],
//! which awaits them all.
//!
//! Bounds: [`CONNECTIONS_MAX`] connections (others wait in the listener's backlog), [`HEADER_TIMEOUT`] for
//! a request's header and between two requests, [`HEADER_LEN_MAX`] and [`HEADERS_MAX`] for its size,
//! [`DRAIN_TIMEOUT`] for the end. Bodies have theirs in `body`.
//!
//! HTTP/1.1 only: without TLS no browser speaks HTTP/2.

#![expect(clippy::disallowed_types, reason = "the gateway is an edge of real sockets")]

use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cluster_config::GatewayConfig;
use control::Engine;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tracing::{debug, info, warn};

use crate::api::Context;
use crate::deadline::within;
use crate::guard::Guard;
use crate::service::Service;

/// Connections at once.
const CONNECTIONS_MAX: usize = 1024;

/// How long a client may take to send the header of a request, and be silent before the next.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of a request's line and header.
const HEADER_LEN_MAX: usize = 16 << 10;

/// Fields of a request's header.
const HEADERS_MAX: usize = 64;

/// Bytes that a connection buffers in each direction.
const BUFFER_LEN_MAX: usize = 64 << 10;

/// How long answers that were begun may take when the gateway ends.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait for a connection to end when the system has no descriptor for a new one.
const ACCEPT_RETRY: Duration = Duration::from_secs(1);

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address of `gateway.listen` is taken, or is none of this machine.
    #[error("cannot listen at {address} (gateway.listen)")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// The HTTP interface of an engine.
pub struct Gateway {
    listener: TcpListener,
    address: SocketAddr,
    service: Service,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Gateway {
    /// Listens at the configured address; nobody is answered before [`serve`](Self::serve).
    ///
    /// # Errors
    ///
    /// The address cannot be listened at.
    pub async fn bind(config: &GatewayConfig, engine: Arc<dyn Engine>) -> Result<Self, Error> {
        let fails = |source| Error::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(fails)?;
        let address = listener.local_addr().map_err(fails)?;
        if !address.ip().is_loopback() {
            warn!(%address, "the gateway asks for no password: all who reach it may use it");
        }
        let (upload, json) =
            (config.upload_body_limit.as_usize(), config.json_body_limit.as_usize());
        let context = Context::new(engine, upload, json);
        let service = Service::new(context, Guard::new(&config.allowed_hosts), started_ms());
        Ok(Self { listener, address, service })
    }

    /// The address that it listens at, with the port that the system chose if the configuration has 0.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests until `shutdown` comes; then accepts no more, lets answers that were begun end
    /// within 10 s, and cuts the others.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) {
        info!(address = %self.address, "gateway listens");
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(ended) = connections.join_next() => note(ended),
                accepted = accept(&self.listener, &slots) => match accepted {
                    Ok((stream, slot)) => {
                        let service = self.service.clone();
                        connections.spawn(serve_one(stream, service, graceful.watcher(), slot));
                    }
                    Err(error) => {
                        warn!(%error, "cannot accept a connection");
                        pause(&mut connections).await;
                    }
                },
            }
        }
        drop(self.listener);
        if within(DRAIN_TIMEOUT, graceful.shutdown()).await.is_none() {
            warn!(connections = connections.len(), "answers are cut, they did not end in time");
        }
        connections.shutdown().await;
        info!("gateway ended");
    }
}

/// Takes the next connection, if there may be one more.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    // Without it, answers are late rather than wrong.
    let _ = stream.set_nodelay(true);
    Ok((stream, slot))
}

/// Waits until a connection has ended and given its descriptor back, or for a while.
async fn pause(connections: &mut JoinSet<()>) {
    let one_ends = async {
        match connections.join_next().await {
            Some(ended) => note(ended),
            None => pending().await,
        }
    };
    within(ACCEPT_RETRY, one_ends).await;
}

/// Answers the requests of one connection, one after the other.
async fn serve_one(
    stream: TcpStream,
    service: Service,
    watcher: Watcher,
    _slot: OwnedSemaphorePermit,
) {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_header_size(HEADER_LEN_MAX)
        .max_headers(HEADERS_MAX)
        .max_buf_size(BUFFER_LEN_MAX);
    let answer = service_fn(move |request| service.clone().answer(request));
    let connection = builder.serve_connection(TokioIo::new(stream), answer);
    if let Err(error) = watcher.watch(connection).await {
        debug!(%error, "a connection broke off");
    }
}

fn note(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection's task panicked");
    }
}

#[expect(clippy::disallowed_methods, reason = "request ids of two runs must differ")]
fn started_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(0)
}
