//! The member actor: one torrent's peers and pieces on this node.
//!
//! Owned by the torrent actor, which tells it addresses and settings and hears of progress. It owns the
//! picker, the choker, the suspects and the pool of addresses, and supervises storage (restarted), the
//! peer connections (never restarted) and the piece downloads (their pieces are fetched again). It never
//! sees the bytes of a block: connections give those to piece actors, these to storage. When it dies
//! the torrent starts it again from the last checkpoint.
//!
//! - `mod.rs`: messages, the actor, opening and closing
//! - `peers.rs`: dialling, accepting, what connections tell, the choker, peer exchange
//! - `transfer.rs`: picking, pieces, storage
//! - `shown.rs`: what is shown of it
//! - `pool.rs`, `metadata.rs`: machines of its own

mod messages;
mod metadata;
mod peers;
mod pool;
mod shown;
mod transfer;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bittorrent::PieceIndex;
use bittorrent::bitfield::Bitfield;
use bittorrent::choke::{Choker, SeedMode, Slots as ChokerSlots};
use bittorrent::metainfo::Info;
use bittorrent::picker::PeerKey;
use bittorrent::rate::RateMeter;
use bittorrent::resume::{FileState, Resume, Taken};
use cluster_config::ChokerMode;
use env::NodeEnv;
use env::supervision::{Policy, Supervisor, Verdict};
use env::{Task, Timer};
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use rand::rngs::SmallRng;
use tracing::warn;

use crate::disk::{StorageActor, StorageArgs, StorageError, StorageMsg, TorrentFiles};
use crate::limiter::Limits;
use crate::node::Node;
use crate::peer::{Identity, PeerCommand};
use crate::tally::Tally;
use crate::torrent::TorrentMsg;

#[cfg(test)]
pub(crate) use messages::Victim;
pub(crate) use messages::{
    Checkpoint, MemberArgs, MemberContent, MemberEvent, MemberMsg, MemberSettings, MemberView,
    Progress, Wake,
};
use metadata::MetadataFetch;
use peers::PeerSlot;
use pool::Pool;
use transfer::Transfer;

/// Storage may be restarted so often.
const STORAGE_POLICY: Policy = Policy {
    restarts_max: 3,
    window: Duration::from_secs(60),
    delay: Duration::from_millis(100),
    delay_max: Duration::from_secs(1),
    ..Policy::PERMANENT
};

/// The actor.
#[derive(Debug)]
pub(crate) struct MemberActor;

/// Its state.
pub(crate) struct Member {
    myself: ActorRef<MemberMsg>,
    torrent: ActorRef<TorrentMsg>,
    node: Arc<Node>,
    env: NodeEnv,
    identity: Identity,
    settings: MemberSettings,
    is_private: bool,
    rng: SmallRng,
    phase: Phase,
    peers: BTreeMap<PeerKey, PeerSlot>,
    next_key: u32,
    pool: Pool,
    choker: Choker,
    supervisor: Supervisor<Child>,
    down_limits: Limits,
    up_limits: Limits,
    tally: Arc<Tally>,
    down_rate: RateMeter,
    timers: Timers,
    /// Restarts a dead storage when dropped in time; keeps tasks whose answers are awaited.
    tasks: Vec<Task<()>>,
    _live: env::live::Live,
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// What the member is at.
enum Phase {
    /// The files are being looked at.
    Opening(Box<Opening>),
    /// Pieces on disk are being hashed.
    Checking(Box<Transfer>),
    /// The info dictionary is being fetched.
    Metadata(MetadataFetch),
    /// Pieces are exchanged.
    Transfer(Box<Transfer>),
    /// It ends.
    Closing,
}

/// What is known while the files are being looked at.
struct Opening {
    info: Arc<Info>,
    files: Arc<TorrentFiles>,
    checkpoint: Option<Resume>,
    recheck: bool,
}

/// Who a child is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Child {
    Storage,
    Peer(PeerKey),
    Pieces,
}

/// Timers; each is replaced by the next of its kind.
#[derive(Debug, Default)]
struct Timers {
    choke: Option<Timer>,
    dial: Option<(bittorrent::Time, Timer)>,
    refill: Option<Timer>,
    metadata: Option<Timer>,
    pex: Option<Timer>,
    flush: Option<Timer>,
}

impl Actor for MemberActor {
    type Msg = MemberMsg;
    type State = Member;
    type Arguments = Box<MemberArgs>;

    async fn pre_start(
        &self,
        myself: ActorRef<MemberMsg>,
        args: Box<MemberArgs>,
    ) -> Result<Member, ActorProcessingErr> {
        Ok(Member::new(myself, *args))
    }

    async fn handle(
        &self,
        _myself: ActorRef<MemberMsg>,
        message: MemberMsg,
        state: &mut Member,
    ) -> Result<(), ActorProcessingErr> {
        state.on_message(message).await
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<MemberMsg>,
        event: SupervisionEvent,
        state: &mut Member,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorTerminated(cell, _, _) => {
                state.on_child_ended(cell.get_id(), None).await
            }
            SupervisionEvent::ActorFailed(cell, error) => {
                state.on_child_ended(cell.get_id(), Some(error.to_string())).await
            }
            _ => Ok(()),
        }
    }
}

impl Member {
    fn new(myself: ActorRef<MemberMsg>, args: MemberArgs) -> Self {
        let MemberArgs { torrent, node, identity, settings, tally, content, is_private, live } =
            args;
        let env = node.env().clone();
        let now = env.now();
        let choker = new_choker(&node, env.rng("choker"));
        let member = Self {
            torrent,
            identity,
            is_private,
            rng: env.rng("member"),
            phase: Phase::Metadata(MetadataFetch::default()),
            peers: BTreeMap::new(),
            next_key: 0,
            pool: Pool::default(),
            choker,
            supervisor: Supervisor::default(),
            down_limits: settings.limits(&node.down, true),
            up_limits: settings.limits(&node.up, false),
            settings,
            tally,
            down_rate: RateMeter::new(now),
            timers: Timers::default(),
            tasks: Vec::new(),
            node,
            env,
            myself,
            _live: live,
        };
        let mut member = member;
        if let Some(content) = content {
            member.open(content.info, content.checkpoint, content.recheck);
        } else {
            member.start_pex();
        }
        member
    }

    async fn on_message(&mut self, message: MemberMsg) -> Result<(), ActorProcessingErr> {
        match message {
            MemberMsg::Peer { key, news } => self.on_news(key, news).await?,
            MemberMsg::PeerConnected { key, address, peer_id } => {
                self.on_connected(key, address, peer_id);
            }
            MemberMsg::PeerEnded { key, end } => self.on_peer_ended(key, Some(end)).await?,
            MemberMsg::ReadFailed(error) => self.tell(MemberEvent::Failed(error)),
            MemberMsg::PieceGathered { piece, sources } => self.on_gathered(piece, sources),
            MemberMsg::Storage(event) => self.on_storage(event).await?,
            MemberMsg::Opened(result) => self.on_opened(result).await?,
            MemberMsg::Flushed(result) => self.on_flushed(result),
            MemberMsg::Addresses { addresses, named } => {
                self.on_addresses(&addresses, named).await?;
            }
            MemberMsg::Ours(address) => self.pool.set_ours(address),
            MemberMsg::Incoming(shaken) => self.on_incoming(shaken).await?,
            MemberMsg::Settings(settings) => self.on_settings(*settings).await?,
            MemberMsg::PauseCheck(paused) => self.tell_storage(StorageMsg::PauseCheck(paused)),
            MemberMsg::Need { piece, ahead, reply } => self.on_need(piece, ahead, reply).await?,
            MemberMsg::View(reply) => _ = reply.send(self.view()),
            MemberMsg::Wake(wake) => self.on_wake(wake).await?,
            MemberMsg::Close { removed } => self.on_close(removed),
            #[cfg(test)]
            MemberMsg::Panic(whom) => self.on_panic(whom),
        }
        Ok(())
    }

    async fn on_wake(&mut self, wake: Wake) -> Result<(), ActorProcessingErr> {
        match wake {
            Wake::Choke => self.on_choke_round(),
            Wake::Dial => {
                self.timers.dial = None;
                self.dial().await?;
            }
            Wake::Refill => {
                self.timers.refill = None;
                self.refill().await?;
            }
            Wake::Metadata => self.on_metadata_timeout(),
            Wake::Pex => self.on_pex_due(),
            Wake::Flush => {
                self.timers.flush = None;
                self.flush();
            }
            Wake::Storage => self.start_storage().await?,
        }
        Ok(())
    }

    /// Looks at the files, and at what the checkpoint says of them.
    fn open(&mut self, info: Arc<Info>, checkpoint: Option<bytes::Bytes>, recheck: bool) {
        let checkpoint = checkpoint.and_then(|bytes| {
            Resume::decode(&bytes, &info)
                .inspect_err(|error| warn!(%error, "resume data is not used"))
                .ok()
        });
        let files = TorrentFiles::new(
            self.node.disk.clone(),
            Arc::clone(&info),
            self.settings.download_dir.clone(),
            self.settings.preallocate,
        );
        let wanted = self.settings.wanted(info.files().len());
        let (looking, myself) = (Arc::clone(&files), self.myself.clone());
        let task = self.env.spawn("open", async move {
            // Before anything is made or extended: what stands there was left by an earlier run.
            let opened = match looking.states().await {
                Ok(states) => looking.prepare(&wanted).await.map(|()| states),
                Err(error) => Err(error),
            };
            let _ = myself.cast(MemberMsg::Opened(opened));
        });
        self.tasks.push(task);
        self.phase = Phase::Opening(Box::new(Opening { info, files, checkpoint, recheck }));
    }

    async fn on_opened(
        &mut self,
        result: Result<Vec<Option<FileState>>, StorageError>,
    ) -> Result<(), ActorProcessingErr> {
        self.tasks.clear();
        let phase = std::mem::replace(&mut self.phase, Phase::Closing);
        let Phase::Opening(opening) = phase else {
            self.phase = phase;
            return Ok(());
        };
        let states = match result {
            Ok(states) => states,
            // Our own mistake: the torrent starts us again.
            Err(error @ StorageError::GivenUp) => return Err(error.into()),
            Err(error) => {
                self.tell(MemberEvent::Failed(error));
                return Ok(());
            }
        };
        let (have, recheck) = opening.judge(&states);
        let layout = transfer::layout_of(&opening.info);
        let seed = rand::Rng::random(&mut self.rng);
        let mut transfer = Transfer::new(*opening, layout, &have, seed, &self.settings, &self.node);
        if recheck.count() == 0 {
            self.phase = Phase::Transfer(Box::new(transfer));
            self.start_storage().await?;
            return self.begin_transfer().await;
        }
        self.tell(MemberEvent::Checking { checked: 0, total: recheck.count() });
        transfer.recheck = recheck;
        self.phase = Phase::Checking(Box::new(transfer));
        self.start_storage().await
    }

    async fn start_storage(&mut self) -> Result<(), ActorProcessingErr> {
        let Some(transfer) = self.content_mut() else { return Ok(()) };
        let files = Arc::clone(&transfer.files);
        let myself = self.myself.clone();
        let on_event = move |event| {
            // An owner that has ended ends its storage.
            let _ = myself.cast(MemberMsg::Storage(event));
        };
        let args = StorageArgs { files, on_event: Arc::new(on_event) };
        let cell = self.myself.get_cell();
        let (actor, _) = Actor::spawn_linked(None, StorageActor, args, cell).await?;
        self.supervisor.started(actor.get_id(), Child::Storage, STORAGE_POLICY);
        if let Some(transfer) = self.content_mut() {
            transfer.storage = Some(actor);
        }
        if let Phase::Checking(transfer) = &self.phase {
            // Also when storage died in the middle of it.
            let pieces = transfer.recheck.clone();
            self.tell_storage(StorageMsg::Check { pieces });
        }
        self.refill().await
    }

    /// Pieces can be exchanged from now on: those who came before learn of it.
    async fn begin_transfer(&mut self) -> Result<(), ActorProcessingErr> {
        let Phase::Transfer(transfer) = &self.phase else { return Ok(()) };
        let content = transfer.content(self.is_private);
        for slot in self.peers.values() {
            slot.tell(PeerCommand::Content(Box::new(content.clone())));
        }
        let keys: Vec<_> = self.peers.keys().copied().collect();
        if let Phase::Transfer(transfer) = &mut self.phase {
            keys.iter().for_each(|&key| transfer.picker.peer_joined(key));
        }
        self.tell_ready();
        self.start_pex();
        self.dial().await?;
        self.tell_peers();
        Ok(())
    }

    fn tell_ready(&mut self) {
        let Phase::Transfer(transfer) = &self.phase else { return };
        let event = MemberEvent::Ready(transfer.progress());
        self.tell(event);
    }

    async fn on_child_ended(
        &mut self,
        id: ractor::ActorId,
        failure: Option<String>,
    ) -> Result<(), ActorProcessingErr> {
        let now = self.env.now();
        let ended = self.supervisor.ended(id, failure.is_some(), now, &mut self.rng);
        let Some((child, verdict)) = ended else { return Ok(()) };
        if let Some(failure) = &failure {
            warn!(info_hash = %self.identity.info_hash, ?child, failure, "an actor failed");
        }
        match child {
            // It told so itself, unless it failed.
            Child::Peer(key) => self.on_peer_ended(key, None).await,
            Child::Pieces => self.on_pieces_ended(id).await,
            Child::Storage => self.on_storage_ended(verdict),
        }
    }

    fn on_storage_ended(&mut self, verdict: Verdict) -> Result<(), ActorProcessingErr> {
        if matches!(self.phase, Phase::Closing) {
            return Ok(());
        }
        self.drop_pieces();
        match verdict {
            Verdict::RestartAfter(delay) => {
                let wake = MemberMsg::Wake(Wake::Storage);
                self.tasks.push(self.env.send_after(delay, &self.myself, wake));
                Ok(())
            }
            Verdict::Forget | Verdict::GiveUp => {
                self.tell(MemberEvent::Failed(StorageError::TooOften));
                Ok(())
            }
        }
    }

    /// Lets go of peers, makes durable what was written, and tells the last checkpoint; of a torrent that
    /// is removed there is none.
    fn on_close(&mut self, removed: bool) {
        self.close_peers();
        let told = match std::mem::replace(&mut self.phase, Phase::Closing) {
            Phase::Transfer(_) | Phase::Checking(_) if removed => false,
            Phase::Transfer(transfer) | Phase::Checking(transfer) => {
                self.begin_flush(*transfer, Taken::Stopped)
            }
            Phase::Opening(_) | Phase::Metadata(_) | Phase::Closing => false,
        };
        if !told {
            self.tell(MemberEvent::Closed(None));
        }
    }

    /// Makes durable what was written, without ending.
    fn flush(&mut self) {
        let Phase::Transfer(transfer) = &mut self.phase else { return };
        let Some(storage) = transfer.storage.clone() else { return };
        let ask = transfer.flush_of(storage, Taken::Running);
        let myself = self.myself.clone();
        self.tasks.retain(|task| !task.is_finished());
        self.tasks.push(self.env.spawn("flush", async move {
            let _ = myself.cast(MemberMsg::Flushed(ask.await));
        }));
    }

    /// Flushes for the last time; says whether an answer will come.
    fn begin_flush(&mut self, mut transfer: Transfer, taken: Taken) -> bool {
        let Some(storage) = transfer.storage.take() else { return false };
        let ask = transfer.flush_of(storage, taken);
        let torrent = self.torrent.clone();
        self.tasks.push(self.env.spawn("flush", async move {
            let checkpoint = ask.await;
            drop(transfer);
            let checkpoint = checkpoint
                .inspect_err(|error| warn!(%error, "the last checkpoint is not written"))
                .ok();
            let closed = MemberEvent::Closed(checkpoint);
            let _ = torrent.cast(TorrentMsg::Member(closed));
        }));
        true
    }

    fn on_flushed(&mut self, result: Result<Checkpoint, StorageError>) {
        match result {
            Ok(checkpoint) => {
                if let Some(transfer) = self.content_mut() {
                    transfer.durable = checkpoint.verified.clone();
                }
                self.tell(MemberEvent::Checkpoint(checkpoint));
            }
            // Storage died meanwhile; the next one is asked.
            Err(StorageError::GivenUp) => self.mark_dirty(),
            Err(error) => self.tell(MemberEvent::Failed(error)),
        }
    }

    fn tell(&self, event: MemberEvent) {
        // An owner that has ended ends us.
        let _ = self.torrent.cast(TorrentMsg::Member(event));
    }

    fn tell_storage(&mut self, message: StorageMsg) {
        if let Some(storage) = self.content_mut().and_then(|transfer| transfer.storage.as_ref()) {
            // One that has died is started again, and what it had is fetched again.
            let _ = storage.cast(message);
        }
    }

    fn content_mut(&mut self) -> Option<&mut Transfer> {
        match &mut self.phase {
            Phase::Checking(transfer) | Phase::Transfer(transfer) => Some(transfer),
            Phase::Opening(_) | Phase::Metadata(_) | Phase::Closing => None,
        }
    }

    #[cfg(test)]
    fn on_panic(&mut self, whom: Victim) {
        match whom {
            Victim::Member => panic!("as the test wants it"),
            Victim::Storage => self.tell_storage(StorageMsg::Panic),
            Victim::Peer => {
                let slot = self.peers.values().next();
                slot.into_iter().for_each(|slot| slot.tell(PeerCommand::Panic));
            }
            Victim::Piece => self.panic_piece(),
        }
    }
}

impl Opening {
    /// What may be believed to be there, and what must be hashed to know.
    fn judge(&self, states: &[Option<FileState>]) -> (Bitfield, Bitfield) {
        let count = self.info.piece_count();
        let nothing = Bitfield::new(count);
        let files = self.info.files();
        let there = |piece| is_there(&self.info, piece, states);
        let (have, mut recheck) = match &self.checkpoint {
            _ if self.recheck => (nothing, Bitfield::full(count)),
            Some(resume) => {
                let trust = resume.trust(files, states);
                (trust.trusted, trust.recheck)
            }
            // Nothing is known: whatever stands there is looked at.
            None => (nothing, Bitfield::full(count)),
        };
        let crashed = self.checkpoint.as_ref().is_some_and(|resume| resume.taken == Taken::Running);
        if crashed {
            // Written after the last checkpoint, perhaps.
            have.missing().for_each(|piece| _ = recheck.insert(piece));
        }
        let absent: Vec<_> = recheck.iter().filter(|&piece| !there(piece)).collect();
        absent.into_iter().for_each(|piece| _ = recheck.remove(piece));
        (have, recheck)
    }
}

/// Whether files hold all bytes of a piece, right or wrong.
fn is_there(info: &Info, piece: PieceIndex, states: &[Option<FileState>]) -> bool {
    let files = info.files();
    files.spans(piece, 0, u64::from(info.piece_len(piece))).all(|span| {
        let is_pad = files.get(span.file).is_some_and(bittorrent::metainfo::File::is_pad);
        let length = states.get(span.file).copied().flatten().map_or(0, |state| state.length);
        is_pad || length >= span.offset + span.length
    })
}

fn new_choker(node: &Node, rng: SmallRng) -> Choker {
    let config = &node.settings().engine.choker;
    let slots = config.upload_slots as usize;
    let slots = match config.mode {
        ChokerMode::Fixed => ChokerSlots::Fixed(slots),
        ChokerMode::Rate => ChokerSlots::Rate(slots),
    };
    let mode = match config.seed_mode {
        cluster_config::SeedMode::RoundRobin => SeedMode::RoundRobin,
        cluster_config::SeedMode::FastestUpload => SeedMode::FastestUpload,
        cluster_config::SeedMode::AntiLeech => SeedMode::AntiLeech,
    };
    Choker::new(slots, config.optimistic_slots as usize, mode, rng)
}
