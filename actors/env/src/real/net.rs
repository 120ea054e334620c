//! The system's sockets, driven by tokio.
#![expect(clippy::disallowed_types, reason = "this is where real sockets come in")]

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, BytesMut};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::ReadBuf;
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use crate::net::{ByteStream, Datagrams, Listener, Net, NetFuture, Stream};

/// Waiting connections that the system keeps for a listener.
const BACKLOG: i32 = 1024;
/// Addresses that are kept of a name.
const ADDRESSES_MAX: usize = 16;

/// Opens real sockets.
#[derive(Debug)]
pub(crate) struct SystemNet;

#[derive(Debug)]
struct TcpByteStream {
    stream: TcpStream,
    local: SocketAddr,
    peer: SocketAddr,
}

#[derive(Debug)]
struct SystemListener {
    listener: TcpListener,
    local: SocketAddr,
}

#[derive(Debug)]
struct SystemDatagrams {
    socket: UdpSocket,
    local: SocketAddr,
}

fn wrap(stream: TcpStream) -> io::Result<Stream> {
    // A block header must not wait for more bytes (Nagle); we write whole runs ourselves.
    stream.set_nodelay(true)?;
    let (local, peer) = (stream.local_addr()?, stream.peer_addr()?);
    Ok(Arc::new(TcpByteStream { stream, local, peer }))
}

fn unspecified_like(address: SocketAddr) -> bool {
    address.ip().is_unspecified()
}

async fn connect(to: SocketAddr, from: Option<IpAddr>) -> io::Result<Stream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    if let Some(from) = from.filter(|from| from.is_ipv4() == to.is_ipv4() && !from.is_unspecified())
    {
        socket.bind(&SocketAddr::new(from, 0).into())?;
    }
    let stream = tokio::net::TcpSocket::from_std_stream(socket.into()).connect(to).await?;
    wrap(stream)
}

fn listen(at: SocketAddr) -> io::Result<Arc<dyn Listener>> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    if at.is_ipv6() {
        // One listener a family, so that both can have the same port.
        socket.set_only_v6(true)?;
    }
    socket.bind(&at.into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from_std(socket.into())?;
    let local = listener.local_addr()?;
    Ok(Arc::new(SystemListener { listener, local }))
}

fn datagrams(at: SocketAddr) -> io::Result<Arc<dyn Datagrams>> {
    let socket = Socket::new(Domain::for_address(at), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if at.is_ipv6() && unspecified_like(at) {
        socket.set_only_v6(true)?;
    }
    socket.bind(&at.into())?;
    let socket = UdpSocket::from_std(socket.into())?;
    let local = socket.local_addr()?;
    Ok(Arc::new(SystemDatagrams { socket, local }))
}

impl Net for SystemNet {
    fn connect(&self, to: SocketAddr, from: Option<IpAddr>) -> NetFuture<'_, Stream> {
        Box::pin(connect(to, from))
    }

    fn listen(&self, at: SocketAddr) -> NetFuture<'_, Arc<dyn Listener>> {
        Box::pin(async move { listen(at) })
    }

    fn datagrams(&self, at: SocketAddr) -> NetFuture<'_, Arc<dyn Datagrams>> {
        Box::pin(async move { datagrams(at) })
    }

    fn resolve(&self, host: &str, port: u16) -> NetFuture<'_, Vec<SocketAddr>> {
        let host = host.to_owned();
        Box::pin(async move {
            let addresses = tokio::net::lookup_host((host.as_str(), port)).await?;
            Ok(addresses.take(ADDRESSES_MAX).collect())
        })
    }
}

impl ByteStream for TcpByteStream {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_read_ready(cx)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_write_ready(cx)
    }

    fn try_read(&self, buf: &mut BytesMut) -> io::Result<usize> {
        let spare = buf.capacity() - buf.len();
        self.stream.try_read_buf(&mut buf.limit(spare))
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.try_write(bytes)
    }

    fn set_read_low_water(&self, _bytes: usize) {}

    fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

impl Listener for SystemListener {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        let (stream, _) = ready!(self.listener.poll_accept(cx))?;
        Poll::Ready(wrap(stream))
    }

    fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

impl Datagrams for SystemDatagrams {
    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let mut buf = ReadBuf::new(buf);
        let from = ready!(self.socket.poll_recv_from(cx, &mut buf))?;
        Poll::Ready(Ok((buf.filled().len(), from)))
    }

    fn try_send(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
        // tokio's try_send_to fails until readiness was seen once; the socket itself knows better.
        SockRef::from(&self.socket).send_to(bytes, &to.into())
    }

    fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn streams_and_datagrams_carry_bytes() {
        let at: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let listener = SystemNet.listen(at).await.unwrap();
        let dialled = SystemNet.connect(listener.local_addr(), None).await.unwrap();
        let accepted = listener.accept().await.unwrap();
        dialled.write_all(b"hello").await.unwrap();
        let mut got = BytesMut::with_capacity(64);
        assert_eq!(accepted.read_some(&mut got).await.unwrap(), 5);
        assert_eq!(&got[..], b"hello");
        drop(dialled);
        assert_eq!(accepted.read_some(&mut got).await.unwrap(), 0);

        let (a, b) =
            (SystemNet.datagrams(at).await.unwrap(), SystemNet.datagrams(at).await.unwrap());
        a.try_send(b"one", b.local_addr()).unwrap();
        let mut buf = [0; 16];
        assert_eq!(b.recv(&mut buf).await.unwrap(), (3, a.local_addr()));
    }
}
