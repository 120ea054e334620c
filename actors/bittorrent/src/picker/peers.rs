//! What the peers have.

use crate::PieceIndex;
use crate::bitfield::Bitfield;

use super::PeerKey;

/// What one peer has.
#[derive(Debug)]
pub(super) struct PeerSlot {
    has: Has,
    /// Pieces that it has, we want and miss.
    pub(super) wanted: u32,
    pub(super) parole: bool,
    /// Where the search among the rarest pieces goes on.
    pub(super) cursor: usize,
}

#[derive(Debug)]
enum Has {
    None,
    All,
    Bits(Bitfield),
}

impl PeerSlot {
    pub(super) fn has(&self, piece: PieceIndex) -> bool {
        match &self.has {
            Has::None => false,
            Has::All => true,
            Has::Bits(bits) => bits.contains(piece),
        }
    }

    pub(super) const fn is_all(&self) -> bool {
        matches!(self.has, Has::All)
    }

    /// The pieces that count for availability: those of a peer with everything do not.
    pub(super) fn pieces(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        let bits = match &self.has {
            Has::Bits(bits) => Some(bits),
            Has::None | Has::All => None,
        };
        bits.into_iter().flat_map(Bitfield::iter)
    }

    pub(super) fn set_all(&mut self, wanted: u32) {
        self.has = Has::All;
        self.wanted = wanted;
    }

    pub(super) fn set_bits(&mut self, bits: Bitfield, wanted: u32) {
        self.has = Has::Bits(bits);
        self.wanted = wanted;
    }

    /// Adds a piece; says whether it counts as more availability.
    pub(super) fn add(&mut self, piece: PieceIndex, piece_count: u32, wanted: bool) -> bool {
        if matches!(self.has, Has::None) {
            self.has = Has::Bits(Bitfield::new(piece_count));
        }
        let Has::Bits(bits) = &mut self.has else { return false };
        let added = bits.insert(piece);
        self.wanted += u32::from(added && wanted);
        added
    }

    /// Turns a full bitfield into "everything"; gives what counted before.
    pub(super) fn become_all_if_full(&mut self, piece_count: u32, wanted: u32) -> Option<Bitfield> {
        match &self.has {
            Has::Bits(bits) if bits.count() == piece_count => {}
            _ => return None,
        }
        match std::mem::replace(&mut self.has, Has::All) {
            Has::Bits(bits) => {
                self.wanted = wanted;
                Some(bits)
            }
            Has::None | Has::All => None,
        }
    }

    /// Turns "everything" into a full bitfield, that counts from now on.
    pub(super) fn all_to_bits(&mut self, piece_count: u32) -> Option<Bitfield> {
        if !self.is_all() {
            return None;
        }
        let bits = Bitfield::full(piece_count);
        self.has = Has::Bits(bits.clone());
        Some(bits)
    }

    /// Removes a piece; says whether it counts as less availability.
    pub(super) fn remove(&mut self, piece: PieceIndex, wanted: bool) -> bool {
        let Has::Bits(bits) = &mut self.has else { return false };
        let removed = bits.remove(piece);
        self.wanted -= u32::from(removed && wanted);
        removed
    }
}

/// All peers by key.
#[derive(Debug, Default)]
pub(super) struct Peers {
    slots: Vec<Option<PeerSlot>>,
}

impl Peers {
    pub(super) fn insert(&mut self, key: PeerKey) {
        let at = key.0 as usize;
        if self.slots.len() <= at {
            self.slots.resize_with(at + 1, || None);
        }
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = Some(PeerSlot { has: Has::None, wanted: 0, parole: false, cursor: 0 });
        }
    }

    pub(super) fn remove(&mut self, key: PeerKey) -> Option<PeerSlot> {
        self.slots.get_mut(key.0 as usize)?.take()
    }

    pub(super) fn get(&self, key: PeerKey) -> Option<&PeerSlot> {
        self.slots.get(key.0 as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, key: PeerKey) -> Option<&mut PeerSlot> {
        self.slots.get_mut(key.0 as usize)?.as_mut()
    }

    pub(super) fn has(&self, key: PeerKey, piece: PieceIndex) -> bool {
        self.get(key).is_some_and(|slot| slot.has(piece))
    }

    pub(super) fn on_parole(&self, key: PeerKey) -> bool {
        self.get(key).is_some_and(|slot| slot.parole)
    }

    /// How many have everything.
    pub(super) fn seeds(&self) -> u32 {
        let seeds = self.slots.iter().flatten().filter(|slot| slot.is_all()).count();
        u32::try_from(seeds).unwrap_or(u32::MAX)
    }

    /// A piece is wanted no longer, or here.
    pub(super) fn less_wanted(&mut self, piece: PieceIndex) {
        for slot in self.slots.iter_mut().flatten().filter(|slot| slot.has(piece)) {
            slot.wanted = slot.wanted.saturating_sub(1);
        }
    }

    /// A piece is wanted again.
    pub(super) fn more_wanted(&mut self, piece: PieceIndex) {
        for slot in self.slots.iter_mut().flatten().filter(|slot| slot.has(piece)) {
            slot.wanted += 1;
        }
    }
}
