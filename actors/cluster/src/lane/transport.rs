//! What lanes run over: a connection to a node that has shown its certificate.
//!
//! [`Transport`] has two implementations, which one suite examines: QUIC ([`super::quic`]) and a twin on the
//! streams of [`env::net`] ([`super::twin`]), which a simulation can replay.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use control::NodeName;
use tokio::io::{AsyncRead, AsyncWrite};

use super::hello::Refusal;
use super::metrics::Count;

/// The receiving half of a connection's stream.
pub type Reader = Box<dyn AsyncRead + Send + Unpin>;
/// The sending half of a connection's stream.
pub type Writer = Box<dyn AsyncWrite + Send + Unpin>;
/// A connection that somebody else dialled, while hands are shaken.
pub type Incoming = Pin<Box<dyn Future<Output = Result<Link, OpenError>> + Send>>;

/// Opens connections for control lanes.
#[async_trait]
pub trait Transport: Send + Sync + fmt::Debug {
    /// Connects to a node and makes sure by its certificate that it is this one.
    async fn dial(&self, node: &NodeName, at: SocketAddr) -> Result<Link, OpenError>;
    /// The next connection that somebody else dials, to be awaited in a task of its own: a slow handshake must
    /// keep nobody else out. None when there will be no more.
    async fn accept(&self) -> Option<Incoming>;
    /// Where it is dialled.
    fn local_addr(&self) -> SocketAddr;
}

/// A connection to a node, with the one stream of a control lane.
pub struct Link {
    /// The name in the other end's certificate.
    pub certified: NodeName,
    /// What comes.
    pub reader: Reader,
    /// What goes.
    pub writer: Writer,
    /// The connection; it ends with the last handle.
    pub connection: Arc<dyn Connection>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("certified", &self.certified).finish_non_exhaustive()
    }
}

/// What a stream runs over.
pub trait Connection: Send + Sync + fmt::Debug {
    /// Ends it now; what was not sent is lost. The other end is told why if the transport can.
    fn close(&self, why: Option<Refusal>);
    /// Why it ended, if it did and that is known.
    fn ended(&self) -> Option<OpenError>;
}

/// Why there is no lane to a node. None of these tells a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum OpenError {
    /// Nothing answers there, or the connection broke.
    #[error("the node cannot be reached")]
    Unreachable,
    /// It took too long, or nothing was heard for the idle timeout.
    #[error("the node does not answer in time")]
    Timeout,
    /// One end has no certificate of the cluster's authority, or one that does not hold now.
    #[error("a certificate is missing, of another authority, or not valid now")]
    Certificate,
    /// The certificate is another node's than the one that was dialled or that the greeting names.
    #[error("the certificate is another node's")]
    WrongName,
    /// The versions do not go together.
    #[error("the versions of the nodes do not go together")]
    Version,
    /// The other end does not speak as a node does.
    #[error("the other end does not speak the protocol")]
    Malformed,
    /// There are as many lanes or handshakes as there may be.
    #[error("there is no room for another lane")]
    Busy,
    /// The other end closed the connection without saying why.
    #[error("the other end closed the connection")]
    Closed,
}

impl From<Refusal> for OpenError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::WrongName => Self::WrongName,
            Refusal::Version => Self::Version,
            Refusal::Malformed => Self::Malformed,
            Refusal::Busy => Self::Busy,
        }
    }
}

/// How opening lanes went, since the node began.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[expect(
    missing_docs,
    reason = "each but the first is named after the variant of OpenError it counts"
)]
pub struct OpenMetrics {
    /// Lanes that stood.
    pub opened: u64,
    pub unreachable: u64,
    pub timeout: u64,
    pub certificate: u64,
    pub wrong_name: u64,
    pub version: u64,
    pub malformed: u64,
    pub busy: u64,
    pub closed: u64,
}

/// The counts of [`OpenMetrics`] while they grow.
#[derive(Debug, Default)]
pub(super) struct OpenCounts {
    opened: Count,
    failed: [Count; 8],
}

impl OpenCounts {
    pub(super) fn note<T>(&self, result: &Result<T, OpenError>) {
        let count = match result {
            Ok(_) => Some(&self.opened),
            Err(error) => self.failed.get(*error as usize),
        };
        if let Some(count) = count {
            count.add(1);
        }
    }

    pub(super) fn get(&self) -> OpenMetrics {
        let [unreachable, timeout, certificate, wrong_name, version, malformed, busy, closed] =
            self.failed.each_ref().map(Count::get);
        OpenMetrics {
            opened: self.opened.get(),
            unreachable,
            timeout,
            certificate,
            wrong_name,
            version,
            malformed,
            busy,
            closed,
        }
    }
}
