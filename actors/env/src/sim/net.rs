//! A simulated network: links with latency and bandwidth, streams, datagrams and cuts.
//!
//! A stream's bytes wait behind the sender's uplink, travel for the latency, and arrive in order; at
//! most [`WINDOW`] bytes of a direction are unread, so a slow reader slows its writer. A cut holds the
//! bytes of streams (they arrive when it heals) and loses datagrams.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bittorrent::Time;
use bytes::{Buf, Bytes, BytesMut};
use tokio::sync::oneshot;

use super::queue::{Event, Life, Shared, State, checksum};
use crate::net::{ByteStream, Datagrams, Listener, Net, NetFuture, Stream};

/// Unread bytes that a direction of a stream holds.
const WINDOW: usize = 256 * 1024;
/// Streams that wait to be accepted.
const BACKLOG: usize = 1024;
/// Datagrams that wait to be received.
const DATAGRAMS_MAX: usize = 1024;
/// The first port that is given out.
const PORT_FIRST: u16 = 40_000;

/// A host's link.
#[derive(Debug, Clone, Copy)]
pub struct LinkConfig {
    /// Time to the middle of the network: a path takes both ends' together.
    pub latency: Duration,
    /// Bytes that leave the host in a second.
    pub up_bytes_per_s: u64,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self { latency: Duration::from_millis(10), up_bytes_per_s: 12_500_000 }
    }
}

/// Something on its way.
pub(super) enum NetEvent {
    /// A connection attempt reaches the listener's host.
    Arrive {
        to: SocketAddr,
        from: SocketAddr,
        dialler: Life,
        reply: oneshot::Sender<io::Result<u64>>,
    },
    /// The answer to an attempt reaches the dialler.
    Answer { reply: oneshot::Sender<io::Result<u64>>, result: io::Result<u64> },
    /// Bytes reach end `side` of a stream.
    Bytes { stream: u64, side: usize, bytes: Bytes },
    /// The end of the other's bytes reaches `side`.
    Fin { stream: u64, side: usize },
    /// The other end's host is gone.
    Reset { stream: u64, side: usize },
    /// News that the other end has read reaches `side`.
    Room { stream: u64, side: usize },
    /// A datagram arrives.
    Datagram { to: SocketAddr, from: SocketAddr, bytes: Bytes },
}

#[derive(Default)]
pub(super) struct NetState {
    hosts: Vec<NetHost>,
    names: BTreeMap<String, IpAddr>,
    listeners: BTreeMap<SocketAddr, Accepting>,
    sockets: BTreeMap<SocketAddr, Receiving>,
    streams: BTreeMap<u64, [Side; 2]>,
    next_stream: u64,
    cuts: BTreeSet<(usize, usize)>,
    held: BTreeMap<(usize, usize), Vec<(Life, NetEvent)>>,
}

struct NetHost {
    ip: IpAddr,
    link: LinkConfig,
    uplink_free: Time,
    life: Option<Life>,
    /// Without power: nobody there who could refuse a connection.
    dark: bool,
    next_port: u16,
}

struct Accepting {
    life: Life,
    waiting: VecDeque<u64>,
    waker: Option<Waker>,
}

struct Receiving {
    life: Life,
    waiting: VecDeque<(Bytes, SocketAddr)>,
    waker: Option<Waker>,
}

/// One end of a stream.
struct Side {
    life: Life,
    addr: SocketAddr,
    unread: VecDeque<Bytes>,
    /// Bytes that this end wrote and the other has not read.
    outstanding: usize,
    /// When the last of what this end sent arrives: later bytes arrive no earlier.
    last_arrival: Time,
    ended: bool,
    reset: bool,
    open: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Side {
    fn new(life: Life, addr: SocketAddr) -> Self {
        Self {
            life,
            addr,
            unread: VecDeque::new(),
            outstanding: 0,
            last_arrival: Time::ZERO,
            ended: false,
            reset: false,
            open: true,
            reader: None,
            writer: None,
        }
    }

    fn wakers(&mut self) -> Vec<Waker> {
        self.reader.take().into_iter().chain(self.writer.take()).collect()
    }
}

impl NetState {
    pub(super) fn add_host(&mut self, name: &str, ip: IpAddr, link: LinkConfig) {
        self.names.insert(name.to_owned(), ip);
        self.hosts.push(NetHost {
            ip,
            link,
            uplink_free: Time::ZERO,
            life: None,
            dark: false,
            next_port: PORT_FIRST,
        });
    }

    fn host_at(&self, ip: IpAddr) -> Option<usize> {
        self.hosts.iter().position(|host| host.ip == ip)
    }

    fn latency(&self, a: usize, b: usize) -> Duration {
        let of = |index: usize| self.hosts.get(index).map_or(Duration::ZERO, |h| h.link.latency);
        of(a) + of(b)
    }

    fn side(&mut self, stream: u64, side: usize) -> Option<&mut Side> {
        self.streams.get_mut(&stream)?.get_mut(side)
    }

    /// The address on this host for a wish such as 0.0.0.0:0.
    fn bind(&mut self, life: Life, at: SocketAddr) -> io::Result<SocketAddr> {
        let host = self.hosts.get_mut(life.host).ok_or(io::ErrorKind::AddrNotAvailable)?;
        if !at.ip().is_unspecified() && at.ip() != host.ip {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let mut port = at.port();
        if port == 0 {
            port = host.next_port;
            host.next_port = host.next_port.checked_add(1).unwrap_or(PORT_FIRST);
        }
        let address = SocketAddr::new(host.ip, port);
        if self.listeners.contains_key(&address) || self.sockets.contains_key(&address) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        Ok(address)
    }
}

fn pair(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

impl State {
    /// A host has (again) a process; attempts to reach it that were waiting arrive.
    pub(super) fn host_started(&mut self, life: Life) {
        if let Some(host) = self.net.hosts.get_mut(life.host) {
            host.life = Some(life);
            host.dark = false;
        }
        let paths: Vec<_> = self.net.held.keys().copied().collect();
        for path in paths {
            if (path.0 == life.host || path.1 == life.host) && !self.net.cuts.contains(&path) {
                self.release(path);
            }
        }
    }

    fn release(&mut self, path: (usize, usize)) {
        let at = self.now + self.net.latency(path.0, path.1);
        for (to, event) in self.net.held.remove(&path).unwrap_or_default() {
            let life = self.net.hosts.get(to.host).and_then(|host| host.life).unwrap_or(to);
            self.schedule(at, life, Event::Net(event));
        }
    }

    pub(super) fn set_cut(&mut self, a: usize, b: usize, cut: bool) {
        let path = pair(a, b);
        if cut {
            self.net.cuts.insert(path);
            return;
        }
        self.net.cuts.remove(&path);
        self.release(path);
    }

    pub(super) fn host_killed(&mut self, life: Life, tells: bool) {
        if let Some(host) = self.net.hosts.get_mut(life.host) {
            host.life = None;
            host.dark = !tells;
        }
        self.net.listeners.retain(|_, listener| listener.life != life);
        self.net.sockets.retain(|_, socket| socket.life != life);
        let mut resets = Vec::new();
        for (&stream, sides) in &mut self.net.streams {
            let lives = [sides[0].life, sides[1].life];
            for (mine, (theirs, side)) in sides.iter_mut().zip([(lives[1], 1), (lives[0], 0)]) {
                if mine.life == life && mine.open {
                    mine.open = false;
                    mine.reset = true;
                    resets.push((stream, side, theirs, life));
                }
            }
        }
        for (stream, side, to, from) in resets {
            if tells {
                let at = self.now + self.net.latency(to.host, from.host);
                self.schedule(at, to, Event::Net(NetEvent::Reset { stream, side }));
            }
        }
    }

    /// Sends `length` bytes over the uplink of `from`: when they arrive at `to`.
    fn arrival(&mut self, from: usize, to: usize, length: usize) -> Time {
        let latency = self.net.latency(from, to);
        let now = self.now;
        let Some(host) = self.net.hosts.get_mut(from) else { return now + latency };
        let nanos = (length as u64).saturating_mul(1_000_000_000) / host.link.up_bytes_per_s.max(1);
        host.uplink_free = host.uplink_free.max(now) + Duration::from_nanos(nanos);
        host.uplink_free + latency
    }

    /// Something arrives; gives the wakers of who waits for it.
    pub(super) fn deliver(&mut self, event: NetEvent) -> Vec<Waker> {
        match event {
            NetEvent::Arrive { to, from, dialler, reply } => {
                self.on_arrive(to, from, dialler, reply)
            }
            NetEvent::Answer { reply, result } => {
                self.trace(format_args!("answer ok={}", result.is_ok()));
                // A dialler that gave up has dropped its end; the stream closes with it.
                let _ = reply.send(result);
                Vec::new()
            }
            NetEvent::Bytes { stream, side, bytes } => {
                let sum = checksum(&bytes);
                self.trace(format_args!("bytes {stream}.{side} {} {sum:016x}", bytes.len()));
                self.on_bytes(stream, side, bytes)
            }
            NetEvent::Fin { stream, side } => {
                self.trace(format_args!("fin {stream}.{side}"));
                let Some(side) = self.net.side(stream, side) else { return Vec::new() };
                side.ended = true;
                side.wakers()
            }
            NetEvent::Reset { stream, side } => {
                self.trace(format_args!("reset {stream}.{side}"));
                let Some(side) = self.net.side(stream, side) else { return Vec::new() };
                side.reset = true;
                side.wakers()
            }
            NetEvent::Room { stream, side } => {
                let Some(side) = self.net.side(stream, side) else { return Vec::new() };
                side.writer.take().into_iter().collect()
            }
            NetEvent::Datagram { to, from, bytes } => {
                let sum = checksum(&bytes);
                self.trace(format_args!("datagram {from} {to} {} {sum:016x}", bytes.len()));
                let Some(socket) = self.net.sockets.get_mut(&to) else { return Vec::new() };
                if socket.waiting.len() < DATAGRAMS_MAX {
                    socket.waiting.push_back((bytes, from));
                }
                socket.waker.take().into_iter().collect()
            }
        }
    }

    fn on_bytes(&mut self, stream: u64, index: usize, bytes: Bytes) -> Vec<Waker> {
        let Some(side) = self.net.side(stream, index) else { return Vec::new() };
        if side.open {
            side.unread.push_back(bytes);
            return side.reader.take().into_iter().collect();
        }
        // A host that came back knows nothing of the stream and says so.
        if side.reset {
            self.send_on(stream, index, 0, NetEvent::Reset { stream, side: 1 - index });
        }
        Vec::new()
    }

    fn on_arrive(
        &mut self,
        to: SocketAddr,
        from: SocketAddr,
        dialler: Life,
        reply: oneshot::Sender<io::Result<u64>>,
    ) -> Vec<Waker> {
        let back = self.net.host_at(to.ip()).unwrap_or(dialler.host);
        let at = self.now + self.net.latency(back, dialler.host);
        let stream = self.net.next_stream;
        let listener = self.net.listeners.get_mut(&to).filter(|l| l.waiting.len() < BACKLOG);
        let (result, wakers) = match listener {
            Some(listener) => {
                listener.waiting.push_back(stream);
                let sides = [Side::new(dialler, from), Side::new(listener.life, to)];
                let wakers = listener.waker.take().into_iter().collect();
                self.net.streams.insert(stream, sides);
                self.net.next_stream += 1;
                (Ok(stream), wakers)
            }
            None => (Err(io::ErrorKind::ConnectionRefused.into()), Vec::new()),
        };
        self.trace(format_args!("connect {from} {to} ok={}", result.is_ok()));
        self.schedule(at, dialler, Event::Net(NetEvent::Answer { reply, result }));
        wakers
    }

    /// Schedules what one end of a stream sends to the other, or holds it while the path is cut.
    fn send_on(&mut self, stream: u64, from: usize, length: usize, event: NetEvent) {
        let Some(sides) = self.net.streams.get(&stream) else { return };
        let (Some(mine), Some(theirs)) = (sides.get(from), sides.get(1 - from)) else { return };
        let (source, to, last) = (mine.life, theirs.life, mine.last_arrival);
        let at = self.arrival(source.host, to.host, length).max(last);
        if let Some(side) = self.net.side(stream, from) {
            side.last_arrival = at;
        }
        let path = pair(source.host, to.host);
        if self.net.cuts.contains(&path) {
            self.net.held.entry(path).or_default().push((to, event));
            return;
        }
        self.schedule(at, to, Event::Net(event));
    }
}

/// The network as one life of a host uses it.
#[derive(Debug)]
pub(super) struct SimNet {
    pub(super) shared: Arc<Shared>,
    pub(super) life: Life,
}

impl SimNet {
    async fn connect_to(&self, to: SocketAddr) -> io::Result<Stream> {
        let (reply, answer) = oneshot::channel();
        let from = {
            let mut state = self.shared.lock();
            let from = state.net.bind(self.life, SocketAddr::from(([0, 0, 0, 0], 0)))?;
            let Some(host) = state.net.host_at(to.ip()) else {
                return Err(io::ErrorKind::HostUnreachable.into());
            };
            let at = state.now + state.net.latency(self.life.host, host);
            let dark = state.net.hosts.get(host).is_some_and(|host| host.dark);
            let life = state.net.hosts.get(host).and_then(|host| host.life);
            let life = life.unwrap_or(Life { host, incarnation: 0 });
            let arrive = NetEvent::Arrive { to, from, dialler: self.life, reply };
            let path = pair(host, self.life.host);
            if dark || state.net.cuts.contains(&path) {
                // Nobody answers: the dialler waits until its own time limit, or the heal.
                state.net.held.entry(path).or_default().push((life, arrive));
            } else {
                state.schedule(at, life, Event::Net(arrive));
            }
            from
        };
        let stream = answer.await.map_err(|_| io::ErrorKind::ConnectionAborted)??;
        let shared = Arc::clone(&self.shared);
        Ok(Arc::new(SimStream { shared, stream, side: 0, local: from, peer: to }))
    }
}

impl Net for SimNet {
    fn connect(&self, to: SocketAddr, _from: Option<IpAddr>) -> NetFuture<'_, Stream> {
        Box::pin(self.connect_to(to))
    }

    fn listen(&self, at: SocketAddr) -> NetFuture<'_, Arc<dyn Listener>> {
        Box::pin(async move {
            let mut state = self.shared.lock();
            let local = state.net.bind(self.life, at)?;
            let accepting = Accepting { life: self.life, waiting: VecDeque::new(), waker: None };
            state.net.listeners.insert(local, accepting);
            let shared = Arc::clone(&self.shared);
            Ok(Arc::new(SimListener { shared, local, life: self.life }) as Arc<dyn Listener>)
        })
    }

    fn datagrams(&self, at: SocketAddr) -> NetFuture<'_, Arc<dyn Datagrams>> {
        Box::pin(async move {
            let mut state = self.shared.lock();
            let local = state.net.bind(self.life, at)?;
            let receiving = Receiving { life: self.life, waiting: VecDeque::new(), waker: None };
            state.net.sockets.insert(local, receiving);
            let shared = Arc::clone(&self.shared);
            Ok(Arc::new(SimDatagrams { shared, local, life: self.life }) as Arc<dyn Datagrams>)
        })
    }

    fn resolve(&self, host: &str, port: u16) -> NetFuture<'_, Vec<SocketAddr>> {
        let found = {
            let state = self.shared.lock();
            host.parse().ok().or_else(|| state.net.names.get(host).copied())
        };
        Box::pin(async move {
            let ip: IpAddr = found.ok_or(io::ErrorKind::NotFound)?;
            Ok(vec![SocketAddr::new(ip, port)])
        })
    }
}

#[derive(Debug)]
struct SimStream {
    shared: Arc<Shared>,
    stream: u64,
    side: usize,
    local: SocketAddr,
    peer: SocketAddr,
}

impl ByteStream for SimStream {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.shared.lock();
        let Some(side) = state.net.side(self.stream, self.side) else { return Poll::Ready(Ok(())) };
        if side.reset || side.ended || !side.unread.is_empty() {
            return Poll::Ready(Ok(()));
        }
        side.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.shared.lock();
        let Some(side) = state.net.side(self.stream, self.side) else { return Poll::Ready(Ok(())) };
        if side.reset || side.outstanding < WINDOW {
            return Poll::Ready(Ok(()));
        }
        side.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    fn try_read(&self, buf: &mut BytesMut) -> io::Result<usize> {
        let mut state = self.shared.lock();
        let (stream, other) = (self.stream, 1 - self.side);
        let side = state.net.side(stream, self.side).ok_or(io::ErrorKind::ConnectionReset)?;
        let mut room = buf.capacity() - buf.len();
        let mut read = 0;
        while let Some(front) = side.unread.front_mut().filter(|_| room > 0) {
            let taken = front.len().min(room);
            buf.extend_from_slice(front.get(..taken).unwrap_or_default());
            front.advance(taken);
            (room, read) = (room - taken, read + taken);
            if front.is_empty() {
                side.unread.pop_front();
            }
        }
        if read == 0 {
            return match (side.reset, side.ended) {
                (true, _) => Err(io::ErrorKind::ConnectionReset.into()),
                (false, true) => Ok(0),
                (false, false) => Err(io::ErrorKind::WouldBlock.into()),
            };
        }
        let Some(writer) = state.net.side(stream, other) else { return Ok(read) };
        let was_full = writer.outstanding >= WINDOW;
        writer.outstanding -= read;
        if was_full {
            let event = NetEvent::Room { stream, side: other };
            state.send_on(stream, self.side, 0, event);
        }
        Ok(read)
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.shared.lock();
        let (stream, other) = (self.stream, 1 - self.side);
        let side = state.net.side(stream, self.side).ok_or(io::ErrorKind::ConnectionReset)?;
        if side.reset {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let taken = bytes.len().min(WINDOW - side.outstanding.min(WINDOW));
        if taken == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        side.outstanding += taken;
        let sent = Bytes::copy_from_slice(bytes.get(..taken).unwrap_or_default());
        let event = NetEvent::Bytes { stream, side: other, bytes: sent };
        state.send_on(stream, self.side, taken, event);
        Ok(taken)
    }

    fn set_read_low_water(&self, _bytes: usize) {}

    fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let stream = self.stream;
        let Some(side) = state.net.side(stream, self.side) else { return };
        if side.open {
            side.open = false;
            side.unread.clear();
            state.send_on(stream, self.side, 0, NetEvent::Fin { stream, side: 1 - self.side });
        }
        if state.net.streams.get(&stream).is_some_and(|sides| sides.iter().all(|side| !side.open)) {
            state.net.streams.remove(&stream);
        }
    }
}

#[derive(Debug)]
struct SimListener {
    shared: Arc<Shared>,
    local: SocketAddr,
    life: Life,
}

impl Listener for SimListener {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        let mut state = self.shared.lock();
        let Some(accepting) = state.net.listeners.get_mut(&self.local) else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        let Some(stream) = accepting.waiting.pop_front() else {
            accepting.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let peer = state.net.side(stream, 0).map(|side| side.addr);
        let Some(peer) = peer else {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        };
        let shared = Arc::clone(&self.shared);
        Poll::Ready(Ok(Arc::new(SimStream { shared, stream, side: 1, local: self.local, peer })))
    }

    fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if state.net.listeners.get(&self.local).is_some_and(|it| it.life == self.life) {
            state.net.listeners.remove(&self.local);
        }
    }
}

#[derive(Debug)]
struct SimDatagrams {
    shared: Arc<Shared>,
    local: SocketAddr,
    life: Life,
}

impl Datagrams for SimDatagrams {
    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let mut state = self.shared.lock();
        let Some(socket) = state.net.sockets.get_mut(&self.local) else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        let Some((bytes, from)) = socket.waiting.pop_front() else {
            socket.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let taken = bytes.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..taken), bytes.get(..taken)) {
            to.copy_from_slice(from);
        }
        Poll::Ready(Ok((taken, from)))
    }

    fn try_send(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
        let mut state = self.shared.lock();
        let Some(host) = state.net.host_at(to.ip()) else {
            return Err(io::ErrorKind::HostUnreachable.into());
        };
        let at = state.arrival(self.life.host, host, bytes.len());
        let life = state.net.hosts.get(host).and_then(|host| host.life);
        let cut = state.net.cuts.contains(&pair(host, self.life.host));
        if let Some(life) = life.filter(|_| !cut) {
            let bytes = Bytes::copy_from_slice(bytes);
            let event = NetEvent::Datagram { to, from: self.local, bytes };
            state.schedule(at, life, Event::Net(event));
        }
        Ok(bytes.len())
    }

    fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

impl Drop for SimDatagrams {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if state.net.sockets.get(&self.local).is_some_and(|it| it.life == self.life) {
            state.net.sockets.remove(&self.local);
        }
    }
}
