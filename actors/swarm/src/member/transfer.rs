//! Pieces on their way: what is asked of whom, and what becomes of it.
//!
//! Credit is taken when a piece is opened and comes back when storage has written or dropped it, so
//! what is requested is bounded by the budgets of the torrent and the node. A peer that wants to be
//! asked for more than there is to ask for now waits, and is served when something changed: credit came
//! back, a piece failed, another peer left, a limit of speed lets more pass.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bittorrent::bitfield::Bitfield;
use bittorrent::metainfo::Info;
use bittorrent::peer::Layout;
use bittorrent::picker::{PeerKey, PickLimits, Picker, open_cost};
use bittorrent::resume::{Resume, Taken};
use bittorrent::suspects::{Judgement, Suspects};
use bittorrent::{BLOCK_LEN, BlockRef, PieceIndex, TorrentId};
use env::supervision::Policy;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;

use super::messages::checkpoint;
use super::{
    Checkpoint, Child, Member, MemberEvent, MemberMsg, MemberSettings, Opening, Phase, Progress,
    Wake,
};
use crate::bugs::{self, Bug};
use crate::credit::{Budget, Permit};
use crate::disk::{Flushed, StorageError, StorageEvent, StorageMsg, TorrentFiles};
use crate::have::SharedHave;
use crate::node::Node;
use crate::peer::{Content, PeerCommand};
use crate::piece::{PieceActor, PieceArgs, PieceMsg};

/// Pieces that are open at once, at most: beyond that more of them do not fill the hash lanes better.
const OPEN_MAX: usize = 256;
/// Bytes of small pieces that share an actor.
const RUN_LEN: u32 = 256 * 1024;
/// A needed piece is due after this time, and those after it later by as much each.
const NEED_STEP: Duration = Duration::from_millis(100);
/// Pieces ahead of a needed one that are asked for too.
const AHEAD_MAX: u32 = 64;
/// Who may wait for pieces at once.
const WAITERS_MAX: usize = 4096;
/// A complete torrent is made durable after this time.
const COMPLETE_FLUSH: Duration = Duration::from_secs(1);

/// The exchange of pieces.
pub(super) struct Transfer {
    pub(super) info: Arc<Info>,
    pub(super) layout: Layout,
    pub(super) files: Arc<TorrentFiles>,
    pub(super) have: Arc<SharedHave>,
    pub(super) picker: Picker,
    pub(super) storage: Option<ActorRef<StorageMsg>>,
    /// Pieces on disk that are to be hashed before anything else.
    pub(super) recheck: Bitfield,
    /// Pieces that were made durable. A piece whose flush failed is not among them, even if a later
    /// flush succeeds: the system may have dropped what it could not write.
    pub(super) durable: Bitfield,
    suspects: Suspects,
    pieces: BTreeMap<PieceIndex, OpenPiece>,
    /// Takes further small pieces, so many bytes of them.
    gatherer: Option<(ActorRef<PieceMsg>, u32)>,
    waiters: BTreeMap<PieceIndex, Vec<oneshot::Sender<()>>>,
    budget: Arc<Budget>,
    /// Whether credit that comes back to the node wakes us already.
    awaits_credit: bool,
    wanted_bytes: u64,
    have_bytes: u64,
}

/// A piece on its way.
struct OpenPiece {
    actor: ActorRef<PieceMsg>,
    /// All its blocks went to storage; who sent them.
    sources: Option<Vec<PeerKey>>,
    _permits: [Permit; 2],
}

/// What the session and the picker need to know of the pieces.
pub(super) fn layout_of(info: &Info) -> Layout {
    Layout {
        piece_count: info.piece_count(),
        piece_length: info.piece_length(),
        total_length: info.total_length(),
    }
}

impl Transfer {
    pub(super) fn new(
        opening: Opening,
        layout: Layout,
        have: &Bitfield,
        seed: u64,
        settings: &MemberSettings,
        node: &Node,
    ) -> Self {
        let mut transfer = Self {
            layout,
            files: opening.files,
            have: Arc::new(SharedHave::new(have)),
            picker: Picker::new(layout, have, seed),
            storage: None,
            recheck: Bitfield::new(layout.piece_count),
            durable: have.clone(),
            suspects: Suspects::default(),
            pieces: BTreeMap::new(),
            gatherer: None,
            waiters: BTreeMap::new(),
            budget: Budget::new(node.settings().engine.memory.unwritten_per_torrent.as_bytes()),
            awaits_credit: false,
            wanted_bytes: 0,
            have_bytes: 0,
            info: opening.info,
        };
        transfer.apply(settings);
        transfer
    }

    /// What a connection needs.
    pub(super) fn content(&self, is_private: bool) -> Content {
        Content {
            layout: self.layout,
            info: self.info.raw().clone(),
            files: Arc::clone(&self.files),
            have: Arc::clone(&self.have),
            is_private,
        }
    }

    /// Takes over priorities and order.
    pub(super) fn apply(&mut self, settings: &MemberSettings) {
        let files = self.info.files();
        let mut priorities = vec![0_u8; self.layout.piece_count as usize];
        for (index, file) in files.iter().enumerate() {
            let level = if file.is_pad() { 0 } else { settings.priority(index).level() };
            for piece in files.piece_range(index) {
                // A piece of two files is as urgent as the more urgent one.
                if let Some(priority) = priorities.get_mut(piece as usize) {
                    *priority = level.max(*priority);
                }
            }
        }
        (self.wanted_bytes, self.have_bytes) = (0, 0);
        for (piece, priority) in (0..).map(PieceIndex).zip(priorities) {
            self.picker.set_priority(piece, priority);
            if priority > 0 {
                let length = u64::from(self.layout.piece_len(piece));
                self.wanted_bytes += length;
                self.have_bytes += if self.picker.have().contains(piece) { length } else { 0 };
            }
        }
        self.picker.set_sequential(settings.sequential);
    }

    pub(super) fn progress(&self) -> Progress {
        Progress {
            have_pieces: self.picker.have().count(),
            have_bytes: self.have_bytes,
            wanted_bytes: self.wanted_bytes,
            missing: self.picker.wanted_left(),
        }
    }

    /// A peer went, and what was asked of it is free.
    pub(super) fn peer_left(&mut self, key: PeerKey) {
        self.picker.peer_left(key);
        self.suspects.forget(key);
    }

    fn set_have(&mut self, piece: PieceIndex) {
        if !self.have.has(piece) {
            self.have.set(piece, true);
            if self.picker.priority(piece) > 0 {
                self.have_bytes += u64::from(self.layout.piece_len(piece));
            }
        }
        for waiter in self.waiters.remove(&piece).into_iter().flatten() {
            // A reader that has gone needs no telling.
            let _ = waiter.send(());
        }
    }

    /// Ends a piece actor all of whose pieces went to storage.
    fn stop_if_done(&self, actor: &ActorRef<PieceMsg>) {
        let mut of_it = self.pieces.values().filter(|open| open.actor.get_id() == actor.get_id());
        if of_it.all(|open| open.sources.is_some()) {
            actor.stop(None);
        }
    }

    /// Makes durable what is there now, and says so.
    pub(super) fn flush_of(
        &self,
        storage: ActorRef<StorageMsg>,
        taken: Taken,
    ) -> impl Future<Output = Result<Checkpoint, StorageError>> + Send + use<> {
        let info = Arc::clone(&self.info);
        let (have, mut verified) = (self.picker.have().clone(), self.durable.clone());
        if bugs::has(Bug::ClaimsTooEarly) {
            self.pieces.keys().for_each(|&piece| _ = verified.insert(piece));
        }
        async move {
            let (reply, answer) = oneshot::channel();
            if storage.cast(StorageMsg::Flush(reply)).is_err() {
                return Err(StorageError::GivenUp);
            }
            let flushed = answer.await.map_err(|_| StorageError::GivenUp)??;
            let Flushed { files, durable } = flushed;
            durable.iter().for_each(|piece| _ = verified.insert(piece));
            // What is there and not claimed is hashed at the next start, as after a crash.
            let claims_all = have.iter().all(|piece| verified.contains(piece));
            let taken = if claims_all { taken } else { Taken::Running };
            let torrent: TorrentId = info.torrent_id();
            Ok(checkpoint(Resume { torrent, taken, verified, files }, &info))
        }
    }
}

impl Member {
    /// Asks a peer that waits for as much as may be asked of it now.
    pub(super) async fn pick(&mut self, key: PeerKey) -> Result<(), ActorProcessingErr> {
        let now = self.env.now();
        let (Phase::Transfer(transfer), Some(slot)) = (&mut self.phase, self.peers.get(&key))
        else {
            return Ok(());
        };
        if slot.waiting == 0 || transfer.storage.is_none() || transfer.picker.wanted_left() == 0 {
            return Ok(());
        }
        let allowed = self.down_limits.available(now) / u64::from(BLOCK_LEN);
        if allowed == 0 {
            self.refill_at(self.down_limits.ready_at(now));
            return Ok(());
        }
        let blocks = slot.waiting.min(u32::try_from(allowed).unwrap_or(u32::MAX)) as usize;
        let budget = transfer.budget.available().min(self.node.budget.available());
        let limits = PickLimits { blocks, budget, open: OPEN_MAX };
        let mut out = Vec::with_capacity(blocks.min(64));
        let picked = match &slot.only {
            Some(pieces) => transfer.picker.pick_among(key, pieces, limits, &mut out),
            None => transfer.picker.pick(key, limits, &mut out),
        };
        for piece in picked.opened {
            self.open_piece(piece).await?;
        }
        self.request(key, out);
        self.await_credit();
        Ok(())
    }

    fn request(&mut self, key: PeerKey, blocks: Vec<BlockRef>) {
        let now = self.env.now();
        let (Phase::Transfer(transfer), Some(slot)) = (&self.phase, self.peers.get_mut(&key))
        else {
            return;
        };
        let count = u32::try_from(blocks.len()).unwrap_or(u32::MAX);
        slot.waiting = slot.waiting.saturating_sub(count);
        if blocks.is_empty() {
            return;
        }
        let bytes = blocks.iter().map(|block| u64::from(block.length)).sum();
        self.down_limits.spend(now, bytes);
        let pieces: BTreeSet<_> = blocks.iter().map(|block| block.piece).collect();
        let new = pieces.into_iter().filter(|piece| !slot.known.contains(piece));
        let actors: Vec<_> = new
            .filter_map(|piece| Some((piece, transfer.pieces.get(&piece)?.actor.clone())))
            .collect();
        slot.known.extend(actors.iter().map(|(piece, _)| *piece));
        slot.tell(PeerCommand::Request { blocks, actors });
    }

    /// Has credit that comes back wake us, while somebody waits for it.
    fn await_credit(&mut self) {
        let waits = self.peers.values().any(|slot| slot.waiting > 0);
        let Phase::Transfer(transfer) = &mut self.phase else { return };
        if !waits || transfer.awaits_credit || self.node.budget.available() > 0 {
            return;
        }
        transfer.awaits_credit = true;
        let myself = self.myself.clone();
        self.node.budget.when_freed(Box::new(move || {
            let _ = myself.cast(MemberMsg::Wake(Wake::Refill));
        }));
    }

    fn refill_at(&mut self, at: bittorrent::Time) {
        if self.timers.refill.is_none() {
            let delay = at.since(self.env.now());
            let wake = MemberMsg::Wake(Wake::Refill);
            self.timers.refill = Some(self.env.send_after(delay, &self.myself, wake));
        }
    }

    /// Serves the peers that wait, in turn.
    pub(super) async fn refill(&mut self) -> Result<(), ActorProcessingErr> {
        if let Phase::Transfer(transfer) = &mut self.phase {
            transfer.awaits_credit = false;
        }
        let waiting = self.peers.iter().filter(|(_, slot)| slot.waiting > 0);
        let waiting: Vec<_> = waiting.map(|(&key, _)| key).collect();
        for key in waiting {
            self.pick(key).await?;
        }
        Ok(())
    }

    /// Takes credit for a piece and gives it an actor.
    async fn open_piece(&mut self, piece: PieceIndex) -> Result<(), ActorProcessingErr> {
        let Phase::Transfer(transfer) = &mut self.phase else { return Ok(()) };
        let Some(storage) = transfer.storage.clone() else { return Ok(()) };
        let length = transfer.layout.piece_len(piece);
        let cost = open_cost(length);
        let permits = [transfer.budget.take(cost), self.node.budget.take(cost)];
        let suspect = transfer.suspects.remembers(piece);
        let (actor, left) = match transfer.gatherer.take() {
            Some(gatherer) if gatherer.1 >= length => gatherer,
            old => {
                if let Some((old, _)) = old {
                    transfer.stop_if_done(&old);
                }
                let _live = self.env.count("piece");
                let args = PieceArgs { member: self.myself.clone(), storage, _live };
                let cell = self.myself.get_cell();
                let (actor, _) = Actor::spawn_linked(None, PieceActor, args, cell).await?;
                self.supervisor.started(actor.get_id(), Child::Pieces, Policy::TEMPORARY);
                (actor, RUN_LEN)
            }
        };
        // One that has just died is told of by its supervisor, and its pieces with it.
        let _ = actor.cast(PieceMsg::Open { piece, length, suspect });
        if left > length {
            transfer.gatherer = Some((actor.clone(), left - length));
        }
        transfer.pieces.insert(piece, OpenPiece { actor, sources: None, _permits: permits });
        Ok(())
    }

    /// Blocks came and went to the piece's actor.
    pub(super) fn on_received(&mut self, key: PeerKey, piece: PieceIndex, begins: &[u32]) {
        let now = self.env.now();
        let Phase::Transfer(transfer) = &mut self.phase else { return };
        for &begin in begins {
            let received = transfer.picker.received(key, piece, begin);
            let length = transfer.layout.piece_len(piece).saturating_sub(begin).min(BLOCK_LEN);
            self.down_rate.add(now, u64::from(length));
            for other in received.cancel {
                if let Some(slot) = self.peers.get(&other) {
                    slot.tell(PeerCommand::Cancel(BlockRef { piece, begin, length }));
                }
            }
        }
    }

    /// Requests ended without a block.
    pub(super) async fn on_released(
        &mut self,
        key: PeerKey,
        blocks: &[BlockRef],
    ) -> Result<(), ActorProcessingErr> {
        let now = self.env.now();
        let bytes = blocks.iter().map(|block| u64::from(block.length)).sum();
        self.down_limits.refund(now, bytes);
        let Phase::Transfer(transfer) = &mut self.phase else { return Ok(()) };
        transfer.picker.released(key, blocks);
        self.refill().await
    }

    /// All blocks of a piece went to storage.
    pub(super) fn on_gathered(&mut self, piece: PieceIndex, sources: Vec<PeerKey>) {
        if bugs::has(Bug::ServesUnverified) {
            self.peers.values().for_each(|slot| slot.tell(PeerCommand::Have(piece)));
        }
        let Some(transfer) = self.content_mut() else { return };
        let Some(open) = transfer.pieces.get_mut(&piece) else { return };
        open.sources = Some(sources);
        let actor = open.actor.clone();
        let id = actor.get_id();
        if transfer.gatherer.as_ref().is_none_or(|(gatherer, _)| gatherer.get_id() != id) {
            transfer.stop_if_done(&actor);
        }
    }

    pub(super) async fn on_storage(
        &mut self,
        event: StorageEvent,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            StorageEvent::Verified { piece, digests } => self.on_verified(piece, digests).await,
            StorageEvent::Corrupt { piece, digests } => self.on_corrupt(piece, &digests).await,
            StorageEvent::Failed { error: StorageError::GivenUp, .. }
            | StorageEvent::CheckFailed(StorageError::GivenUp) => {
                self.end_storage();
                Ok(())
            }
            StorageEvent::Failed { piece, error } => {
                self.fail_piece(piece);
                self.tell(MemberEvent::Failed(error));
                Ok(())
            }
            // The credit of a large piece covers all its rows.
            StorageEvent::RowStored { .. } => Ok(()),
            StorageEvent::CheckProgress { checked, total } => {
                self.tell(MemberEvent::Checking { checked, total });
                Ok(())
            }
            StorageEvent::Checked { have } => self.on_checked(&have).await,
            StorageEvent::CheckFailed(error) => {
                self.tell(MemberEvent::Failed(error));
                Ok(())
            }
        }
    }

    /// Storage lost work by a mistake of ours, as if it had died itself: it is started again, so often.
    fn end_storage(&self) {
        if let Phase::Checking(transfer) | Phase::Transfer(transfer) = &self.phase
            && let Some(storage) = &transfer.storage
        {
            storage.kill();
        }
    }

    async fn on_verified(
        &mut self,
        piece: PieceIndex,
        digests: Option<Vec<[u8; 20]>>,
    ) -> Result<(), ActorProcessingErr> {
        let Phase::Transfer(transfer) = &mut self.phase else { return Ok(()) };
        let open = transfer.pieces.remove(&piece);
        let sources = open.and_then(|open| open.sources).unwrap_or_default();
        let judgement = match digests {
            Some(digests) if transfer.suspects.remembers(piece) => {
                transfer.suspects.verified(piece, &digests)
            }
            _ => Judgement::default(),
        };
        let only: BTreeSet<_> = sources.into_iter().collect();
        if let (Some(&key), 1) = (only.first(), only.len())
            && transfer.suspects.proved_honest(key)
        {
            transfer.picker.set_parole(key, false);
        }
        transfer.picker.verified(piece);
        transfer.set_have(piece);
        let progress = transfer.progress();
        self.mark_dirty();
        for slot in self.peers.values_mut() {
            slot.known.remove(&piece);
            slot.tell(PeerCommand::Have(piece));
        }
        self.judge(&judgement);
        self.tell(MemberEvent::Piece(progress));
        if progress.missing == 0 {
            self.on_complete();
            return Ok(());
        }
        let keys: Vec<_> = self.peers.keys().copied().collect();
        keys.into_iter().for_each(|key| self.update_interest(key));
        self.refill().await
    }

    /// Nothing that is wanted is missing.
    fn on_complete(&mut self) {
        let Phase::Transfer(transfer) = &mut self.phase else { return };
        if let Some((gatherer, _)) = transfer.gatherer.take() {
            transfer.stop_if_done(&gatherer);
        }
        let all = transfer.have.is_full();
        let keys: Vec<_> = self.peers.keys().copied().collect();
        for key in keys {
            self.update_interest(key);
            if all && let Some(slot) = self.peers.get(&key) {
                slot.tell(PeerCommand::UploadOnly(true));
            }
            self.close_if_useless(key);
        }
        // The data of a finished torrent is made durable soon, not at once: whoever only wanted to have
        // it ends now, and need not wait for the disk.
        let wake = MemberMsg::Wake(Wake::Flush);
        self.timers.flush = Some(self.env.send_after(COMPLETE_FLUSH, &self.myself, wake));
    }

    pub(super) fn mark_dirty(&mut self) {
        let interval = self.node.settings().engine.disk.resume_flush_interval;
        if !matches!(self.phase, Phase::Transfer(_)) {
            return;
        }
        if self.timers.flush.is_none() {
            let wake = MemberMsg::Wake(Wake::Flush);
            self.timers.flush = Some(self.env.send_after(interval, &self.myself, wake));
        }
    }

    async fn on_corrupt(
        &mut self,
        piece: PieceIndex,
        digests: &[[u8; 20]],
    ) -> Result<(), ActorProcessingErr> {
        let Phase::Transfer(transfer) = &mut self.phase else { return Ok(()) };
        let sources = transfer.pieces.get(&piece).and_then(|open| open.sources.clone());
        let judgement = transfer.suspects.failed(piece, &sources.unwrap_or_default(), digests);
        self.fail_piece(piece);
        self.tell(MemberEvent::Anomaly(format!("piece {piece} failed its hash")));
        self.judge(&judgement);
        self.refill().await
    }

    fn judge(&mut self, judgement: &Judgement) {
        if let Phase::Transfer(transfer) = &mut self.phase {
            for &key in &judgement.parole {
                transfer.picker.set_parole(key, true);
            }
            for &key in &judgement.free {
                transfer.picker.set_parole(key, false);
            }
        }
        judgement.guilty.iter().for_each(|&key| self.ban(key));
    }

    /// A piece is to be fetched again from its first byte.
    fn fail_piece(&mut self, piece: PieceIndex) {
        let Some(transfer) = self.content_mut() else { return };
        transfer.pieces.remove(&piece);
        transfer.picker.failed(piece);
        if let Some(storage) = &transfer.storage {
            let _ = storage.cast(StorageMsg::Abandon(piece));
        }
        for slot in self.peers.values_mut() {
            if slot.known.remove(&piece) {
                slot.tell(PeerCommand::Forget(piece));
            }
        }
    }

    /// A piece actor ended. One that was done has no piece left; of one that failed, all are lost but
    /// those that storage has already.
    pub(super) async fn on_pieces_ended(&mut self, id: ActorId) -> Result<(), ActorProcessingErr> {
        let Some(transfer) = self.content_mut() else { return Ok(()) };
        if transfer.gatherer.as_ref().is_some_and(|(actor, _)| actor.get_id() == id) {
            transfer.gatherer = None;
        }
        let lost = transfer.pieces.iter();
        let lost = lost.filter(|(_, open)| open.actor.get_id() == id && open.sources.is_none());
        let lost: Vec<_> = lost.map(|(&piece, _)| piece).collect();
        if lost.is_empty() {
            return Ok(());
        }
        lost.into_iter().for_each(|piece| self.fail_piece(piece));
        self.refill().await
    }

    /// Storage died: what it had, and what is on the way to it, is fetched again.
    pub(super) fn drop_pieces(&mut self) {
        let Some(transfer) = self.content_mut() else { return };
        transfer.storage = None;
        transfer.gatherer = None;
        let pieces: Vec<_> = transfer.pieces.keys().copied().collect();
        for open in transfer.pieces.values() {
            open.actor.stop(None);
        }
        pieces.into_iter().for_each(|piece| self.fail_piece(piece));
    }

    async fn on_checked(&mut self, have: &Bitfield) -> Result<(), ActorProcessingErr> {
        let phase = std::mem::replace(&mut self.phase, Phase::Closing);
        let Phase::Checking(mut transfer) = phase else {
            self.phase = phase;
            return Ok(());
        };
        for piece in have.iter() {
            transfer.picker.verified(piece);
            transfer.set_have(piece);
        }
        self.phase = Phase::Transfer(transfer);
        self.mark_dirty();
        self.begin_transfer().await
    }

    /// Someone waits for a piece.
    pub(super) async fn on_need(
        &mut self,
        piece: PieceIndex,
        ahead: u32,
        reply: oneshot::Sender<()>,
    ) -> Result<(), ActorProcessingErr> {
        let now = self.env.now();
        let Some(transfer) = self.content_mut() else { return Ok(()) };
        if !transfer.layout.has(piece) || transfer.waiters.len() >= WAITERS_MAX {
            return Ok(());
        }
        let mut due = now;
        for next in piece.0..=piece.0.saturating_add(ahead.min(AHEAD_MAX)) {
            transfer.picker.set_deadline(PieceIndex(next), due);
            due += NEED_STEP;
        }
        if transfer.have.has(piece) {
            let _ = reply.send(());
        } else {
            let waiters = transfer.waiters.entry(piece).or_default();
            waiters.retain(|waiter| !waiter.is_closed());
            waiters.push(reply);
        }
        let keys: Vec<_> = self.peers.keys().copied().collect();
        keys.into_iter().for_each(|key| self.update_interest(key));
        self.refill().await
    }

    #[cfg(test)]
    pub(super) fn panic_piece(&mut self) {
        if let Some(open) = self.content_mut().and_then(|t| t.pieces.values().next()) {
            let _ = open.actor.cast(PieceMsg::Panic);
        }
    }
}
