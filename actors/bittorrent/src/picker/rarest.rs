//! Pieces that can be begun, sorted by priority, then by how many peers have them.
//!
//! `order` holds them rank after rank; `starts[r]` is where rank `r` begins. One peer more or less moves
//! a piece to the next rank by one swap. Coming and going shifts one piece of each rank between, of
//! which there are few hundred: above [`CAP`] peers all pieces are equally common.

use rand::Rng;

use crate::PieceIndex;

use super::PRIORITY_MAX;

/// From so many peers on, pieces are equally common.
const CAP: u16 = 64;
const RANKS: usize = PRIORITY_MAX as usize * CAP as usize;
const NOWHERE: u32 = u32::MAX;

/// Pieces that can be begun, in the order in which they should be.
#[derive(Debug)]
pub(super) struct Rarest {
    order: Vec<PieceIndex>,
    starts: Vec<u32>,
    /// Where a piece stands in `order`.
    places: Vec<u32>,
    availability: Vec<u16>,
    priority: Vec<u8>,
}

impl Rarest {
    pub(super) fn new(piece_count: u32) -> Self {
        let count = piece_count as usize;
        Self {
            order: Vec::new(),
            starts: vec![0; RANKS + 1],
            places: vec![NOWHERE; count],
            availability: vec![0; count],
            priority: vec![0; count],
        }
    }

    fn rank(&self, piece: PieceIndex) -> usize {
        let at = piece.as_usize();
        let priority = self.priority.get(at).copied().unwrap_or(1).max(1);
        let availability = self.availability.get(at).copied().unwrap_or(0).min(CAP - 1);
        usize::from(PRIORITY_MAX - priority) * usize::from(CAP) + usize::from(availability)
    }

    fn start(&self, rank: usize) -> usize {
        self.starts.get(rank).copied().unwrap_or(0) as usize
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    pub(super) fn at(&self, place: usize) -> Option<PieceIndex> {
        self.order.get(place).copied()
    }

    pub(super) fn contains(&self, piece: PieceIndex) -> bool {
        self.places.get(piece.as_usize()).is_some_and(|&place| place != NOWHERE)
    }

    pub(super) fn availability(&self, piece: PieceIndex) -> u32 {
        self.availability.get(piece.as_usize()).copied().unwrap_or(0).into()
    }

    /// Whether the first piece is of the same priority as most: then a random one may be begun.
    pub(super) fn top_is_uniform(&self) -> bool {
        !self.is_empty()
    }

    /// Whether no piece has a higher priority.
    pub(super) fn is_top_priority(&self, piece: PieceIndex) -> bool {
        let of = |piece: PieceIndex| self.priority.get(piece.as_usize()).copied().unwrap_or(0);
        self.at(0).is_some_and(|first| of(first) <= of(piece))
    }

    fn swap(&mut self, a: usize, b: usize) {
        if a == b || a >= self.order.len() || b >= self.order.len() {
            return;
        }
        self.order.swap(a, b);
        for place in [a, b] {
            if let Some(&piece) = self.order.get(place)
                && let Some(slot) = self.places.get_mut(piece.as_usize())
            {
                *slot = u32::try_from(place).unwrap_or(NOWHERE);
            }
        }
    }

    /// Puts a piece in, at a random place of its rank.
    pub(super) fn insert(&mut self, piece: PieceIndex, priority: u8, rng: &mut impl Rng) {
        if self.contains(piece) || piece.as_usize() >= self.places.len() {
            return;
        }
        if let Some(slot) = self.priority.get_mut(piece.as_usize()) {
            *slot = priority;
        }
        let rank = self.rank(piece);
        let mut hole = self.order.len();
        self.order.push(piece);
        if let Some(slot) = self.places.get_mut(piece.as_usize()) {
            *slot = u32::try_from(hole).unwrap_or(NOWHERE);
        }
        // Each later rank gives its first place to its end.
        for later in (rank + 1..RANKS).rev() {
            let start = self.start(later);
            self.swap(hole, start);
            hole = start;
            if let Some(start) = self.starts.get_mut(later) {
                *start += 1;
            }
        }
        if let Some(end) = self.starts.get_mut(RANKS) {
            *end += 1;
        }
        let random = rng.random_range(self.start(rank)..=hole);
        self.swap(hole, random);
    }

    /// Takes a piece out; gives it if it was there.
    pub(super) fn remove(&mut self, piece: PieceIndex) -> Option<PieceIndex> {
        let place = *self.places.get(piece.as_usize()).filter(|&&place| place != NOWHERE)?;
        let mut hole = place as usize;
        for rank in self.rank(piece)..RANKS {
            let last = self.start(rank + 1).saturating_sub(1);
            if last > hole {
                self.swap(hole, last);
                hole = last;
            }
            if let Some(end) = self.starts.get_mut(rank + 1) {
                *end = end.saturating_sub(1);
            }
        }
        self.order.pop();
        if let Some(slot) = self.places.get_mut(piece.as_usize()) {
            *slot = NOWHERE;
        }
        Some(piece)
    }

    /// One more peer has the piece.
    pub(super) fn more(&mut self, piece: PieceIndex) {
        let rank = self.rank(piece);
        let Some(availability) = self.availability.get_mut(piece.as_usize()) else { return };
        *availability = availability.saturating_add(1);
        let moved = *availability < CAP;
        let Some(&place) = self.places.get(piece.as_usize()) else { return };
        if moved && place != NOWHERE {
            let last = self.start(rank + 1).saturating_sub(1);
            self.swap(place as usize, last);
            if let Some(start) = self.starts.get_mut(rank + 1) {
                *start -= 1;
            }
        }
    }

    /// One peer less has the piece.
    pub(super) fn less(&mut self, piece: PieceIndex) {
        let rank = self.rank(piece);
        let Some(availability) = self.availability.get_mut(piece.as_usize()) else { return };
        let moved = *availability < CAP && *availability > 0;
        *availability = availability.saturating_sub(1);
        let Some(&place) = self.places.get(piece.as_usize()) else { return };
        if moved && place != NOWHERE {
            let first = self.start(rank);
            self.swap(place as usize, first);
            if let Some(start) = self.starts.get_mut(rank) {
                *start += 1;
            }
        }
    }

    /// Whether every piece stands in its rank.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let ranks: Vec<_> = self.order.iter().map(|&piece| self.rank(piece)).collect();
        assert!(ranks.is_sorted(), "{ranks:?}");
        for (place, piece) in self.order.iter().enumerate() {
            assert_eq!(self.places[piece.as_usize()] as usize, place);
        }
        for rank in 0..RANKS {
            let expected = ranks.iter().filter(|&&other| other < rank).count();
            assert_eq!(self.start(rank), expected, "rank {rank}");
        }
    }
}
