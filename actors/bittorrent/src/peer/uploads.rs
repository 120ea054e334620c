//! Requests of a peer that wait to be served.

use std::collections::VecDeque;

use crate::{BlockRef, PieceIndex};

/// Longer requests break the protocol. BEP 3 speaks of 16 KiB and of closing beyond 128 KiB, as
/// clients of its time did.
pub(super) const REQUEST_LEN_MAX: u32 = 128 * 1024;
/// Refused requests in a row, with the queue full, that are borne.
const OVERFLOWS_MAX: u32 = 50;

/// The queue, in the order in which the requests came.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    queue: VecDeque<BlockRef>,
    /// Requests that came since the queue is full.
    overflows: u32,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Queued {
    Yes,
    /// The queue is full.
    Full,
    /// The queue is full and the peer went on for too long.
    Flood,
}

impl Uploads {
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Adds a request unless `max` wait already.
    pub(super) fn push(&mut self, block: BlockRef, max: u32) -> Queued {
        if self.queue.len() < max as usize {
            self.queue.push_back(block);
            return Queued::Yes;
        }
        self.overflows += 1;
        if self.overflows > OVERFLOWS_MAX { Queued::Flood } else { Queued::Full }
    }

    /// Takes the request that came first.
    pub(super) fn pop(&mut self) -> Option<BlockRef> {
        self.overflows = 0;
        self.queue.pop_front()
    }

    /// The request that came first.
    pub(super) fn front(&self) -> Option<&BlockRef> {
        self.queue.front()
    }

    /// Takes out a request; says whether it was there.
    pub(super) fn cancel(&mut self, block: BlockRef) -> bool {
        let found = self.queue.iter().position(|&other| other == block);
        found.and_then(|position| self.queue.remove(position)).is_some()
    }

    /// Takes out all requests but those for pieces that `keep` is true of.
    pub(super) fn clear_except(
        &mut self,
        keep: impl Fn(PieceIndex) -> bool,
        mut dropped: impl FnMut(BlockRef),
    ) {
        self.overflows = 0;
        self.queue.retain(|&block| {
            let stays = keep(block.piece);
            if !stays {
                dropped(block);
            }
            stays
        });
    }

    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        self.queue.capacity() * size_of::<BlockRef>()
    }

    /// Gives back memory that nothing needs.
    pub(super) fn shrink(&mut self) {
        self.queue.shrink_to_fit();
    }
}
