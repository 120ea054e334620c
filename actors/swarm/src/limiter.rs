//! Limits of speed, shared by all who spend from them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bittorrent::rate::TokenBucket;
use bittorrent::{BLOCK_LEN, Time};

/// The most that flows at once: a quarter of a second's worth,
const BURST_PARTS: u64 = 4;
/// but at least two blocks.
const BURST_MIN: u64 = 2 * BLOCK_LEN as u64;

/// A limit of bytes a second, or none.
#[derive(Debug, Default)]
pub(crate) struct Limiter {
    bucket: Mutex<Option<TokenBucket>>,
}

impl Limiter {
    /// A limit of so many bytes a second; 0 is none.
    pub(crate) fn new(bytes_per_s: u64, now: Time) -> Self {
        let limiter = Self::default();
        limiter.set(bytes_per_s, now);
        limiter
    }

    /// Changes the limit; 0 is none.
    pub(crate) fn set(&self, bytes_per_s: u64, now: Time) {
        let burst = (bytes_per_s / BURST_PARTS).max(BURST_MIN);
        let mut bucket = self.lock();
        match bucket.as_mut() {
            _ if bytes_per_s == 0 => *bucket = None,
            Some(bucket) if bucket.rate_bytes_per_s() == bytes_per_s => {}
            Some(bucket) => bucket.set_rate(now, bytes_per_s, burst),
            None => *bucket = Some(TokenBucket::new(bytes_per_s, burst, now)),
        }
    }

    /// Bytes that may flow now.
    pub(crate) fn available(&self, now: Time) -> u64 {
        self.lock().as_ref().map_or(u64::MAX, |bucket| bucket.available(now))
    }

    /// Spends `bytes`, also beyond what is there: the next one waits for longer.
    pub(crate) fn spend(&self, now: Time, bytes: u64) {
        if let Some(bucket) = self.lock().as_mut() {
            bucket.overdraw(now, bytes);
        }
    }

    /// Puts back what was spent on bytes that did not flow.
    pub(crate) fn refund(&self, now: Time, bytes: u64) {
        if let Some(bucket) = self.lock().as_mut() {
            bucket.give(now, bytes);
        }
    }

    /// When a block may flow.
    pub(crate) fn ready_at(&self, now: Time) -> Time {
        self.lock().as_ref().map_or(now, |bucket| bucket.ready_at(now, u64::from(BLOCK_LEN)))
    }

    fn lock(&self) -> MutexGuard<'_, Option<TokenBucket>> {
        // Whole after every statement.
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The limits that one flow is under: its torrent's and the node's.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// The torrent's.
    pub(crate) torrent: std::sync::Arc<Limiter>,
    /// The node's.
    pub(crate) node: std::sync::Arc<Limiter>,
}

impl Limits {
    /// Bytes that may flow now, by both.
    pub(crate) fn available(&self, now: Time) -> u64 {
        self.torrent.available(now).min(self.node.available(now))
    }

    /// Spends from both.
    pub(crate) fn spend(&self, now: Time, bytes: u64) {
        self.torrent.spend(now, bytes);
        self.node.spend(now, bytes);
    }

    /// Puts back into both.
    pub(crate) fn refund(&self, now: Time, bytes: u64) {
        self.torrent.refund(now, bytes);
        self.node.refund(now, bytes);
    }

    /// When both let a block flow.
    pub(crate) fn ready_at(&self, now: Time) -> Time {
        self.torrent.ready_at(now).max(self.node.ready_at(now))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn no_limit_lets_all_pass_and_a_limit_makes_wait() {
        let node = Arc::new(Limiter::new(0, Time::ZERO));
        let torrent = Arc::new(Limiter::new(65_536, Time::ZERO));
        let limits = Limits { torrent: Arc::clone(&torrent), node };
        assert_eq!(limits.available(Time::ZERO), BURST_MIN);
        limits.spend(Time::ZERO, 65_536);
        assert_eq!(limits.available(Time::ZERO), 0);
        assert!(limits.ready_at(Time::ZERO) > Time::from_millis(500));
        torrent.set(0, Time::ZERO);
        assert_eq!(limits.available(Time::ZERO), u64::MAX);
    }
}
