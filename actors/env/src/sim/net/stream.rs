//! Streams between two hosts.
//!
//! A stream lives until both of its ends are closed. An end is closed when its application drops it, or
//! when its host dies; the other end learns of it over the network, if at all.

use std::net::SocketAddr;
use std::task::Waker;
use std::time::Duration;

use super::NetEvent;
use super::flow::Flow;
use crate::sim::queue::Event;
use crate::sim::seen::Seen;
use crate::sim::state::{Life, State};
use crate::sim::world::HostId;

/// Finds a stream: its number, which is never used again, and its place in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::sim) struct StreamKey {
    number: u32,
    slot: u32,
}

impl StreamKey {
    /// The stream's number in the trace and for observers.
    pub(super) fn number(self) -> u64 {
        u64::from(self.number)
    }
}

/// All streams.
#[derive(Default)]
pub(super) struct Streams {
    slots: Vec<Option<(u32, Box<Pair>)>>,
    free: Vec<u32>,
    next: u32,
}

/// The two ends of a stream: the dialler's and the acceptor's.
pub(super) struct Pair {
    sides: [Side; 2],
}

/// One end of a stream.
pub(super) struct Side {
    pub(super) life: Life,
    pub(super) addr: SocketAddr,
    /// What this end wrote.
    pub(super) out: Flow,
    /// Whether an application holds this end.
    pub(super) open: bool,
    /// Whether the other end is known to be gone, or this one's host died.
    pub(super) reset: bool,
    /// Whether this end's host lost its power, so that the other was not told.
    pub(super) silent: bool,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
}

/// Bytes of a stream on their way: how many more of them come to `side`.
#[derive(Debug)]
pub(in crate::sim) struct Parcel {
    pub(super) key: StreamKey,
    pub(super) side: usize,
    pub(super) length: usize,
    /// How long the uplink took.
    pub(super) took: Duration,
    /// Whether they are the last.
    pub(super) fin: bool,
    /// Whether they have passed the downlink.
    pub(super) admitted: bool,
}

impl Streams {
    pub(super) fn insert(&mut self, sides: [Side; 2]) -> StreamKey {
        let number = self.next;
        self.next += 1;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Some((number, Box::new(Pair { sides })));
        }
        StreamKey { number, slot }
    }

    pub(super) fn get_mut(&mut self, key: StreamKey) -> Option<&mut Pair> {
        let (number, pair) = self.slots.get_mut(key.slot as usize)?.as_mut()?;
        (*number == key.number).then_some(&mut **pair)
    }

    fn remove(&mut self, key: StreamKey) -> Option<Box<Pair>> {
        let place = self.slots.get_mut(key.slot as usize)?;
        let (_, pair) = place.take_if(|(number, _)| *number == key.number)?;
        self.free.push(key.slot);
        Some(pair)
    }
}

impl Pair {
    /// This side, and the other.
    pub(super) fn ends(&mut self, side: usize) -> (&mut Side, &mut Side) {
        let [dialler, acceptor] = &mut self.sides;
        if side == 0 { (dialler, acceptor) } else { (acceptor, dialler) }
    }

    fn is_closed(&self) -> bool {
        self.sides.iter().all(|side| !side.open)
    }

    /// The hosts of both sides.
    pub(super) fn hosts(&self) -> [usize; 2] {
        self.sides.each_ref().map(|side| side.life.host)
    }
}

impl Side {
    pub(super) fn new(life: Life, addr: SocketAddr) -> Self {
        Self {
            life,
            addr,
            out: Flow::default(),
            open: true,
            reset: false,
            silent: false,
            reader: None,
            writer: None,
        }
    }

    /// Whether no application holds this end because its host died.
    pub(super) fn is_dead(&self) -> bool {
        self.reset && !self.open
    }
}

impl State {
    /// A dialler is connected.
    pub(super) fn open(&mut self, sides: [Side; 2]) -> StreamKey {
        let [dialler, acceptor] = sides.each_ref().map(|side| side.life.host);
        let key = self.net.streams.insert(sides);
        for host in [dialler, acceptor] {
            if let Some(one) = self.net.hosts.get_mut(host) {
                one.streams.insert(key);
            }
        }
        let (dialler, acceptor) = (HostId(dialler), HostId(acceptor));
        self.see(|| Seen::Opened { stream: key.number(), dialler, acceptor });
        key
    }

    pub(super) fn on_parcel(&mut self, mut parcel: Parcel) -> bool {
        let now = self.now;
        let net = &mut self.net;
        let Some(pair) = net.streams.get_mut(parcel.key) else { return false };
        let (mine, theirs) = pair.ends(parcel.side);
        let to = mine.life;
        if parcel.length > 0
            && !std::mem::replace(&mut parcel.admitted, true)
            && let Some(host) = net.hosts.get_mut(to.host)
        {
            let rate = host.link.down_bytes_per_s;
            let done = host.down.admit(now, parcel.length, parcel.took, rate);
            if done > now {
                self.schedule(done, to, Event::Net(NetEvent::Parcel(parcel)));
                return false;
            }
        }
        if net.paths.blocked(theirs.life.host, to.host) {
            theirs.out.hold(parcel.length, parcel.fin);
            return false;
        }
        self.arrives(&parcel)
    }

    fn arrives(&mut self, parcel: &Parcel) -> bool {
        let &Parcel { key, side, length, fin, .. } = parcel;
        let Some(pair) = self.net.streams.get_mut(key) else { return false };
        let (mine, theirs) = pair.ends(side);
        let sum = theirs.out.arrive(length, fin, mine.open);
        let (open, dead, host) = (mine.open, mine.is_dead(), mine.life.host);
        if open {
            self.woken.extend(mine.reader.take());
        }
        let number = key.number();
        if length > 0 {
            self.trace(format_args!("bytes {number}.{side} {length} {sum:016x}"));
        }
        if fin {
            self.trace(format_args!("fin {number}.{side}"));
        }
        if dead {
            self.answer_for_the_dead(key, side, host);
        }
        open
    }

    /// Something reached an end whose host died: a host that came back knows nothing of the stream and
    /// says so; one without power will be asked again when it is back.
    fn answer_for_the_dead(&mut self, key: StreamKey, side: usize, host: usize) {
        if !self.net.is_dark(host) {
            self.tell_reset(key, 1 - side);
        } else if let Some(pair) = self.net.streams.get_mut(key) {
            pair.ends(side).1.out.lost = true;
        }
    }

    /// Tells `side` that the other end is gone; it learns so after the latency.
    pub(super) fn tell_reset(&mut self, key: StreamKey, side: usize) {
        let net = &mut self.net;
        let Some(pair) = net.streams.get_mut(key) else { return };
        let (mine, theirs) = pair.ends(side);
        let (to, from) = (mine.life, theirs.life.host);
        let at = self.now + net.latency(from, to.host);
        self.schedule(at, to, Event::Net(NetEvent::Reset { key, side }));
    }

    pub(super) fn on_reset(&mut self, key: StreamKey, side: usize) -> bool {
        let Some(pair) = self.net.streams.get_mut(key) else { return false };
        let (mine, _) = pair.ends(side);
        if mine.reset || !mine.open {
            return false;
        }
        mine.reset = true;
        mine.out.cut_unsent();
        self.woken.extend(mine.reader.take().into_iter().chain(mine.writer.take()));
        let stream = key.number();
        self.trace(format_args!("reset {stream}.{side}"));
        self.see(|| Seen::Closed { stream, side, reset: true });
        true
    }

    /// `side` has read from a full window.
    pub(super) fn tell_room(&mut self, key: StreamKey, side: usize) {
        let net = &mut self.net;
        let Some(pair) = net.streams.get_mut(key) else { return };
        let (mine, theirs) = pair.ends(side);
        let (from, to) = (mine.life.host, theirs.life);
        let at = self.now + net.latency(from, to.host);
        self.schedule(at, to, Event::Net(NetEvent::Room { key, side: 1 - side }));
    }

    pub(super) fn on_room(&mut self, key: StreamKey, side: usize) -> bool {
        let net = &mut self.net;
        let Some(pair) = net.streams.get_mut(key) else { return false };
        let (mine, theirs) = pair.ends(side);
        // When the path heals, whoever waits for room is told again.
        if net.paths.blocked(theirs.life.host, mine.life.host) {
            return false;
        }
        let woken = mine.writer.take();
        let wakes = woken.is_some();
        self.woken.extend(woken);
        wakes
    }

    /// An application drops its end: what it wrote is still sent.
    pub(super) fn close(&mut self, key: StreamKey, side: usize) {
        let Some(pair) = self.net.streams.get_mut(key) else { return };
        let (mine, theirs) = pair.ends(side);
        if !mine.open {
            return;
        }
        mine.open = false;
        (mine.reader, mine.writer) = (None, None);
        theirs.out.drop_unread();
        if !mine.reset {
            mine.out.finish();
            self.see(|| Seen::Closed { stream: key.number(), side, reset: false });
            self.offer(key, side);
        }
        self.forget_if_closed(key);
    }

    /// The application of an end is gone without a word to the stream; the other end learns of it if the
    /// host still `tells`.
    pub(super) fn end_abruptly(&mut self, key: StreamKey, side: usize, tells: bool) {
        let net = &mut self.net;
        let Some(pair) = net.streams.get_mut(key) else { return };
        let (mine, theirs) = pair.ends(side);
        if !mine.open {
            return;
        }
        let told = mine.reset;
        (mine.open, mine.reset, mine.silent) = (false, true, !tells);
        (mine.reader, mine.writer) = (None, None);
        mine.out.cut_unsent();
        theirs.out.drop_unread();
        let reaches = !net.paths.blocked(mine.life.host, theirs.life.host);
        if !told {
            self.see(|| Seen::Closed { stream: key.number(), side, reset: true });
        }
        if tells && reaches {
            self.tell_reset(key, 1 - side);
        }
        self.forget_if_closed(key);
    }

    fn forget_if_closed(&mut self, key: StreamKey) {
        if !self.net.streams.get_mut(key).is_some_and(|pair| pair.is_closed()) {
            return;
        }
        let Some(pair) = self.net.streams.remove(key) else { return };
        for host in pair.hosts() {
            if let Some(one) = self.net.hosts.get_mut(host) {
                one.streams.remove(&key);
            }
        }
    }
}
