//! The addresses of a torrent's peers, and whom to dial next: a machine.
//!
//! An address that failed waits for twice as long each time, one that broke the protocol or lied is not
//! dialled again. Of those that may be dialled, the ones that failed least come first, then by the
//! canonical priority of BEP 40, so that whoever floods us with addresses does not choose our peers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bittorrent::Time;
use bittorrent::peer_priority::priority;

/// Addresses that are kept.
const ADDRESSES_MAX: usize = 1_000;
/// Banned hosts that are kept; the oldest addresses are forgotten first.
const BANNED_MAX: usize = 10_000;
/// The wait after the first failure; it doubles,
const RETRY_MIN: Duration = Duration::from_secs(2);
/// up to this.
const RETRY_MAX: Duration = Duration::from_secs(600);
/// An address that failed so often is forgotten when room is needed.
const FAILURES_MAX: u32 = 20;

/// How a connection to an address went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was good, and ended: dial again soon.
    Ended,
    /// It did not come about, or failed at once.
    Failed,
    /// Neither side has anything to give: dial again much later.
    Useless,
    /// The address is our own, or leads nowhere: never again.
    Never,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    failures: u32,
    at: Time,
    busy: bool,
    /// A user named it: it is never forgotten.
    named: bool,
}

/// The addresses of one torrent's peers.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    candidates: BTreeMap<SocketAddr, Candidate>,
    banned: BTreeSet<IpAddr>,
    ours: Option<SocketAddr>,
}

impl Pool {
    /// Where others see us: decides the order of dialling (BEP 40).
    pub(crate) fn set_ours(&mut self, ours: SocketAddr) {
        self.ours = Some(ours);
    }

    /// Adds an address, if there is room; says whether it is new.
    pub(crate) fn add(&mut self, address: SocketAddr, now: Time, named: bool) -> bool {
        if self.banned.contains(&address.ip()) {
            return false;
        }
        if let Some(known) = self.candidates.get_mut(&address) {
            known.named |= named;
            return false;
        }
        if self.candidates.len() >= ADDRESSES_MAX && !self.make_room() && !named {
            return false;
        }
        self.candidates.insert(address, Candidate { failures: 0, at: now, busy: false, named });
        true
    }

    /// Forgets the address that failed most.
    fn make_room(&mut self) -> bool {
        let idle = self.candidates.iter().filter(|(_, known)| !known.busy && !known.named);
        let worst =
            idle.max_by_key(|(_, known)| known.failures).map(|(&at, known)| (at, known.failures));
        match worst {
            Some((address, failures)) if failures > 0 => {
                self.candidates.remove(&address);
                true
            }
            _ => false,
        }
    }

    /// The next address to dial; it is busy from now on.
    pub(crate) fn next(&mut self, now: Time) -> Option<SocketAddr> {
        let ours = self.ours;
        let due = self.candidates.iter().filter(|(_, known)| !known.busy && known.at <= now);
        let rank = |address: SocketAddr| match ours {
            Some(ours) => std::cmp::Reverse(priority(ours, address)),
            None => std::cmp::Reverse(0),
        };
        let best = due.min_by_key(|(address, known)| (known.failures, rank(**address), **address));
        let address = *best?.0;
        if let Some(known) = self.candidates.get_mut(&address) {
            known.busy = true;
        }
        Some(address)
    }

    /// When an address can be dialled next.
    pub(crate) fn next_at(&self) -> Option<Time> {
        self.candidates.values().filter(|known| !known.busy).map(|known| known.at).min()
    }

    /// Someone connected to us from here, and can be reached at it.
    pub(crate) fn connected(&mut self, address: SocketAddr, now: Time) {
        self.add(address, now, false);
        if let Some(known) = self.candidates.get_mut(&address) {
            known.busy = true;
        }
    }

    /// A connection to the address ended.
    pub(crate) fn ended(&mut self, address: SocketAddr, outcome: Outcome, now: Time) {
        let Some(known) = self.candidates.get_mut(&address) else { return };
        known.busy = false;
        match outcome {
            Outcome::Ended => {
                known.failures = 0;
                known.at = now + RETRY_MIN;
            }
            Outcome::Failed => {
                let wait = RETRY_MIN.saturating_mul(1 << known.failures.min(16)).min(RETRY_MAX);
                known.failures = known.failures.saturating_add(1);
                known.at = now + wait;
            }
            Outcome::Useless => known.at = now + RETRY_MAX,
            Outcome::Never => _ = self.candidates.remove(&address),
        }
        if self
            .candidates
            .get(&address)
            .is_some_and(|known| known.failures > FAILURES_MAX && !known.named)
        {
            self.candidates.remove(&address);
        }
    }

    /// Nothing at this host is dialled or accepted again.
    pub(crate) fn ban(&mut self, ip: IpAddr) {
        self.candidates.retain(|address, _| address.ip() != ip);
        if self.banned.len() >= BANNED_MAX {
            self.banned.pop_first();
        }
        self.banned.insert(ip);
    }

    /// Whether the host is banned.
    pub(crate) fn is_banned(&self, ip: IpAddr) -> bool {
        self.banned.contains(&ip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u8) -> SocketAddr {
        SocketAddr::new([10, 0, 0, n].into(), 6881)
    }

    #[test]
    fn a_failure_waits_for_twice_as_long_each_time() {
        let mut pool = Pool::default();
        let mut now = Time::ZERO;
        assert!(pool.add(address(1), now, false) && !pool.add(address(1), now, false));
        for wait in [2, 4, 8] {
            assert_eq!(pool.next(now), Some(address(1)));
            assert_eq!((pool.next(now), pool.next_at()), (None, None));
            pool.ended(address(1), Outcome::Failed, now);
            assert_eq!(
                (pool.next(now), pool.next_at()),
                (None, Some(now + Duration::from_secs(wait)))
            );
            now += Duration::from_secs(wait);
        }
    }

    #[test]
    fn whoever_failed_least_comes_first() {
        let mut pool = Pool::default();
        (1..=2).for_each(|n| _ = pool.add(address(n), Time::ZERO, false));
        let first = pool.next(Time::ZERO).unwrap();
        pool.ended(first, Outcome::Failed, Time::ZERO);
        assert_ne!(pool.next(Time::from_secs(60)), Some(first));
    }

    #[test]
    fn addresses_are_bounded_and_a_named_one_stays() {
        let mut pool = Pool::default();
        assert!(pool.add(address(1), Time::ZERO, true));
        for n in 0..3_000_u32 {
            let ip = IpAddr::from(std::net::Ipv4Addr::from(0x0b00_0000 + n));
            pool.add(SocketAddr::new(ip, 1), Time::ZERO, false);
        }
        assert_eq!(pool.candidates.len(), ADDRESSES_MAX);
        assert!(pool.candidates.contains_key(&address(1)));
    }

    #[test]
    fn a_banned_host_is_gone() {
        let mut pool = Pool::default();
        pool.add(address(1), Time::ZERO, true);
        pool.ban(address(1).ip());
        assert!(pool.next(Time::ZERO).is_none() && !pool.add(address(1), Time::ZERO, true));
    }
}
