//! Lanes over QUIC, with certificates of the cluster's authority on both ends.
//!
//! A node has two sockets: one for control lanes ([`QuicTransport`]) and one for bulk ([`QuicBulk`]), so that bulk
//! never stands before a call in a queue, in flight or on a thread ([`BulkThreads`]). Why the limits and windows are
//! what they are: [`tuning`].

mod bulk;
mod identity;
mod threads;
pub mod tuning;

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use control::NodeName;
use quinn::{ConnectionError, Endpoint, VarInt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::hello::{CONTROL_PROTOCOL, Refusal};
use super::transport::{Connection, Incoming, Link, OpenError, Transport};

pub use bulk::QuicBulk;
pub use identity::{Credentials, CredentialsError};
pub use threads::BulkThreads;
pub use tuning::{BulkTuning, ControlTuning};

/// The most connections of one socket.
pub const CONNECTIONS_MAX: usize = 1024;
/// The most handshakes at once that others began; more wait, and [`tuning::INCOMING_MAX`] of them at most.
pub const HANDSHAKES_MAX: usize = 128;

/// Control lanes over QUIC.
#[derive(Debug)]
pub struct QuicTransport {
    socket: Socket,
}

/// A socket with its configuration for dialling.
#[derive(Debug)]
struct Socket {
    endpoint: Endpoint,
    client: quinn::ClientConfig,
    local: SocketAddr,
    handshakes: Arc<Semaphore>,
}

/// What a socket is for.
struct Settings {
    protocol: &'static [u8],
    transport: quinn::TransportConfig,
    mtu: u16,
    runtime: Arc<dyn quinn::Runtime>,
}

impl QuicTransport {
    /// Listens at an address; port 0 takes a free one. To be called, and used, inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// The address cannot be listened at, or the credentials cannot be used.
    pub fn bind(
        credentials: &Credentials,
        tuning: &ControlTuning,
        at: SocketAddr,
    ) -> std::io::Result<Self> {
        let settings = Settings {
            protocol: CONTROL_PROTOCOL,
            transport: tuning.transport(),
            mtu: tuning::MTU,
            runtime: Arc::new(quinn::TokioRuntime),
        };
        let socket = Socket::bind(credentials, settings, at)?;
        Ok(Self { socket })
    }

    /// Ends all connections, and waits for no answer.
    pub fn close(&self) {
        self.socket.endpoint.close(VarInt::from_u32(0), &[]);
    }
}

impl Socket {
    fn bind(
        credentials: &Credentials,
        settings: Settings,
        at: SocketAddr,
    ) -> std::io::Result<Self> {
        let Settings { protocol, transport, mtu, runtime } = settings;
        let transport = Arc::new(transport);
        let mut client = credentials.client(protocol).map_err(std::io::Error::other)?;
        client.transport_config(Arc::clone(&transport));
        let mut server = credentials.server(protocol).map_err(std::io::Error::other)?;
        server.transport_config(transport).max_incoming(tuning::INCOMING_MAX).migration(false);
        server
            .incoming_buffer_size(tuning::INCOMING_LEN_MAX)
            .incoming_buffer_size_total(tuning::INCOMING_TOTAL_LEN_MAX);
        let (socket, config) = (tuning::socket(at)?, tuning::endpoint(mtu)?);
        let endpoint = Endpoint::new(config, Some(server), socket, runtime)?;
        let local = endpoint.local_addr()?;
        Ok(Self { endpoint, client, local, handshakes: Arc::new(Semaphore::new(HANDSHAKES_MAX)) })
    }

    async fn dial(
        &self,
        node: &NodeName,
        at: SocketAddr,
    ) -> Result<(quinn::Connection, NodeName), OpenError> {
        let connecting = self.endpoint.connect_with(self.client.clone(), at, node.as_str());
        let connection = connecting.map_err(|_| OpenError::Unreachable)?.await;
        let connection = connection.map_err(|error| open_error(&error))?;
        let certified = identity::certified(&connection)?;
        Ok((connection, certified))
    }

    /// The next one that dials, with leave to shake hands.
    async fn accept(&self) -> Option<(quinn::Incoming, OwnedSemaphorePermit)> {
        loop {
            let permit = Arc::clone(&self.handshakes).acquire_owned().await.ok()?;
            let incoming = self.endpoint.accept().await?;
            if self.endpoint.open_connections() < CONNECTIONS_MAX {
                return Some((incoming, permit));
            }
            incoming.refuse();
        }
    }
}

async fn shake_hands(
    incoming: quinn::Incoming,
) -> Result<(quinn::Connection, NodeName), OpenError> {
    let connection = incoming.await.map_err(|error| open_error(&error))?;
    let certified = identity::certified(&connection)?;
    Ok((connection, certified))
}

fn link(
    connection: quinn::Connection,
    certified: NodeName,
    (writer, reader): (quinn::SendStream, quinn::RecvStream),
) -> Link {
    let (reader, writer) = (Box::new(reader), Box::new(writer));
    Link { certified, reader, writer, connection: Arc::new(QuicConnection(connection)) }
}

#[async_trait]
impl Transport for QuicTransport {
    async fn dial(&self, node: &NodeName, at: SocketAddr) -> Result<Link, OpenError> {
        let (connection, certified) = self.socket.dial(node, at).await?;
        let streams = connection.open_bi().await.map_err(|error| open_error(&error))?;
        Ok(link(connection, certified, streams))
    }

    async fn accept(&self) -> Option<Incoming> {
        let (incoming, permit) = self.socket.accept().await?;
        Some(Box::pin(async move {
            let _permit = permit;
            let (connection, certified) = shake_hands(incoming).await?;
            let streams = connection.accept_bi().await.map_err(|error| open_error(&error))?;
            Ok(link(connection, certified, streams))
        }))
    }

    fn local_addr(&self) -> SocketAddr {
        self.socket.local
    }
}

#[derive(Debug)]
struct QuicConnection(quinn::Connection);

impl Connection for QuicConnection {
    fn close(&self, why: Option<Refusal>) {
        self.0.close(VarInt::from_u32(code_of(why)), &[]);
    }

    fn ended(&self) -> Option<OpenError> {
        self.0.close_reason().as_ref().map(open_error)
    }
}

/// The number with which a connection is closed.
const fn code_of(why: Option<Refusal>) -> u32 {
    match why {
        None => 0,
        Some(Refusal::WrongName) => 1,
        Some(Refusal::Version) => 2,
        Some(Refusal::Malformed) => 3,
        Some(Refusal::Busy) => 4,
    }
}

/// What a connection's end says of why there is no lane.
fn open_error(error: &ConnectionError) -> OpenError {
    match error {
        ConnectionError::VersionMismatch => OpenError::Version,
        ConnectionError::TransportError(error) => of_transport(error.code.into()),
        ConnectionError::ConnectionClosed(close) => of_transport(close.error_code.into()),
        ConnectionError::ApplicationClosed(close) => match close.error_code.into_inner() {
            1 => OpenError::WrongName,
            2 => OpenError::Version,
            3 => OpenError::Malformed,
            4 => OpenError::Busy,
            _ => OpenError::Closed,
        },
        ConnectionError::TimedOut => OpenError::Timeout,
        ConnectionError::Reset | ConnectionError::CidsExhausted => OpenError::Unreachable,
        ConnectionError::LocallyClosed => OpenError::Closed,
    }
}

/// What an error of QUIC itself says (RFC 9000, 20.1): those of TLS are 0x100 and the alert.
fn of_transport(code: u64) -> OpenError {
    const CONNECTION_REFUSED: u64 = 2;
    const BAD_CERTIFICATE: u64 = 0x100 + 42;
    const NO_APPLICATION_PROTOCOL: u64 = 0x100 + 120;
    match code {
        CONNECTION_REFUSED => OpenError::Busy,
        // rustls says so of a name that is not in the certificate, and of a certificate that it cannot read.
        BAD_CERTIFICATE => OpenError::WrongName,
        NO_APPLICATION_PROTOCOL => OpenError::Version,
        0x100..0x200 => OpenError::Certificate,
        _ => OpenError::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_of_tls_are_told_apart() {
        let said = |alert: u64| of_transport(0x100 + alert);
        // certificate_expired, unknown_ca, decrypt_error, certificate_required
        for alert in [45, 48, 51, 116] {
            assert_eq!(said(alert), OpenError::Certificate);
        }
        assert_eq!((said(42), said(120)), (OpenError::WrongName, OpenError::Version));
        assert_eq!(of_transport(2), OpenError::Busy);
    }
}
