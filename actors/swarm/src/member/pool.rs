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

/// How fast addresses are dialled: so many at once, then one each interval.
///
/// Most of a full swarm's members send us away, and a seed has nothing to gain: without a pace, a
/// thousand hosts that know each other spend more on handshakes than on pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    burst: u32,
    interval: Duration,
}

impl Pace {
    /// Of who wants something.
    pub(crate) const DOWNLOAD: Self = Self { burst: 30, interval: Duration::from_millis(100) };
    /// Of who has all: peers come to a seed, but it must find those that nobody can dial.
    pub(crate) const SEED: Self = Self { burst: 8, interval: Duration::from_secs(1) };
}

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
    /// When all that was dialled so far would have been, one each interval.
    paid_until: Time,
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
    pub(crate) fn next(&mut self, now: Time, pace: Pace) -> Option<SocketAddr> {
        if self.paced_until(pace) > now {
            return None;
        }
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
        self.paid_until = self.paid_until.max(now) + pace.interval;
        Some(address)
    }

    /// When an address can be dialled next.
    pub(crate) fn next_at(&self, pace: Pace) -> Option<Time> {
        let due = self.candidates.values().filter(|known| !known.busy).map(|known| known.at).min();
        due.map(|at| at.max(self.paced_until(pace)))
    }

    /// Until when nothing may be dialled.
    fn paced_until(&self, pace: Pace) -> Time {
        let burst = pace.interval.saturating_mul(pace.burst.saturating_sub(1));
        Time::ZERO + self.paid_until.since(Time::ZERO).saturating_sub(burst)
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
    use proptest::prelude::*;

    use super::*;

    /// No pace at all.
    const FAST: Pace = Pace { burst: 1, interval: Duration::ZERO };

    fn address(n: u8) -> SocketAddr {
        SocketAddr::new([10, 0, 0, n].into(), 6881)
    }

    #[test]
    fn a_failure_waits_for_twice_as_long_each_time() {
        let mut pool = Pool::default();
        let mut now = Time::ZERO;
        assert!(pool.add(address(1), now, false) && !pool.add(address(1), now, false));
        for wait in [2, 4, 8] {
            assert_eq!(pool.next(now, FAST), Some(address(1)));
            assert_eq!((pool.next(now, FAST), pool.next_at(FAST)), (None, None));
            pool.ended(address(1), Outcome::Failed, now);
            assert_eq!(
                (pool.next(now, FAST), pool.next_at(FAST)),
                (None, Some(now + Duration::from_secs(wait)))
            );
            now += Duration::from_secs(wait);
        }
    }

    #[test]
    fn a_burst_is_dialled_at_once_and_then_one_each_interval() {
        let pace = Pace { burst: 3, interval: Duration::from_secs(2) };
        let mut pool = Pool::default();
        let start = Time::from_secs(100);
        (1..=9).for_each(|n| _ = pool.add(address(n), start, false));
        let dialled = |pool: &mut Pool, now| std::iter::from_fn(|| pool.next(now, pace)).count();
        assert_eq!((dialled(&mut pool, start), dialled(&mut pool, start)), (3, 0));
        assert_eq!(pool.next_at(pace), Some(start + Duration::from_secs(2)));
        assert_eq!(dialled(&mut pool, start + Duration::from_secs(1)), 0);
        assert_eq!(dialled(&mut pool, start + Duration::from_secs(5)), 2);
        // Who waited long enough may dial a burst again, and no more.
        assert_eq!(dialled(&mut pool, start + Duration::from_secs(60)), 3);
    }

    #[test]
    fn whoever_failed_least_comes_first() {
        let mut pool = Pool::default();
        (1..=2).for_each(|n| _ = pool.add(address(n), Time::ZERO, false));
        let first = pool.next(Time::ZERO, FAST).unwrap();
        pool.ended(first, Outcome::Failed, Time::ZERO);
        assert_ne!(pool.next(Time::from_secs(60), FAST), Some(first));
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

    #[derive(Debug, Clone)]
    enum Op {
        Add(u8, u8, bool),
        Next,
        Ended(u8, u8, u8),
        Connected(u8, u8),
        Ban(u8),
        Wait(u8),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            4 => (0..6_u8, 0..3_u8, any::<bool>()).prop_map(|(ip, port, named)| Op::Add(ip, port, named)),
            4 => Just(Op::Next),
            4 => (0..6_u8, 0..3_u8, 0..4_u8).prop_map(|(ip, port, how)| Op::Ended(ip, port, how)),
            1 => (0..6_u8, 0..3_u8).prop_map(|(ip, port)| Op::Connected(ip, port)),
            1 => (0..6_u8).prop_map(Op::Ban),
            2 => any::<u8>().prop_map(Op::Wait),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// What is dialled is known, due, not banned and not dialled already.
        #[test]
        fn dials_only_what_may_be_dialled(ops in proptest::collection::vec(op(), 0..100)) {
            let at = |ip: u8, port: u8| SocketAddr::new([10, 0, 0, ip].into(), 6881 + u16::from(port));
            let (mut pool, mut now) = (Pool::default(), Time::ZERO);
            let (mut busy, mut banned) = (BTreeSet::new(), BTreeSet::new());
            for op in ops {
                match op {
                    Op::Add(ip, port, named) => {
                        let added = pool.add(at(ip, port), now, named);
                        prop_assert!(!added || !banned.contains(&at(ip, port).ip()));
                    }
                    Op::Next => {
                        let due = pool.next_at(FAST).is_some_and(|at| at <= now);
                        let next = pool.next(now, FAST);
                        prop_assert_eq!(next.is_some(), due);
                        if let Some(next) = next {
                            prop_assert!(!banned.contains(&next.ip()));
                            prop_assert!(busy.insert(next), "{} is dialled twice", next);
                        }
                    }
                    Op::Ended(ip, port, how) => {
                        let outcomes =
                            [Outcome::Ended, Outcome::Failed, Outcome::Useless, Outcome::Never];
                        pool.ended(at(ip, port), outcomes[usize::from(how)], now);
                        busy.remove(&at(ip, port));
                    }
                    Op::Connected(ip, port) => {
                        pool.connected(at(ip, port), now);
                        busy.insert(at(ip, port));
                    }
                    Op::Ban(ip) => {
                        pool.ban(at(ip, 0).ip());
                        banned.insert(at(ip, 0).ip());
                        busy.retain(|address: &SocketAddr| address.ip() != at(ip, 0).ip());
                        prop_assert!(pool.is_banned(at(ip, 0).ip()));
                    }
                    Op::Wait(seconds) => now += Duration::from_secs(u64::from(seconds)),
                }
                prop_assert!(pool.candidates.keys().all(|known| !banned.contains(&known.ip())));
            }
        }
    }

    #[test]
    fn a_banned_host_is_gone() {
        let mut pool = Pool::default();
        pool.add(address(1), Time::ZERO, true);
        pool.ban(address(1).ip());
        assert!(pool.next(Time::ZERO, FAST).is_none() && !pool.add(address(1), Time::ZERO, true));
    }
}
