//! The frames that wait to be written: a queue that is bounded by bytes.
//!
//! Frames are encoded one after another into one buffer, which the writer takes whole: a frame costs one copy
//! and nothing else. Bytes count until the stream has taken them. Senders wait for room in the order in which
//! they came, or are told [`LaneError::Busy`].

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use tokio::sync::Notify;

use super::LaneError;
use super::frame::{self, FRAME_LEN_MAX, Head};

/// The most bytes of calls, casts and replies that wait for the stream of a lane.
pub const QUEUE_LEN_MAX: usize = 4 * 1024 * 1024;
/// What errors, ends of watches and the like may take beside: they are short and cannot wait.
pub(super) const RESERVE_LEN_MAX: usize = 256 * 1024;
/// An empty buffer larger than this is given back.
const KEPT_LEN_MAX: usize = 256 * 1024;
/// Bytes beside a body, at most.
const OVERHEAD_MAX: usize = 68;

/// The queue of one lane.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// Senders that wait for room. Who holds it is the next.
    turn: tokio::sync::Mutex<()>,
    waiting: AtomicUsize,
    room: Notify,
}

#[derive(Debug, Default)]
struct State {
    buffer: BytesMut,
    /// In `buffer`, and taken by the writer but not by the stream.
    outstanding: usize,
    /// Frames that were put in so far.
    frames: u64,
    closed: bool,
    writer: Option<Waker>,
}

/// Counts a sender as waiting for as long as it does.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, head: &Head, body: &[u8], limit: usize) -> Result<(), LaneError> {
        if body.len() > FRAME_LEN_MAX {
            return Err(LaneError::TooBig);
        }
        let mut state = self.lock();
        if state.closed {
            return Err(LaneError::Disconnected);
        }
        if state.outstanding + body.len() + OVERHEAD_MAX > limit {
            return Err(LaneError::Busy);
        }
        state.outstanding += frame::encode(&mut state.buffer, head, body)?;
        state.frames += 1;
        let writer = state.writer.take();
        drop(state);
        if let Some(writer) = writer {
            writer.wake();
        }
        Ok(())
    }

    /// Puts a frame in now.
    ///
    /// # Errors
    ///
    /// [`LaneError::Busy`] when there is no room or others wait for it; `TooBig`; `Disconnected`.
    pub(super) fn try_push(&self, head: &Head, body: &[u8]) -> Result<(), LaneError> {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            return Err(LaneError::Busy);
        }
        self.put(head, body, QUEUE_LEN_MAX)
    }

    /// Puts a short frame in that can neither wait nor be left out.
    ///
    /// # Errors
    ///
    /// As [`Queue::try_push`]; `Busy` says that the other end does not read and the lane must end.
    pub(super) fn push_reserved(&self, head: &Head, body: &[u8]) -> Result<(), LaneError> {
        self.put(head, body, QUEUE_LEN_MAX + RESERVE_LEN_MAX)
    }

    /// Puts a frame in when there is room and nobody waits longer.
    ///
    /// # Errors
    ///
    /// `TooBig` or `Disconnected`.
    pub(super) async fn push(&self, head: &Head, body: &[u8]) -> Result<(), LaneError> {
        match self.try_push(head, body) {
            Err(LaneError::Busy) => {}
            done => return done,
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        let _turn = self.turn.lock().await;
        loop {
            let room = self.room.notified();
            match self.put(head, body, QUEUE_LEN_MAX) {
                Err(LaneError::Busy) => room.await,
                done => return done,
            }
        }
    }

    /// Gives all that waits to the writer, whose `batch` is empty.
    pub(super) fn poll_take(&self, batch: &mut BytesMut, cx: &Context<'_>) -> Poll<()> {
        if batch.capacity() > KEPT_LEN_MAX {
            *batch = BytesMut::new();
        }
        let mut state = self.lock();
        if state.buffer.is_empty() {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        std::mem::swap(&mut state.buffer, batch);
        Poll::Ready(())
    }

    /// The stream has taken so many bytes.
    pub(super) fn written(&self, length: usize) {
        let mut state = self.lock();
        state.outstanding = state.outstanding.saturating_sub(length);
        drop(state);
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.room.notify_one();
        }
    }

    /// The lane ends: nothing is taken any more, and what waits is dropped.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.outstanding = 0;
        state.buffer = BytesMut::new();
        let writer = state.writer.take();
        drop(state);
        drop(writer);
        // The one whose turn it is sees the end, then the next.
        self.room.notify_one();
    }

    /// Frames that were put in so far.
    pub(super) fn frames(&self) -> u64 {
        self.lock().frames
    }

    /// Bytes that the stream has not taken.
    pub(super) fn len(&self) -> usize {
        self.lock().outstanding
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::Waker;

    use control::Epoch;

    use super::*;
    use crate::lane::{Key, Kind};

    const HEAD: Head = Head { to: Key::Service(1), epoch: Epoch(0), request: 0, kind: Kind::Cast };
    const BIG: usize = FRAME_LEN_MAX - 100;

    fn cx() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    fn full() -> Queue {
        let queue = Queue::default();
        while queue.try_push(&HEAD, &[0; BIG]).is_ok() {}
        queue
    }

    #[test]
    fn holds_no_more_bytes_than_it_may() {
        let queue = full();
        assert_eq!(queue.try_push(&HEAD, &[0; BIG]), Err(LaneError::Busy));
        assert!(queue.len() <= QUEUE_LEN_MAX && queue.len() > QUEUE_LEN_MAX - FRAME_LEN_MAX);
        // Bytes that the writer holds count as well.
        let mut batch = BytesMut::new();
        assert_eq!(queue.poll_take(&mut batch, &cx()), Poll::Ready(()));
        assert_eq!(queue.try_push(&HEAD, &[0; BIG]), Err(LaneError::Busy));
        queue.written(batch.len());
        assert_eq!(queue.len(), 0);
        assert_eq!(queue.try_push(&HEAD, &[0; BIG]), Ok(()));
    }

    #[test]
    fn what_cannot_wait_has_a_reserve_with_an_end() {
        let queue = full();
        let mut pushed = 0;
        while queue.push_reserved(&HEAD, &[0; 1000]).is_ok() {
            pushed += 1;
        }
        assert!(pushed > 200, "{pushed}");
        assert!(queue.len() <= QUEUE_LEN_MAX + RESERVE_LEN_MAX);
    }

    #[test]
    fn who_waits_longer_is_the_first_and_nobody_passes() {
        let queue = full();
        let (mut first, mut second) =
            (pin!(queue.push(&HEAD, &[0; BIG])), pin!(queue.push(&HEAD, &[0; 1])));
        assert!(first.as_mut().poll(&mut cx()).is_pending());
        assert!(second.as_mut().poll(&mut cx()).is_pending());
        let mut batch = BytesMut::new();
        assert!(queue.poll_take(&mut batch, &cx()).is_ready());
        // Room for the second, not for the first.
        queue.written(BIG / 2);
        assert!(second.as_mut().poll(&mut cx()).is_pending());
        assert!(first.as_mut().poll(&mut cx()).is_pending());
        assert_eq!(queue.try_push(&HEAD, &[]), Err(LaneError::Busy), "others wait");
        queue.written(BIG);
        assert_eq!(first.as_mut().poll(&mut cx()), Poll::Ready(Ok(())));
        assert_eq!(second.as_mut().poll(&mut cx()), Poll::Ready(Ok(())));
        assert_eq!(queue.try_push(&HEAD, &[]), Ok(()));
    }

    #[test]
    fn who_waits_learns_of_the_end() {
        let queue = full();
        let (mut first, mut second) =
            (pin!(queue.push(&HEAD, &[0; BIG])), pin!(queue.push(&HEAD, &[0; BIG])));
        assert!(first.as_mut().poll(&mut cx()).is_pending());
        assert!(second.as_mut().poll(&mut cx()).is_pending());
        queue.close();
        assert_eq!(first.as_mut().poll(&mut cx()), Poll::Ready(Err(LaneError::Disconnected)));
        assert_eq!(second.as_mut().poll(&mut cx()), Poll::Ready(Err(LaneError::Disconnected)));
        assert_eq!(queue.try_push(&HEAD, &[]), Err(LaneError::Disconnected));
    }

    #[test]
    fn a_frame_that_is_too_long_is_refused_at_once() {
        let queue = Queue::default();
        assert_eq!(queue.try_push(&HEAD, &[0; FRAME_LEN_MAX]), Err(LaneError::TooBig));
        assert_eq!(queue.try_push(&HEAD, &[0; FRAME_LEN_MAX + 1]), Err(LaneError::TooBig));
        assert_eq!(queue.len(), 0);
    }
}
