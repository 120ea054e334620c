//! The twin of the QUIC transport on the streams of [`env::net`], for simulations.
//!
//! It does what lanes lean on, and nothing more: both ends show what they are certified as before anything else
//! is said ([`Identity`] stands for a certificate), the name and major version of the protocol must agree, and an
//! end that hears nothing for the idle timeout takes the other for lost, which it hears of by keep-alives.
//! Nothing is encrypted: it is no transport for a real network.

mod bulk;
mod chunks;

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, BufMut, BytesMut};
use control::NodeName;
use env::net::{AsyncStream, Listener, Stream};
use env::{NodeEnv, Task};
use serde::{Deserialize, Serialize};
use tokio::io::DuplexStream;

use super::frame;
use super::hello::{BULK_PROTOCOL, CONTROL_PROTOCOL, HELLO_LEN_MAX, Refusal};
use super::transport::{Connection, Incoming, Link, OpenError, Transport};
pub use bulk::TwinBulk;
use chunks::End;

/// What is held of a stream's bytes on each way between lane and network.
const PIPE_LEN: usize = 64 * 1024;

/// What an end is certified as, in place of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Who certified it.
    pub authority: u64,
    /// As whom; none stands for no certificate.
    pub name: Option<NodeName>,
}

/// How a twin behaves.
#[derive(Debug, Clone)]
pub struct TwinConfig {
    /// What it shows of itself.
    pub identity: Identity,
    /// Name and major version of its protocol.
    pub protocol: Vec<u8>,
    /// After this time without a byte the other end is lost.
    pub idle: Duration,
    /// After this time without anything to say, it says that it is there.
    pub keep_alive: Duration,
}

impl TwinConfig {
    /// As control lanes are: 1.2 s and 0.3 s.
    #[must_use]
    pub fn control(authority: u64, name: NodeName) -> Self {
        Self {
            identity: Identity { authority, name: Some(name) },
            protocol: CONTROL_PROTOCOL.to_vec(),
            idle: super::IDLE_TIMEOUT,
            keep_alive: super::KEEP_ALIVE,
        }
    }

    /// As bulk connections are: 10 s and 2 s.
    #[must_use]
    pub fn bulk(authority: u64, name: NodeName) -> Self {
        Self {
            identity: Identity { authority, name: Some(name) },
            protocol: BULK_PROTOCOL.to_vec(),
            idle: super::bulk::IDLE_TIMEOUT,
            keep_alive: super::bulk::KEEP_ALIVE,
        }
    }
}

/// Opens simulated connections.
#[derive(Debug)]
pub struct TwinTransport {
    shared: Arc<Shared>,
    listener: Arc<dyn Listener>,
}

#[derive(Debug)]
struct Shared {
    env: NodeEnv,
    config: TwinConfig,
}

/// The first thing that each end says.
#[derive(Debug, Serialize, Deserialize)]
struct Shown {
    protocol: Vec<u8>,
    identity: Identity,
}

/// What the dialled end says of it: its own, or what is wrong.
#[derive(Debug, Serialize, Deserialize)]
enum Judged {
    Shown(Shown),
    Protocol,
    Certificate,
}

async fn listen(
    env: &NodeEnv,
    config: TwinConfig,
    at: SocketAddr,
) -> std::io::Result<(Arc<Shared>, Arc<dyn Listener>)> {
    let listener = env.net().listen(at).await?;
    Ok((Arc::new(Shared { env: env.clone(), config }), listener))
}

impl TwinTransport {
    /// Listens at an address; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// The address cannot be listened at.
    pub async fn listen(
        env: &NodeEnv,
        config: TwinConfig,
        at: SocketAddr,
    ) -> std::io::Result<Self> {
        let (shared, listener) = listen(env, config, at).await?;
        Ok(Self { shared, listener })
    }
}

#[async_trait]
impl Transport for TwinTransport {
    async fn dial(&self, node: &NodeName, at: SocketAddr) -> Result<Link, OpenError> {
        self.shared.dial(node, at).await
    }

    async fn accept(&self) -> Option<Incoming> {
        let stream = self.listener.accept().await.ok()?;
        let shared = Arc::clone(&self.shared);
        Some(Box::pin(async move { shared.answer(stream).await }))
    }

    fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }
}

impl Shared {
    fn shown(&self) -> Shown {
        let TwinConfig { protocol, identity, .. } = &self.config;
        Shown { protocol: protocol.clone(), identity: identity.clone() }
    }

    async fn dial(&self, node: &NodeName, at: SocketAddr) -> Result<Link, OpenError> {
        let Self { env, config } = self;
        let stream = env.net().connect(at, None).await.map_err(|_| OpenError::Unreachable)?;
        write(&stream, &self.shown()).await?;
        let mut come = BytesMut::new();
        let theirs = match read(&stream, &mut come).await? {
            Judged::Shown(theirs) => theirs,
            Judged::Protocol => return Err(OpenError::Version),
            Judged::Certificate => return Err(OpenError::Certificate),
        };
        if theirs.identity.authority != config.identity.authority {
            return Err(OpenError::Certificate);
        }
        let certified = theirs.identity.name.ok_or(OpenError::Certificate)?;
        if certified != *node {
            return Err(OpenError::WrongName);
        }
        Ok(self.link(stream, come, certified))
    }

    async fn answer(&self, stream: Stream) -> Result<Link, OpenError> {
        let mut come = BytesMut::new();
        let theirs: Shown = read(&stream, &mut come).await?;
        let (judged, error) = if theirs.protocol != self.config.protocol {
            (Judged::Protocol, OpenError::Version)
        } else if theirs.identity.authority != self.config.identity.authority {
            (Judged::Certificate, OpenError::Certificate)
        } else if let Some(certified) = theirs.identity.name {
            write(&stream, &Judged::Shown(self.shown())).await?;
            return Ok(self.link(stream, come, certified));
        } else {
            (Judged::Certificate, OpenError::Certificate)
        };
        write(&stream, &judged).await?;
        Err(error)
    }

    fn link(&self, stream: Stream, come: BytesMut, certified: NodeName) -> Link {
        let (near, far) = tokio::io::duplex(PIPE_LEN);
        let (reader, writer) = tokio::io::split(near);
        let connection = TwinConnection::start(self, &stream, come, far);
        let (reader, writer) = (Box::new(reader), Box::new(writer));
        Link { certified, reader, writer, connection: Arc::new(connection) }
    }
}

/// What stands between a lane and the network.
#[derive(Debug)]
struct TwinConnection {
    task: Mutex<Option<Task<()>>>,
    end: Arc<End>,
}

impl TwinConnection {
    fn start(shared: &Shared, stream: &Stream, come: BytesMut, far: DuplexStream) -> Self {
        let Shared { env, config } = shared;
        let end = Arc::<End>::default();
        let (from_lane, to_lane) = tokio::io::split(far);
        let net = || AsyncStream::new(Arc::clone(stream));
        let send = chunks::send(env.clone(), from_lane, net(), config.keep_alive);
        let receive =
            chunks::receive(env.clone(), come, net(), to_lane, config.idle, Arc::clone(&end));
        // When one way ends, so does the other: the lane sees the end in reading and in writing.
        let both = async move {
            let (mut send, mut receive) = (std::pin::pin!(send), std::pin::pin!(receive));
            poll_fn(|cx| {
                let has_ended =
                    receive.as_mut().poll(cx).is_ready() || send.as_mut().poll(cx).is_ready();
                if has_ended { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        };
        Self { task: Mutex::new(Some(env.spawn("twin", both))), end }
    }
}

impl Connection for TwinConnection {
    fn close(&self, _why: Option<Refusal>) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(task);
    }

    fn ended(&self) -> Option<OpenError> {
        self.end.get()
    }
}

async fn write(stream: &Stream, message: &impl Serialize) -> Result<(), OpenError> {
    let inside = postcard::to_stdvec(message).map_err(|_| OpenError::Malformed)?;
    let mut bytes = BytesMut::new();
    bytes.put_u32(u32::try_from(inside.len()).map_err(|_| OpenError::Malformed)?);
    bytes.put_slice(&inside);
    stream.write_all(&bytes).await.map_err(|_| OpenError::Unreachable)
}

async fn read<T: for<'a> Deserialize<'a>>(
    stream: &Stream,
    come: &mut BytesMut,
) -> Result<T, OpenError> {
    loop {
        if let Some(inside) = frame::peek(come, HELLO_LEN_MAX).map_err(|_| OpenError::Malformed)? {
            let whole = frame::LENGTH_LEN + inside.len();
            let message = postcard::from_bytes(inside).map_err(|_| OpenError::Malformed)?;
            come.advance(whole);
            return Ok(message);
        }
        come.reserve(HELLO_LEN_MAX);
        match stream.read_some(come).await {
            Ok(0) => return Err(OpenError::Closed),
            Ok(_) => {}
            Err(_) => return Err(OpenError::Unreachable),
        }
    }
}
