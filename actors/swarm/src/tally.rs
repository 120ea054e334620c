//! The payload of one torrent, ever: counted by its connections, read by whoever tells of it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Payload of a torrent, in bytes.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    down: AtomicU64,
    up: AtomicU64,
    wasted: AtomicU64,
}

/// What a tally says at a moment, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Totals {
    /// From peers.
    pub(crate) down: u64,
    /// To peers.
    pub(crate) up: u64,
    /// Of no use.
    pub(crate) wasted: u64,
}

impl Tally {
    /// Goes on from what was counted before.
    pub(crate) fn new(before: Totals) -> Self {
        Self { down: before.down.into(), up: before.up.into(), wasted: before.wasted.into() }
    }

    /// Blocks came.
    pub(crate) fn down(&self, bytes: u64) {
        self.down.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Blocks were sent.
    pub(crate) fn up(&self, bytes: u64) {
        self.up.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Blocks came and were thrown away.
    pub(crate) fn wasted(&self, bytes: u64) {
        self.wasted.fetch_add(bytes, Ordering::Relaxed);
    }

    /// What was counted.
    pub(crate) fn totals(&self) -> Totals {
        Totals {
            down: self.down.load(Ordering::Relaxed),
            up: self.up.load(Ordering::Relaxed),
            wasted: self.wasted.load(Ordering::Relaxed),
        }
    }
}
