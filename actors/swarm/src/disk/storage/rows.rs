//! The rows of one large piece: which are written, and how far the hash is.
//!
//! The hash takes rows in order, one work at a time, since its state travels with the work. A row that
//! comes in order waits for the state; one that comes early is written at once and read back when its
//! turn comes, which is soon, so that it is still in the page cache. A pure machine.
//!
//! Invariant: works of an abandoned piece end before rows of its next try are handed out, or an old
//! row could overwrite a new one that was verified in memory.

use std::collections::{BTreeMap, BTreeSet};

use bittorrent::BlockRef;
use bytes::Bytes;
use lane_hash::Sha1State;

use crate::disk::hasher::Source;

/// Bytes that one work hashes at most, so that a batch stays in the cache.
const STEP_MAX: u32 = 4 << 20;

/// A work to be handed to the hash service.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) range: BlockRef,
    pub(super) source: Source,
    pub(super) state: Option<Sha1State>,
}

/// The rows of a piece.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) digests_wanted: bool,
    /// The hash of the first `hashed` bytes; `None` while it is with a work.
    state: Option<Sha1State>,
    hashed: u32,
    /// Where the next row that waits for the hash would begin.
    front: u32,
    /// Rows that wait for the hash, or, if abandoned, for works of the last try.
    held: BTreeMap<u32, (BlockRef, Vec<Bytes>)>,
    /// Rows that came early and are being written.
    early: BTreeSet<u32>,
    /// Rows that were written and not hashed.
    stored: BTreeMap<u32, BlockRef>,
    in_flight: usize,
    abandoned: bool,
}

impl Default for Rows {
    fn default() -> Self {
        Self {
            digests_wanted: false,
            state: Some(Sha1State::new()),
            hashed: 0,
            front: 0,
            held: BTreeMap::new(),
            early: BTreeSet::new(),
            stored: BTreeMap::new(),
            in_flight: 0,
            abandoned: false,
        }
    }
}

impl Rows {
    /// Whether the row at `begin` has come already. It must not be written again: its hash may be taken.
    pub(super) fn has(&self, begin: u32) -> bool {
        let known = self.held.contains_key(&begin);
        let counts = begin < self.front || self.early.contains(&begin);
        known || (!self.abandoned && (counts || self.stored.contains_key(&begin)))
    }

    /// A row came that was not there yet.
    pub(super) fn receive(&mut self, range: BlockRef, blocks: Vec<Bytes>) -> Vec<Step> {
        if self.abandoned || range.begin == self.front {
            self.held.insert(range.begin, (range, blocks));
            if !self.abandoned {
                self.advance_front(range);
            }
            return self.next();
        }
        self.in_flight += 1;
        self.early.insert(range.begin);
        vec![Step { range, source: Source::Memory(blocks), state: None }]
    }

    /// A row was written without being hashed.
    pub(super) fn written(&mut self, range: BlockRef) -> Vec<Step> {
        if self.abandoned {
            return self.ended();
        }
        self.in_flight = self.in_flight.saturating_sub(1);
        self.early.remove(&range.begin);
        self.stored.insert(range.begin, range);
        self.next()
    }

    /// The hash went on over `range`.
    pub(super) fn hashed(&mut self, range: BlockRef, state: Sha1State) -> Vec<Step> {
        if self.abandoned {
            return self.ended();
        }
        self.in_flight = self.in_flight.saturating_sub(1);
        self.hashed = range.begin + range.length;
        self.state = Some(state);
        self.next()
    }

    /// A work of an abandoned piece ended. When it was the last, rows that came since begin a new try.
    pub(super) fn ended(&mut self) -> Vec<Step> {
        self.in_flight = self.in_flight.saturating_sub(1);
        if self.in_flight > 0 || self.held.is_empty() {
            return Vec::new();
        }
        let held = std::mem::take(&mut self.held);
        *self = Self { digests_wanted: self.digests_wanted, ..Self::default() };
        held.into_values().flat_map(|(range, blocks)| self.receive(range, blocks)).collect()
    }

    /// Forgets the rows; says whether nothing is under way.
    pub(super) fn abandon(&mut self) -> bool {
        self.abandoned = true;
        self.held.clear();
        self.in_flight == 0
    }

    /// Whether works that are under way count for nothing.
    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned
    }

    /// Whether nothing is under way, and nothing known.
    pub(super) fn is_unused(&self) -> bool {
        self.abandoned && self.in_flight == 0 && self.held.is_empty()
    }

    fn advance_front(&mut self, range: BlockRef) {
        self.front = self.front.max(range.begin + range.length);
        while let Some(stored) = self.stored.get(&self.front) {
            self.front = stored.begin + stored.length;
        }
    }

    /// The next work for the hash, if it is here and the bytes that it needs are there.
    fn next(&mut self) -> Vec<Step> {
        if self.abandoned {
            return Vec::new();
        }
        let Some(state) = self.state.take() else { return Vec::new() };
        if let Some(stored) = self.stored.remove(&self.hashed) {
            self.advance_front(stored);
            self.in_flight += 1;
            return vec![Step { range: stored, source: Source::Disk, state: Some(state) }];
        }
        let Some((mut range, mut blocks)) = self.held.remove(&self.hashed) else {
            self.state = Some(state);
            return Vec::new();
        };
        while range.length < STEP_MAX
            && let Some((next, more)) = self.held.remove(&(range.begin + range.length))
        {
            range.length += next.length;
            blocks.extend(more);
        }
        self.in_flight += 1;
        vec![Step { range, source: Source::Memory(blocks), state: Some(state) }]
    }
}
