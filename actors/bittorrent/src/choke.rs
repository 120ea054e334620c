//! Who may download from us: the choker (BEP 3).
//!
//! A round every ten seconds unchokes the best of those who want something: while we download, those
//! who give us most (tit for tat); as a seed, by one of three rules. Some of the slots go to peers drawn
//! by lot, for three rounds each, so that newcomers get a chance (optimistic unchoke). A free slot is given at once to whoever becomes
//! interested, without waiting for the round; while nobody is interested there is no round at all.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::Rng;
use rand::rngs::SmallRng;

use crate::Time;
use crate::picker::PeerKey;

/// Time between two rounds.
const ROUND: Duration = Duration::from_secs(10);
/// Rounds of an optimistic unchoke.
const OPTIMISTIC_ROUNDS: u32 = 3;
/// A slot of a seed is kept for this time at least, by the round robin.
const SLOT_MIN: Duration = Duration::from_secs(60);
/// Bytes that fill a slot's turn, by the round robin: 20 pieces of 1 MiB.
const TURN_BYTES: u64 = 20 * 1024 * 1024;
/// Slots of the rate-based choker at most.
const SLOTS_MAX: usize = 200;

/// How many may download at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slots {
    /// This many.
    Fixed(usize),
    /// At least this many, and one more as long as each gets a growing rate: when `n` slots are
    /// unchoked and the slowest still gets more than `n × 2 KiB/s`, there is room for one more.
    Rate(usize),
}

/// Whom a seed serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeedMode {
    /// Everyone in turn.
    RoundRobin,
    /// Those who take most, as they spread it most.
    FastestUpload,
    /// Those who are at the beginning or near the end, against those who never give.
    AntiLeech,
}

/// What the choker knows of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerFacts {
    /// Which.
    pub key: PeerKey,
    /// It wants something of us.
    pub interested: bool,
    /// It has not sent what we asked for.
    pub snubbed: bool,
    /// Bytes a second from it.
    pub down_bytes_per_s: u64,
    /// Bytes a second to it.
    pub up_bytes_per_s: u64,
    /// Bytes to it since it was unchoked.
    pub up_since_unchoke: u64,
    /// When it was unchoked last.
    pub unchoked_at: Option<Time>,
    /// Share of the torrent that it has, in thousandths.
    pub progress: u16,
}

/// Whom to choke and unchoke now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct Changes {
    /// Serve these.
    pub unchoke: Vec<PeerKey>,
    /// Serve these no longer.
    pub choke: Vec<PeerKey>,
}

/// The choker of one torrent.
#[derive(Debug)]
pub struct Choker {
    slots: Slots,
    by_lot: usize,
    seed_mode: SeedMode,
    unchoked: BTreeSet<PeerKey>,
    optimistic: BTreeSet<PeerKey>,
    rounds: u32,
    next_round: Option<Time>,
    rng: SmallRng,
}

impl Choker {
    /// A choker that serves nobody yet; `by_lot` of the slots are optimistic.
    #[must_use]
    pub fn new(slots: Slots, by_lot: usize, seed_mode: SeedMode, rng: SmallRng) -> Self {
        Self {
            slots,
            by_lot,
            seed_mode,
            unchoked: BTreeSet::new(),
            optimistic: BTreeSet::new(),
            rounds: 0,
            next_round: None,
            rng,
        }
    }

    /// When [`Choker::round`] is due; never while nobody is interested.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Time> {
        self.next_round
    }

    /// Whether a peer is served.
    #[must_use]
    pub fn serves(&self, key: PeerKey) -> bool {
        self.unchoked.contains(&key)
    }

    fn slots(&self, peers: &[PeerFacts]) -> usize {
        /// What a slot must carry for one more to be opened, times the number of slots.
        const STEP: u64 = 2 * 1024;
        match self.slots {
            Slots::Fixed(slots) => slots,
            Slots::Rate(least) => {
                let served = peers.iter().filter(|peer| self.unchoked.contains(&peer.key));
                let mut rates: Vec<_> = served.map(|peer| peer.up_bytes_per_s).collect();
                rates.sort_unstable_by(|a, b| b.cmp(a));
                let full = rates.iter().zip(1_u64..).take_while(|(rate, n)| **rate > n * STEP);
                (full.count() + 1).clamp(least, SLOTS_MAX)
            }
        }
    }

    /// A peer became interested: it is served at once if a slot is free.
    pub fn interested(&mut self, now: Time, key: PeerKey, peers: &[PeerFacts]) -> Changes {
        self.next_round.get_or_insert(now + ROUND);
        let mut changes = Changes::default();
        if self.unchoked.len() < self.slots(peers) && self.unchoked.insert(key) {
            changes.unchoke.push(key);
        }
        changes
    }

    /// A peer is interested no longer, or gone: its slot is free.
    pub fn left(&mut self, key: PeerKey) {
        self.unchoked.remove(&key);
        self.optimistic.remove(&key);
    }

    /// Decides anew. `seeding` says that we have all that we want.
    pub fn round(&mut self, now: Time, seeding: bool, peers: &[PeerFacts]) -> Changes {
        let mut wanting: Vec<&PeerFacts> = peers.iter().filter(|peer| peer.interested).collect();
        self.next_round = (!wanting.is_empty()).then(|| now + ROUND);
        let slots = self.slots(peers);
        if seeding {
            self.rank_for_seed(now, &mut wanting);
        } else {
            wanting.sort_by_key(|peer| {
                (peer.snubbed, std::cmp::Reverse(peer.down_bytes_per_s), peer.key)
            });
        }
        let by_lot = self.by_lot.min(slots);
        let best = wanting.iter().take(slots - by_lot);
        let mut chosen: BTreeSet<PeerKey> = best.map(|peer| peer.key).collect();
        self.choose_optimistic(by_lot, &wanting, &mut chosen);
        let changes = Changes {
            unchoke: chosen.difference(&self.unchoked).copied().collect(),
            choke: self.unchoked.difference(&chosen).copied().collect(),
        };
        self.unchoked = chosen;
        changes
    }

    fn rank_for_seed(&self, now: Time, wanting: &mut [&PeerFacts]) {
        let served = |peer: &PeerFacts| self.unchoked.contains(&peer.key);
        match self.seed_mode {
            SeedMode::RoundRobin => wanting.sort_by_key(|peer| {
                let turn_over = peer.up_since_unchoke >= TURN_BYTES
                    && peer.unchoked_at.is_some_and(|at| now.since(at) >= SLOT_MIN);
                let since = peer.unchoked_at.unwrap_or(Time::ZERO);
                // Whose turn is not over; then whoever waits longest.
                (!served(peer) || turn_over, since, peer.key)
            }),
            SeedMode::FastestUpload => {
                wanting.sort_by_key(|peer| (std::cmp::Reverse(peer.up_bytes_per_s), peer.key));
            }
            SeedMode::AntiLeech => wanting.sort_by_key(|peer| {
                // Far from the middle first: the fresh must get something to give, the almost
                // finished are seeds soon.
                (std::cmp::Reverse(peer.progress.abs_diff(500)), peer.key)
            }),
        }
    }

    fn choose_optimistic(
        &mut self,
        by_lot: usize,
        wanting: &[&PeerFacts],
        chosen: &mut BTreeSet<PeerKey>,
    ) {
        let again = self.rounds.is_multiple_of(OPTIMISTIC_ROUNDS);
        self.rounds = self.rounds.wrapping_add(1);
        let mut others: Vec<_> =
            wanting.iter().map(|peer| peer.key).filter(|key| !chosen.contains(key)).collect();
        let kept = std::mem::take(&mut self.optimistic);
        if !again {
            self.optimistic = kept.into_iter().filter(|key| others.contains(key)).collect();
        }
        others.retain(|key| !self.optimistic.contains(key));
        while self.optimistic.len() < by_lot && !others.is_empty() {
            let at = self.rng.random_range(0..others.len());
            self.optimistic.insert(others.swap_remove(at));
        }
        chosen.extend(&self.optimistic);
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn peer(key: u32, down: u64) -> PeerFacts {
        PeerFacts {
            key: PeerKey(key),
            interested: true,
            snubbed: false,
            down_bytes_per_s: down,
            up_bytes_per_s: 0,
            up_since_unchoke: 0,
            unchoked_at: None,
            progress: 0,
        }
    }

    fn choker(slots: usize) -> Choker {
        let rng = SmallRng::seed_from_u64(1);
        Choker::new(Slots::Fixed(slots), 1, SeedMode::RoundRobin, rng)
    }

    fn served(choker: &Choker) -> Vec<u32> {
        choker.unchoked.iter().map(|key| key.0).collect()
    }

    #[test]
    fn those_who_give_most_are_served_and_one_by_lot() {
        let mut choker = choker(3);
        let peers: Vec<_> = (0..10).map(|n| peer(n, u64::from(n) * 100)).collect();
        let changes = choker.round(Time::ZERO, false, &peers);
        assert_eq!(changes.unchoke.len(), 3);
        assert!(choker.serves(PeerKey(9)) && choker.serves(PeerKey(8)));
        let lot = choker.optimistic.clone();
        assert_eq!(lot.len(), 1);
        for round in 1..3 {
            let _ = choker.round(Time::from_secs(10 * round), false, &peers);
            assert_eq!(choker.optimistic, lot, "for three rounds");
        }
    }

    #[test]
    fn a_snubbing_peer_comes_last() {
        let mut choker = Choker { by_lot: 0, ..choker(1) };
        let mut peers = [peer(0, 1000), peer(1, 1)];
        peers[0].snubbed = true;
        let _ = choker.round(Time::ZERO, false, &peers);
        assert!(choker.serves(PeerKey(1)));
    }

    #[test]
    fn a_free_slot_is_given_at_once_and_idle_has_no_rounds() {
        let mut choker = choker(2);
        assert_eq!(choker.poll_timeout(), None);
        let peers = [peer(0, 0), peer(1, 0), peer(2, 0)];
        let at = Time::from_secs(5);
        assert_eq!(choker.interested(at, PeerKey(0), &peers).unchoke, [PeerKey(0)]);
        assert_eq!(choker.interested(at, PeerKey(1), &peers).unchoke, [PeerKey(1)]);
        assert!(choker.interested(at, PeerKey(2), &peers).unchoke.is_empty());
        assert_eq!(choker.poll_timeout(), Some(Time::from_secs(15)));
        let _ = choker.round(Time::from_secs(15), true, &[]);
        assert_eq!((choker.poll_timeout(), served(&choker)), (None, vec![]));
    }

    #[test]
    fn a_seed_serves_in_turn() {
        let mut choker = Choker { by_lot: 0, ..choker(1) };
        let mut peers = [peer(0, 0), peer(1, 0)];
        let _ = choker.round(Time::from_secs(1), true, &peers);
        assert!(choker.serves(PeerKey(0)));
        peers[0].unchoked_at = Some(Time::from_secs(1));
        peers[0].up_since_unchoke = TURN_BYTES;
        let _ = choker.round(Time::from_secs(100), true, &peers);
        assert!(choker.serves(PeerKey(1)));
    }

    #[test]
    fn never_more_are_served_than_there_are_slots() {
        for (slots, by_lot) in [(1, 0), (1, 1), (4, 0), (4, 1), (4, 3), (4, 4), (8, 20)] {
            let mut choker = Choker { by_lot, ..choker(slots) };
            let peers: Vec<_> = (0..10).map(|n| peer(n, u64::from(n) * 100)).collect();
            for n in 0..10 {
                let _ = choker.interested(Time::ZERO, PeerKey(n), &peers);
                assert!(choker.unchoked.len() <= slots);
            }
            for round in 1..10 {
                let seeding = round % 2 == 0;
                let _ = choker.round(Time::from_secs(10 * round), seeding, &peers);
                assert_eq!(choker.unchoked.len(), slots, "{by_lot} by lot");
                assert_eq!(choker.optimistic.len(), by_lot.min(slots));
            }
        }
    }

    #[test]
    fn slots_grow_with_the_rate() {
        let mut choker =
            Choker::new(Slots::Rate(2), 1, SeedMode::FastestUpload, SmallRng::seed_from_u64(1));
        let mut peers: Vec<_> = (0..20).map(|n| peer(n, 0)).collect();
        let mut now = Time::ZERO;
        for _ in 0..10 {
            peers.iter_mut().for_each(|peer| peer.up_bytes_per_s = 1 << 20);
            now += ROUND;
            let _ = choker.round(now, true, &peers);
        }
        assert!(choker.unchoked.len() > 8, "{}", choker.unchoked.len());
    }
}
