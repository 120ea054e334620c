//! Credit for bytes in memory.
//!
//! Mailboxes have no bound, so bytes do: whoever requests a piece takes a [`Permit`] for what it will
//! hold, from the budget of the torrent and that of the node, and keeps it until the bytes are written
//! or dropped. What cannot be paid for is not requested; the socket is read all the same.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Called once when credit came back.
pub(crate) type Wake = Box<dyn FnOnce() + Send>;

/// Bytes that may be held at once.
pub(crate) struct Budget {
    limit: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    taken: u64,
    waiting: VecDeque<Wake>,
}

impl std::fmt::Debug for Budget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Budget").field("limit", &self.limit).field("taken", &self.taken()).finish()
    }
}

/// Bytes that were taken from a budget; they go back when it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub(crate) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { limit, state: Mutex::default() })
    }

    /// Bytes that can be taken now.
    pub(crate) fn available(&self) -> u64 {
        self.limit.saturating_sub(self.lock().taken)
    }

    /// Bytes that are taken.
    pub(crate) fn taken(&self) -> u64 {
        self.lock().taken
    }

    /// Takes bytes, also beyond the limit: a torrent with nothing open may always begin a piece, or it
    /// would wait for ever.
    pub(crate) fn take(self: &Arc<Self>, bytes: u64) -> Permit {
        self.lock().taken += bytes;
        Permit { budget: Arc::clone(self), bytes }
    }

    /// Calls `wake` when credit comes back.
    pub(crate) fn when_freed(&self, wake: Wake) {
        self.lock().waiting.push_back(wake);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Whole after every statement.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.budget.lock();
        state.taken = state.taken.saturating_sub(self.bytes);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(|wake| wake());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_comes_back_when_a_permit_is_dropped() {
        let budget = Budget::new(100);
        let first = budget.take(80);
        let second = budget.take(80);
        assert_eq!((budget.available(), budget.taken()), (0, 160));
        let (woken, told) = std::sync::mpsc::channel();
        budget.when_freed(Box::new(move || woken.send(()).unwrap()));
        drop(first);
        assert_eq!(told.try_recv(), Ok(()));
        drop(second);
        assert_eq!(budget.available(), 100);
    }
}
