//! Fetching the info dictionary from peers (BEP 9): a machine.
//!
//! Each of a few peers is asked for the whole dictionary, of the size that this peer states, and what one
//! sends is never mixed with what another sent: so the first that is right ends it, and one that lies
//! costs its own slot for the time of its own download and is known as a liar at once. What a peer may
//! make us keep is bounded by [`SIZE_MAX`], and taken only as its pieces arrive.

use std::collections::BTreeMap;
use std::time::Duration;

use bittorrent::Time;
use bittorrent::picker::PeerKey;
use bytes::Bytes;

/// Peers that are asked at once.
const PEERS_MAX: usize = 3;
/// Pieces that are asked of one peer at once.
const ASKED_MAX: u32 = 16;
/// Length of a piece of the dictionary but the last, in bytes (BEP 9).
const PIECE_LEN: u32 = 16 * 1024;
/// The largest dictionary that is taken, in bytes.
const SIZE_MAX: u32 = 10_000_000;
/// A peer that sends nothing for this time loses its slot.
const PATIENCE: Duration = Duration::from_secs(5);
/// A peer that is not done after this time gives way to one that waits, so that slow liars do not hold
/// all slots. The time doubles with each that gave way: what an honest slow peer needs, it gets at last.
const TURN: Duration = Duration::from_secs(10);
/// The longest turn.
const TURN_MAX: Duration = Duration::from_secs(640);

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Ask this peer for these pieces.
    Ask(PeerKey, Vec<u32>),
    /// The peer sent all of it: check its hash.
    Complete(PeerKey, Bytes),
}

#[derive(Debug)]
struct Attempt {
    size: u32,
    pieces: Vec<Option<Bytes>>,
    asked: u32,
    received: u32,
    at: Time,
    /// When it gives way, if another waits.
    until: Time,
}

/// The fetch of one info dictionary.
#[derive(Debug, Default)]
pub(crate) struct MetadataFetch {
    attempts: BTreeMap<PeerKey, Attempt>,
    /// Peers that have it and are not asked yet, with the size that they state, in order of arrival.
    waiting: Vec<(PeerKey, u32)>,
    /// Peers that were not done at the end of their turn.
    slow: u32,
}

impl MetadataFetch {
    /// A peer says that it has the dictionary, of so many bytes.
    pub(crate) fn offered(&mut self, key: PeerKey, size: u32, now: Time, out: &mut Vec<Step>) {
        let known = self.attempts.contains_key(&key) || self.waiting.iter().any(|w| w.0 == key);
        if !known && (1..=SIZE_MAX).contains(&size) {
            self.waiting.push((key, size));
        }
        self.begin(now, out);
    }

    /// A peer sent a piece.
    pub(crate) fn received(
        &mut self,
        key: PeerKey,
        (piece, total_size, data): (u32, u32, Bytes),
        now: Time,
        out: &mut Vec<Step>,
    ) {
        let Some(attempt) = self.attempts.get_mut(&key) else { return };
        if total_size != attempt.size {
            // It changed its mind: nothing that it says can be believed.
            self.attempts.remove(&key);
            return self.begin(now, out);
        }
        let Some(slot) = attempt.pieces.get_mut(piece as usize) else { return };
        if slot.replace(data).is_none() {
            attempt.received += 1;
        }
        attempt.at = now;
        if attempt.received as usize == attempt.pieces.len() {
            let whole: Vec<u8> = attempt.pieces.iter().flatten().flatten().copied().collect();
            self.attempts.remove(&key);
            out.push(Step::Complete(key, whole.into()));
            return;
        }
        if attempt.asked - attempt.received < ASKED_MAX / 2 {
            out.extend(attempt.ask(key));
        }
    }

    /// A peer does not serve it, or is gone, or lied.
    pub(crate) fn left(&mut self, key: PeerKey, now: Time, out: &mut Vec<Step>) {
        self.attempts.remove(&key);
        self.waiting.retain(|waiting| waiting.0 != key);
        self.begin(now, out);
    }

    /// When [`MetadataFetch::handle_timeout`] is due.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        let others_wait = !self.waiting.is_empty();
        self.attempts.values().map(|attempt| attempt.due(others_wait)).min()
    }

    /// Gives the slots of silent and slow peers to others; they wait for another turn.
    pub(crate) fn handle_timeout(&mut self, now: Time, out: &mut Vec<Step>) {
        let others_wait = !self.waiting.is_empty();
        let over = self.attempts.extract_if(.., |_, attempt| now >= attempt.due(others_wait));
        let over: Vec<_> = over.map(|(key, attempt)| (key, attempt.size, attempt.until)).collect();
        for (key, size, until) in over {
            self.slow += u32::from(now >= until);
            self.waiting.push((key, size));
        }
        self.begin(now, out);
    }

    fn begin(&mut self, now: Time, out: &mut Vec<Step>) {
        while self.attempts.len() < PEERS_MAX && !self.waiting.is_empty() {
            let (key, size) = self.waiting.remove(0);
            let pieces = vec![None; size.div_ceil(PIECE_LEN) as usize];
            let turn = TURN.saturating_mul(1 << self.slow.min(16)).min(TURN_MAX);
            let until = now + turn;
            let mut attempt = Attempt { size, pieces, asked: 0, received: 0, at: now, until };
            out.extend(attempt.ask(key));
            self.attempts.insert(key, attempt);
        }
    }
}

impl Attempt {
    /// When its slot goes to another.
    fn due(&self, others_wait: bool) -> Time {
        let silent = self.at + PATIENCE;
        if others_wait { silent.min(self.until) } else { silent }
    }

    /// Asks for as many pieces more as may be asked for at once.
    fn ask(&mut self, key: PeerKey) -> Option<Step> {
        let count = u32::try_from(self.pieces.len()).unwrap_or(u32::MAX);
        let end = count.min(self.received + ASKED_MAX);
        let pieces: Vec<_> = (self.asked..end).collect();
        self.asked = self.asked.max(end);
        (!pieces.is_empty()).then_some(Step::Ask(key, pieces))
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "keys of the test fit a byte")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ONE: PeerKey = PeerKey(1);

    fn piece(len: usize) -> Bytes {
        vec![7; len].into()
    }

    #[test]
    fn asks_one_peer_for_all_of_it() {
        let (mut fetch, mut out) = (MetadataFetch::default(), Vec::new());
        fetch.offered(ONE, 16_385, Time::ZERO, &mut out);
        assert_eq!(out, [Step::Ask(ONE, vec![0, 1])]);
        out.clear();
        fetch.received(ONE, (1, 16_385, piece(1)), Time::ZERO, &mut out);
        fetch.received(ONE, (0, 16_385, piece(16_384)), Time::ZERO, &mut out);
        assert_eq!(out, [Step::Complete(ONE, piece(16_385))]);
    }

    #[test]
    fn a_large_one_is_asked_for_in_parts() {
        let (mut fetch, mut out) = (MetadataFetch::default(), Vec::new());
        fetch.offered(ONE, 40 * 16_384, Time::ZERO, &mut out);
        let mut sent = 0;
        while !matches!(out.last(), Some(Step::Complete(..))) {
            let asked: Vec<u32> = out
                .drain(..)
                .filter_map(|step| match step {
                    Step::Ask(_, pieces) => Some(pieces),
                    Step::Complete(..) => None,
                })
                .flatten()
                .collect();
            assert!(!asked.is_empty() && asked.len() <= ASKED_MAX as usize);
            for n in asked {
                sent += 1;
                fetch.received(ONE, (n, 40 * 16_384, piece(16_384)), Time::ZERO, &mut out);
            }
        }
        assert_eq!(sent, 40);
    }

    #[test]
    fn sizes_without_sense_and_changed_ones_are_not_believed() {
        let (mut fetch, mut out) = (MetadataFetch::default(), Vec::new());
        fetch.offered(ONE, 0, Time::ZERO, &mut out);
        fetch.offered(ONE, SIZE_MAX + 1, Time::ZERO, &mut out);
        assert!(out.is_empty());
        fetch.offered(ONE, 100, Time::ZERO, &mut out);
        out.clear();
        fetch.received(ONE, (0, 99, piece(99)), Time::ZERO, &mut out);
        assert!(out.is_empty() && fetch.poll_timeout().is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever comes in whatever order, what is complete is what one peer sent, and no peer is asked
        /// for more than it offered or at the same time as too many others.
        #[test]
        fn what_peers_send_is_never_mixed(
            ops in proptest::collection::vec((0..5_u32, 0..4_u8, 0..4_u32, 0..20_u64), 0..200),
            sizes in proptest::array::uniform5(1..50_000_u32),
        ) {
            let (mut fetch, mut out) = (MetadataFetch::default(), Vec::new());
            let mut now = Time::ZERO;
            let part = |key: u32, piece: u32| {
                let size = sizes[key as usize];
                let length = size.saturating_sub(piece * PIECE_LEN).min(PIECE_LEN) as usize;
                Bytes::from(vec![key as u8; length])
            };
            for (key, what, piece, seconds) in ops {
                let (peer, size) = (PeerKey(key), sizes[key as usize]);
                match what {
                    0 => fetch.offered(peer, size, now, &mut out),
                    1 if part(key, piece).is_empty() => {}
                    1 => fetch.received(peer, (piece, size, part(key, piece)), now, &mut out),
                    2 => fetch.left(peer, now, &mut out),
                    _ => {
                        now += Duration::from_secs(seconds);
                        fetch.handle_timeout(now, &mut out);
                    }
                }
                prop_assert!(fetch.attempts.len() <= PEERS_MAX && fetch.waiting.len() <= 5);
                for step in out.drain(..) {
                    match step {
                        Step::Ask(PeerKey(key), pieces) => {
                            prop_assert!(pieces.len() <= ASKED_MAX as usize);
                            let fits = |&piece: &u32| piece * PIECE_LEN < sizes[key as usize];
                            prop_assert!(pieces.iter().all(fits));
                        }
                        Step::Complete(PeerKey(key), whole) => {
                            prop_assert_eq!(whole.len(), sizes[key as usize] as usize);
                            prop_assert!(whole.iter().all(|&byte| byte == key as u8));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn slow_peers_do_not_keep_others_out() {
        let (mut fetch, mut out) = (MetadataFetch::default(), Vec::new());
        (0..4).for_each(|n| fetch.offered(PeerKey(n), 500 * PIECE_LEN, Time::ZERO, &mut out));
        let mut now = Time::ZERO;
        let mut asked_at = None;
        for n in 0..8 {
            now += Duration::from_secs(3);
            out.clear();
            fetch.handle_timeout(now, &mut out);
            if out.iter().any(|step| matches!(step, Step::Ask(PeerKey(3), _))) {
                asked_at.get_or_insert(now);
            }
            for slow in 0..3 {
                fetch.received(PeerKey(slow), (n, 500 * PIECE_LEN, piece(16_384)), now, &mut out);
            }
        }
        assert!(asked_at.is_some_and(|at| at <= Time::from_secs(13)), "{asked_at:?}");
    }

    #[test]
    fn a_silent_peer_loses_its_slot() {
        let (mut fetch, mut out) = (MetadataFetch::default(), Vec::new());
        (0..4).for_each(|n| fetch.offered(PeerKey(n), 10, Time::ZERO, &mut out));
        assert_eq!(out.len(), PEERS_MAX);
        out.clear();
        assert_eq!(fetch.poll_timeout(), Some(Time::ZERO + PATIENCE));
        fetch.handle_timeout(Time::ZERO + PATIENCE, &mut out);
        assert_eq!(out.first(), Some(&Step::Ask(PeerKey(3), vec![0])));
    }
}
