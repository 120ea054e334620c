//! The storage actor of a torrent: what reaches its files, in which order, and what of it is durable.
//!
//! Started and supervised (permanent) by the torrent's member, which is told through a callback
//! ([`StorageEvent`]). Piece actors send it pieces and rows. Hashing and writing is done by the node's
//! hash service; this actor only deals out the work, so its mailbox never waits for the disk. When it
//! dies, pieces that it had not told are lost and are downloaded again; a recheck and its tasks end.

mod rows;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use bittorrent::assembly::ROW_LEN;
use bittorrent::bitfield::Bitfield;
use bittorrent::resume::FileState;
use bittorrent::{BlockRef, PieceIndex};
use bytes::Bytes;
use env::Task;
use lane_hash::Sha1State;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::{oneshot, watch};

use super::check::check_with;
use super::error::StorageError;
use super::files::TorrentFiles;
use super::hasher::{Digest, Outcome, Source, Verdict, Work};
use rows::{Rows, Step};

/// What a storage actor can be told.
#[derive(Debug)]
pub enum StorageMsg {
    /// Hashes a whole piece, and writes it if it is right: `Verified`, `Corrupt` or `Failed` follows.
    Store {
        /// The piece.
        piece: PieceIndex,
        /// Its blocks in order, each as long as a block is.
        blocks: Vec<Bytes>,
        /// Whether `Verified` is to tell the digests of the blocks.
        digests_wanted: bool,
    },
    /// Writes a row (see [`bittorrent::assembly::ROW_LEN`]) of a piece that is too large to be held in memory, and hashes it when those before it
    /// are. Rows may come in any order; `RowStored` follows for each, and the piece's end as for `Store`.
    /// After `Failed` rows that were sent must be followed by `Abandon`.
    Row {
        /// The piece.
        piece: PieceIndex,
        /// Offset of the row in the piece.
        begin: u32,
        /// Its blocks in order.
        blocks: Vec<Bytes>,
        /// Whether `Verified` is to tell the digests of the blocks.
        digests_wanted: bool,
    },
    /// Forgets the rows of a piece: whoever collected them has died, or begins again.
    Abandon(PieceIndex),
    /// Rechecks these pieces; `CheckProgress` and `Checked` or `CheckFailed` follow. Ends a recheck that
    /// still runs.
    Check {
        /// The pieces to be read and hashed.
        pieces: Bitfield,
    },
    /// Lets the recheck wait (`true`) or go on.
    PauseCheck(bool),
    /// Ends the recheck; nothing more is told of it.
    CancelCheck,
    /// Makes durable what was written, then tells what may be claimed.
    Flush(oneshot::Sender<Result<Flushed, StorageError>>),
    /// From the hash service: these works are done.
    Done(Vec<Outcome>),
    /// From the actor's own tasks.
    Internal(Internal),
    /// Panic, to see what the others do.
    #[cfg(test)]
    Panic,
}

/// What the actor's own tasks tell it.
#[derive(Debug)]
pub enum Internal {
    /// The flush that runs has ended.
    FlushDone(Result<Vec<Option<FileState>>, StorageError>),
    /// The recheck of this number has ended.
    CheckDone(u64, Result<Bitfield, StorageError>),
}

/// What may be claimed of the files after a flush.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flushed {
    /// Pieces that this actor has verified (as they came, or in a recheck) before the flush began. They
    /// are durable.
    pub durable: Bitfield,
    /// The files after the flush, as [`bittorrent::resume::Resume`] takes them.
    pub files: Vec<Option<FileState>>,
}

/// What the owner is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageEvent {
    /// A piece is right and written.
    Verified {
        /// The piece.
        piece: PieceIndex,
        /// The digest of each block, if they were wanted.
        digests: Option<Vec<Digest>>,
    },
    /// A piece is not what the torrent says. It was not written, or its rows do not count.
    Corrupt {
        /// The piece.
        piece: PieceIndex,
        /// The digest of each block.
        digests: Vec<Digest>,
    },
    /// Rows are written, their memory is free.
    RowStored {
        /// The piece.
        piece: PieceIndex,
        /// Offset of the first of them in the piece.
        begin: u32,
        /// Their length in bytes, together.
        length: u32,
    },
    /// A piece could not be stored; its bytes are lost.
    Failed {
        /// The piece.
        piece: PieceIndex,
        /// Why.
        error: StorageError,
    },
    /// How far a recheck is.
    CheckProgress {
        /// Pieces read so far.
        checked: u32,
        /// Pieces to be read.
        total: u32,
    },
    /// A recheck is done.
    Checked {
        /// Those of the asked pieces that are right.
        have: Bitfield,
    },
    /// A recheck was given up: files could not be read.
    CheckFailed(StorageError),
}

/// Tells the owner; must not block.
pub type OnEvent = Arc<dyn Fn(StorageEvent) + Send + Sync>;

/// What a storage actor is born with.
pub struct StorageArgs {
    /// The torrent's files.
    pub files: Arc<TorrentFiles>,
    /// The owner's ear.
    pub on_event: OnEvent,
}

impl fmt::Debug for StorageArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StorageArgs").field("files", &self.files).finish_non_exhaustive()
    }
}

/// The storage actor.
#[derive(Debug, Clone, Copy, Default)]
pub struct StorageActor;

/// What a storage actor knows.
pub struct StorageState {
    files: Arc<TorrentFiles>,
    on_event: OnEvent,
    rows: BTreeMap<PieceIndex, Rows>,
    /// Verified since the last flush began.
    fresh: Bitfield,
    /// Verified before a flush that is running.
    flushing: Bitfield,
    durable: Bitfield,
    flush: Option<Flush>,
    flushes_waiting: VecDeque<oneshot::Sender<Result<Flushed, StorageError>>>,
    check: Option<Check>,
    checks: u64,
}

struct Flush {
    reply: oneshot::Sender<Result<Flushed, StorageError>>,
    _task: Task<()>,
}

struct Check {
    number: u64,
    paused: watch::Sender<bool>,
    _task: Task<()>,
}

impl fmt::Debug for StorageState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StorageState").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Actor for StorageActor {
    type Msg = StorageMsg;
    type State = StorageState;
    type Arguments = StorageArgs;

    async fn pre_start(
        &self,
        _myself: ActorRef<StorageMsg>,
        args: StorageArgs,
    ) -> Result<StorageState, ActorProcessingErr> {
        let none = Bitfield::new(args.files.info().piece_count());
        Ok(StorageState {
            files: args.files,
            on_event: args.on_event,
            rows: BTreeMap::new(),
            fresh: none.clone(),
            flushing: none.clone(),
            durable: none,
            flush: None,
            flushes_waiting: VecDeque::new(),
            check: None,
            checks: 0,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<StorageMsg>,
        message: StorageMsg,
        state: &mut StorageState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            StorageMsg::Store { piece, blocks, digests_wanted } => {
                state.on_store(&myself, piece, blocks, digests_wanted);
            }
            StorageMsg::Row { piece, begin, blocks, digests_wanted } => {
                state.on_row(&myself, (piece, begin), blocks, digests_wanted);
            }
            StorageMsg::Abandon(piece) => state.on_abandon(piece),
            StorageMsg::Check { pieces } => state.on_check(&myself, pieces),
            StorageMsg::PauseCheck(paused) => state.on_pause(paused),
            StorageMsg::CancelCheck => state.check = None,
            StorageMsg::Flush(reply) => state.on_flush(&myself, reply),
            StorageMsg::Done(outcomes) => {
                outcomes.into_iter().for_each(|outcome| state.on_outcome(&myself, outcome));
            }
            StorageMsg::Internal(Internal::FlushDone(result)) => {
                state.on_flush_done(&myself, result);
            }
            StorageMsg::Internal(Internal::CheckDone(number, result)) => {
                state.on_check_done(number, result);
            }
            #[cfg(test)]
            StorageMsg::Panic => panic!("as the test wants it"),
        }
        Ok(())
    }
}

impl StorageState {
    fn tell(&self, event: StorageEvent) {
        (self.on_event)(event);
    }

    /// The range that `blocks` fill from `begin` on, if there is such a one.
    fn range(
        &self,
        piece: PieceIndex,
        begin: u32,
        blocks: &[Bytes],
    ) -> Result<BlockRef, StorageError> {
        let length = blocks.iter().map(Bytes::len).sum::<usize>();
        let range = BlockRef { piece, begin, length: u32::try_from(length).unwrap_or(u32::MAX) };
        self.files.layout().check_range(range)?;
        match self.files.info().piece_hash_v1(piece) {
            Some(_) => Ok(range),
            None => Err(StorageError::NoHash(piece)),
        }
    }

    fn on_store(
        &mut self,
        myself: &ActorRef<StorageMsg>,
        piece: PieceIndex,
        blocks: Vec<Bytes>,
        digests_wanted: bool,
    ) {
        let range = self.range(piece, 0, &blocks).and_then(|range| {
            let whole = self.files.layout().whole(piece);
            if range == whole { Ok(range) } else { Err(StorageError::OutOfRange(range)) }
        });
        match range {
            Ok(range) => {
                let (source, state) = (Source::Memory(blocks), Some(Sha1State::new()));
                self.submit(myself, Step { range, source, state }, digests_wanted);
            }
            Err(error) => self.tell(StorageEvent::Failed { piece, error }),
        }
    }

    fn submit(&self, myself: &ActorRef<StorageMsg>, step: Step, digests_wanted: bool) {
        let Step { range, source, state } = step;
        let (layout, reply) = (Arc::clone(self.files.layout()), myself.clone());
        self.files.pool().hash(Work { layout, range, source, state, digests_wanted, reply });
    }

    fn on_row(
        &mut self,
        myself: &ActorRef<StorageMsg>,
        (piece, begin): (PieceIndex, u32),
        blocks: Vec<Bytes>,
        digests_wanted: bool,
    ) {
        let range = self.range(piece, begin, &blocks).and_then(|range| {
            let is_row = begin.is_multiple_of(ROW_LEN) && range.length <= ROW_LEN;
            if is_row { Ok(range) } else { Err(StorageError::OutOfRange(range)) }
        });
        match range {
            Ok(BlockRef { length, .. })
                if self.rows.get(&piece).is_some_and(|rows| rows.has(begin)) =>
            {
                self.tell(StorageEvent::RowStored { piece, begin, length });
            }
            Ok(range) => {
                let rows = self.rows.entry(piece).or_default();
                rows.digests_wanted |= digests_wanted;
                let steps = rows.receive(range, blocks);
                self.submit_rows(myself, piece, steps);
            }
            Err(error) => self.tell(StorageEvent::Failed { piece, error }),
        }
    }

    fn submit_rows(&self, myself: &ActorRef<StorageMsg>, piece: PieceIndex, steps: Vec<Step>) {
        let digests_wanted = self.rows.get(&piece).is_some_and(|rows| rows.digests_wanted);
        steps.into_iter().for_each(|step| self.submit(myself, step, digests_wanted));
    }

    fn on_abandon(&mut self, piece: PieceIndex) {
        if self.rows.get_mut(&piece).is_some_and(Rows::abandon) {
            self.rows.remove(&piece);
        }
    }

    fn on_outcome(&mut self, myself: &ActorRef<StorageMsg>, outcome: Outcome) {
        let range = outcome.range;
        let piece = range.piece;
        let is_whole = range == self.files.layout().whole(piece);
        if is_whole && !self.rows.contains_key(&piece) {
            match outcome.verdict {
                Verdict::Right(digests) => self.on_right(piece, digests),
                Verdict::Wrong(digests) => self.tell(StorageEvent::Corrupt { piece, digests }),
                Verdict::Failed(error) => self.tell(StorageEvent::Failed { piece, error }),
                Verdict::Written | Verdict::Hashed(_) => {}
            }
            return;
        }
        self.on_row_outcome(myself, outcome);
    }

    fn on_row_outcome(&mut self, myself: &ActorRef<StorageMsg>, outcome: Outcome) {
        let BlockRef { piece, begin, length } = outcome.range;
        let Some(rows) = self.rows.get_mut(&piece) else { return };
        let counts = !rows.is_abandoned();
        if outcome.from_memory && counts && !matches!(outcome.verdict, Verdict::Failed(_)) {
            (self.on_event)(StorageEvent::RowStored { piece, begin, length });
        }
        let steps = match outcome.verdict {
            Verdict::Written => rows.written(outcome.range),
            Verdict::Hashed(state) => rows.hashed(outcome.range, state),
            Verdict::Right(_) | Verdict::Wrong(_) | Verdict::Failed(_) if !counts => rows.ended(),
            Verdict::Right(digests) => {
                rows.abandon();
                let steps = rows.ended();
                self.on_right(piece, digests);
                steps
            }
            Verdict::Wrong(digests) => {
                rows.abandon();
                (self.on_event)(StorageEvent::Corrupt { piece, digests });
                rows.ended()
            }
            Verdict::Failed(error) => {
                rows.abandon();
                (self.on_event)(StorageEvent::Failed { piece, error });
                rows.ended()
            }
        };
        if self.rows.get(&piece).is_some_and(Rows::is_unused) {
            self.rows.remove(&piece);
        }
        self.submit_rows(myself, piece, steps);
    }

    fn on_right(&mut self, piece: PieceIndex, digests: Option<Vec<Digest>>) {
        self.fresh.insert(piece);
        self.tell(StorageEvent::Verified { piece, digests });
    }

    fn on_flush(
        &mut self,
        myself: &ActorRef<StorageMsg>,
        reply: oneshot::Sender<Result<Flushed, StorageError>>,
    ) {
        if self.flush.is_some() {
            self.flushes_waiting.push_back(reply);
            return;
        }
        let none = Bitfield::new(self.fresh.len());
        self.flushing = std::mem::replace(&mut self.fresh, none);
        let (files, myself) = (Arc::clone(&self.files), myself.clone());
        let task = self.files.pool().env().spawn("storage flush", async move {
            let result = files.sync_and_states().await;
            // The actor outlives its task, or nobody waits.
            let _ = myself.cast(StorageMsg::Internal(Internal::FlushDone(result)));
        });
        self.flush = Some(Flush { reply, _task: task });
    }

    fn on_flush_done(
        &mut self,
        myself: &ActorRef<StorageMsg>,
        result: Result<Vec<Option<FileState>>, StorageError>,
    ) {
        // After a sync that failed the system may have dropped what it could not write, and a second sync
        // would not say so: these pieces are never claimed, and are hashed at the next start.
        let pieces = std::mem::replace(&mut self.flushing, Bitfield::new(self.fresh.len()));
        if result.is_ok() {
            pieces.iter().for_each(|piece| _ = self.durable.insert(piece));
        }
        let durable = &self.durable;
        let answer = result.map(|files| Flushed { durable: durable.clone(), files });
        if let Some(flush) = self.flush.take() {
            // Who asked may have gone.
            let _ = flush.reply.send(answer);
        }
        if let Some(next) = self.flushes_waiting.pop_front() {
            self.on_flush(myself, next);
        }
    }

    fn on_check(&mut self, myself: &ActorRef<StorageMsg>, pieces: Bitfield) {
        let (paused, is_paused) = watch::channel(false);
        let (files, on_event) = (Arc::clone(&self.files), Arc::clone(&self.on_event));
        // What is rechecked is not claimed meanwhile.
        for piece in pieces.iter() {
            self.durable.remove(piece);
            self.fresh.remove(piece);
            self.flushing.remove(piece);
        }
        self.checks += 1;
        let (number, myself) = (self.checks, myself.clone());
        let task = self.files.pool().env().spawn("recheck", async move {
            let progress = move |checked, total| {
                on_event(StorageEvent::CheckProgress { checked, total });
            };
            let result = check_with(&files, &pieces, is_paused, Arc::new(progress)).await;
            let _ = myself.cast(StorageMsg::Internal(Internal::CheckDone(number, result)));
        });
        self.check = Some(Check { number, paused, _task: task });
    }

    fn on_pause(&self, paused: bool) {
        if let Some(check) = &self.check {
            check.paused.send_replace(paused);
        }
    }

    fn on_check_done(&mut self, number: u64, result: Result<Bitfield, StorageError>) {
        // A recheck that was cancelled, or replaced, as it ended is not told.
        if self.check.take_if(|check| check.number == number).is_none() {
            return;
        }
        match result {
            Ok(have) => {
                have.iter().for_each(|piece| _ = self.fresh.insert(piece));
                self.tell(StorageEvent::Checked { have });
            }
            Err(error) => self.tell(StorageEvent::CheckFailed(error)),
        }
    }
}
