//! The half of a lane that speaks: what actors and the directory hold of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use control::Epoch;

use super::directory::DownReason;
use super::frame::{self, Head, Kind};
use super::metrics::Counters;
use super::pending::{CALLS_MAX, WATCHES_MAX};
use super::queue::Queue;
use super::{Key, LaneError};

/// What is spoken into.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    pub(super) queue: Queue,
    pub(super) counters: Counters,
    /// Calls of the other end that have no answer yet.
    open_calls: AtomicUsize,
    /// What the other end watches, by its numbers.
    watched: Mutex<BTreeMap<u64, Key>>,
    /// Whether the other end has let more than the reserve wait.
    overrun: AtomicBool,
    /// The lane's task, while its stream takes nothing.
    stuck: Mutex<Option<Waker>>,
}

/// Where the answer to a call goes. Dropped without one, the caller is told [`LaneError::Disconnected`].
#[derive(Debug)]
#[must_use = "the caller waits"]
pub struct Reply {
    lane: Arc<Outgoing>,
    to: Key,
    epoch: Epoch,
    request: u64,
    answered: bool,
}

impl Outgoing {
    fn watched(&self) -> MutexGuard<'_, BTreeMap<u64, Key>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call of the other end begins, if not too many have: where its answer goes.
    pub(super) fn open_call(self: &Arc<Self>, head: &Head) -> Result<Reply, LaneError> {
        if self.open_calls.fetch_add(1, Ordering::Relaxed) >= CALLS_MAX {
            self.open_calls.fetch_sub(1, Ordering::Relaxed);
            return Err(LaneError::Busy);
        }
        let Head { to, epoch, request, .. } = *head;
        Ok(Reply { lane: Arc::clone(self), to, epoch, request, answered: false })
    }

    /// Says that a message was refused.
    pub(super) fn refuse(&self, head: &Head, error: &LaneError) {
        self.counters.refused_here.add(error);
        if head.kind == Kind::Call {
            self.push_short(&Head { kind: Kind::Error, ..*head }, &error.to_body());
        }
    }

    /// What cannot wait; a lane whose other end lets even that pile up is over.
    pub(super) fn push_short(&self, head: &Head, body: &[u8]) {
        if self.queue.push_reserved(head, body) != Err(LaneError::Busy) {
            // It is put in; or the lane has ended, and the other end knows.
            return;
        }
        self.overrun.store(true, Ordering::Relaxed);
        let stuck = self.stuck().take();
        if let Some(stuck) = stuck {
            stuck.wake();
        }
    }

    fn stuck(&self) -> MutexGuard<'_, Option<Waker>> {
        self.stuck.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lane's task waits for the stream: it is woken if the lane must end meanwhile.
    pub(super) fn note_stuck(&self, task: &Waker) {
        *self.stuck() = Some(task.clone());
    }

    /// Whether the lane must end because its other end does not read.
    pub(super) fn is_overrun(&self) -> bool {
        self.overrun.load(Ordering::Relaxed)
    }

    /// The other end watches one more; false if that is too many.
    pub(super) fn note_watch(&self, request: u64, key: Key) -> bool {
        let mut watched = self.watched();
        let has_room = watched.len() < WATCHES_MAX;
        if has_room {
            watched.insert(request, key);
        }
        has_room
    }

    /// The other end watches one less: which.
    pub(super) fn forget_watch(&self, request: u64) -> Option<Key> {
        self.watched().remove(&request)
    }

    /// All that the other end watched; it is gone.
    pub(super) fn take_watched(&self) -> BTreeMap<u64, Key> {
        std::mem::take(&mut *self.watched())
    }

    /// Tells the other end that what it watched is down.
    pub(super) fn down(&self, key: Key, epoch: Epoch, request: u64, reason: DownReason) {
        self.forget_watch(request);
        let head = Head { to: key, epoch, request, kind: Kind::Down };
        self.push_short(&head, &frame::to_body(&reason).unwrap_or_default());
    }
}

impl Reply {
    fn head(&self, kind: Kind) -> Head {
        Head { to: self.to, epoch: self.epoch, request: self.request, kind }
    }

    /// Answers now. What does not fit is told to the caller as [`LaneError::TooBig`] or, when the queue is
    /// full, as [`LaneError::Busy`].
    ///
    /// # Errors
    ///
    /// What the caller was told, or [`LaneError::Disconnected`] when the lane has ended.
    pub fn send(mut self, body: &[u8]) -> Result<(), LaneError> {
        let sent = self.lane.queue.try_push(&self.head(Kind::Reply), body);
        self.finish(sent)
    }

    /// As [`Reply::send`], but waits for room in the queue.
    ///
    /// # Errors
    ///
    /// As [`Reply::send`], without `Busy`.
    pub async fn send_when_room(mut self, body: &[u8]) -> Result<(), LaneError> {
        let head = self.head(Kind::Reply);
        let lane = Arc::clone(&self.lane);
        let sent = lane.queue.push(&head, body).await;
        self.finish(sent)
    }

    fn finish(&mut self, sent: Result<(), LaneError>) -> Result<(), LaneError> {
        self.answered = true;
        if let Err(error) = &sent {
            self.tell(error);
        }
        sent
    }

    /// Answers with an error.
    pub fn refuse(mut self, error: LaneError) {
        self.answered = true;
        self.tell(&error);
    }

    fn tell(&self, error: &LaneError) {
        self.lane.refuse(&self.head(Kind::Call), error);
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.lane.open_calls.fetch_sub(1, Ordering::Relaxed);
        if !self.answered {
            self.tell(&LaneError::Disconnected);
        }
    }
}
