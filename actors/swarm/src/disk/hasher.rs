//! The hash service: pieces, and rows of large pieces, of all torrents of a node, hashed several at once.
//!
//! One stream of SHA-1 is bound by latency; four side by side cost 2.6 times less (lane-hash). So work
//! waits in one queue, at most [`WAIT`], until there is enough of it for the lanes; at low speed, where
//! the cost does not matter, it does not wait at all. A worker takes a batch, and one disk job hashes it
//! and writes what is right while the bytes are still in the cache. A corrupt piece is never written.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bittorrent::{BLOCK_LEN, BlockRef, Time};
use bytes::{Bytes, BytesMut};
use env::disk::{DiskLane, FileSystem};
use env::{NodeEnv, Task};
use lane_hash::{Job, Sha1State, sha1_many, update_many_sha1};
use ractor::{ActorId, ActorRef};
use tokio::sync::Notify;
use tracing::error;

use super::error::StorageError;
use super::layout::Layout;
use super::read::read_block;
use super::storage::StorageMsg;
use super::write::{add_extents, write};
use crate::bugs::{self, Bug};

/// With so much work waiting, a batch is begun: as many streams as SHA-NI hashes at once.
const BATCH_MIN: usize = 4;
/// Works of a batch at most: the lanes of AVX-512.
const BATCH_MAX: usize = 16;
/// Bytes of a batch of more than [`BATCH_MIN`] at most: so that they stay in the cache from hash to write.
const BATCH_BYTES: usize = 8 << 20;
/// How long work waits for more. If so much time was between it and the last, waiting would bring nothing.
const WAIT: Duration = Duration::from_millis(2);
/// Bytes that are read back at once.
const READ_BACK: u32 = 1 << 20;

/// SHA-1 of a block or piece.
pub type Digest = [u8; 20];

/// Where the bytes of a work are.
#[derive(Debug)]
pub(super) enum Source {
    /// In memory, following each other: to be written.
    Memory(Vec<Bytes>),
    /// In the file already: to be read back for the hash.
    Disk,
}

/// Bytes of a piece to be hashed, written, or both.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) layout: Arc<Layout>,
    pub(super) range: BlockRef,
    pub(super) source: Source,
    /// The hash of the piece up to `range`; `None` if it is only to be written.
    pub(super) state: Option<Sha1State>,
    pub(super) digests_wanted: bool,
    pub(super) reply: ActorRef<StorageMsg>,
}

/// What became of a work.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Written, not hashed.
    Written,
    /// Hashed and on disk; the piece goes on behind it.
    Hashed(Sha1State),
    /// The piece is right and on disk; the digests of its blocks if they were wanted.
    Right(Option<Vec<Digest>>),
    /// The piece is not what the torrent says; the digests of its blocks.
    Wrong(Vec<Digest>),
    /// It could not be read or written.
    Failed(StorageError),
}

/// A finished work.
#[derive(Debug)]
pub struct Outcome {
    pub(super) range: BlockRef,
    /// Whether its bytes came in memory, which is free now.
    pub(super) from_memory: bool,
    pub(super) verdict: Verdict,
}

/// Work that waits for a worker.
#[derive(Debug, Default)]
pub(super) struct Hasher {
    queue: Mutex<Queue>,
    wake: Notify,
    /// The next worker that has work panics.
    #[cfg(test)]
    pub(super) panics: std::sync::atomic::AtomicBool,
}

#[derive(Debug, Default)]
struct Queue {
    works: VecDeque<Work>,
    /// When the first of `works` came, or when the last batch was taken.
    since: Time,
    last_push: Option<Time>,
    /// Whether `works` came too slowly to wait for more.
    at_once: bool,
}

impl Hasher {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // A push or a take is whole before anything could panic.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, now: Time, work: Work) {
        self.lock().push(now, work);
        self.wake.notify_one();
    }

    /// Starts `count` workers, which end with their handles.
    pub(super) fn start(self: &Arc<Self>, env: &NodeEnv, count: usize) -> Vec<Task<()>> {
        let start = |_| {
            let (hasher, node) = (Arc::clone(self), env.clone());
            env.spawn("hash worker", async move { hasher.keep_working(node).await })
        };
        (0..count).map(start).collect()
    }

    /// Works, and goes on with the next batch when a batch makes it panic: all torrents need it.
    async fn keep_working(self: Arc<Self>, env: NodeEnv) {
        loop {
            let (hasher, node) = (Arc::clone(&self), env.clone());
            let work = async move {
                loop {
                    hasher.work(&node).await;
                }
            };
            // It works for ever, or panics.
            let _: Option<()> = env.spawn("hash batches", work).await;
            error!("a hash worker failed");
        }
    }

    /// Does one batch.
    async fn work(&self, env: &NodeEnv) {
        let batch = self.next_batch(env).await;
        let mut outcome = Promise(batch.iter().map(failed).collect());
        #[cfg(test)]
        {
            let panics = self.panics.swap(false, std::sync::atomic::Ordering::AcqRel);
            assert!(!panics, "as the test wants it");
        }
        let done = env.disk(DiskLane::Foreground, move |files| run(files, batch)).await;
        if let Ok(done) = done {
            outcome.0 = done;
        }
    }

    async fn next_batch(&self, env: &NodeEnv) -> Vec<Work> {
        loop {
            let deadline = {
                let mut queue = self.lock();
                let now = env.now();
                if queue.is_ready(now) {
                    let batch = queue.take(now);
                    if !queue.works.is_empty() {
                        self.wake.notify_one();
                    }
                    return batch;
                }
                (!queue.works.is_empty()).then(|| queue.since + WAIT)
            };
            match deadline {
                // Whether time has passed or work has come, the queue knows.
                Some(deadline) => {
                    let wait = deadline.since(env.now());
                    let _ = env.timeout(wait, self.wake.notified()).await;
                }
                None => self.wake.notified().await,
            }
        }
    }
}

impl Queue {
    fn push(&mut self, now: Time, work: Work) {
        if self.works.is_empty() {
            self.since = now;
            self.at_once = self.last_push.is_none_or(|last| now.since(last) >= WAIT);
        }
        self.last_push = Some(now);
        self.works.push_back(work);
    }

    fn is_ready(&self, now: Time) -> bool {
        let waited = self.at_once || now.since(self.since) >= WAIT;
        self.works.len() >= BATCH_MIN || (waited && !self.works.is_empty())
    }

    fn take(&mut self, now: Time) -> Vec<Work> {
        let mut bytes = 0;
        let mut batch = Vec::with_capacity(BATCH_MAX.min(self.works.len()));
        while batch.len() < BATCH_MAX
            && let Some(next) = self.works.front()
        {
            bytes += next.range.length as usize;
            if batch.len() >= BATCH_MIN && bytes > BATCH_BYTES {
                break;
            }
            batch.extend(self.works.pop_front());
        }
        (self.since, self.at_once) = (now, false);
        batch
    }
}

type Finished = (ActorRef<StorageMsg>, Outcome);

/// What those who wait for a batch are told when it is dropped: that it failed, until it is done. A
/// worker or job that panics takes its batch along, and they must hear of it.
struct Promise(Vec<Finished>);

impl Drop for Promise {
    fn drop(&mut self) {
        deliver(std::mem::take(&mut self.0));
    }
}

fn finished(work: &Work, verdict: Verdict) -> Finished {
    let from_memory = matches!(work.source, Source::Memory(_));
    (work.reply.clone(), Outcome { range: work.range, from_memory, verdict })
}

fn failed(work: &Work) -> Finished {
    finished(work, Verdict::Failed(StorageError::GivenUp))
}

/// Tells each storage actor what became of its works, in one message.
fn deliver(done: Vec<Finished>) {
    let mut by_actor: BTreeMap<ActorId, (ActorRef<StorageMsg>, Vec<Outcome>)> = BTreeMap::new();
    for (actor, outcome) in done {
        by_actor.entry(actor.get_id()).or_insert_with(|| (actor, Vec::new())).1.push(outcome);
    }
    for (actor, outcomes) in by_actor.into_values() {
        // An actor that has stopped does not care any more.
        let _ = actor.cast(StorageMsg::Done(outcomes));
    }
}

/// A work on its way through a batch.
#[derive(Debug)]
struct Running {
    work: Work,
    /// What was read back.
    read: Vec<Bytes>,
    /// Whether the piece is right, once all of it was hashed.
    right: Option<bool>,
    error: Option<StorageError>,
}

/// Hashes and writes a batch; on a disk thread.
fn run(files: &dyn FileSystem, batch: Vec<Work>) -> Vec<Finished> {
    let mut running: Vec<_> = batch.into_iter().map(|work| begin(files, work)).collect();
    hash(&mut running);
    let mut extents = Vec::new();
    for (owner, of) in running.iter().enumerate() {
        if let Source::Memory(blocks) = &of.work.source
            && of.error.is_none()
            && !of.is_whole_and_wrong()
        {
            add_extents(&of.work.layout, of.work.range, blocks, owner, &mut extents);
        }
    }
    for (owner, error) in write(files, extents) {
        if let Some(of) = running.get_mut(owner) {
            of.error = Some(error);
        }
    }
    running.into_iter().map(|of| of.finish(files)).collect()
}

fn begin(files: &dyn FileSystem, work: Work) -> Running {
    let (mut read, mut error) = (Vec::new(), None);
    if matches!(work.source, Source::Disk) {
        let mut buf = BytesMut::zeroed(work.range.length as usize);
        error = read_block(&work.layout, files, work.range, &mut buf).err();
        read.push(buf.freeze());
    }
    Running { work, read, right: None, error }
}

/// Hashes all at once and says which pieces are right that are hashed to their end.
fn hash(running: &mut [Running]) {
    let jobs = running.iter_mut().filter(|of| of.error.is_none()).filter_map(|of| {
        let segments = match &of.work.source {
            Source::Memory(blocks) => blocks,
            Source::Disk => &of.read,
        };
        Some(Job { state: of.work.state.as_mut()?, segments })
    });
    update_many_sha1(&mut jobs.collect::<Vec<_>>());
    for of in running.iter_mut().filter(|of| of.error.is_none()) {
        let Work { layout, range, state, .. } = &mut of.work;
        let whole = u64::from(layout.info.piece_len(range.piece));
        if state.as_ref().is_some_and(|state| state.length() == whole) {
            let digest = state.take().map(Sha1State::finish);
            let right = digest == layout.info.piece_hash_v1(range.piece) && digest.is_some();
            of.right = Some(right || bugs::has(Bug::SkipsTheHashCheck));
        }
    }
}

impl Running {
    /// Whether it is a piece that must not reach the disk. Rows are there before their piece is known.
    fn is_whole_and_wrong(&self) -> bool {
        self.right == Some(false) && self.work.range.begin == 0
    }

    fn finish(mut self, files: &dyn FileSystem) -> Finished {
        let verdict = match (self.error.take(), self.right, self.work.state.take()) {
            (Some(error), ..) => Verdict::Failed(error),
            (None, None, None) => Verdict::Written,
            (None, None, Some(state)) => Verdict::Hashed(state),
            (None, Some(right), _) => self.judge(files, right),
        };
        finished(&self.work, verdict)
    }

    fn judge(&self, files: &dyn FileSystem, right: bool) -> Verdict {
        if right && !self.work.digests_wanted {
            return Verdict::Right(None);
        }
        let digests = match &self.work.source {
            Source::Memory(blocks) if self.work.range.begin == 0 => Ok(digests(blocks)),
            Source::Memory(_) | Source::Disk => self.digests_on_disk(files),
        };
        match digests {
            Ok(digests) if right => Verdict::Right(Some(digests)),
            Ok(digests) => Verdict::Wrong(digests),
            Err(error) => Verdict::Failed(error),
        }
    }

    /// The digests of the blocks of a large piece, whose rows are no longer in memory.
    fn digests_on_disk(&self, files: &dyn FileSystem) -> Result<Vec<Digest>, StorageError> {
        let whole = self.work.layout.whole(self.work.range.piece);
        let mut all = Vec::with_capacity(whole.length.div_ceil(BLOCK_LEN) as usize);
        let mut buf = vec![0; READ_BACK.min(whole.length) as usize];
        for begin in (0..whole.length).step_by(READ_BACK as usize) {
            let length = READ_BACK.min(whole.length - begin);
            buf.truncate(length as usize);
            let range = BlockRef { begin, length, ..whole };
            read_block(&self.work.layout, files, range, &mut buf)?;
            all.extend(digests(&buf.chunks(BLOCK_LEN as usize).collect::<Vec<_>>()));
        }
        Ok(all)
    }
}

/// The SHA-1 of each block.
fn digests<B: AsRef<[u8]>>(blocks: &[B]) -> Vec<Digest> {
    let messages: Vec<_> = blocks.iter().map(std::slice::from_ref).collect();
    let mut digests = vec![Digest::default(); messages.len()];
    sha1_many(&messages, &mut digests);
    digests
}
