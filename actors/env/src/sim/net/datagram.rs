//! Datagrams: sockets, and what may happen on the way.
//!
//! A datagram waits in its host's lane of the uplink, may be lost, doubled or late as the world's
//! [`DatagramConfig`](super::DatagramConfig) says, and is lost where its path is cut, when it leaves or
//! when it arrives.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bittorrent::Time;
use bytes::Bytes;
use rand::Rng;

use super::NetEvent;
use crate::net::Datagrams;
use crate::sim::queue::Event;
use crate::sim::state::{Life, Shared, State};
use crate::sim::trace::checksum;

/// Datagrams that wait to be received.
const UNREAD_MAX: usize = 1024;
/// Bytes of datagrams that wait for a host's uplink.
const UNSENT_MAX: usize = 256 * 1024;
/// Addresses whose answers a NAT lets in, for one socket.
const SPOKEN_TO_MAX: usize = 4096;

/// A socket.
pub(super) struct Receiving {
    life: Life,
    waiting: VecDeque<(Bytes, SocketAddr)>,
    waker: Option<Waker>,
    /// To whom it has sent: their answers pass its host's NAT. Kept only where there is one.
    spoken_to: BTreeSet<SocketAddr>,
}

/// A datagram on its way.
#[derive(Debug, Clone)]
pub(in crate::sim) struct Datagram {
    /// The sender's host and the receiver's.
    from_host: usize,
    to_host: usize,
    from: SocketAddr,
    to: SocketAddr,
    pub(super) bytes: Bytes,
    /// How long the uplink took.
    pub(super) took: Duration,
    /// Whether it has passed the downlink.
    admitted: bool,
}

impl State {
    fn send_datagram(&mut self, host: usize, datagram: Datagram) -> io::Result<()> {
        let socket = self.net.sockets.get_mut(&(host, datagram.from.port()));
        let Some(one) = self.net.hosts.get_mut(host) else { return Ok(()) };
        if let Some(socket) = socket.filter(|_| !one.link.accepts) {
            if socket.spoken_to.len() >= SPOKEN_TO_MAX {
                socket.spoken_to.clear();
            }
            socket.spoken_to.insert(datagram.to);
        }
        if one.up.lane.bytes + datagram.bytes.len() > UNSENT_MAX {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        one.up.push_datagram(datagram);
        self.pump(host);
        Ok(())
    }

    /// A datagram has left its host at `left`.
    pub(super) fn datagram_leaves(&mut self, left: Time, datagram: Box<Datagram>) {
        let config = self.net.datagrams;
        let (from, to) = (datagram.from_host, datagram.to_host);
        if self.net.paths.blocked(from, to) || self.happens(config.loss) {
            self.datagram_lost(&datagram);
            return;
        }
        if self.happens(config.duplicate) {
            self.datagram_travels(left, datagram.clone());
        }
        self.datagram_travels(left, datagram);
    }

    fn datagram_travels(&mut self, left: Time, datagram: Box<Datagram>) {
        let config = self.net.datagrams;
        let late = self.happens(config.reorder);
        let delay = if late { config.reorder_delay } else { Duration::ZERO };
        let to = Life { host: datagram.to_host, incarnation: 0 };
        let at = left + self.net.latency(datagram.from_host, to.host) + delay;
        self.schedule(at, to, Event::Net(NetEvent::Datagram(datagram)));
    }

    fn datagram_lost(&mut self, datagram: &Datagram) {
        let (from, to) = (datagram.from, datagram.to);
        self.trace(format_args!("lost {from} {to} {}", datagram.bytes.len()));
    }

    /// Draws only where there is a choice, so that a run without such faults does not depend on them.
    fn happens(&mut self, share: f64) -> bool {
        share > 0.0 && self.net.rng.random_bool(share.min(1.0))
    }

    pub(super) fn on_datagram(&mut self, mut datagram: Box<Datagram>) -> bool {
        let (now, host, from) = (self.now, datagram.to_host, datagram.from);
        let net = &mut self.net;
        let Some(one) = net.hosts.get_mut(host) else { return false };
        if !std::mem::replace(&mut datagram.admitted, true) {
            let (length, took) = (datagram.bytes.len(), datagram.took);
            let done = one.down.admit(now, length, took, one.link.down_bytes_per_s);
            if done > now {
                let to = Life { host, incarnation: 0 };
                self.schedule(done, to, Event::Net(NetEvent::Datagram(datagram)));
                return false;
            }
        }
        let socket = net.sockets.get_mut(&(host, datagram.to.port()));
        let passes = |socket: &&mut Receiving| {
            (one.link.accepts || socket.spoken_to.contains(&from))
                && socket.waiting.len() < UNREAD_MAX
        };
        let blocked = net.paths.blocked(datagram.from_host, host);
        let Some(socket) = socket.filter(passes).filter(|_| !blocked) else {
            self.datagram_lost(&datagram);
            return false;
        };
        let woken = socket.waker.take();
        let wakes = woken.is_some();
        socket.waiting.push_back((datagram.bytes.clone(), from));
        self.woken.extend(woken);
        let sum = checksum(&datagram.bytes);
        let length = datagram.bytes.len();
        self.trace(format_args!("datagram {from} {} {length} {sum:016x}", datagram.to));
        wakes
    }

    /// The sockets of a host are gone.
    pub(super) fn close_sockets(&mut self, host: usize) {
        let net = &mut self.net;
        let ports: Vec<_> =
            net.sockets.range((host, 0)..=(host, u16::MAX)).map(|(&key, _)| key).collect();
        for key in ports {
            net.sockets.remove(&key);
        }
        if let Some(one) = net.hosts.get_mut(host) {
            one.up.drop_datagrams();
        }
    }
}

/// Opens a socket.
pub(super) fn open(
    shared: &Arc<Shared>,
    life: Life,
    at: SocketAddr,
) -> io::Result<Arc<dyn Datagrams>> {
    let mut state = shared.lock();
    let local = state.net.bind(life.host, at)?;
    let receiving =
        Receiving { life, waiting: VecDeque::new(), waker: None, spoken_to: BTreeSet::new() };
    state.net.sockets.insert((life.host, local.port()), receiving);
    Ok(Arc::new(SimDatagrams { shared: Arc::clone(shared), local, life }))
}

#[derive(Debug)]
struct SimDatagrams {
    shared: Arc<Shared>,
    local: SocketAddr,
    life: Life,
}

impl SimDatagrams {
    fn key(&self) -> (usize, u16) {
        (self.life.host, self.local.port())
    }
}

impl Datagrams for SimDatagrams {
    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let mut state = self.shared.lock();
        let Some(socket) = state.net.sockets.get_mut(&self.key()) else {
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
        let to_host = state.net.host_at(to.ip()).ok_or(io::ErrorKind::HostUnreachable)?;
        let datagram = Datagram {
            from_host: self.life.host,
            to_host,
            from: self.local,
            to,
            bytes: Bytes::copy_from_slice(bytes),
            took: Duration::ZERO,
            admitted: false,
        };
        state.send_datagram(self.life.host, datagram)?;
        Ok(bytes.len())
    }

    fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

impl Drop for SimDatagrams {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if state.net.sockets.get(&self.key()).is_some_and(|socket| socket.life == self.life) {
            state.net.sockets.remove(&self.key());
        }
    }
}
