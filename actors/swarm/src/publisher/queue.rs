//! Events on their way to the event log, within a bound.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use control::{Event, EventKind};

/// Events that are held while the log is slow or fails.
const HELD_MAX: usize = 65_536;
/// Events that are appended at once.
const BATCH_MAX: usize = 512;

/// Events that wait to be appended. Whoever appends takes a batch and says when it is kept; an end in
/// between loses nothing.
#[derive(Debug, Default)]
pub(super) struct EventQueue {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Event>,
    /// Being appended, or to be appended again.
    batch: Vec<Event>,
    dropped: u64,
}

impl EventQueue {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Whole after every statement.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event and says whether it is the first that waits: then somebody has to be told. When the
    /// bound is passed the oldest progress goes, or the oldest event where no progress waits.
    pub(super) fn push(&self, event: Event) -> bool {
        let mut state = self.lock();
        let first = state.waiting.is_empty();
        state.waiting.push_back(event);
        if state.waiting.len() > HELD_MAX {
            let progress = |event: &Event| matches!(event.kind, EventKind::Progress { .. });
            let oldest = state.waiting.iter().position(progress).unwrap_or(0);
            state.waiting.remove(oldest);
            state.dropped += 1;
        }
        first
    }

    /// The events to append next: those that were not kept last time, else the oldest that wait.
    pub(super) fn batch(&self) -> Vec<Event> {
        let mut state = self.lock();
        if state.batch.is_empty() {
            let count = state.waiting.len().min(BATCH_MAX);
            state.batch = state.waiting.drain(..count).collect();
        }
        state.batch.clone()
    }

    /// The batch is kept.
    pub(super) fn kept(&self) {
        self.lock().batch.clear();
    }

    /// Events that wait or are being appended.
    pub(super) fn len(&self) -> usize {
        let state = self.lock();
        state.waiting.len() + state.batch.len()
    }

    /// How many were dropped since this was asked last.
    pub(super) fn take_dropped(&self) -> u64 {
        std::mem::take(&mut self.lock().dropped)
    }
}

#[cfg(test)]
mod tests {
    use control::TorrentId;

    use super::*;

    fn event(seq: u64, kind: EventKind) -> Event {
        Event { id: TorrentId([1; 20]), epoch: 1, seq, at_ms: 0, kind }
    }

    fn seqs(events: &[Event]) -> Vec<u64> {
        events.iter().map(|event| event.seq).collect()
    }

    #[test]
    fn a_batch_comes_again_until_it_is_kept() {
        let queue = EventQueue::default();
        assert!(queue.push(event(0, EventKind::Completed)));
        assert!(!queue.push(event(1, EventKind::Completed)));
        assert_eq!(seqs(&queue.batch()), [0, 1]);
        assert!(queue.push(event(2, EventKind::Completed)));
        assert_eq!(seqs(&queue.batch()), [0, 1]);
        queue.kept();
        assert_eq!(seqs(&queue.batch()), [2]);
        queue.kept();
        assert_eq!((queue.batch(), queue.len()), (Vec::new(), 0));
    }

    #[test]
    fn the_oldest_progress_goes_first() {
        let queue = EventQueue::default();
        queue.push(event(0, EventKind::Completed));
        queue.push(event(1, EventKind::Progress { have_bytes: 0, wanted_bytes: 1 }));
        for seq in 2..=HELD_MAX as u64 {
            queue.push(event(seq, EventKind::Completed));
        }
        assert_eq!((queue.len(), queue.take_dropped()), (HELD_MAX, 1));
        assert_eq!(seqs(&queue.batch())[..3], [0, 2, 3]);
        // Without progress the oldest of all.
        for seq in 0..=BATCH_MAX as u64 {
            queue.push(event(100_000 + seq, EventKind::Completed));
        }
        queue.kept();
        assert_eq!(queue.take_dropped(), 1);
        assert_eq!(queue.batch()[0].seq, BATCH_MAX as u64 + 2);
    }
}
