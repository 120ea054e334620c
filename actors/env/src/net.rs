//! The network seam: byte streams, listeners, datagrams and names.
//!
//! A stream is non-blocking and readiness-based, as a socket is: wait until it is readable, then read
//! until it would block, straight into the caller's buffer. One trait object call a system call costs
//! nothing that can be measured.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A boxed future of the network seam.
pub type NetFuture<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;
/// A shared byte stream; closed when the last handle is dropped.
pub type Stream = Arc<dyn ByteStream>;

/// A connected, ordered stream of bytes, such as a TCP connection.
pub trait ByteStream: Send + Sync + fmt::Debug {
    /// Ready when a read may give bytes, the end or an error.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Ready when a write may take bytes or give an error.
    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Reads once into the spare capacity of `buf` (the caller reserves it); 0 is the end of the stream.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when there is nothing now; other kinds end the stream.
    fn try_read(&self, buf: &mut BytesMut) -> io::Result<usize>;
    /// Writes once and tells how many bytes were taken.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when there is no room now; other kinds end the stream.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;
    /// Asks to be readable only when `bytes` are there (a hint, `SO_RCVLOWAT`).
    fn set_read_low_water(&self, bytes: usize);
    /// The other end.
    fn peer_addr(&self) -> SocketAddr;
    /// This end.
    fn local_addr(&self) -> SocketAddr;
}

impl dyn ByteStream {
    /// Waits until a read may give something.
    ///
    /// # Errors
    ///
    /// The stream has failed.
    pub async fn readable(&self) -> io::Result<()> {
        poll_fn(|cx| self.poll_readable(cx)).await
    }

    /// Waits until a write may take something.
    ///
    /// # Errors
    ///
    /// The stream has failed.
    pub async fn writable(&self) -> io::Result<()> {
        poll_fn(|cx| self.poll_writable(cx)).await
    }

    /// Waits for bytes and appends what is there to `buf`, at most its spare capacity; 0 is the end.
    ///
    /// # Errors
    ///
    /// The stream has failed.
    pub async fn read_some(&self, buf: &mut BytesMut) -> io::Result<usize> {
        loop {
            self.readable().await?;
            match self.try_read(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    ///
    /// The stream has failed; some bytes may have been sent.
    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.writable().await?;
            match self.try_write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Accepts streams.
pub trait Listener: Send + Sync + fmt::Debug {
    /// The next incoming stream.
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Stream>>;
    /// Where it listens.
    fn local_addr(&self) -> SocketAddr;
}

impl dyn Listener {
    /// Waits for the next incoming stream.
    ///
    /// # Errors
    ///
    /// One stream could not be accepted, or no more can (such as no file descriptor left).
    pub async fn accept(&self) -> io::Result<Stream> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }
}

/// Sends and receives datagrams.
pub trait Datagrams: Send + Sync + fmt::Debug {
    /// The next datagram into `buf`, cut to its length: how many bytes, and from whom.
    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>>;
    /// Sends one datagram now.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when there is no room: a datagram may be lost, so callers may drop it.
    fn try_send(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize>;
    /// Where it is bound.
    fn local_addr(&self) -> SocketAddr;
}

impl dyn Datagrams {
    /// Waits for the next datagram.
    ///
    /// # Errors
    ///
    /// The socket has failed, or an earlier datagram was refused by its receiver.
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        poll_fn(|cx| self.poll_recv(cx, buf)).await
    }
}

/// Opens sockets and resolves names.
pub trait Net: Send + Sync + fmt::Debug {
    /// Connects a stream; `from` is the local address to use, if it matters.
    fn connect(&self, to: SocketAddr, from: Option<std::net::IpAddr>) -> NetFuture<'_, Stream>;
    /// Listens; port 0 takes a free one.
    fn listen(&self, at: SocketAddr) -> NetFuture<'_, Arc<dyn Listener>>;
    /// Opens a datagram socket; port 0 takes a free one.
    fn datagrams(&self, at: SocketAddr) -> NetFuture<'_, Arc<dyn Datagrams>>;
    /// The addresses of a host name, at most 16.
    fn resolve(&self, host: &str, port: u16) -> NetFuture<'_, Vec<SocketAddr>>;
}

/// A [`Stream`] for libraries that speak tokio's traits (TLS, HTTP).
#[derive(Debug)]
pub struct AsyncStream {
    stream: Stream,
    received: BytesMut,
}

impl AsyncStream {
    /// Read buffer: no library here asks for more at once.
    const READ_LEN: usize = 16 * 1024;

    /// Wraps a stream.
    #[must_use]
    pub fn new(stream: Stream) -> Self {
        Self { stream, received: BytesMut::new() }
    }
}

impl AsyncRead for AsyncStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.received.is_empty() {
            ready!(this.stream.poll_readable(cx))?;
            this.received.reserve(Self::READ_LEN);
            match this.stream.try_read(&mut this.received) {
                Ok(0) => return Poll::Ready(Ok(())),
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    return Poll::Ready(Err(error));
                }
                _ => {}
            }
        }
        let taken = this.received.len().min(buf.remaining());
        buf.put_slice(&this.received.split_to(taken));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for AsyncStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_writable(cx))?;
            match self.stream.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
