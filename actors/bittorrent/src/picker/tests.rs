//! The picker against a naive oracle, and case by case.

use proptest::prelude::*;

use super::*;
use crate::BLOCK_LEN;

const A: PeerKey = PeerKey(0);
const B: PeerKey = PeerKey(1);

fn layout(pieces: u32, blocks: u32) -> Layout {
    let piece_length = blocks * BLOCK_LEN;
    Layout {
        piece_count: pieces,
        piece_length,
        total_length: u64::from(pieces) * u64::from(piece_length),
    }
}

fn picker(pieces: u32, blocks: u32) -> Picker {
    Picker::new(layout(pieces, blocks), &Bitfield::new(pieces), 1)
}

fn limits(blocks: usize) -> PickLimits {
    PickLimits { blocks, budget: u64::MAX, open: 64 }
}

fn pick(picker: &mut Picker, key: PeerKey, blocks: usize) -> Vec<(u32, u32)> {
    let mut out = Vec::new();
    picker.pick(key, limits(blocks), &mut out);
    out.into_iter().map(|block| (block.piece.0, block.begin / BLOCK_LEN)).collect()
}

fn bits(pieces: u32, set: &[u32]) -> Bitfield {
    let mut bits = Bitfield::new(pieces);
    set.iter().for_each(|&piece| {
        bits.insert(PieceIndex(piece));
    });
    bits
}

#[test]
fn the_rarest_piece_comes_first_once_there_is_something_to_give() {
    let have = bits(10, &[0, 1, 2, 3]);
    let mut picker = Picker::new(layout(10, 1), &have, 7);
    for (key, set) in [(A, &[4, 5, 6, 7, 8, 9][..]), (B, &[4, 5, 7, 8, 9])] {
        picker.peer_joined(key);
        picker.peer_bitfield(key, &bits(10, set));
    }
    assert_eq!(pick(&mut picker, A, 1), [(6, 0)]);
    picker.set_priority(PieceIndex(8), PRIORITY_MAX);
    assert_eq!(pick(&mut picker, A, 1), [(8, 0)]);
}

#[test]
fn a_piece_that_the_budget_does_not_cover_is_picked_later() {
    let mut picker = picker(3, 4);
    picker.peer_joined(A);
    picker.peer_has_all(A);
    assert_eq!(pick(&mut picker, A, 4).len(), 4);
    let too_little = PickLimits { blocks: 8, budget: 1, open: 64 };
    for _ in 0..3 {
        let mut out = Vec::new();
        assert_eq!(picker.pick(A, too_little, &mut out), Picked::default());
    }
    assert_eq!(pick(&mut picker, A, 8).len(), 8);
}

#[test]
fn a_peer_goes_on_with_its_piece_and_opens_more_as_its_window_asks() {
    let mut picker = picker(8, 4);
    picker.peer_joined(A);
    picker.peer_has_all(A);
    let first = pick(&mut picker, A, 6);
    assert_eq!(first.len(), 6);
    assert_eq!(picker.open_count(), 2);
    let second = pick(&mut picker, A, 2);
    assert!(second.iter().all(|(piece, _)| *piece == first[5].0));
}

#[test]
fn two_peers_work_on_pieces_of_their_own_then_share_then_duplicate() {
    let mut picker = picker(2, 4);
    for key in [A, B] {
        picker.peer_joined(key);
        picker.peer_has_all(key);
    }
    let (a, b) = (pick(&mut picker, A, 1)[0].0, pick(&mut picker, B, 1)[0].0);
    assert_ne!(a, b);
    assert_eq!(pick(&mut picker, A, 6).len(), 6, "its own, then the other's");
    assert!(picker.in_endgame());
    assert_eq!(pick(&mut picker, B, 64).len(), 7, "what A owes us, once");
    assert_eq!(pick(&mut picker, B, 64).len(), 0);
    let received = picker.received(A, PieceIndex(a), 0);
    assert_eq!(received.cancel, [B]);
}

#[test]
fn what_a_peer_leaves_behind_is_taken_up_by_others() {
    let mut picker = picker(1, 4);
    for key in [A, B] {
        picker.peer_joined(key);
        picker.peer_has_all(key);
    }
    assert_eq!(pick(&mut picker, A, 4).len(), 4);
    picker.received(A, PieceIndex(0), 0);
    picker.peer_left(A);
    assert_eq!(pick(&mut picker, B, 9), [(0, 1), (0, 2), (0, 3)]);
    for block in 1..4 {
        let received = picker.received(B, PieceIndex(0), block * BLOCK_LEN);
        assert_eq!(received.complete, block == 3);
    }
    picker.verified(PieceIndex(0));
    assert_eq!((picker.wanted_left(), picker.is_interesting(B)), (0, false));
}

#[test]
fn a_peer_on_parole_works_alone() {
    let mut picker = picker(2, 2);
    for key in [A, B] {
        picker.peer_joined(key);
        picker.peer_has_all(key);
    }
    picker.set_parole(A, true);
    let piece = pick(&mut picker, A, 1)[0].0;
    let other = pick(&mut picker, B, 9);
    assert!(other.iter().all(|(theirs, _)| *theirs != piece), "{other:?}");
}

#[test]
fn sequential_and_deadlines() {
    let mut picker = picker(6, 1);
    picker.peer_joined(A);
    picker.peer_has_all(A);
    picker.set_sequential(true);
    assert_eq!(pick(&mut picker, A, 2), [(0, 0), (1, 0)]);
    picker.set_deadline(PieceIndex(5), Time::from_secs(2));
    picker.set_deadline(PieceIndex(4), Time::from_secs(1));
    assert_eq!(pick(&mut picker, A, 3), [(4, 0), (5, 0), (2, 0)]);
}

#[test]
fn a_budget_bounds_open_pieces_but_one_is_always_allowed() {
    let mut picker = picker(8, 4);
    picker.peer_joined(A);
    picker.peer_has_all(A);
    let mut out = Vec::new();
    let small = PickLimits { blocks: 64, budget: 1, open: 64 };
    assert_eq!(picker.pick(A, small, &mut out).opened.len(), 1);
    assert_eq!(out.len(), 4);
    assert_eq!(picker.pick(A, small, &mut out).opened.len(), 0);
}

#[test]
fn pieces_that_are_not_wanted_are_not_picked() {
    let mut picker = picker(3, 1);
    picker.peer_joined(A);
    picker.peer_bitfield(A, &bits(3, &[0, 1]));
    picker.set_priority(PieceIndex(0), 0);
    picker.set_priority(PieceIndex(1), 0);
    assert!(!picker.is_interesting(A));
    assert_eq!(picker.wanted_left(), 1);
    assert!(pick(&mut picker, A, 9).is_empty());
    picker.set_priority(PieceIndex(1), PRIORITY_NORMAL);
    assert_eq!(pick(&mut picker, A, 9), [(1, 0)]);
}

#[derive(Debug, Clone)]
enum Step {
    Join(u32),
    Leave(u32),
    Has(u32, u32),
    All(u32),
    Lost(u32, u32),
    Bits(u32, Vec<u32>),
    Pick(u32, usize),
    Receive(usize),
    Release(usize),
    Fail(u32),
    Priority(u32, u8),
}

const PIECES: u32 = 12;
const PEERS: u32 = 4;

fn step() -> impl Strategy<Value = Step> {
    let (peer, piece) = (0..PEERS, 0..PIECES);
    prop_oneof![
        peer.clone().prop_map(Step::Join),
        peer.clone().prop_map(Step::Leave),
        (peer.clone(), piece.clone()).prop_map(|(k, p)| Step::Has(k, p)),
        peer.clone().prop_map(Step::All),
        (peer.clone(), piece.clone()).prop_map(|(k, p)| Step::Lost(k, p)),
        (peer.clone(), prop::collection::vec(piece.clone(), 0..8))
            .prop_map(|(k, p)| Step::Bits(k, p)),
        (peer, 1_usize..6).prop_map(|(k, n)| Step::Pick(k, n)),
        (0_usize..64).prop_map(Step::Receive),
        (0_usize..64).prop_map(Step::Release),
        piece.clone().prop_map(Step::Fail),
        (piece, 0_u8..8).prop_map(|(p, level)| Step::Priority(p, level)),
    ]
}

/// What a careful clerk would know.
#[derive(Default)]
struct Oracle {
    peers: BTreeMap<u32, BTreeSet<u32>>,
    asked: Vec<(u32, BlockRef)>,
    received: BTreeSet<(u32, u32)>,
    have: BTreeSet<u32>,
    priority: BTreeMap<u32, u8>,
}

impl Oracle {
    fn wants(&self, piece: u32) -> bool {
        self.priority.get(&piece).copied().unwrap_or(PRIORITY_NORMAL) > 0
            && !self.have.contains(&piece)
    }

    fn check(&self, picker: &Picker) {
        picker.rarest.check();
        for piece in 0..PIECES {
            let holders = self.peers.values().filter(|set| set.contains(&piece)).count();
            assert_eq!(picker.availability(PieceIndex(piece)) as usize, holders, "of {piece}");
        }
        for (&key, set) in &self.peers {
            let interesting = set.iter().any(|&piece| self.wants(piece));
            assert_eq!(picker.is_interesting(PeerKey(key)), interesting, "peer {key}");
        }
        let left = (0..PIECES).filter(|&piece| self.wants(piece)).count();
        assert_eq!(picker.wanted_left() as usize, left);
    }

    fn check_picked(&self, picker: &Picker, key: u32, picked: &[BlockRef]) {
        for block in picked {
            assert!(self.peers[&key].contains(&block.piece.0), "the peer has it");
            assert!(!self.have.contains(&block.piece.0), "we miss it");
            assert!(!self.received.contains(&(block.piece.0, block.begin)), "it is not here");
            let times = self.asked.iter().filter(|(_, other)| other == block).count();
            assert!(times < 1 || picker.in_endgame() && times < 2, "asked {times} times");
            let twice = self.asked.iter().any(|(by, other)| *by == key && other == block);
            assert!(!twice, "asked twice of one peer");
        }
    }
}

fn run(steps: Vec<Step>) {
    let (mut picker, mut oracle) = (picker(PIECES, 2), Oracle::default());
    for step in steps {
        match step {
            Step::Join(key) => {
                if oracle.peers.insert(key, BTreeSet::new()).is_some() {
                    picker.peer_left(PeerKey(key));
                    oracle.asked.retain(|(by, _)| *by != key);
                }
                picker.peer_joined(PeerKey(key));
            }
            Step::Leave(key) => {
                oracle.peers.remove(&key);
                oracle.asked.retain(|(by, _)| *by != key);
                picker.peer_left(PeerKey(key));
            }
            Step::Has(key, piece) => {
                oracle.peers.entry(key).and_modify(|set| _ = set.insert(piece));
                picker.peer_has(PeerKey(key), PieceIndex(piece));
            }
            Step::All(key) => {
                oracle.peers.entry(key).and_modify(|set| set.extend(0..PIECES));
                picker.peer_has_all(PeerKey(key));
            }
            Step::Lost(key, piece) => {
                oracle.peers.entry(key).and_modify(|set| _ = set.remove(&piece));
                // The session releases what was asked of the peer for a piece that it lost.
                let gone = |(by, block): &(u32, BlockRef)| *by == key && block.piece.0 == piece;
                let blocks: Vec<_> =
                    oracle.asked.iter().filter(|it| gone(it)).map(|(_, block)| *block).collect();
                oracle.asked.retain(|it| !gone(it));
                picker.released(PeerKey(key), &blocks);
                picker.peer_lost(PeerKey(key), PieceIndex(piece));
            }
            Step::Bits(key, set) => {
                oracle.peers.entry(key).and_modify(|all| *all = set.iter().copied().collect());
                let gone: Vec<_> =
                    oracle.asked.iter().filter(|(by, _)| *by == key).map(|(_, b)| *b).collect();
                picker.released(PeerKey(key), &gone);
                oracle.asked.retain(|(by, _)| *by != key);
                picker.peer_bitfield(PeerKey(key), &bits(PIECES, &set));
            }
            Step::Pick(key, blocks) => {
                let mut picked = Vec::new();
                picker.pick(PeerKey(key), limits(blocks), &mut picked);
                oracle.check_picked(&picker, key, &picked);
                oracle.asked.extend(picked.into_iter().map(|block| (key, block)));
            }
            Step::Receive(nth) => {
                if nth >= oracle.asked.len() {
                    continue;
                }
                let (key, block) = oracle.asked.remove(nth);
                let received = picker.received(PeerKey(key), block.piece, block.begin);
                let others: BTreeSet<_> = oracle
                    .asked
                    .iter()
                    .filter(|(_, b)| *b == block)
                    .map(|(k, _)| PeerKey(*k))
                    .collect();
                assert_eq!(received.cancel.iter().copied().collect::<BTreeSet<_>>(), others);
                oracle.asked.retain(|(_, other)| *other != block);
                oracle.received.insert((block.piece.0, block.begin));
                let all =
                    oracle.received.iter().filter(|(piece, _)| *piece == block.piece.0).count()
                        == 2;
                assert_eq!(received.complete, all);
                if all {
                    picker.verified(block.piece);
                    oracle.have.insert(block.piece.0);
                }
            }
            Step::Release(nth) => {
                if nth < oracle.asked.len() {
                    let (key, block) = oracle.asked.remove(nth);
                    picker.released(PeerKey(key), &[block]);
                }
            }
            Step::Fail(piece) => {
                picker.failed(PieceIndex(piece));
                oracle.asked.retain(|(_, block)| block.piece.0 != piece);
                if !oracle.have.contains(&piece) {
                    oracle.received.retain(|(other, _)| *other != piece);
                }
            }
            Step::Priority(piece, level) => {
                picker.set_priority(PieceIndex(piece), level);
                oracle.priority.insert(piece, level);
            }
        }
        oracle.check(&picker);
    }
}

proptest! {
    #[test]
    fn agrees_with_the_oracle(steps in prop::collection::vec(step(), 0..80)) {
        run(steps);
    }
}
