//! Which blocks to ask of which peer: the piece picker.
//!
//! [`Picker`] knows what we have and want, what every peer has, and which blocks are asked of whom. It
//! picks, in this order: pieces with a deadline; pieces that the peer began or that nobody works on; a
//! new piece, the rarest of the highest priority (or the first, when sequential); pieces of others; and
//! when every block is asked for, blocks that others owe us (endgame, one duplicate a block).
//!
//! A peer goes on with the pieces that it began, and as many pieces are open as its window spans, so
//! that pieces complete side by side and their hashes fill the lanes. A peer on parole gets pieces of its
//! own only, so that what it sends can be judged.
//!
//! Pieces that could be begun stand in `rarest`, sorted by priority and availability; every change
//! moves a piece by swaps in constant time. Peers with everything are counted once.

mod open;
mod peers;
mod rarest;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::assembly::WHOLE_MAX;
use crate::bitfield::Bitfield;
use crate::peer::Layout;
use crate::{BlockRef, PieceIndex, Time};

use open::OpenPiece;
use peers::Peers;
use rarest::Rarest;

/// A peer, by a small number that its owner gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerKey(pub u32);

/// Pieces that are picked at random before the rarest are, so that there is something to give soon.
const RANDOM_FIRST: u32 = 4;
/// Places that are looked at to find a piece that a peer has; the next pick goes on from there.
const SCAN_MAX: usize = 1024;
/// The priority of a piece that nothing is known about.
pub const PRIORITY_NORMAL: u8 = 4;
/// The highest priority.
pub const PRIORITY_MAX: u8 = 7;

/// How much may be picked.
#[derive(Debug, Clone, Copy)]
pub struct PickLimits {
    /// Blocks at most.
    pub blocks: usize,
    /// Bytes of pieces that may be begun; a torrent with nothing open may always begin one.
    pub budget: u64,
    /// Pieces that may be open at once.
    pub open: usize,
}

/// What was picked beside the blocks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Picked {
    /// Pieces that were begun now.
    pub opened: Vec<PieceIndex>,
}

/// What the arrival of a block means.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Received {
    /// These were asked for the same block: tell them to cancel it.
    pub cancel: Vec<PeerKey>,
    /// All blocks of the piece are here.
    pub complete: bool,
}

/// The piece picker of one torrent; see the [module](self).
#[derive(Debug)]
pub struct Picker {
    layout: Layout,
    have: Bitfield,
    priorities: Vec<u8>,
    rarest: Rarest,
    open: BTreeMap<PieceIndex, OpenPiece>,
    /// Pieces that are open and whose owner is gone.
    orphans: BTreeSet<PieceIndex>,
    deadlines: BTreeMap<PieceIndex, Time>,
    peers: Peers,
    sequential: bool,
    /// No piece before this one can be begun, when sequential.
    first_missing: u32,
    wanted_left: u32,
    rng: SmallRng,
}

impl Picker {
    /// A picker for a torrent of which we have `have`. All pieces are wanted with
    /// [`PRIORITY_NORMAL`].
    #[must_use]
    pub fn new(layout: Layout, have: &Bitfield, seed: u64) -> Self {
        let mut picker = Self {
            layout,
            have: have.clone(),
            priorities: vec![PRIORITY_NORMAL; layout.piece_count as usize],
            rarest: Rarest::new(layout.piece_count),
            open: BTreeMap::new(),
            orphans: BTreeSet::new(),
            deadlines: BTreeMap::new(),
            peers: Peers::default(),
            sequential: false,
            first_missing: 0,
            wanted_left: 0,
            rng: SmallRng::seed_from_u64(seed),
        };
        for piece in have.missing() {
            picker.rarest.insert(piece, PRIORITY_NORMAL, &mut picker.rng);
            picker.wanted_left += 1;
        }
        picker
    }

    /// A peer came; it has nothing yet.
    pub fn peer_joined(&mut self, key: PeerKey) {
        self.peers.insert(key);
    }

    /// A peer went; what it was asked for can be asked of others.
    pub fn peer_left(&mut self, key: PeerKey) {
        let Some(slot) = self.peers.remove(key) else { return };
        for piece in slot.pieces() {
            self.rarest.less(piece);
        }
        for (&piece, open) in &mut self.open {
            open.release_all(key);
            if open.owner == Some(key) {
                open.owner = None;
                self.orphans.insert(piece);
            }
        }
    }

    /// A peer has everything.
    pub fn peer_has_all(&mut self, key: PeerKey) {
        let Some(slot) = self.peers.get_mut(key) else { return };
        let before: Vec<_> = slot.pieces().collect();
        slot.set_all(self.wanted_left);
        before.into_iter().for_each(|piece| self.rarest.less(piece));
    }

    /// A peer has these pieces, and no others.
    pub fn peer_bitfield(&mut self, key: PeerKey, bits: &Bitfield) {
        if bits.is_full() {
            return self.peer_has_all(key);
        }
        let wanted = bits.iter().filter(|&piece| self.is_wanted(piece)).count();
        let Some(slot) = self.peers.get_mut(key) else { return };
        let before: Vec<_> = slot.pieces().collect();
        slot.set_bits(bits.clone(), u32::try_from(wanted).unwrap_or(u32::MAX));
        before.into_iter().for_each(|piece| self.rarest.less(piece));
        bits.iter().for_each(|piece| self.rarest.more(piece));
    }

    /// A peer has one piece more.
    pub fn peer_has(&mut self, key: PeerKey, piece: PieceIndex) {
        let wanted = self.is_wanted(piece);
        let piece_count = self.layout.piece_count;
        let Some(slot) = self.peers.get_mut(key) else { return };
        if slot.add(piece, piece_count, wanted) {
            self.rarest.more(piece);
        }
        if let Some(before) = slot.become_all_if_full(piece_count, self.wanted_left) {
            before.iter().for_each(|piece| self.rarest.less(piece));
        }
    }

    /// A peer has a piece no longer.
    pub fn peer_lost(&mut self, key: PeerKey, piece: PieceIndex) {
        let wanted = self.is_wanted(piece);
        let piece_count = self.layout.piece_count;
        let Some(slot) = self.peers.get_mut(key) else { return };
        if let Some(bits) = slot.all_to_bits(piece_count) {
            bits.iter().for_each(|piece| self.rarest.more(piece));
        }
        if slot.remove(piece, wanted) {
            self.rarest.less(piece);
        }
    }

    /// Whether the peer has a wanted piece that we miss.
    #[must_use]
    pub fn is_interesting(&self, key: PeerKey) -> bool {
        self.peers.get(key).is_some_and(|slot| slot.wanted > 0)
    }

    /// Peers that have everything, and the pieces of others: what the rarest wanted piece has.
    #[must_use]
    pub fn availability(&self, piece: PieceIndex) -> u32 {
        self.peers.seeds() + self.rarest.availability(piece)
    }

    /// Lets a peer get pieces of its own only, or shared ones again.
    pub fn set_parole(&mut self, key: PeerKey, parole: bool) {
        if let Some(slot) = self.peers.get_mut(key) {
            slot.parole = parole;
        }
    }

    /// Picks blocks for a peer and notes them as asked of it.
    pub fn pick(&mut self, key: PeerKey, limits: PickLimits, out: &mut Vec<BlockRef>) -> Picked {
        let end = out.len() + limits.blocks;
        let mut picked = Picked::default();
        if self.peers.get(key).is_none_or(|slot| slot.wanted == 0) {
            return picked;
        }
        self.pick_deadlines(key, end, out, &mut picked);
        self.pick_own(key, end, out);
        let mut budget = limits.budget;
        while out.len() < end && (self.open.len() < limits.open || self.open.is_empty()) {
            // Before a piece is taken out of the order: one that is not begun must stay in it.
            if open_cost(self.layout.piece_length) > budget && !self.open.is_empty() {
                break;
            }
            let Some(piece) = self.next_new(key) else { break };
            budget = budget.saturating_sub(open_cost(self.layout.piece_len(piece)));
            self.begin(key, piece, &mut picked);
            self.ask(key, piece, end, out);
        }
        if out.len() < end {
            self.pick_shared(key, end, out);
        }
        if out.len() < end && self.in_endgame() {
            self.pick_endgame(key, end, out);
        }
        picked
    }

    /// Picks blocks of these pieces alone: the peer serves no others now (BEP 6).
    pub fn pick_among(
        &mut self,
        key: PeerKey,
        pieces: &[PieceIndex],
        limits: PickLimits,
        out: &mut Vec<BlockRef>,
    ) -> Picked {
        let end = out.len() + limits.blocks;
        let (mut picked, mut budget) = (Picked::default(), limits.budget);
        for &piece in pieces {
            if out.len() >= end || !self.peers.has(key, piece) || self.peers.on_parole(key) {
                continue;
            }
            if !self.open.contains_key(&piece) {
                let cost = open_cost(self.layout.piece_len(piece));
                let has_room =
                    self.open.is_empty() || cost <= budget && self.open.len() < limits.open;
                if !has_room || self.rarest.remove(piece).is_none() {
                    continue;
                }
                budget = budget.saturating_sub(cost);
                self.begin(key, piece, &mut picked);
            }
            let exclusive =
                self.open.get(&piece).is_some_and(|open| open.exclusive && open.owner != Some(key));
            if !exclusive {
                self.ask(key, piece, end, out);
            }
        }
        picked
    }

    fn pick_deadlines(
        &mut self,
        key: PeerKey,
        end: usize,
        out: &mut Vec<BlockRef>,
        picked: &mut Picked,
    ) {
        if self.deadlines.is_empty() {
            return;
        }
        let mut due: Vec<_> = self.deadlines.iter().map(|(&piece, &at)| (at, piece)).collect();
        due.sort_unstable();
        for (_, piece) in due {
            if out.len() >= end {
                return;
            }
            if !self.peers.has(key, piece) || self.peers.on_parole(key) {
                continue;
            }
            if !self.open.contains_key(&piece) {
                self.rarest.remove(piece);
                self.begin(key, piece, picked);
            }
            self.ask(key, piece, end, out);
        }
    }

    /// Goes on with what the peer began, then with what nobody works on.
    fn pick_own(&mut self, key: PeerKey, end: usize, out: &mut Vec<BlockRef>) {
        let own = self.open.iter().filter(|(_, open)| open.owner == Some(key) && open.has_free());
        let own: Vec<_> = own.map(|(&piece, _)| piece).collect();
        for piece in own {
            if out.len() >= end {
                return;
            }
            self.ask(key, piece, end, out);
        }
        if self.peers.on_parole(key) {
            return;
        }
        let orphans: Vec<_> =
            self.orphans.iter().copied().filter(|&piece| self.peers.has(key, piece)).collect();
        for piece in orphans {
            if out.len() >= end {
                return;
            }
            self.orphans.remove(&piece);
            if let Some(open) = self.open.get_mut(&piece) {
                open.owner = Some(key);
            }
            self.ask(key, piece, end, out);
        }
    }

    /// Helps with pieces of others.
    fn pick_shared(&mut self, key: PeerKey, end: usize, out: &mut Vec<BlockRef>) {
        if self.peers.on_parole(key) {
            return;
        }
        let shared = self.open.iter().filter(|(_, open)| open.has_free() && !open.exclusive);
        let shared: Vec<_> = shared.map(|(&piece, _)| piece).collect();
        for piece in shared {
            if out.len() >= end {
                return;
            }
            if self.peers.has(key, piece) {
                self.ask(key, piece, end, out);
            }
        }
    }

    /// Whether every block of every wanted piece is here or asked for.
    #[must_use]
    pub fn in_endgame(&self) -> bool {
        self.rarest.is_empty() && !self.open.values().any(OpenPiece::has_free)
    }

    fn pick_endgame(&mut self, key: PeerKey, end: usize, out: &mut Vec<BlockRef>) {
        for (&piece, open) in &mut self.open {
            if out.len() >= end {
                return;
            }
            if !open.exclusive && self.peers.has(key, piece) && !self.peers.on_parole(key) {
                open.ask_again(key, piece, self.layout.piece_len(piece), end, out);
            }
        }
    }

    /// A piece that can be begun and that the peer has.
    fn next_new(&mut self, key: PeerKey) -> Option<PieceIndex> {
        let slot = self.peers.get_mut(key)?;
        if self.sequential {
            return self.next_in_order(key);
        }
        if self.have.count() < RANDOM_FIRST && self.rarest.top_is_uniform() {
            let tries = self.rarest.len().min(64);
            for _ in 0..tries {
                let at = self.rng.random_range(0..self.rarest.len());
                let piece = self.rarest.at(at)?;
                if slot.has(piece) && self.rarest.is_top_priority(piece) {
                    return self.rarest.remove(piece);
                }
            }
        }
        if slot.is_all() {
            let piece = self.rarest.at(0)?;
            return self.rarest.remove(piece);
        }
        // The rarest first; then from where the last search for this peer ended, so that a peer with
        // few pieces is not searched for from the beginning each time.
        let len = self.rarest.len();
        let near = 0..len.min(SCAN_MAX);
        let far = slot.cursor.max(near.end)..len.min(slot.cursor.max(near.end) + SCAN_MAX);
        let mut found = None;
        for at in near.chain(far.clone()) {
            let piece = self.rarest.at(at)?;
            if slot.has(piece) {
                found = Some(piece);
                break;
            }
        }
        slot.cursor = if found.is_some() || far.end >= len { 0 } else { far.end };
        self.rarest.remove(found?)
    }

    fn next_in_order(&mut self, key: PeerKey) -> Option<PieceIndex> {
        let slot = self.peers.get(key)?;
        let found = (self.first_missing..self.layout.piece_count)
            .map(PieceIndex)
            .filter(|&piece| self.rarest.contains(piece))
            .find(|&piece| slot.has(piece))?;
        while self.first_missing < self.layout.piece_count
            && !self.rarest.contains(PieceIndex(self.first_missing))
        {
            self.first_missing += 1;
        }
        self.rarest.remove(found)
    }

    fn begin(&mut self, key: PeerKey, piece: PieceIndex, picked: &mut Picked) {
        let exclusive = self.peers.on_parole(key);
        let open = OpenPiece::new(self.layout.piece_len(piece), key, exclusive);
        self.open.insert(piece, open);
        picked.opened.push(piece);
    }

    fn ask(&mut self, key: PeerKey, piece: PieceIndex, end: usize, out: &mut Vec<BlockRef>) {
        let length = self.layout.piece_len(piece);
        if let Some(open) = self.open.get_mut(&piece) {
            open.ask(key, piece, length, end, out);
        }
    }

    /// A block came from a peer.
    pub fn received(&mut self, key: PeerKey, piece: PieceIndex, begin: u32) -> Received {
        let Some(open) = self.open.get_mut(&piece) else { return Received::default() };
        let cancel = open.received(key, begin);
        Received { cancel, complete: open.is_complete() }
    }

    /// These will not come from the peer: others can be asked for them.
    pub fn released(&mut self, key: PeerKey, blocks: &[BlockRef]) {
        for block in blocks {
            let Some(open) = self.open.get_mut(&block.piece) else { continue };
            open.release(key, block.begin);
            if open.owner == Some(key) && !open.asks(key) {
                open.owner = None;
                self.orphans.insert(block.piece);
            }
        }
    }

    /// The piece is verified and written.
    pub fn verified(&mut self, piece: PieceIndex) {
        self.open.remove(&piece);
        self.orphans.remove(&piece);
        self.deadlines.remove(&piece);
        if self.have.contains(piece) {
            return;
        }
        self.rarest.remove(piece);
        if self.is_wanted(piece) {
            self.wanted_left -= 1;
            self.peers.less_wanted(piece);
        }
        self.have.insert(piece);
    }

    /// The piece must be fetched again from its first byte: it failed its hash, or its actor died.
    pub fn failed(&mut self, piece: PieceIndex) {
        self.orphans.remove(&piece);
        if self.open.remove(&piece).is_some() && !self.have.contains(piece) {
            self.make_pickable(piece);
        }
    }

    /// We have a piece no longer.
    pub fn lost(&mut self, piece: PieceIndex) {
        if self.have.remove(piece) && self.priority(piece) > 0 {
            self.wanted_left += 1;
            self.peers.more_wanted(piece);
            self.make_pickable(piece);
        }
    }

    fn make_pickable(&mut self, piece: PieceIndex) {
        let priority = self.priority(piece);
        if priority > 0 {
            self.rarest.insert(piece, priority, &mut self.rng);
            self.first_missing = self.first_missing.min(piece.0);
        }
    }

    fn is_wanted(&self, piece: PieceIndex) -> bool {
        self.priority(piece) > 0 && !self.have.contains(piece)
    }

    /// A piece's priority: 0 is not wanted.
    #[must_use]
    pub fn priority(&self, piece: PieceIndex) -> u8 {
        self.priorities.get(piece.as_usize()).copied().unwrap_or(0)
    }

    /// Sets a piece's priority, 0 to [`PRIORITY_MAX`]. An open piece is finished all the same.
    pub fn set_priority(&mut self, piece: PieceIndex, priority: u8) {
        let priority = priority.min(PRIORITY_MAX);
        let Some(slot) = self.priorities.get_mut(piece.as_usize()) else { return };
        let before = std::mem::replace(slot, priority);
        if before == priority || self.have.contains(piece) {
            return;
        }
        if before == 0 {
            self.wanted_left += 1;
            self.peers.more_wanted(piece);
        } else if priority == 0 {
            self.wanted_left -= 1;
            self.peers.less_wanted(piece);
        }
        self.rarest.remove(piece);
        if !self.open.contains_key(&piece) {
            self.make_pickable(piece);
        }
    }

    /// Picks pieces in order, or the rarest first.
    pub fn set_sequential(&mut self, sequential: bool) {
        self.sequential = sequential;
        self.first_missing = 0;
    }

    /// Asks for a piece before all without a deadline; earlier deadlines first.
    pub fn set_deadline(&mut self, piece: PieceIndex, at: Time) {
        if piece.0 >= self.layout.piece_count || self.have.contains(piece) {
            return;
        }
        if self.priority(piece) == 0 {
            self.set_priority(piece, PRIORITY_NORMAL);
        }
        self.deadlines.insert(piece, at);
    }

    /// What we have.
    #[must_use]
    pub const fn have(&self) -> &Bitfield {
        &self.have
    }

    /// Wanted pieces that we miss.
    #[must_use]
    pub const fn wanted_left(&self) -> u32 {
        self.wanted_left
    }

    /// Open pieces.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    /// Whether blocks of this piece are on their way or here.
    #[must_use]
    pub fn is_open(&self, piece: PieceIndex) -> bool {
        self.open.contains_key(&piece)
    }
}

/// Bytes of the budget that an open piece takes: its own, or the rows that a large one gathers.
#[must_use]
pub fn open_cost(piece_len: u32) -> u64 {
    u64::from(piece_len.min(WHOLE_MAX))
}
