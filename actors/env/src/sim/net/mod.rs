//! A simulated network: links with latency and bandwidth, streams, datagrams and faults.
//!
//! What a host sends waits for its uplink, which serves its streams and its datagrams in turn
//! ([`link`]), travels for the latency, waits for the receiver's downlink, and arrives. A stream's bytes
//! never leave the stream: what travels is how many more of them have come, so no fault can change their
//! order, lose or double one ([`flow`]). At most [`WINDOW`](flow::WINDOW) bytes of a direction are
//! unread, so a slow reader slows its writer. A cut holds the bytes of streams (they go on when it heals)
//! and loses datagrams ([`path`]).

mod datagram;
mod dial;
mod flow;
mod handle;
mod link;
mod path;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;

use self::datagram::{Datagram, Receiving};
use self::dial::{Accepting, Attempt};
use self::link::{Downlink, Uplink};
use self::path::Paths;
use self::stream::{Parcel, StreamKey, Streams};
use super::state::{Life, Shared, State};
use crate::net::{Datagrams, Listener, Net, NetFuture, Stream};

/// The first port that is given out.
const PORT_FIRST: u16 = 40_000;
/// Before the first host's address: 10.0.0.0.
const NETWORK: u32 = 0x0a00_0000;
/// Hosts that have an address there.
const HOSTS_MAX: u32 = 0x00ff_ffff;

/// A host's link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkConfig {
    /// Time to the middle of the network: a path takes both ends' together.
    pub latency: Duration,
    /// Bytes that leave the host in a second.
    pub up_bytes_per_s: u64,
    /// Bytes that reach the host in a second.
    pub down_bytes_per_s: u64,
    /// Whether others can connect to it. If not (it is behind a NAT), their attempts get no answer, and
    /// of datagrams only those from addresses that it has sent to reach it.
    pub accepts: bool,
}

impl LinkConfig {
    /// 100 Mbit/s both ways, 10 ms, reachable.
    pub const DEFAULT: Self = Self {
        latency: Duration::from_millis(10),
        up_bytes_per_s: 12_500_000,
        down_bytes_per_s: 12_500_000,
        accepts: true,
    };
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What happens to datagrams on their way, each independently.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct DatagramConfig {
    /// The share that is lost, from 0 to 1.
    pub loss: f64,
    /// The share that arrives twice, from 0 to 1.
    pub duplicate: f64,
    /// The share that is late by `reorder_delay`, so that others pass it, from 0 to 1.
    pub reorder: f64,
    /// How late.
    pub reorder_delay: Duration,
}

/// Something on its way.
pub(super) enum NetEvent {
    /// The uplink of a host is free for what waits.
    Pump { host: usize },
    /// An attempt to connect reaches the listener's host, or its answer the dialler.
    Attempt(Box<Attempt>),
    /// Bytes of a stream, and maybe their end, reach a side.
    Parcel(Parcel),
    /// A side learns that the other end is gone.
    Reset { key: StreamKey, side: usize },
    /// News that the other end has read reaches a side that could not write.
    Room { key: StreamKey, side: usize },
    /// A datagram arrives.
    Datagram(Box<Datagram>),
}

/// The network of a world.
pub(super) struct NetState {
    hosts: Vec<NetHost>,
    names: BTreeMap<String, IpAddr>,
    /// By host and port.
    listeners: BTreeMap<(usize, u16), Accepting>,
    /// By host and port.
    sockets: BTreeMap<(usize, u16), Receiving>,
    streams: Streams,
    paths: Paths,
    /// Attempts to connect, and answers, that do not get through now.
    held: Vec<Attempt>,
    /// When there are so many of them, those that nobody waits for any more are thrown away.
    held_swept_at: usize,
    datagrams: DatagramConfig,
    rng: SmallRng,
}

struct NetHost {
    ip: IpAddr,
    link: LinkConfig,
    life: Option<Life>,
    /// Without power: nobody there who could refuse a connection.
    dark: bool,
    next_port: u16,
    up: Uplink,
    down: Downlink,
    /// All streams that it is an end of.
    streams: BTreeSet<StreamKey>,
}

/// The address of a host: 10.x.y.z.
pub(super) fn ip_of(host: usize) -> IpAddr {
    let number = u32::try_from(host).unwrap_or(u32::MAX).saturating_add(1) & HOSTS_MAX;
    IpAddr::V4(Ipv4Addr::from(NETWORK | number))
}

impl NetState {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            hosts: Vec::new(),
            names: BTreeMap::new(),
            listeners: BTreeMap::new(),
            sockets: BTreeMap::new(),
            streams: Streams::default(),
            paths: Paths::default(),
            held: Vec::new(),
            held_swept_at: 0,
            datagrams: DatagramConfig::default(),
            rng: SmallRng::seed_from_u64(seed),
        }
    }

    pub(super) fn add_host(&mut self, name: &str, link: LinkConfig) {
        let ip = ip_of(self.hosts.len());
        self.names.insert(name.to_owned(), ip);
        self.hosts.push(NetHost {
            ip,
            link,
            life: None,
            dark: false,
            next_port: PORT_FIRST,
            up: Uplink::default(),
            down: Downlink::default(),
            streams: BTreeSet::new(),
        });
    }

    pub(super) fn life_of(&self, host: usize) -> Option<Life> {
        self.hosts.get(host).and_then(|host| host.life)
    }

    fn host_at(&self, ip: IpAddr) -> Option<usize> {
        let IpAddr::V4(ip) = ip else { return None };
        let number = ip.to_bits().checked_sub(NETWORK + 1)?;
        usize::try_from(number).ok().filter(|&host| host < self.hosts.len())
    }

    fn is_dark(&self, host: usize) -> bool {
        self.hosts.get(host).is_some_and(|host| host.dark)
    }

    fn latency(&self, a: usize, b: usize) -> Duration {
        let of = |index: usize| self.hosts.get(index).map_or(Duration::ZERO, |h| h.link.latency);
        of(a) + of(b)
    }

    /// The address on this host for a wish such as 0.0.0.0:0.
    fn bind(&mut self, host: usize, at: SocketAddr) -> io::Result<SocketAddr> {
        let one = self.hosts.get_mut(host).ok_or(io::ErrorKind::AddrNotAvailable)?;
        if !at.ip().is_unspecified() && at.ip() != one.ip {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let taken = |port: u16| {
            self.listeners.contains_key(&(host, port)) || self.sockets.contains_key(&(host, port))
        };
        if at.port() != 0 {
            if taken(at.port()) {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            return Ok(SocketAddr::new(one.ip, at.port()));
        }
        for _ in PORT_FIRST..=u16::MAX {
            let port = one.next_port;
            one.next_port = port.checked_add(1).unwrap_or(PORT_FIRST);
            if !taken(port) {
                return Ok(SocketAddr::new(one.ip, port));
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }
}

impl State {
    /// Something arrives; says whether the host that it is for has something to do now.
    pub(super) fn deliver(&mut self, event: NetEvent) -> bool {
        match event {
            NetEvent::Pump { host } => self.on_pump(host),
            NetEvent::Attempt(attempt) => self.on_attempt(*attempt),
            NetEvent::Parcel(parcel) => self.on_parcel(parcel),
            NetEvent::Reset { key, side } => self.on_reset(key, side),
            NetEvent::Room { key, side } => self.on_room(key, side),
            NetEvent::Datagram(datagram) => self.on_datagram(datagram),
        }
    }
}

/// The network as one life of a host uses it.
#[derive(Debug)]
pub(super) struct SimNet {
    pub(super) shared: Arc<Shared>,
    pub(super) life: Life,
}

impl Net for SimNet {
    fn connect(&self, to: SocketAddr, _from: Option<IpAddr>) -> NetFuture<'_, Stream> {
        Box::pin(dial::connect(&self.shared, self.life, to))
    }

    fn listen(&self, at: SocketAddr) -> NetFuture<'_, Arc<dyn Listener>> {
        Box::pin(std::future::ready(dial::listen(&self.shared, self.life, at)))
    }

    fn datagrams(&self, at: SocketAddr) -> NetFuture<'_, Arc<dyn Datagrams>> {
        Box::pin(std::future::ready(datagram::open(&self.shared, self.life, at)))
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
