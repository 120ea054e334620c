//! Links: whose turn it is to send, and how long that takes.
//!
//! An uplink serves its streams round robin, each at most a quantum, so that a short message waits for a
//! quantum of each other stream and never for another's megabyte; datagrams have a lane of their own,
//! served in the same round. A write to an idle link leaves at once and costs no event here. A downlink
//! takes what comes in the order in which it comes.
//!
//! Invariants: a host never sends faster than its uplink; a stream waits in the ring (or is being served) at
//! most once, and does so whenever it has something to send and its path is open.

use std::collections::VecDeque;
use std::time::Duration;

use bittorrent::Time;

use super::datagram::Datagram;
use super::stream::{Parcel, StreamKey};
use super::{LinkConfig, NetEvent, NetHost};
use crate::sim::queue::Event;
use crate::sim::state::{Life, State};

/// A turn is at least this many bytes.
const QUANTUM_MIN: usize = 16 * 1024;
/// A turn is at most this many bytes.
const QUANTUM_MAX: usize = 256 * 1024;

/// Bytes of one turn: a millisecond's worth, so that fast links need few events.
fn quantum(bytes_per_s: u64) -> usize {
    usize::try_from(bytes_per_s / 1000).unwrap_or(QUANTUM_MAX).clamp(QUANTUM_MIN, QUANTUM_MAX)
}

/// What `length` bytes take, rounded up: no link is faster than it says.
fn time_for(length: usize, bytes_per_s: u64) -> Duration {
    let nanos = (length as u64).saturating_mul(1_000_000_000).div_ceil(bytes_per_s.max(1));
    Duration::from_nanos(nanos)
}

/// What `left` of a transfer of `length` bytes takes at another speed.
///
/// A byte takes a nanosecond at least, so the time that is left says too much of a very fast link: there
/// is never more to send than the transfer had.
fn rescaled(left: Duration, length: usize, from_bytes_per_s: u64, to_bytes_per_s: u64) -> Duration {
    let nanos = left.as_nanos() * u128::from(from_bytes_per_s.max(1));
    let nanos = nanos / u128::from(to_bytes_per_s.max(1));
    let left = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
    left.min(time_for(length, to_bytes_per_s))
}

/// How long a direction of a link is busy, and with how much.
#[derive(Default)]
struct Busy {
    /// It is free from then on.
    until: Time,
    /// Bytes that it has taken since it was last free.
    bytes: usize,
}

impl Busy {
    /// Takes `length` bytes, the last of which it is done with at `until`.
    fn take(&mut self, now: Time, length: usize, until: Time) {
        let before = if self.until > now { self.bytes } else { 0 };
        self.bytes = before.saturating_add(length);
        self.until = until;
    }

    /// What it has not done goes on at another speed.
    fn rescale(&mut self, now: Time, from_bytes_per_s: u64, to_bytes_per_s: u64) {
        let left = self.until.since(now);
        self.until = now + rescaled(left, self.bytes, from_bytes_per_s, to_bytes_per_s);
    }
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Turn {
    Stream { key: StreamKey, side: usize },
    Datagrams,
}

/// A host's way out.
#[derive(Default)]
pub(super) struct Uplink {
    busy: Busy,
    /// Who waits, in turn.
    ring: VecDeque<Turn>,
    /// Who is being served and wants more: whoever comes meanwhile goes before.
    again: Option<Turn>,
    /// When the event is due that goes on with the ring.
    pump_at: Option<Time>,
    pub(super) lane: Lane,
}

/// Datagrams that wait for an uplink.
#[derive(Default)]
pub(super) struct Lane {
    waiting: VecDeque<Box<Datagram>>,
    pub(super) bytes: usize,
    /// Bytes that it may still send in this round; what it sent beyond is taken off the next.
    credit: i64,
}

/// A host's way in.
#[derive(Default)]
pub(super) struct Downlink {
    busy: Busy,
}

impl Uplink {
    /// Sends `length` bytes after what it is sending; says how long they take.
    fn occupy(&mut self, now: Time, length: usize, bytes_per_s: u64) -> Duration {
        let takes = time_for(length, bytes_per_s);
        self.busy.take(now, length, self.busy.until.max(now) + takes);
        takes
    }

    /// Puts a datagram into the lane.
    pub(super) fn push_datagram(&mut self, datagram: Datagram) {
        self.lane.bytes += datagram.bytes.len();
        if self.lane.waiting.is_empty() {
            self.ring.push_back(Turn::Datagrams);
        }
        self.lane.waiting.push_back(Box::new(datagram));
    }

    /// Forgets the datagrams that wait.
    pub(super) fn drop_datagrams(&mut self) {
        self.lane = Lane::default();
        self.ring.retain(|turn| matches!(turn, Turn::Stream { .. }));
        self.again.take_if(|turn| matches!(turn, Turn::Datagrams));
    }
}

impl Downlink {
    /// Takes `length` bytes whose last one comes now and whose first came `took` ago; says when the host
    /// has them all.
    pub(super) fn admit(
        &mut self,
        now: Time,
        length: usize,
        took: Duration,
        bytes_per_s: u64,
    ) -> Time {
        let begins = self.busy.until.max(now - took);
        self.busy.take(now, length, (begins + time_for(length, bytes_per_s)).max(now));
        self.busy.until
    }
}

impl NetHost {
    /// Changes the link; what it is sending goes on at the new speed.
    pub(super) fn set_link(&mut self, now: Time, link: LinkConfig) {
        let old = self.link;
        self.up.busy.rescale(now, old.up_bytes_per_s, link.up_bytes_per_s);
        self.down.busy.rescale(now, old.down_bytes_per_s, link.down_bytes_per_s);
        self.link = link;
    }
}

impl State {
    /// Has what a side wrote sent in its turn, if there is something and its path is open.
    pub(super) fn offer(&mut self, key: StreamKey, side: usize) {
        let net = &mut self.net;
        let Some(pair) = net.streams.get_mut(key) else { return };
        let (mine, theirs) = pair.ends(side);
        let host = mine.life.host;
        if mine.out.queued || !mine.out.wants_to_send() || net.paths.blocked(host, theirs.life.host)
        {
            return;
        }
        let Some(one) = net.hosts.get_mut(host) else { return };
        mine.out.queued = true;
        one.up.ring.push_back(Turn::Stream { key, side });
        self.pump(host);
    }

    /// Serves who waits for an uplink until it is busy.
    pub(super) fn pump(&mut self, host: usize) {
        loop {
            let now = self.now;
            let Some(one) = self.net.hosts.get_mut(host) else { return };
            let up = &mut one.up;
            if up.busy.until > now {
                if up.ring.is_empty() && up.again.is_none() {
                    return;
                }
                let at = up.busy.until;
                if up.pump_at.replace(at) != Some(at) {
                    let life = Life { host, incarnation: 0 };
                    self.schedule(at, life, Event::Net(NetEvent::Pump { host }));
                }
                return;
            }
            up.ring.extend(up.again.take());
            match up.ring.pop_front() {
                Some(Turn::Stream { key, side }) => self.serve_stream(host, key, side),
                Some(Turn::Datagrams) => self.serve_datagrams(host),
                None => return,
            }
        }
    }

    pub(super) fn on_pump(&mut self, host: usize) -> bool {
        let now = self.now;
        // When the link's speed has changed meanwhile, another event was set up instead of this one.
        let due = |one: &mut NetHost| one.up.pump_at.take_if(|at| *at == now).is_some();
        if self.net.hosts.get_mut(host).is_some_and(due) {
            self.pump(host);
        }
        false
    }

    fn serve_stream(&mut self, host: usize, key: StreamKey, side: usize) {
        let now = self.now;
        let net = &mut self.net;
        let (Some(one), Some(pair)) = (net.hosts.get_mut(host), net.streams.get_mut(key)) else {
            return;
        };
        let (mine, theirs) = pair.ends(side);
        let to = theirs.life;
        mine.out.queued = false;
        if !mine.out.wants_to_send() || net.paths.blocked(host, to.host) {
            return;
        }
        let rate = one.link.up_bytes_per_s;
        let (length, fin) = mine.out.depart(quantum(rate));
        if mine.out.wants_to_send() {
            mine.out.queued = true;
            one.up.again = Some(Turn::Stream { key, side });
        }
        let took = one.up.occupy(now, length, rate);
        let at = one.up.busy.until + net.latency(host, to.host);
        let parcel = Parcel { key, side: 1 - side, length, took, fin, admitted: false };
        self.schedule(at, to, Event::Net(NetEvent::Parcel(parcel)));
    }

    fn serve_datagrams(&mut self, host: usize) {
        let now = self.now;
        let Some(one) = self.net.hosts.get_mut(host) else { return };
        let rate = one.link.up_bytes_per_s;
        one.up.lane.credit += i64::try_from(quantum(rate)).unwrap_or(i64::MAX);
        loop {
            let Some(one) = self.net.hosts.get_mut(host) else { return };
            let lane = &mut one.up.lane;
            if lane.waiting.is_empty() {
                lane.credit = lane.credit.min(0);
                return;
            }
            if lane.credit <= 0 {
                one.up.again = Some(Turn::Datagrams);
                return;
            }
            let Some(mut datagram) = lane.waiting.pop_front() else { return };
            let length = datagram.bytes.len();
            lane.bytes -= length;
            lane.credit -= i64::try_from(length).unwrap_or(i64::MAX);
            datagram.took = one.up.occupy(now, length, rate);
            let left = one.up.busy.until;
            self.datagram_leaves(left, datagram);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_a_millisecond_within_its_bounds() {
        assert_eq!(quantum(1000), QUANTUM_MIN);
        assert_eq!(quantum(100_000_000), 100_000);
        assert_eq!(quantum(u64::MAX), QUANTUM_MAX);
    }

    #[test]
    fn a_downlink_adds_nothing_to_a_slower_uplink_and_queues_what_comes_together() {
        let mut down = Downlink::default();
        let (now, ms) = (Time::from_secs(1), Duration::from_millis);
        // 1,000 bytes that took 10 ms, on a link that takes 1 ms for them: they are there with the last.
        assert_eq!(down.admit(now, 1000, ms(10), 1_000_000), now);
        // Others that come at the same moment wait for their turn.
        assert_eq!(down.admit(now, 1000, ms(10), 1_000_000), now + ms(1));
        assert_eq!(down.admit(now, 1000, ms(0), 1_000_000), now + ms(2));
        // A burst from a faster uplink takes as long as the downlink needs.
        let later = Time::from_secs(2);
        assert_eq!(down.admit(later, 5000, ms(1), 1_000_000), later + ms(4));
    }

    #[test]
    fn a_changed_speed_holds_for_what_is_being_sent() {
        let secs = Duration::from_secs;
        assert_eq!(rescaled(secs(4), 4000, 1000, 4000), secs(1));
        assert_eq!(rescaled(secs(1), 1000, 1000, 0), secs(1000));
    }

    #[test]
    fn the_last_nanosecond_of_a_very_fast_link_is_not_an_hour_of_a_slower_one() {
        let left = rescaled(Duration::from_nanos(1), 100, u64::MAX, 1000);
        assert_eq!(left, Duration::from_millis(100));
    }
}
