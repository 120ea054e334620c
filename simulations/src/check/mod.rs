//! What must hold in every run, looked at after every event by an observer that sees all hosts.
//!
//! The observer reads what hosts say to each other and compares it with the truth: the torrent's bytes,
//! the hosts' disks, the limits that they were set to. It asks no host anything, so it disturbs nothing.
//! Encrypted streams are counted and not read. The names are those of the invariants in
//! `simulations/README.md`.
//!
//! - **I1** No byte that was not verified is served or claimed.
//! - **I2** After a restart a host claims nothing that is not on its disk (and, looked at by the harness,
//!   what was claimed durably and is still there is not lost).
//! - **I5** What an engine says that it sent and received is what was sent and received.
//! - **I7** Requests only while unchoked (or allowed fast) and interested, no block twice on a
//!   connection, no more in flight than the limit, no more peers served than there are slots.
//! - **I9** Limits of rate, memory and connections hold; peers of private torrents are not exchanged.

mod host;
mod said;
mod stream;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;

use bittorrent::PieceIndex;
use env::sim::Seen;

pub use host::{Bounds, Subject, has_piece};

use self::host::Host;
use self::stream::{Side, Stream};
use self::wire::Said;
use crate::content::Content;

/// A request may follow a choke for so long: it may have been on its way to the socket.
const GRACE_NS: u64 = 5_000_000_000;
/// More peers than slots may be served for so long: chokes wait behind blocks.
const SLOTS_GRACE_NS: u64 = 30_000_000_000;
/// Over so long a rate is measured.
const RATE_WINDOW_NS: u64 = 10_000_000_000;
/// Bytes beyond its rate that may flow in a window: what may flow at once, twice (windows have ends).
const RATE_SLACK: u64 = 512 * 1024;
/// The most requests of one peer that no engine has in flight.
const REQUESTS_MAX: usize = 2_000;
/// An engine writes and counts so much at once, in bytes.
const RUN_MAX: u64 = 1 << 20;
/// A stream with so much unread may hold back what its sender has decided.
const BLOCKED_AT: u64 = 128 * 1024;

/// Something that must hold did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The name of what did not hold.
    pub invariant: &'static str,
    /// When, in nanoseconds since the beginning.
    pub at_ns: u64,
    /// On which host, by its index in the plan.
    pub host: Option<usize>,
    /// What was seen.
    pub message: String,
}

/// The observer.
#[derive(Debug)]
pub struct Observer {
    content: Arc<Content>,
    private: bool,
    hosts: Vec<Host>,
    /// Boxed: each is taken out while what it carries is read.
    streams: BTreeMap<u64, Box<Stream>>,
    said: Vec<(u64, Said)>,
    violation: Option<Violation>,
    now_ns: u64,
    /// How often rare paths were taken.
    pub sometimes: BTreeMap<&'static str, u64>,
    /// Messages of the peer wire.
    pub messages: u64,
}

impl Observer {
    /// An observer of hosts that have not started.
    #[must_use]
    pub fn new(content: Arc<Content>, private: bool, subjects: Vec<Subject>) -> Self {
        let pieces = content.piece_count;
        Self {
            content,
            private,
            hosts: subjects.into_iter().map(|is| Host::new(is, pieces)).collect(),
            streams: BTreeMap::new(),
            said: Vec::new(),
            violation: None,
            now_ns: 0,
            sometimes: BTreeMap::new(),
            messages: 0,
        }
    }

    /// The first thing that did not hold.
    #[must_use]
    pub const fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// Something did not hold; only the first is kept.
    pub fn fail(&mut self, invariant: &'static str, host: Option<usize>, message: String) {
        let at_ns = self.now_ns;
        self.violation.get_or_insert(Violation { invariant, at_ns, host, message });
    }

    /// A rare path was taken.
    pub fn reached(&mut self, what: &'static str) {
        *self.sometimes.entry(what).or_default() += 1;
    }

    /// The clock moved.
    pub const fn set_now(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
    }

    /// A host starts a life.
    pub fn started(&mut self, host: usize) {
        let pieces = self.content.piece_count;
        if let Some(host) = self.hosts.get_mut(host) {
            host.begin_life(pieces);
            host.window = (self.now_ns, 0);
        }
    }

    /// What was seen on a host's disk may not be there any more.
    pub fn disk_changed(&mut self, host: usize, damaged: impl IntoIterator<Item = u32>) {
        let pieces = self.content.piece_count;
        if let Some(host) = self.hosts.get_mut(host) {
            host.forget_proofs(pieces);
            let now_ns = self.now_ns;
            host.damaged.extend(damaged.into_iter().map(|piece| (piece, now_ns)));
        }
    }

    /// A host has checked all it has, from this moment on: it can know of damage that was done before.
    pub fn rechecked(&mut self, host: usize, since_ms: u64) {
        if let Some(host) = self.hosts.get_mut(host) {
            host.damaged.retain(|_, at_ns| *at_ns >= since_ms.saturating_mul(1_000_000));
        }
    }

    /// How many pieces a host has claimed in this life.
    #[must_use]
    pub fn claimed(&self, host: usize) -> usize {
        self.hosts.get(host).map_or(0, |host| host.claims.count() as usize)
    }

    /// Payload that a host sent and received, in bytes.
    #[must_use]
    pub fn payload(&self, host: usize) -> (u64, u64) {
        self.hosts.get(host).map_or((0, 0), |host| (host.sent, host.received))
    }

    /// What of it an engine need not know of, in bytes: what was under way when streams ended.
    #[must_use]
    pub fn unsure(&self, host: usize) -> u64 {
        self.hosts.get(host).map_or(0, |host| host.ended * RUN_MAX)
    }

    /// How many hosts claim each piece, of those that `counts` says.
    pub fn copies(&self, counts: impl Fn(usize) -> bool) -> Vec<u32> {
        let mut copies = vec![0; self.content.piece_count as usize];
        let hosts = self.hosts.iter().enumerate().filter(|(index, _)| counts(*index));
        for (_, host) in hosts {
            for piece in host.claims.iter() {
                if let Some(count) = copies.get_mut(piece.0 as usize) {
                    *count += 1;
                }
            }
        }
        copies
    }

    /// A host is known to have these pieces, whether it told a peer or not.
    pub fn has(&mut self, host: usize, pieces: impl IntoIterator<Item = u32>) {
        if let Some(host) = self.hosts.get_mut(host) {
            pieces.into_iter().for_each(|piece| {
                host.claims.insert(PieceIndex(piece));
            });
        }
    }

    /// Takes what happened in an event.
    pub fn see(&mut self, seen: Seen) {
        match seen {
            Seen::Opened { stream, dialler, acceptor } => {
                self.opened(stream, dialler.0, acceptor.0);
            }
            Seen::Sent { stream, side, bytes } => {
                let Some(mut of) = self.streams.remove(&stream) else { return };
                let mut said = std::mem::take(&mut self.said);
                if let Some((speaker, _)) = of.both(side) {
                    let was_opaque = speaker.wire.is_opaque();
                    speaker.sent += bytes.len() as u64;
                    speaker.wire.take(bytes, &mut said);
                    if speaker.wire.is_opaque() && !was_opaque {
                        self.reached("encrypted-connection");
                    }
                }
                for (end, one) in said.drain(..) {
                    self.on_said(&mut of, side, end, one);
                }
                self.said = said;
                self.streams.insert(stream, of);
            }
            Seen::Read { stream, side, length } => {
                let Some(mut of) = self.streams.remove(&stream) else { return };
                if let Some((reader, speaker)) = of.both(side) {
                    speaker.was_read(length);
                    while let Some(notice) = speaker.next_read() {
                        self.on_read(reader, speaker, notice);
                    }
                }
                self.streams.insert(stream, of);
            }
            Seen::Closed { stream, side, reset } => self.closed(stream, side, reset),
        }
    }

    fn opened(&mut self, stream: u64, dialler: usize, acceptor: usize) {
        let is_peer = |host: usize| self.hosts.get(host).is_some_and(|host| host.lives > 0);
        if !is_peer(dialler) || !is_peer(acceptor) {
            return;
        }
        let between = |other: &Stream| {
            let hosts = [other.sides[0].host, other.sides[1].host];
            hosts == [acceptor, dialler] && other.sides.iter().all(|side| side.open)
        };
        let theirs = self.hosts.get(dialler).map(|host| host.streams.clone()).unwrap_or_default();
        if theirs.iter().filter_map(|id| self.streams.get(id)).any(|of| between(of)) {
            self.reached("simultaneous-dial");
        }
        for host in [dialler, acceptor] {
            if let Some(host) = self.hosts.get_mut(host) {
                host.streams.insert(stream);
            }
        }
        let is = self.hosts.get(dialler).map(|host| &host.is);
        if is.is_some_and(|is| is.honest && !is.has_tracker && !is.knows.contains(&acceptor)) {
            self.reached("pex-found-a-peer");
        }
        let new = Box::new(Stream::new(dialler, acceptor, self.now_ns));
        self.streams.insert(stream, new);
    }

    fn closed(&mut self, stream: u64, side: usize, reset: bool) {
        let Some(of) = self.streams.get_mut(&stream) else { return };
        let Some((mine, _)) = of.both(side) else { return };
        if !std::mem::replace(&mut mine.open, false) {
            return;
        }
        let (index, asked) = (mine.host, std::mem::take(&mut mine.asked));
        let both_closed = of.sides.iter().all(|side| !side.open);
        if let Some(host) = self.hosts.get_mut(index) {
            host.streams.remove(&stream);
            host.ended += 1;
            for (block, length) in asked {
                host.answered(block, length);
            }
        }
        if reset {
            self.reached("connection-reset");
        }
        if both_closed {
            self.streams.remove(&stream);
        }
    }

    /// Looks at what must hold over time; asked now and then.
    pub fn look(&mut self) {
        let now_ns = self.now_ns;
        for index in 0..self.hosts.len() {
            let Some(host) = self.hosts.get(index).filter(|host| host.is.honest) else { continue };
            let sides = host.streams.iter().filter_map(|id| self.streams.get(id));
            let mine = sides.filter_map(|of| of.sides.iter().find(|side| side.host == index));
            // Where blocks wait to be sent, a choke waits behind them.
            let serves = |side: &&Side| side.open && !side.choking && side.in_flight() < BLOCKED_AT;
            let served = mine.clone().filter(serves).count();
            let shook = mine.filter(|side| side.open && side.shook).count();
            let bounds = host.is.bounds;
            let others = host
                .streams
                .iter()
                .filter_map(|id| self.streams.get(id))
                .filter(|of| of.sides.iter().any(|side| side.host == index && serves(&side)));
            let names = others.map(|of| {
                let other = of.sides.iter().find(|side| side.host != index);
                let name =
                    other.and_then(|side| self.hosts.get(side.host)).map_or("?", |h| &h.is.name);
                let wants = other.is_some_and(|side| side.interested);
                format!("{name}{}", if wants { "" } else { " (wants nothing)" })
            });
            let names = names.collect::<Vec<_>>().join(", ");
            let too_many = bounds.slots.is_some_and(|slots| served > slots);
            if shook > bounds.connections {
                let message = format!("{shook} connections, at most {} may be", bounds.connections);
                self.fail("I9", Some(index), message);
            }
            let Some(host) = self.hosts.get_mut(index) else { continue };
            if !too_many {
                host.too_many_since = None;
            } else if now_ns - *host.too_many_since.get_or_insert(now_ns) > SLOTS_GRACE_NS {
                let slots = bounds.slots.unwrap_or(0);
                let message =
                    format!("{served} peers are served, there are {slots} slots: {names}");
                self.fail("I7", Some(index), message);
            }
        }
    }
}
