//! Hashes of pieces, over files on this machine, on all cores (BEP 3, 52).
//!
//! [`Hasher::run`] hands each piece's hashes to its caller as they come, in no order. Threads take
//! batches of pieces from a counter; within a batch the pieces are hashed side by side (`lane-hash`).
//! Memory is [`BATCH_LEN`] (or [`LANES`] times [`WINDOW_LEN`]) a thread, however long files and pieces are.

mod batch;
mod layout;
mod reader;
mod stamp;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use batch::Batch;
use bittorrent::metainfo::create::Version;
pub(crate) use layout::{Extent, Layout};
pub(crate) use reader::{Unreadable, Why};
pub(crate) use stamp::Stamp;

use crate::failure::Failure;

/// Pieces of a batch, unless they are so short that more make up [`BATCH_LEN`]. `lane-hash` is at its
/// best from four on.
const LANES: u32 = 4;
/// The most bytes of a piece that are read at a time.
const WINDOW_LEN: u32 = 1 << 20;
/// Bytes of a batch of short pieces, which are read at once. It fits the cache of a core, so what the
/// kernel has just copied is hashed from there.
const BATCH_LEN: u32 = 1 << 20;
/// Pieces of a batch at most: pieces may be as short as a byte, and each costs memory beside its bytes.
const BATCH_PIECES_MAX: u32 = 64;

/// Whether SHA-1 is taken over pieces.
const fn has_v1(version: Version) -> bool {
    matches!(version, Version::V1 | Version::Hybrid)
}

/// Whether SHA-256 is taken over blocks, in trees.
const fn has_v2(version: Version) -> bool {
    matches!(version, Version::V2 | Version::Hybrid)
}

/// The hashes of one piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PieceHash {
    /// Its SHA-1, pads included.
    pub(crate) v1: Option<[u8; 20]>,
    /// The root over its blocks: of the whole file's tree where the file has no other piece.
    pub(crate) v2: Option<[u8; 32]>,
}

/// What became of one piece.
pub(crate) type PieceResult = Result<PieceHash, Unreadable>;

/// Someone asked to end before all pieces were hashed, or no thread could be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfinished {
    /// The stop flag was set.
    Stopped,
    /// The system gives us no thread.
    NoThread,
}

/// Hashes the pieces of a layout.
#[derive(Debug)]
pub(crate) struct Hasher<'a> {
    /// Where the bytes are.
    pub(crate) layout: &'a Layout,
    /// Which hashes are taken.
    pub(crate) version: Version,
    /// Threads; at least 1.
    pub(crate) threads: usize,
    /// Set from outside to end early.
    pub(crate) stop: &'a AtomicBool,
}

/// One thread a core.
pub(crate) fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

impl Unfinished {
    /// What a person is told.
    pub(crate) fn into_failure(self) -> Failure {
        match self {
            Self::Stopped => Failure::interrupted(),
            Self::NoThread => Failure::failed("the system gives us no thread to hash with"),
        }
    }
}

impl Hasher<'_> {
    /// Hands every piece's hashes to `on_piece`, until that says `Break`.
    ///
    /// # Errors
    ///
    /// See [`Unfinished`].
    pub(crate) fn run(
        &self,
        mut on_piece: impl FnMut(u64, PieceResult) -> ControlFlow<()>,
    ) -> Result<(), Unfinished> {
        let next = AtomicU64::new(0);
        let broken = AtomicBool::new(false);
        let mut has_thread = false;
        // These threads end with this call, which the runtime of an engine never makes.
        thread::scope(|scope| {
            let (results, received) = sync_channel(2 * self.threads);
            for number in 0..self.threads.max(1) {
                let (results, next, broken) = (results.clone(), &next, &broken);
                let thread = thread::Builder::new().name(format!("hash-{number}"));
                let work = move || self.work(next, broken, &results);
                has_thread |= thread.spawn_scoped(scope, work).is_ok();
            }
            drop(results);
            for (first, pieces) in received {
                for (piece, result) in (first..).zip(pieces) {
                    if !broken.load(Ordering::Relaxed) && on_piece(piece, result).is_break() {
                        broken.store(true, Ordering::Relaxed);
                    }
                }
            }
        });
        if !has_thread {
            return Err(Unfinished::NoThread);
        }
        if self.stop.load(Ordering::Relaxed) { Err(Unfinished::Stopped) } else { Ok(()) }
    }

    /// Takes batches until none is left.
    fn work(
        &self,
        next: &AtomicU64,
        broken: &AtomicBool,
        results: &SyncSender<(u64, Vec<PieceResult>)>,
    ) {
        let stopped = || self.stop.load(Ordering::Relaxed) || broken.load(Ordering::Relaxed);
        let mut batch = Batch::new(self.layout, self.version);
        let count = batch.len();
        let pieces = self.layout.piece_count();
        while !stopped() {
            let first = next.fetch_add(count, Ordering::Relaxed);
            if first >= pieces {
                return;
            }
            let Some(hashes) = batch.hash(first..pieces.min(first + count), &stopped) else {
                return;
            };
            if results.send((first, hashes)).is_err() {
                return;
            }
        }
    }
}
