//! Counting what lives: actors, tasks, timers and sockets of a node, by kind.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counters by kind. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct LiveCounts {
    counts: Arc<Mutex<BTreeMap<&'static str, usize>>>,
}

/// One living thing; it stops counting when dropped.
#[derive(Debug)]
pub struct Live {
    kind: &'static str,
    counts: LiveCounts,
}

impl LiveCounts {
    pub(crate) fn count(&self, kind: &'static str) -> Live {
        *self.lock().entry(kind).or_default() += 1;
        Live { kind, counts: self.clone() }
    }

    pub(crate) fn snapshot(&self) -> BTreeMap<&'static str, usize> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, usize>> {
        // Counters are whole after every statement, so a panic elsewhere does not spoil them.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let mut counts = self.counts.lock();
        if let Some(count) = counts.get_mut(self.kind) {
            *count -= 1;
            if *count == 0 {
                counts.remove(self.kind);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_until_dropped() {
        let counts = LiveCounts::default();
        let first = counts.count("peer");
        let second = counts.count("peer");
        assert_eq!(counts.snapshot(), BTreeMap::from([("peer", 2)]));
        drop((first, second));
        assert!(counts.snapshot().is_empty());
    }
}
