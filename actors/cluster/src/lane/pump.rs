//! The task of a lane: reads what comes and hands it on, writes what waits.
//!
//! One task does both, so a reply that an actor gives at once is written in the same go. It ends when the stream
//! does, when the other end breaks the protocol or does not read, or when [`Running`] is dropped; in every case
//! all that waits for the other end is told.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use control::NodeName;
use env::{NodeEnv, Task};
use tokio::io::{AsyncReadExt, AsyncWrite};
use tracing::debug;

use super::directory::Delivery;
use super::frame::{self, FrameError, Head, Kind};
use super::hello::{Agreed, Hello};
use super::outgoing::Outgoing;
use super::pending::Pending;
use super::transport::{Connection, Link, OpenError, Reader, Writer};
use super::{Directory, DownReason, Lane, LaneError};

/// The most bytes of one write.
const WRITE_LEN_MAX: usize = 64 * 1024;
/// Room for one read.
const READ_LEN: usize = 64 * 1024;
/// After so many bytes, or frames, the writer and other tasks have their turn.
const TURN_LEN: usize = 256 * 1024;
const TURN_FRAMES: usize = 1024;

/// Why a lane ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LaneEnd {
    /// The other end closed it.
    #[error("the other end closed the lane")]
    Closed,
    /// The connection broke, or nothing was heard for the idle timeout.
    #[error("the connection broke: {0}")]
    Broken(io::ErrorKind),
    /// The other end broke the protocol.
    #[error("the other end broke the protocol: {0}")]
    Malformed(FrameError),
    /// The other end watched more actors than it may.
    #[error("the other end watches too many actors")]
    TooManyWatches,
    /// The other end does not read what it asked for.
    #[error("the other end does not read its answers")]
    Overrun,
}

/// A lane's task. Dropping it ends the lane; awaiting it tells why the lane ended by itself.
#[derive(Debug)]
#[must_use = "dropping it ends the lane"]
pub struct Running {
    task: Task<LaneEnd>,
}

impl Future for Running {
    type Output = LaneEnd;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<LaneEnd> {
        // A task that is taken down with its host tells nothing.
        Pin::new(&mut self.task).poll(cx).map(|end| end.unwrap_or(LaneEnd::Closed))
    }
}

/// What a lane's handles and its task share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) env: NodeEnv,
    pub(super) out: Arc<Outgoing>,
    pub(super) pending: Pending,
    pub(super) peer: Arc<NodeName>,
    pub(super) theirs: Hello,
    pub(super) agreed: Agreed,
}

struct Pump {
    shared: Arc<Shared>,
    directory: Directory,
    reader: Reader,
    writer: Writer,
    connection: Arc<dyn Connection>,
    come: BytesMut,
    batch: BytesMut,
}

pub(super) fn start(
    env: &NodeEnv,
    directory: Directory,
    link: Link,
    come: BytesMut,
    theirs: Hello,
    agreed: Agreed,
) -> (Lane, Running) {
    let Link { certified, reader, writer, connection } = link;
    let shared = Arc::new(Shared {
        env: env.clone(),
        out: Arc::default(),
        pending: Pending::default(),
        peer: Arc::new(certified),
        theirs,
        agreed,
    });
    let lane = Lane { shared: Arc::clone(&shared) };
    let batch = BytesMut::new();
    let pump = Pump { shared, directory, reader, writer, connection, come, batch };
    (lane, Running { task: env.spawn("lane", pump.run()) })
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.shared.out.queue.close();
        self.shared.pending.end();
        for (request, key) in self.shared.out.take_watched() {
            self.directory.unwatch(key, request, &self.shared.out);
        }
        self.connection.close(None);
    }
}

impl Pump {
    async fn run(mut self) -> LaneEnd {
        let end = poll_fn(|cx| self.poll(cx)).await;
        debug!(peer = %self.shared.peer, %end, "lane ended");
        end
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<LaneEnd> {
        if let Poll::Ready(Err(end)) = self.poll_read(cx) {
            return Poll::Ready(end);
        }
        if let Poll::Ready(Err(error)) = self.poll_write(cx) {
            return Poll::Ready(self.ended(LaneEnd::Broken(error.kind())));
        }
        if !self.batch.is_empty() {
            self.shared.out.note_stuck(cx.waker());
        }
        if self.shared.out.is_overrun() { Poll::Ready(LaneEnd::Overrun) } else { Poll::Pending }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Infallible, LaneEnd>> {
        let (mut bytes, mut frames) = (0, 0);
        loop {
            // The first time, what came with the greeting, or was left from the last turn.
            if let Err(end) = self.dispatch_all(&mut frames) {
                return Poll::Ready(Err(end));
            }
            if bytes >= TURN_LEN || frames >= TURN_FRAMES {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            bytes += match ready!(self.poll_fill(cx)) {
                Ok(read) => read,
                Err(end) => return Poll::Ready(Err(end)),
            };
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, LaneEnd>> {
        if self.come.capacity() - self.come.len() < READ_LEN / 4 {
            self.come.reserve(READ_LEN);
        }
        let read = pin!(self.reader.read_buf(&mut self.come));
        Poll::Ready(match ready!(read.poll(cx)) {
            Ok(0) if self.come.is_empty() => Err(self.ended(LaneEnd::Closed)),
            Ok(0) => Err(LaneEnd::Malformed(FrameError::Truncated)),
            Ok(read) => {
                self.shared.out.counters.bytes_in.add(read);
                Ok(read)
            }
            Err(error) => Err(self.ended(LaneEnd::Broken(error.kind()))),
        })
    }

    /// How the lane ended, where the connection knows better than the stream.
    fn ended(&self, end: LaneEnd) -> LaneEnd {
        match self.connection.ended() {
            Some(OpenError::Timeout) => LaneEnd::Broken(io::ErrorKind::TimedOut),
            Some(OpenError::Unreachable) => LaneEnd::Broken(io::ErrorKind::ConnectionReset),
            Some(OpenError::Closed) => LaneEnd::Closed,
            _ => end,
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Infallible>> {
        let out = &self.shared.out;
        loop {
            if self.batch.is_empty() {
                ready!(out.queue.poll_take(&mut self.batch, cx));
            }
            let part = self.batch.get(..self.batch.len().min(WRITE_LEN_MAX)).unwrap_or_default();
            let written = match ready!(Pin::new(&mut self.writer).poll_write(cx, part)) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(written) => written,
                Err(error) => return Poll::Ready(Err(error)),
            };
            self.batch.advance(written);
            out.queue.written(written);
            out.counters.bytes_out.add(written);
            out.counters.writes.add(1);
        }
    }

    /// Hands on what has come, until this turn has had its frames.
    fn dispatch_all(&mut self, frames: &mut usize) -> Result<(), LaneEnd> {
        while *frames < TURN_FRAMES {
            let frame = frame::decode(&mut self.come).map_err(LaneEnd::Malformed)?;
            let Some((head, body)) = frame else { break };
            *frames += 1;
            // Before it is handed on: whoever gets it may look at the counts at once.
            self.shared.out.counters.frames_in.add(1);
            self.dispatch(&head, body)?;
        }
        Ok(())
    }

    fn dispatch(&self, head: &Head, body: Bytes) -> Result<(), LaneEnd> {
        let Shared { out, pending, .. } = &*self.shared;
        match head.kind {
            Kind::Cast | Kind::Call => self.deliver(head, body),
            Kind::Reply => pending.answer(head.request, Ok(body)),
            Kind::Error => {
                let error = LaneError::of_body(&body);
                out.counters.refused_there.add(&error);
                pending.answer(head.request, Err(error));
            }
            Kind::Watch => {
                if !out.note_watch(head.request, head.to) {
                    return Err(LaneEnd::TooManyWatches);
                }
                self.directory.watch(head.to, head.epoch, head.request, out);
            }
            Kind::Unwatch => {
                if let Some(key) = out.forget_watch(head.request) {
                    self.directory.unwatch(key, head.request, out);
                }
            }
            Kind::Down => {
                // What a newer node says and we do not know is an end all the same.
                let reason = frame::of_body(&body).unwrap_or(DownReason::Failed);
                pending.down(head.request, reason);
            }
        }
        Ok(())
    }

    fn deliver(&self, head: &Head, body: Bytes) {
        let out = &self.shared.out;
        let reply = match head.kind {
            Kind::Call => {
                out.counters.calls_in.add(1);
                match out.open_call(head) {
                    Ok(reply) => Some(reply),
                    Err(error) => return out.refuse(head, &error),
                }
            }
            _ => None,
        };
        let from = Arc::clone(&self.shared.peer);
        let delivery = Delivery { from, epoch: head.epoch, body, reply };
        match self.directory.find(head.to, head.epoch) {
            Ok(actor) => actor.deliver(delivery),
            Err(error) if delivery.reply.is_some() => delivery.refuse(error),
            Err(error) => out.refuse(head, &error),
        }
    }
}
