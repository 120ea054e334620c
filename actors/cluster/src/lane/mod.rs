//! Lanes: how nodes speak to each other.
//!
//! A [`Lane`] is one ordered stream to another node, over a connection on which both have shown certificates of
//! the cluster's authority. Calls, casts and watches go to actors that the other node has put into its
//! [`Directory`]; each carries the epoch in whose name it is said, and one that is over is refused before the
//! actor sees it. Frames of one sender arrive in their order, at most once; when the lane ends, every open call
//! gets [`LaneError::Disconnected`] and every watch [`DownReason::NodeDown`].
//!
//! Everything is bounded: frames ([`FRAME_LEN_MAX`]), bytes that wait ([`QUEUE_LEN_MAX`]), calls
//! ([`CALLS_MAX`]), watches ([`WATCHES_MAX`]), the greeting ([`HELLO_LEN_MAX`]) and its time ([`OPEN_WITHIN`]).
//! A sender waits for room or is told [`LaneError::Busy`]; the other end's breach of a bound ends the lane.
//!
//! Pieces go over [`bulk`] connections beside, never through frames.
//!
//! Reading order: `frame` and `hello` (the bytes) → `directory` (who is spoken to) → `queue` and `pending` →
//! `pump` (the task) → `open` (how a lane begins) → `lanes` (all of a node) → `transport` and its implementations, [`quic`] and
//! [`twin`].

pub mod bulk;
mod directory;
mod error;
pub mod frame;
pub mod hello;
mod lanes;
mod metrics;
mod open;
mod outgoing;
mod pending;
mod pump;
mod queue;
pub mod quic;
mod redial;
mod transport;
pub mod twin;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use control::{Epoch, NodeName};
use tokio::sync::oneshot;

pub use directory::{Delivery, Directory, Down, DownReason, Exposed, Exposure};
pub use error::LaneError;
pub use frame::{FRAME_LEN_MAX, FrameError, Head, Key, Kind};
pub use hello::{Agreed, HELLO_LEN_MAX, Hello, MINOR, Refusal};
pub use lanes::{Changes, LANES_MAX, Lanes};
pub use metrics::{LaneMetrics, Refused};
pub use open::{LocalNode, OPEN_WITHIN};
pub use outgoing::Reply;
pub use pending::{CALLS_MAX, WATCHES_MAX};
pub use pump::{LaneEnd, Running};
pub use queue::QUEUE_LEN_MAX;
pub use redial::{REDIAL_MAX, REDIAL_MIN, Redial};
pub use transport::{
    Connection, Incoming, Link, OpenError, OpenMetrics, Reader, Transport, Writer,
};

use pump::Shared;

/// A control lane whose other end says nothing for this time is over. The lower of both ends' holds.
pub const IDLE_TIMEOUT: Duration = Duration::from_millis(1200);
/// A control lane on which nothing is said for this time says that it is there.
pub const KEEP_ALIVE: Duration = Duration::from_millis(300);

/// Whether this end of a pair of nodes dials the other: the one whose name comes first does, so that there is
/// one lane a pair.
#[must_use]
pub fn dials(ours: &NodeName, theirs: &NodeName) -> bool {
    ours < theirs
}

/// A handle of a lane; clones speak over the same one. It does not keep the lane alive: [`Running`] does.
#[derive(Debug, Clone)]
pub struct Lane {
    shared: Arc<Shared>,
}

impl Lane {
    /// Who is at the other end.
    #[must_use]
    pub fn peer(&self) -> &NodeName {
        &self.shared.peer
    }

    /// What the other end said of itself.
    #[must_use]
    pub fn hello(&self) -> &Hello {
        &self.shared.theirs
    }

    /// What both ends speak.
    #[must_use]
    pub fn agreed(&self) -> Agreed {
        self.shared.agreed
    }

    /// Asks an actor and waits for its answer, at most `limit`, which includes waiting for room in the queue.
    ///
    /// # Errors
    ///
    /// As [`LaneError`] says. After `Disconnected` and `Timeout` it may have been done or not.
    pub async fn call(
        &self,
        to: Key,
        epoch: Epoch,
        body: &[u8],
        limit: Duration,
    ) -> Result<Bytes, LaneError> {
        let Shared { env, out, pending, .. } = &*self.shared;
        let (request, told) = pending.call()?;
        let _forget = ForgetCall { pending, request };
        out.counters.calls_out.add(1);
        let head = Head { to, epoch, request, kind: Kind::Call };
        let asking = async {
            out.queue.push(&head, body).await?;
            told.await.unwrap_or(Err(LaneError::Disconnected))
        };
        env.timeout(limit, asking).await.unwrap_or(Err(LaneError::Timeout))
    }

    /// Tells an actor something, when there is room in the queue. Whether it arrives is not known.
    ///
    /// # Errors
    ///
    /// [`LaneError::TooBig`] or [`LaneError::Disconnected`].
    pub async fn cast(&self, to: Key, epoch: Epoch, body: &[u8]) -> Result<(), LaneError> {
        let out = &self.shared.out;
        out.queue.push(&Head { to, epoch, request: 0, kind: Kind::Cast }, body).await
    }

    /// As [`Lane::cast`], without waiting.
    ///
    /// # Errors
    ///
    /// As [`Lane::cast`], and [`LaneError::Busy`] when there is no room or others wait for it.
    pub fn try_cast(&self, to: Key, epoch: Epoch, body: &[u8]) -> Result<(), LaneError> {
        let out = &self.shared.out;
        out.queue.try_push(&Head { to, epoch, request: 0, kind: Kind::Cast }, body)
    }

    /// Watches an actor: the result is ready when it is down, or when it cannot be heard of any more.
    ///
    /// # Errors
    ///
    /// [`LaneError::Busy`] or [`LaneError::Disconnected`].
    pub async fn watch(&self, key: Key, epoch: Epoch) -> Result<Watch, LaneError> {
        let Shared { out, pending, .. } = &*self.shared;
        let (request, told) = pending.watch(key, epoch)?;
        let watch = Watch { shared: Arc::clone(&self.shared), key, epoch, request, told };
        out.queue.push(&Head { to: key, epoch, request, kind: Kind::Watch }, &[]).await?;
        Ok(watch)
    }

    /// What was counted.
    #[must_use]
    pub fn metrics(&self) -> LaneMetrics {
        let Shared { out, pending, .. } = &*self.shared;
        out.counters.snapshot(&out.queue, pending.calls())
    }
}

struct ForgetCall<'a> {
    pending: &'a pending::Pending,
    request: u64,
}

impl Drop for ForgetCall<'_> {
    fn drop(&mut self) {
        self.pending.forget_call(self.request);
    }
}

/// Ready when the watched actor is down. Dropping it ends the watch.
#[derive(Debug)]
#[must_use = "dropping it ends the watch"]
pub struct Watch {
    shared: Arc<Shared>,
    key: Key,
    epoch: Epoch,
    request: u64,
    told: oneshot::Receiver<Down>,
}

impl Future for Watch {
    type Output = Down;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Down> {
        let (key, epoch) = (self.key, self.epoch);
        let lost = Down { key, epoch, reason: DownReason::NodeDown };
        Pin::new(&mut self.told).poll(cx).map(|told| told.unwrap_or(lost))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let Shared { out, pending, .. } = &*self.shared;
        if pending.forget_watch(self.request) {
            let Self { key, epoch, request, .. } = *self;
            out.push_short(&Head { to: key, epoch, request, kind: Kind::Unwatch }, &[]);
        }
    }
}
