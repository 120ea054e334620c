//! Requests that wait for their blocks.
//!
//! [`Outstanding`] keeps them in the order in which they were sent and finds each in constant time,
//! whatever order the peer answers in: an index with open addressing holds positions in the queue,
//! and a request that was answered out of order leaves a gap until the queue is compacted. Blocks
//! whose request was taken back are remembered in [`Grace`], since they may be on their way.
//!
//! Invariant: every live slot is in the index once, every gap not at all, and the first slot is live.

use std::collections::VecDeque;

use crate::{BlockRef, PieceIndex, Time};

/// Blocks that are forgiven when they arrive after their request was taken back; as many as can be
/// released at once.
const GRACE_MAX: usize = 2_048;
/// A free place in the index.
const FREE: u32 = u32::MAX;
/// Places in the index of the first request; then it doubles.
const INDEX_MIN: usize = 16;
/// Gaps that are borne before the queue is compacted, beside one for each live request.
const GAPS_FREE: usize = 32;

/// The requests that were sent to a peer and not answered yet.
#[derive(Debug, Default)]
pub(super) struct Outstanding {
    slots: VecDeque<Slot>,
    /// The number of the first slot; a slot's number is its position plus this.
    base: u32,
    live: usize,
    /// Numbers of slots by hash, [`FREE`] where there is none; its length is a power of two or zero.
    index: Vec<u32>,
}

/// One request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub(super) block: BlockRef,
    pub(super) sent_at: Time,
    /// Whether its answer gives a sample of the delivery rate.
    pub(super) marked: bool,
    live: bool,
}

impl Outstanding {
    /// How many requests wait.
    pub(super) const fn len(&self) -> usize {
        self.live
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// The request that was sent first.
    pub(super) fn oldest(&self) -> Option<&Slot> {
        self.slots.front()
    }

    /// The requests in the order in which they were sent.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(|slot| slot.live)
    }

    /// Adds a request; says no if the same block waits already.
    pub(super) fn push(&mut self, block: BlockRef, sent_at: Time) -> bool {
        self.make_room();
        let Some(number) = u32::try_from(self.slots.len()).ok().map(|len| self.base + len) else {
            return false;
        };
        let mut place = self.home(block.piece, block.begin);
        while let Some(taken) = self.numbered_at(place) {
            if self.slot(taken).is_some_and(|slot| is_at(slot, block.piece, block.begin)) {
                return false;
            }
            place = self.after(place);
        }
        if let Some(free) = self.index.get_mut(place) {
            *free = number;
        }
        self.slots.push_back(Slot { block, sent_at, marked: false, live: true });
        self.live += 1;
        true
    }

    /// Marks the request that was sent last.
    pub(super) fn mark_newest(&mut self) {
        if let Some(slot) = self.slots.back_mut() {
            slot.marked = true;
        }
    }

    /// Takes out the request for exactly this block.
    pub(super) fn take(&mut self, block: BlockRef) -> Option<Slot> {
        let (place, number) = self.find(block.piece, block.begin)?;
        let position = number.wrapping_sub(self.base) as usize;
        let slot = self.slots.get_mut(position)?;
        if slot.block.length != block.length {
            return None;
        }
        let taken = *slot;
        slot.live = false;
        self.live -= 1;
        self.free(place);
        self.drop_gaps_in_front();
        Some(taken)
    }

    /// Whether this block waits.
    #[cfg(test)]
    pub(super) fn contains(&self, block: BlockRef) -> bool {
        self.find(block.piece, block.begin).is_some()
    }

    /// Takes out all requests that `condemned` is true of, in the order in which they were sent.
    pub(super) fn drain_where(&mut self, mut condemned: impl FnMut(&Slot) -> bool) -> Vec<Slot> {
        let mut drained = Vec::new();
        self.slots.retain(|slot| {
            if slot.live && condemned(slot) {
                drained.push(*slot);
                return false;
            }
            slot.live
        });
        self.live = self.slots.len();
        self.reindex(self.index.len());
        drained
    }

    /// Gives back memory that nothing needs.
    pub(super) fn shrink(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        }
    }

    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>() + self.index.capacity() * size_of::<u32>()
    }

    /// Sees to a free place in the index for one more, and to few gaps in the queue.
    fn make_room(&mut self) {
        let wanted = ((self.live + 1) * 2).next_power_of_two().max(INDEX_MIN);
        let gaps = self.slots.len() - self.live;
        if gaps > self.live + GAPS_FREE || self.base > u32::MAX / 2 {
            self.slots.retain(|slot| slot.live);
            self.reindex(wanted.max(self.index.len()));
        } else if wanted > self.index.len() {
            self.slots.retain(|slot| slot.live);
            self.reindex(wanted);
        }
    }

    /// Builds the index anew, for a queue without gaps.
    fn reindex(&mut self, places: usize) {
        self.base = 0;
        self.index.clear();
        self.index.resize(places, FREE);
        for number in 0..self.slots.len() {
            let Some(slot) = self.slots.get(number) else { break };
            let mut place = self.home(slot.block.piece, slot.block.begin);
            while self.numbered_at(place).is_some() {
                place = self.after(place);
            }
            if let (Some(free), Ok(number)) = (self.index.get_mut(place), u32::try_from(number)) {
                *free = number;
            }
        }
    }

    fn drop_gaps_in_front(&mut self) {
        while self.slots.front().is_some_and(|slot| !slot.live) {
            self.slots.pop_front();
            self.base += 1;
        }
    }

    /// The place in the index, and the number, of the request at this offset.
    fn find(&self, piece: PieceIndex, begin: u32) -> Option<(usize, u32)> {
        let mut place = self.home(piece, begin);
        loop {
            let number = self.numbered_at(place)?;
            if self.slot(number).is_some_and(|slot| is_at(slot, piece, begin)) {
                return Some((place, number));
            }
            place = self.after(place);
        }
    }

    /// Frees a place, moving up what had to give way to it (so that no search stops too early).
    fn free(&mut self, mut hole: usize) {
        let mask = self.index.len().wrapping_sub(1);
        let mut place = self.after(hole);
        while let Some(number) = self.numbered_at(place) {
            let home = self.slot(number).map_or(place, |s| self.home(s.block.piece, s.block.begin));
            // It may move if the hole lies on its way from home to its place.
            if hole.wrapping_sub(home) & mask < place.wrapping_sub(home) & mask {
                self.set(hole, number);
                hole = place;
            }
            place = self.after(place);
        }
        self.set(hole, FREE);
    }

    fn set(&mut self, place: usize, number: u32) {
        if let Some(entry) = self.index.get_mut(place) {
            *entry = number;
        }
    }

    fn slot(&self, number: u32) -> Option<&Slot> {
        self.slots.get(number.wrapping_sub(self.base) as usize)
    }

    /// The number at a place of the index; none if it is free (or there is no such place).
    fn numbered_at(&self, place: usize) -> Option<u32> {
        self.index.get(place).copied().filter(|&number| number != FREE)
    }

    const fn after(&self, place: usize) -> usize {
        place.wrapping_add(1) & self.index.len().wrapping_sub(1)
    }

    fn home(&self, piece: PieceIndex, begin: u32) -> usize {
        // Fibonacci hashing: pieces and offsets come in arithmetic sequences, which it spreads evenly.
        let key = (u64::from(piece.0) << 32) | u64::from(begin);
        let hash = (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32;
        hash as usize & self.index.len().wrapping_sub(1)
    }
}

fn is_at(slot: &Slot, piece: PieceIndex, begin: u32) -> bool {
    slot.block.piece == piece && slot.block.begin == begin
}

/// Blocks whose request was taken back lately.
#[derive(Debug, Default)]
pub(super) struct Grace {
    blocks: VecDeque<BlockRef>,
}

impl Grace {
    /// Remembers a block, and forgets the oldest beyond [`GRACE_MAX`].
    pub(super) fn push(&mut self, block: BlockRef) {
        if self.blocks.len() >= GRACE_MAX {
            self.blocks.pop_front();
        }
        self.blocks.push_back(block);
    }

    /// Takes out this block, if it is remembered.
    ///
    /// A search through all, which only a peer that answers late pays for.
    pub(super) fn take(&mut self, block: BlockRef) -> bool {
        let found = self.blocks.iter().position(|&other| other == block);
        found.and_then(|position| self.blocks.remove(position)).is_some()
    }

    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        self.blocks.capacity() * size_of::<BlockRef>()
    }

    /// Forgets everything and gives back the memory.
    pub(super) fn clear(&mut self) {
        self.blocks = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::BLOCK_LEN;

    fn block(piece: u32, index: u32) -> BlockRef {
        BlockRef { piece: PieceIndex(piece), begin: index * BLOCK_LEN, length: BLOCK_LEN }
    }

    #[test]
    fn a_block_waits_once_and_only_at_its_length() {
        let mut queue = Outstanding::default();
        assert!(queue.push(block(1, 2), Time::ZERO));
        assert!(!queue.push(block(1, 2), Time::ZERO));
        assert!(!queue.push(BlockRef { length: 1, ..block(1, 2) }, Time::ZERO));
        assert!(queue.take(BlockRef { length: 1, ..block(1, 2) }).is_none());
        assert!(queue.take(block(1, 2)).is_some());
        assert!(queue.take(block(1, 2)).is_none());
        assert!(queue.is_empty());
    }

    #[test]
    fn a_request_that_is_never_answered_does_not_make_the_queue_grow() {
        let mut queue = Outstanding::default();
        assert!(queue.push(block(9, 9), Time::ZERO));
        for number in 0..10_000 {
            assert!(queue.push(block(0, number), Time::ZERO));
            assert!(queue.take(block(0, number)).is_some());
        }
        assert!(queue.slots.len() < 100, "{}", queue.slots.len());
        assert!(queue.index.len() <= 64, "{}", queue.index.len());
        assert_eq!(queue.oldest().map(|slot| slot.block), Some(block(9, 9)));
    }

    #[test]
    fn grace_is_bounded() {
        let mut grace = Grace::default();
        for number in 0..5_000 {
            grace.push(block(0, number));
        }
        assert_eq!(grace.blocks.len(), GRACE_MAX);
        assert!(!grace.take(block(0, 0)));
        assert!(grace.take(block(0, 4_999)));
        assert!(!grace.take(block(0, 4_999)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        /// Against a plain list, under any order of adding, taking and draining.
        #[test]
        fn does_what_a_list_does(steps in prop::collection::vec((0u8..8, 0u32..6, 0u32..24), 1..400)) {
            let mut queue = Outstanding::default();
            let mut list: Vec<BlockRef> = Vec::new();
            for (step, piece, index) in steps {
                let block = block(piece, index);
                let waits = list.contains(&block);
                prop_assert_eq!(queue.contains(block), waits);
                match step {
                    0..=3 => {
                        prop_assert_eq!(queue.push(block, Time::ZERO), !waits);
                        if !waits { list.push(block); }
                    }
                    4..=6 => {
                        prop_assert_eq!(queue.take(block).is_some(), waits);
                        list.retain(|&other| other != block);
                    }
                    _ => {
                        let gone = queue.drain_where(|slot| slot.block.piece == block.piece);
                        let expected: Vec<_> =
                            list.iter().copied().filter(|other| other.piece == block.piece).collect();
                        prop_assert_eq!(gone.iter().map(|s| s.block).collect::<Vec<_>>(), expected);
                        list.retain(|other| other.piece != block.piece);
                    }
                }
                prop_assert_eq!(queue.iter().map(|slot| slot.block).collect::<Vec<_>>(), list.clone());
                prop_assert_eq!(queue.len(), list.len());
                prop_assert_eq!(queue.oldest().map(|slot| slot.block), list.first().copied());
            }
        }
    }
}
