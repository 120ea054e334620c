//! Rechecking: which pieces on disk are right.
//!
//! As many workers as cores, each with a group of pieces that it reads and hashes side by side in
//! background jobs of a few MiB, so that a reader never waits long. A piece that a missing or short file
//! should hold is wrong without being read; one that lies in a hole is compared with zeros.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bittorrent::bitfield::Bitfield;
use bittorrent::metainfo::FileSpan;
use bittorrent::resume::FileState;
use bittorrent::{BlockRef, PieceIndex, Time};
use env::disk::{DiskLane, FileSystem};
use lane_hash::{Job, Sha1State, update_many_sha1};
use tokio::sync::watch;

use super::error::StorageError;
use super::files::TorrentFiles;
use super::handles::Access;
use super::hasher::Digest;
use super::layout::Layout;
use super::read::Reader;

/// Pieces of a group: the lanes of AVX-512.
const LANES: usize = 16;
/// Bytes that are read of each piece of a group at once. A group's buffer is so many times [`LANES`].
const CHUNK: u32 = 256 * 1024;
/// Bytes after which a job ends, so that the foreground need not wait longer.
const JOB_BYTES: u64 = 4 << 20;
/// Pieces without bytes on disk that a job goes past.
const SKIPPED_MAX: usize = 10_000;
/// Workers of one recheck at most.
const WORKERS_MAX: usize = 16;
/// Time between two words on progress.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// Told how many pieces of how many were looked at; must not block.
pub type OnProgress = Arc<dyn Fn(u32, u32) + Send + Sync>;

/// Reads and hashes `pieces` on all cores, and says which of them are right. Dropping the future ends it.
///
/// # Errors
///
/// A file cannot be read although it is there; the torrent has no v1 hashes.
pub async fn check(
    files: &Arc<TorrentFiles>,
    pieces: &Bitfield,
    on_progress: OnProgress,
) -> Result<Bitfield, StorageError> {
    let (_never, paused) = watch::channel(false);
    check_with(files, pieces, paused, on_progress).await
}

/// [`check`] that waits while `paused` says so.
pub(super) async fn check_with(
    files: &Arc<TorrentFiles>,
    pieces: &Bitfield,
    paused: watch::Receiver<bool>,
    on_progress: OnProgress,
) -> Result<Bitfield, StorageError> {
    if files.info().v1().is_none() {
        return Err(StorageError::NoHash(PieceIndex(0)));
    }
    let env = files.pool().env();
    let turn = files.pool().checks().acquire().await;
    let _turn = turn.map_err(|_| StorageError::GivenUp)?;
    let layout = Arc::clone(files.layout());
    let states = env.disk(DiskLane::Background, move |files| layout.states(files)).await??;
    let shared = Arc::new(Shared::new(files, pieces, states, on_progress));
    let workers = (0..env.parallelism().clamp(1, WORKERS_MAX)).map(|_| {
        let (shared, node, paused) = (Arc::clone(&shared), env.clone(), paused.clone());
        env.spawn("recheck worker", async move { work(&shared, &node, paused).await })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap_or(Err(StorageError::GivenUp))?;
    }
    let progress = shared.lock();
    shared.tell(&progress);
    Ok(progress.have.clone())
}

/// What the workers of a recheck share.
struct Shared {
    layout: Arc<Layout>,
    pieces: Bitfield,
    states: Vec<Option<FileState>>,
    total: u32,
    on_progress: OnProgress,
    /// The hash of a full piece of zeros.
    zeros: OnceLock<Digest>,
    progress: Mutex<Progress>,
}

struct Progress {
    /// The next piece to look at.
    next: u32,
    checked: u32,
    have: Bitfield,
    told: Time,
    failed: bool,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("total", &self.total).finish_non_exhaustive()
    }
}

async fn work(
    shared: &Arc<Shared>,
    env: &env::NodeEnv,
    mut paused: watch::Receiver<bool>,
) -> Result<(), StorageError> {
    let mut group = Group::default();
    loop {
        // Nobody is left who could pause it: it goes on.
        let _ = paused.wait_for(|&paused| !paused).await;
        let of = Arc::clone(shared);
        let job = move |files: &dyn FileSystem| {
            let result = group.step(&of, files);
            (group, result)
        };
        let (after, result) = env.disk(DiskLane::Background, job).await?;
        group = after;
        match result {
            Ok(Step::More) => shared.tell_now_and_then(env.now()),
            Ok(Step::End) => return Ok(()),
            Err(error) => {
                shared.lock().failed = true;
                return Err(error);
            }
        }
    }
}

impl Shared {
    fn new(
        files: &TorrentFiles,
        pieces: &Bitfield,
        states: Vec<Option<FileState>>,
        on_progress: OnProgress,
    ) -> Self {
        let have = Bitfield::new(files.info().piece_count());
        let progress = Progress { next: 0, checked: 0, have, told: Time::ZERO, failed: false };
        Self {
            layout: Arc::clone(files.layout()),
            pieces: pieces.clone(),
            states,
            total: pieces.count(),
            on_progress,
            zeros: OnceLock::new(),
            progress: Mutex::new(progress),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        // Numbers and bits: whole after every change.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next pieces that are worth reading, and whether there may be more behind them.
    fn next_group(&self) -> (Vec<Lane>, Step) {
        let mut progress = self.lock();
        let (mut lanes, mut skipped) = (Vec::with_capacity(LANES), 0);
        let count = self.layout.info.piece_count();
        while lanes.len() < LANES && skipped < SKIPPED_MAX {
            if progress.next >= count || progress.failed {
                return (lanes, Step::End);
            }
            let piece = PieceIndex(progress.next);
            progress.next += 1;
            skipped += 1;
            if !self.pieces.contains(piece) {
                continue;
            }
            let range = self.layout.whole(piece);
            if self.is_there(range) {
                lanes.push(Lane { range, at: 0, state: Sha1State::new(), right: None });
            } else {
                progress.checked += 1;
            }
        }
        (lanes, Step::More)
    }

    /// Whether the files are long enough to hold the range.
    fn is_there(&self, range: BlockRef) -> bool {
        self.layout.spans(range).all(|span| {
            let state = self.states.get(span.file).copied().flatten();
            self.layout.is_pad(span.file)
                || state.is_some_and(|state| state.length >= span.offset + span.length)
        })
    }

    fn took(&self, lanes: &[Lane]) {
        let mut progress = self.lock();
        for lane in lanes {
            progress.checked += 1;
            if lane.right == Some(true) {
                progress.have.insert(lane.range.piece);
                // It may have been written just before the process was killed, and not be durable yet.
                self.layout
                    .spans(lane.range)
                    .filter(|span| !self.layout.is_pad(span.file))
                    .for_each(|span| self.layout.touch(span.file));
            }
        }
    }

    fn tell(&self, progress: &Progress) {
        (self.on_progress)(progress.checked, self.total);
    }

    fn tell_now_and_then(&self, now: Time) {
        let mut progress = self.lock();
        if now.since(progress.told) >= PROGRESS_EVERY {
            progress.told = now;
            self.tell(&progress);
        }
    }

    fn zero_digest(&self, length: u32) -> Digest {
        if length == self.layout.info.piece_length() {
            return *self.zeros.get_or_init(|| hash_zeros(length));
        }
        hash_zeros(length)
    }
}

fn hash_zeros(length: u32) -> Digest {
    let chunk = vec![0_u8; CHUNK.min(length) as usize];
    let (mut state, mut left) = (Sha1State::new(), length as usize);
    while left > 0 {
        let now = chunk.get(..left).unwrap_or(&chunk);
        update_many_sha1(&mut [Job { state: &mut state, segments: &[now] }]);
        left -= now.len();
    }
    state.finish()
}

/// Whether a worker has more to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    More,
    End,
}

/// A piece that is being read.
#[derive(Debug)]
struct Lane {
    range: BlockRef,
    /// Bytes of it that were hashed.
    at: u32,
    state: Sha1State,
    right: Option<bool>,
}

/// Pieces that are read and hashed side by side.
#[derive(Debug, Default)]
struct Group {
    lanes: Vec<Lane>,
    buf: Vec<u8>,
    holes: Holes,
}

impl Group {
    /// Reads and hashes some MiB; on a disk thread.
    fn step(&mut self, shared: &Shared, files: &dyn FileSystem) -> Result<Step, StorageError> {
        let mut step = Step::More;
        if self.lanes.is_empty() {
            (self.lanes, step) = shared.next_group();
            for lane in &mut self.lanes {
                if self.holes.hold(&shared.layout, files, lane.range) {
                    let zeros = shared.zero_digest(lane.range.length);
                    let expected = shared.layout.info.piece_hash_v1(lane.range.piece);
                    lane.right = Some(expected == Some(zeros));
                }
            }
        }
        let mut bytes = 0;
        while bytes < JOB_BYTES && self.lanes.iter().any(|lane| lane.right.is_none()) {
            bytes += self.round(&shared.layout, files)?;
        }
        if self.lanes.iter().any(|lane| lane.right.is_none()) {
            return Ok(Step::More);
        }
        shared.took(&self.lanes);
        self.lanes.clear();
        Ok(step)
    }

    /// Takes each open piece one chunk further.
    fn round(&mut self, layout: &Layout, files: &dyn FileSystem) -> Result<u64, StorageError> {
        if self.buf.is_empty() {
            self.buf.resize(CHUNK as usize * LANES, 0);
        }
        let open = self.lanes.iter_mut().filter(|lane| lane.right.is_none());
        let open = open.zip(self.buf.chunks_mut(CHUNK as usize));
        let mut chunks: Vec<_> = open
            .filter_map(|(lane, slot)| {
                let chunk = lane.next_chunk();
                Some((lane, chunk, slot.get_mut(..chunk.length as usize)?))
            })
            .collect();
        read_chunks(layout, files, &mut chunks)?;
        chunks.retain(|(lane, ..)| lane.right.is_none());
        let jobs = chunks.iter_mut().map(|(lane, _, slot)| {
            let segments: &[&mut [u8]] = std::slice::from_ref(slot);
            Job { state: &mut lane.state, segments }
        });
        update_many_sha1(&mut jobs.collect::<Vec<_>>());
        let mut bytes = 0;
        for (lane, chunk, _) in chunks {
            bytes += u64::from(chunk.length);
            lane.at += chunk.length;
            if lane.at == lane.range.length {
                let digest = std::mem::take(&mut lane.state).finish();
                lane.right = Some(layout.info.piece_hash_v1(lane.range.piece) == Some(digest));
            }
        }
        Ok(bytes)
    }
}

impl Lane {
    fn next_chunk(&self) -> BlockRef {
        let length = CHUNK.min(self.range.length - self.at);
        BlockRef { begin: self.at, length, ..self.range }
    }
}

type Chunk<'a> = (&'a mut Lane, BlockRef, &'a mut [u8]);

/// Fills the chunks; those whose file has become too short meanwhile are wrong.
fn read_chunks(
    layout: &Layout,
    files: &dyn FileSystem,
    chunks: &mut [Chunk<'_>],
) -> Result<(), StorageError> {
    match read_together(layout, files, chunks) {
        Err(StorageError::Missing { .. }) => {}
        result => return result,
    }
    for chunk in chunks {
        match read_together(layout, files, std::slice::from_mut(chunk)) {
            Err(StorageError::Missing { .. }) => chunk.0.right = Some(false),
            result => result?,
        }
    }
    Ok(())
}

fn read_together(
    layout: &Layout,
    files: &dyn FileSystem,
    chunks: &mut [Chunk<'_>],
) -> Result<(), StorageError> {
    let mut reader = Reader::new(layout, files);
    for (_, range, slot) in chunks {
        reader.add(*range, slot)?;
    }
    reader.finish()
}

/// What a file said last about its holes. Some file systems look at every page to find the end of the data,
/// so they are asked once for each stretch of it.
#[derive(Debug, Default)]
struct Holes {
    file: usize,
    /// From here to the beginning of `data` there is a hole.
    from: u64,
    data: Range<u64>,
}

impl Holes {
    /// Whether nothing was ever written in this range.
    fn hold(&mut self, layout: &Layout, files: &dyn FileSystem, range: BlockRef) -> bool {
        layout
            .spans(range)
            .filter(|span| !layout.is_pad(span.file))
            .all(|span| self.hold_span(layout, files, span))
    }

    fn hold_span(&mut self, layout: &Layout, files: &dyn FileSystem, span: FileSpan) -> bool {
        if self.file != span.file || !(self.from..self.data.end).contains(&span.offset) {
            let Ok(file) = layout.open(files, span.file, Access::Read) else { return false };
            let data = match file.next_data(span.offset) {
                Ok(Some(data)) => data,
                Ok(None) => u64::MAX..u64::MAX,
                Err(_) => return false,
            };
            *self = Self { file: span.file, from: span.offset, data };
        }
        span.offset + span.length <= self.data.start
    }
}
