//! The peer's requests: refusing, queueing and handing them out to be served.

use crate::wire::Message;
use crate::{BLOCK_LEN, BlockRef, PieceIndex, Time};

use super::action::Violation;
use super::uploads::{Queued, REQUEST_LEN_MAX};
use super::{COST_IDLE, EARNED, Session};

/// Pieces that a choked peer may be allowed (BEP 6 speaks of ten or so).
const ALLOWED_FAST_MAX: usize = 16;

/// How much is taken for one read and one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimit {
    /// At most this many blocks,
    pub blocks: usize,
    /// and at most this many bytes, unless the first block alone is longer.
    pub bytes: u64,
}

impl Default for ReadLimit {
    /// 64 blocks of 16 KiB: above that, a write gains nothing.
    fn default() -> Self {
        Self { blocks: 64, bytes: 1 << 20 }
    }
}

impl Session {
    /// Stops serving the peer, or begins to.
    ///
    /// Requests that wait are rejected (BEP 6), or dropped without a word where the peer does not know
    /// that message; those for allowed pieces stay.
    pub fn set_choking(&mut self, now: Time, choking: bool) {
        if std::mem::replace(&mut self.flags.am_choking, choking) == choking {
            return;
        }
        self.send(now, if choking { &Message::Choke } else { &Message::Unchoke });
        if !choking {
            return;
        }
        let allowed = std::mem::take(&mut self.fast_to_peer);
        let mut dropped = Vec::new();
        self.uploads.clear_except(|piece| allowed.contains(&piece), |block| dropped.push(block));
        self.fast_to_peer = allowed;
        for block in dropped {
            self.reject(now, block);
        }
    }

    /// Lets the peer request these pieces while it is choked (BEP 6); of no effect on peers without
    /// the fast extension, and for more than 16 pieces.
    pub fn allow_fast(&mut self, now: Time, pieces: &[PieceIndex]) {
        for &piece in pieces {
            let is_new = !self.fast_to_peer.contains(&piece);
            if self.capabilities.fast && is_new && self.fast_to_peer.len() < ALLOWED_FAST_MAX {
                self.fast_to_peer.push(piece);
                self.send(now, &Message::AllowedFast(piece));
            }
        }
    }

    /// How many requests of the peer wait.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.uploads.len()
    }

    /// Moves requests that wait to `out`, to be served by one read and one write, oldest first.
    ///
    /// Requests for pieces that `have` is false of are rejected instead. The owner tells of what it
    /// wrote by [`Session::sent`], of what it could not read by [`Session::refuse`].
    pub fn next_reads(
        &mut self,
        now: Time,
        limit: ReadLimit,
        have: impl Fn(PieceIndex) -> bool,
        out: &mut Vec<BlockRef>,
    ) {
        let (mut blocks, mut bytes) = (0, 0);
        while blocks < limit.blocks {
            let Some(length) = self.uploads.front().map(|block| u64::from(block.length)) else {
                return;
            };
            if blocks > 0 && bytes + length > limit.bytes {
                return;
            }
            let Some(block) = self.uploads.pop() else { return };
            if have(block.piece) {
                blocks += 1;
                bytes += length;
                out.push(block);
            } else {
                self.reject(now, block);
            }
        }
    }

    /// Tells the peer that a request that was taken will not be served after all.
    pub fn refuse(&mut self, now: Time, block: BlockRef) {
        self.reject(now, block);
    }

    /// Counts `bytes` of blocks that were written to the socket.
    pub fn sent(&mut self, now: Time, bytes: u64) {
        self.up.add(now, bytes);
        self.tokens.give(now, bytes.div_ceil(u64::from(BLOCK_LEN)).saturating_mul(EARNED));
        self.sent_at = self.sent_at.max(now);
    }

    pub(super) fn on_request(&mut self, now: Time, block: BlockRef) -> Result<(), Violation> {
        self.flags.bitfield_open = false;
        if block.length == 0 || block.length > REQUEST_LEN_MAX {
            return Err(Violation::BadRequest(block));
        }
        match self.config.layout {
            Some(layout) if !layout.holds(block) => return Err(Violation::BadRequest(block)),
            Some(_) if self.serves_peer(block.piece) => {}
            _ => return self.refuse_request(now, block),
        }
        match self.uploads.push(block, self.config.queue_max) {
            Queued::Yes => {
                self.flags.queued_untold = true;
                Ok(())
            }
            Queued::Full => {
                self.reject(now, block);
                self.doom()
            }
            Queued::Flood => Err(Violation::RequestFlood),
        }
    }

    pub(super) fn on_cancel(&mut self, now: Time, block: BlockRef) -> Result<(), Violation> {
        if !self.uploads.cancel(block) {
            // It was served already, as happens to every cancel that is late.
            return self.pay(now, COST_IDLE);
        }
        self.reject(now, block);
        self.doom()
    }

    fn serves_peer(&self, piece: PieceIndex) -> bool {
        !self.flags.am_choking || self.fast_to_peer.contains(&piece)
    }

    fn refuse_request(&mut self, now: Time, block: BlockRef) -> Result<(), Violation> {
        self.reject(now, block);
        self.doom()?;
        self.pay(now, COST_IDLE)
    }

    /// Rejects a request, where the peer knows the message.
    fn reject(&mut self, now: Time, block: BlockRef) {
        if self.capabilities.fast {
            self.send(now, &Message::RejectRequest(block));
        }
    }
}
