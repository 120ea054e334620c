//! Our requests: sending them, and what becomes of them.

use std::time::Duration;

use bytes::Bytes;

use crate::wire::Message;
use crate::{BLOCK_LEN, BlockRef, PieceIndex, Time};

use super::action::{Action, Release, Violation, push_block, push_released};
use super::outstanding::Slot;
use super::{COST_FLIP, COST_IDLE, COST_KEEP_ALIVE, Session};

/// A peer that owes us a block for this long has snubbed us.
const SNUB: Duration = Duration::from_secs(60);
/// Blocks that nobody requested, lately or ever, that are borne.
const UNREQUESTED_MAX: u32 = 8;
/// Pieces that a peer may allow us while it chokes us. BEP 6 speaks of ten or so.
const ALLOWED_FAST_MAX: usize = 64;
/// Requests that wait at a peer that chokes us, for pieces that it allowed.
const FAST_WINDOW: u32 = 8;
/// A peer that rejects this many requests in a row, although it does not choke us,
const REJECTS_MAX: u32 = 64;
/// is left alone for this time.
const REST: Duration = Duration::from_secs(10);
/// The window is refilled when a quarter of it is free, or this many blocks: one write for many
/// requests, and one message to the picker.
const REFILL_MAX: u32 = 64;

impl Session {
    /// How many more blocks may be requested now.
    #[must_use]
    pub fn wanted(&self) -> u32 {
        let knows_pieces = self.config.layout.is_some();
        if !knows_pieces || !self.flags.am_interested || self.rest_until.is_some() {
            return 0;
        }
        let window = match (self.flags.peer_choking, self.fast_from_peer.is_empty()) {
            (false, _) => self.window.blocks(),
            (true, false) => self.window.blocks().min(FAST_WINDOW),
            (true, true) => 0,
        };
        window.saturating_sub(u32::try_from(self.outstanding.len()).unwrap_or(u32::MAX))
    }

    /// Requests blocks, each of [`BLOCK_LEN`] or fewer bytes, at most [`Session::wanted`] of them.
    ///
    /// What cannot be requested (a choke may have come between) is given back at once as
    /// [`Action::Released`]. An empty list is an answer too: the owner has nothing to ask for now, and
    /// is told [`Action::WantBlocks`] again after the next block.
    pub fn request(&mut self, now: Time, blocks: &[BlockRef], actions: &mut Vec<Action>) {
        self.flags.want_told = false;
        let before = self.outstanding.len();
        for &block in blocks {
            if self.may_request(block) && self.outstanding.push(block, now) {
                self.send(now, &Message::Request(block));
            } else {
                push_released(actions, Release::Unsent, block);
            }
        }
        let after = self.outstanding.len();
        if after == before {
            return;
        }
        if before == 0 {
            self.progress_at = now;
        }
        self.waiting_since.get_or_insert(now);
        if self.window.on_requested(now, before, after) {
            self.outstanding.mark_newest();
        }
    }

    /// Takes back a request (another peer was faster). Says whether it waited.
    pub fn cancel(&mut self, now: Time, block: BlockRef) -> bool {
        let Some(slot) = self.outstanding.take(block) else { return false };
        self.take_back(now, &slot);
        self.on_fewer_outstanding();
        true
    }

    /// The blocks that are requested and did not come, in the order of the requests: what is to be
    /// released when the connection ends.
    pub fn outstanding(&self) -> impl Iterator<Item = BlockRef> {
        self.outstanding.iter().map(|slot| slot.block)
    }

    /// Pieces that the peer serves although it chokes us (BEP 6).
    #[must_use]
    pub fn allowed_fast(&self) -> &[PieceIndex] {
        &self.fast_from_peer
    }

    /// Whether the peer serves requests for this piece now.
    #[must_use]
    pub fn serves(&self, piece: PieceIndex) -> bool {
        !self.flags.peer_choking || self.fast_from_peer.contains(&piece)
    }

    pub(super) fn wants_blocks(&self) -> bool {
        let room = self.wanted();
        room > 0 && room >= (self.window.blocks() / 4).clamp(1, REFILL_MAX)
    }

    /// The block path: constant time, no allocation but for the run.
    pub(super) fn on_block(
        &mut self,
        now: Time,
        piece: PieceIndex,
        begin: u32,
        bytes: Bytes,
        actions: &mut Vec<Action>,
    ) -> Result<(), Violation> {
        self.flags.bitfield_open = false;
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let block = BlockRef { piece, begin, length };
        self.down.add(now, u64::from(length));
        let Some(slot) = self.outstanding.take(block) else {
            return self.on_unrequested(now, block, bytes, actions);
        };
        self.window.on_delivered(now, slot.sent_at, length, slot.marked);
        self.on_progress(now, actions);
        self.on_fewer_outstanding();
        push_block(actions, piece, begin, bytes);
        Ok(())
    }

    pub(super) fn on_choke(
        &mut self,
        now: Time,
        actions: &mut Vec<Action>,
    ) -> Result<(), Violation> {
        if std::mem::replace(&mut self.flags.peer_choking, true) {
            return self.pay(now, COST_IDLE);
        }
        actions.push(Action::Choked);
        self.waiting_since = None;
        if !self.capabilities.fast {
            // With the fast extension each request is answered or rejected; without, all are forgotten.
            for slot in self.outstanding.drain_where(|_| true) {
                self.grace.push(slot.block);
                push_released(actions, Release::Choked, slot.block);
            }
            self.window.on_mark_lost();
        }
        self.pay(now, COST_FLIP)
    }

    pub(super) fn on_unchoke(
        &mut self,
        now: Time,
        actions: &mut Vec<Action>,
    ) -> Result<(), Violation> {
        if !std::mem::replace(&mut self.flags.peer_choking, false) {
            return self.pay(now, COST_IDLE);
        }
        actions.push(Action::Unchoked);
        self.flags.want_told = false;
        self.rejects_in_row = 0;
        self.progress_at = now;
        self.window.restart(now);
        self.pay(now, COST_FLIP)
    }

    pub(super) fn on_reject(
        &mut self,
        now: Time,
        block: BlockRef,
        actions: &mut Vec<Action>,
    ) -> Result<(), Violation> {
        self.need_fast("reject")?;
        let Some(slot) = self.outstanding.take(block) else {
            // An answer to a cancel is due, and free.
            let due = self.grace.take(block);
            return if due { Ok(()) } else { self.pay(now, COST_KEEP_ALIVE) };
        };
        if slot.marked {
            self.window.on_mark_lost();
        }
        if self.flags.peer_choking {
            self.fast_from_peer.retain(|&piece| piece != block.piece);
        } else {
            self.rejects_in_row += 1;
            if self.rejects_in_row >= REJECTS_MAX {
                self.rejects_in_row = 0;
                self.rest_until = Some(now + REST);
            }
        }
        self.on_fewer_outstanding();
        push_released(actions, Release::Rejected, block);
        Ok(())
    }

    pub(super) fn on_allowed_fast(
        &mut self,
        now: Time,
        piece: PieceIndex,
        actions: &mut Vec<Action>,
    ) -> Result<(), Violation> {
        self.need_fast("allowed fast")?;
        self.check_piece(piece)?;
        let is_known = self.fast_from_peer.contains(&piece);
        if !is_known && self.fast_from_peer.len() < ALLOWED_FAST_MAX {
            self.fast_from_peer.push(piece);
            if self.config.layout.is_some() {
                actions.push(Action::AllowedFast(piece));
            }
        }
        self.pay(now, COST_KEEP_ALIVE)
    }

    pub(super) fn on_suggest(
        &mut self,
        now: Time,
        piece: PieceIndex,
        actions: &mut Vec<Action>,
    ) -> Result<(), Violation> {
        self.need_fast("suggest")?;
        self.check_piece(piece)?;
        if self.config.layout.is_some() {
            actions.push(Action::Suggested(piece));
        }
        self.pay(now, COST_FLIP)
    }

    /// When requests have waited for too long.
    pub(super) fn requests_due(&self) -> Time {
        let Some(oldest) = self.outstanding.oldest() else { return self.snub_due() };
        let patience = self.window.patience();
        let stalled = self.progress_at + patience;
        // One that was passed over while others were answered.
        let skipped = oldest.sent_at + patience * 2;
        stalled.min(skipped).min(self.snub_due())
    }

    pub(super) fn on_requests_due(&mut self, now: Time, actions: &mut Vec<Action>) {
        if self.rest_until.is_some_and(|until| now >= until) {
            self.rest_until = None;
            self.flags.want_told = false;
        }
        if !self.outstanding.is_empty() {
            let patience = self.window.patience();
            if now >= self.progress_at + patience {
                self.give_up(now, actions, |_| true);
                self.window.stall(now);
                self.flags.want_told = false;
            } else {
                self.give_up(now, actions, |slot| now >= slot.sent_at + patience * 2);
                self.on_fewer_outstanding();
            }
        }
        if now >= self.snub_due() {
            self.flags.snubbed = true;
            actions.push(Action::Snubbed(true));
        }
    }

    fn snub_due(&self) -> Time {
        match self.waiting_since {
            Some(since) if !self.flags.snubbed => since + SNUB,
            _ => Time::MAX,
        }
    }

    fn may_request(&self, block: BlockRef) -> bool {
        block.length <= BLOCK_LEN
            && self.config.layout.is_some_and(|layout| layout.holds(block))
            && self.pieces.has(block.piece)
            && self.serves(block.piece)
            && self.outstanding.len() < self.config.window_max as usize
    }

    fn on_unrequested(
        &mut self,
        now: Time,
        block: BlockRef,
        bytes: Bytes,
        actions: &mut Vec<Action>,
    ) -> Result<(), Violation> {
        self.wasted = self.wasted.saturating_add(u64::from(block.length));
        if self.grace.take(block) {
            if self.window.is_stalled() {
                self.window.restart(now);
            }
            self.on_progress(now, actions);
            actions.push(Action::Late(block, bytes));
            return Ok(());
        }
        self.unrequested += 1;
        if self.unrequested > UNREQUESTED_MAX { Err(Violation::Unrequested) } else { Ok(()) }
    }

    fn on_progress(&mut self, now: Time, actions: &mut Vec<Action>) {
        self.progress_at = now;
        self.rejects_in_row = 0;
        if let Some(since) = &mut self.waiting_since {
            *since = now;
        }
        if std::mem::take(&mut self.flags.snubbed) {
            actions.push(Action::Snubbed(false));
        }
    }

    /// Nobody who owes nothing snubs us, unless all was just given up.
    const fn on_fewer_outstanding(&mut self) {
        if self.outstanding.is_empty() {
            self.waiting_since = None;
        }
    }

    fn give_up(
        &mut self,
        now: Time,
        actions: &mut Vec<Action>,
        condemned: impl FnMut(&Slot) -> bool,
    ) {
        for slot in self.outstanding.drain_where(condemned) {
            self.take_back(now, &slot);
            push_released(actions, Release::TimedOut, slot.block);
        }
    }

    fn take_back(&mut self, now: Time, slot: &Slot) {
        if slot.marked {
            self.window.on_mark_lost();
        }
        self.grace.push(slot.block);
        self.send(now, &Message::Cancel(slot.block));
    }
}
