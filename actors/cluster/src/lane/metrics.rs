//! What is counted of a lane.

use std::sync::atomic::{AtomicU64, Ordering};

use super::LaneError;
use super::queue::Queue;

/// Counts since the lane began; `queue_bytes` and `calls_waiting` are of the moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct LaneMetrics {
    /// Frames that were put into the queue.
    pub frames_out: u64,
    /// Bytes that were handed to the stream, lengths and heads included.
    pub bytes_out: u64,
    /// Writes in which they were handed over: `bytes_out` over this tells how well they are gathered.
    pub writes: u64,
    /// Frames that came.
    pub frames_in: u64,
    /// Bytes that came.
    pub bytes_in: u64,
    /// Calls that this end made.
    pub calls_out: u64,
    /// Calls of the other end that came, also those that were refused.
    pub calls_in: u64,
    /// Messages of the other end that were refused here, by kind.
    pub refused_here: Refused,
    /// Calls of this end that ended in an error, by kind.
    pub refused_there: Refused,
    /// Bytes that wait to be written.
    pub queue_bytes: u64,
    /// Calls of this end that wait for an answer.
    pub calls_waiting: u64,
}

/// How many were refused, by kind; named as [`LaneError`] is.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[expect(missing_docs, reason = "each is named after the variant of LaneError that it counts")]
pub struct Refused {
    pub no_such_actor: u64,
    pub not_owner: u64,
    pub stale_epoch: u64,
    pub busy: u64,
    pub too_big: u64,
    pub disconnected: u64,
    pub timeout: u64,
    pub malformed: u64,
}

/// The counts while they grow. Each stands alone, so no order between them is promised.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) bytes_out: Count,
    pub(super) writes: Count,
    pub(super) frames_in: Count,
    pub(super) bytes_in: Count,
    pub(super) calls_out: Count,
    pub(super) calls_in: Count,
    pub(super) refused_here: ByKind,
    pub(super) refused_there: ByKind,
}

/// One count.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

/// A count for each kind of error.
#[derive(Debug, Default)]
pub(super) struct ByKind([Count; LaneError::KINDS]);

impl Count {
    pub(super) fn add(&self, more: usize) {
        self.0.fetch_add(more as u64, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl ByKind {
    pub(super) fn add(&self, error: &LaneError) {
        if let Some(count) = self.0.get(error.kind()) {
            count.add(1);
        }
    }

    fn get(&self) -> Refused {
        let [
            no_such_actor,
            not_owner,
            stale_epoch,
            busy,
            too_big,
            disconnected,
            timeout,
            malformed,
        ] = self.0.each_ref().map(Count::get);
        Refused {
            no_such_actor,
            not_owner,
            stale_epoch,
            busy,
            too_big,
            disconnected,
            timeout,
            malformed,
        }
    }
}

impl Counters {
    pub(super) fn snapshot(&self, queue: &Queue, calls_waiting: usize) -> LaneMetrics {
        LaneMetrics {
            frames_out: queue.frames(),
            bytes_out: self.bytes_out.get(),
            writes: self.writes.get(),
            frames_in: self.frames_in.get(),
            bytes_in: self.bytes_in.get(),
            calls_out: self.calls_out.get(),
            calls_in: self.calls_in.get(),
            refused_here: self.refused_here.get(),
            refused_there: self.refused_there.get(),
            queue_bytes: queue.len() as u64,
            calls_waiting: calls_waiting as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_count_of_its_own() {
        let counters = Counters::default();
        counters.refused_here.add(&LaneError::Busy);
        counters.refused_here.add(&LaneError::Busy);
        counters.refused_there.add(&LaneError::Malformed);
        let metrics = counters.snapshot(&Queue::default(), 6);
        assert_eq!(metrics.refused_here, Refused { busy: 2, ..Refused::default() });
        assert_eq!(metrics.refused_there, Refused { malformed: 1, ..Refused::default() });
        assert_eq!((metrics.queue_bytes, metrics.calls_waiting), (0, 6));
    }
}
