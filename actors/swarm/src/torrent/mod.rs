//! The torrent actor: the owner of one torrent.
//!
//! Started by the session when the torrent has something to do, and told to close when it has not. It
//! keeps the record, owns the trackers and (one, on a single node) the member, decides when the torrent
//! has been seeded enough, and tells what happens. It never sees a block. The member is restarted from
//! the last checkpoint when it fails; when it fails too often the torrent ends in an error state, and
//! touches no other.

mod content;
mod shown;

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bittorrent::Time;
use bittorrent::goals::{SeedGoals, Seeded};
use bittorrent::magnet::{Magnet, PeerAddress};
use bittorrent::metainfo::{Info, Metainfo};
use bytes::Bytes;
use cluster_config::Preallocate;
use control::{
    Content, EngineError, ErrorCode, EventKind, FilePriority, TorrentDetail, TorrentId,
    TorrentSettings, TorrentState,
};
use env::live::Live;
use env::supervision::{Policy, Supervisor, Verdict};
use env::{NodeEnv, Timer};
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use rand::rngs::SmallRng;
use store::{Change, TorrentRecord, TorrentSource};
use tokio::sync::oneshot;
use tracing::{info, warn};

pub(crate) use self::shown::{files_of, snapshot_of};
use crate::disk::StorageError;
use crate::limiter::Limiter;
use crate::member::{
    Checkpoint, MemberActor, MemberArgs, MemberContent, MemberEvent, MemberMsg, MemberSettings,
    Progress,
};
use crate::node::{Node, bytes_per_s};
use crate::peer::{Identity, Shaken};
use crate::session::{SessionMsg, TorrentNews};
use crate::tally::{Tally, Totals};
use crate::tracker::{Figures, TrackerActor, TrackerArgs, TrackerMsg, TrackerNews};

/// A torrent without peers and without anybody to dial goes to rest after this time.
const IDLE: Duration = Duration::from_secs(30);
/// Progress is told at most so often.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
/// Trackers have this time to hear that we leave.
const FAREWELL: Duration = Duration::from_secs(3);
/// While there is a goal, it is looked at so often.
const GOAL_EVERY: Duration = Duration::from_secs(10);

/// What a torrent can be told.
#[derive(Debug)]
pub(crate) enum TorrentMsg {
    /// The member tells something.
    Member(MemberEvent),
    /// The trackers tell something.
    Tracker(TrackerNews),
    /// What is to be announced.
    Figures(oneshot::Sender<Figures>),
    /// A user changed the settings.
    Set(Box<TorrentSettings>),
    /// Holds the recheck, or lets it go on.
    PauseVerify(bool),
    /// Announce soon.
    Reannounce,
    /// Addresses that a user gave.
    AddPeers(Vec<SocketAddr>),
    /// A peer came and has shaken hands.
    Incoming(Box<Shaken>),
    /// Opens part of a file for reading.
    Content {
        /// Which file.
        file: u32,
        /// Which part; none is all of it.
        range: Option<Range<u64>>,
        /// The answer.
        reply: oneshot::Sender<Result<Content, EngineError>>,
    },
    /// Shows it.
    View(oneshot::Sender<TorrentDetail>),
    /// A timer is due.
    Wake(Wake),
    /// End in order, and tell the session.
    Close {
        /// The torrent is removed: no checkpoint is wanted.
        removed: bool,
    },
    /// Panic, or make another panic, to see what the others do.
    #[cfg(test)]
    Panic(Victim),
}

/// Who is to panic in a test.
#[cfg(test)]
#[derive(Debug, Clone, Copy)]
pub(crate) enum Victim {
    Torrent,
    Tracker,
    /// The member or a child of it.
    Member(crate::member::Victim),
}

/// Which timer is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wake {
    /// Nothing happened for a while.
    Idle,
    /// A goal may be reached.
    Goal,
    /// The member is to be started again.
    Member,
    /// The trackers are to be started again.
    Tracker,
    /// The trackers had their time to hear that we leave.
    Farewell,
}

/// What a torrent is born with.
#[derive(Debug)]
pub(crate) struct TorrentArgs {
    /// Its owner.
    pub(crate) session: ActorRef<SessionMsg>,
    /// The node.
    pub(crate) node: Arc<Node>,
    /// What is kept of it.
    pub(crate) record: TorrentRecord,
    /// What it was made from.
    pub(crate) source: TorrentSource,
    /// The last checkpoint.
    pub(crate) checkpoint: Option<Bytes>,
    /// Believe nothing of what is on disk.
    pub(crate) recheck: bool,
    /// Counts its events.
    pub(crate) seq: u64,
    /// Counts it.
    pub(crate) live: Live,
}

/// The actor.
#[derive(Debug)]
pub(crate) struct TorrentActor;

/// Who a child is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Child {
    Member,
    Tracker,
}

/// Its state.
pub(crate) struct Torrent {
    myself: ActorRef<TorrentMsg>,
    session: ActorRef<SessionMsg>,
    node: Arc<Node>,
    env: NodeEnv,
    record: TorrentRecord,
    meta: Meta,
    checkpoint: Option<Bytes>,
    recheck: bool,
    identity: Identity,
    state: TorrentState,
    checked: Option<(u32, u32)>,
    progress: Progress,
    tally: Arc<Tally>,
    down: Arc<Limiter>,
    up: Arc<Limiter>,
    member: Option<ActorRef<MemberMsg>>,
    tracker: Option<ActorRef<TrackerMsg>>,
    next_announce: Option<Time>,
    supervisor: Supervisor<Child>,
    rng: SmallRng,
    /// Peers that are connected, and whether others may be soon.
    peers: (u32, bool),
    /// Addresses that came before the member was there.
    seq: u64,
    told_progress_at: Option<Time>,
    seed_since: Option<Time>,
    idle: Option<Timer>,
    goal: Option<Timer>,
    restart: [Option<Timer>; 2],
    /// Answers that are being prepared.
    answers: Vec<env::Task<()>>,
    closing: bool,
    _live: Live,
}

/// What the torrent was made from.
#[derive(Debug)]
enum Meta {
    Magnet(Box<Magnet>),
    Metainfo(Box<Metainfo>),
}

impl Actor for TorrentActor {
    type Msg = TorrentMsg;
    type State = Box<Torrent>;
    type Arguments = Box<TorrentArgs>;

    async fn pre_start(
        &self,
        myself: ActorRef<TorrentMsg>,
        args: Box<TorrentArgs>,
    ) -> Result<Box<Torrent>, ActorProcessingErr> {
        let mut torrent = Box::new(Torrent::new(myself, *args)?);
        torrent.start_member().await?;
        if torrent.state == TorrentState::Metadata {
            torrent.start_tracker().await?;
        }
        torrent.arm_idle();
        Ok(torrent)
    }

    async fn handle(
        &self,
        _myself: ActorRef<TorrentMsg>,
        message: TorrentMsg,
        state: &mut Box<Torrent>,
    ) -> Result<(), ActorProcessingErr> {
        state.on_message(message).await
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<TorrentMsg>,
        event: SupervisionEvent,
        state: &mut Box<Torrent>,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorTerminated(cell, _, _) => {
                state.on_child_ended(cell.get_id(), None);
            }
            SupervisionEvent::ActorFailed(cell, error) => {
                state.on_child_ended(cell.get_id(), Some(error.to_string()));
            }
            _ => {}
        }
        Ok(())
    }
}

impl Torrent {
    fn new(myself: ActorRef<TorrentMsg>, args: TorrentArgs) -> Result<Self, ActorProcessingErr> {
        let TorrentArgs { session, node, record, source, checkpoint, recheck, seq, live } = args;
        let env = node.env().clone();
        let now = env.now();
        let meta = match &source {
            TorrentSource::Metainfo(bytes) => Meta::Metainfo(Box::new(Metainfo::parse(bytes)?)),
            TorrentSource::Magnet(link) => Meta::Magnet(Box::new(Magnet::parse(link)?)),
        };
        let info_hash = record.v1.ok_or("a torrent without a v1 info-hash")?;
        let rates = node.settings().engine.rates.clone();
        let rate = |own: u64, default: u64| if own == 0 { default } else { own };
        let down = rate(record.settings.down_bytes_per_s, bytes_per_s(rates.torrent_down));
        let up = rate(record.settings.up_bytes_per_s, bytes_per_s(rates.torrent_up));
        let tally = Tally::new(Totals {
            down: record.downloaded_bytes,
            up: record.uploaded_bytes,
            wasted: 0,
        });
        Ok(Self {
            myself,
            session,
            identity: Identity { info_hash, peer_id: node.peer_id_of(record.id) },
            state: match meta {
                Meta::Magnet(_) => TorrentState::Metadata,
                Meta::Metainfo(_) => TorrentState::Checking,
            },
            meta,
            checkpoint,
            recheck,
            checked: None,
            progress: Progress::default(),
            tally: Arc::new(tally),
            down: Arc::new(Limiter::new(down, now)),
            up: Arc::new(Limiter::new(up, now)),
            member: None,
            tracker: None,
            next_announce: None,
            supervisor: Supervisor::default(),
            rng: env.rng("torrent"),
            peers: (0, true),
            seq,
            told_progress_at: None,
            seed_since: None,
            idle: None,
            goal: None,
            restart: [None, None],
            answers: Vec::new(),
            closing: false,
            record,
            node,
            env,
            _live: live,
        })
    }

    async fn on_message(&mut self, message: TorrentMsg) -> Result<(), ActorProcessingErr> {
        match message {
            TorrentMsg::Member(event) => self.on_member(event).await?,
            TorrentMsg::Tracker(news) => self.on_tracker(news),
            TorrentMsg::Figures(reply) => _ = reply.send(self.figures()),
            TorrentMsg::Set(settings) => self.on_set(*settings).await,
            TorrentMsg::PauseVerify(paused) => self.tell_member(MemberMsg::PauseCheck(paused)),
            TorrentMsg::Reannounce => self.tell_tracker(TrackerMsg::Reannounce),
            TorrentMsg::AddPeers(addresses) => {
                self.tell_member(MemberMsg::Addresses { addresses, named: true });
            }
            TorrentMsg::Incoming(shaken) => self.tell_member(MemberMsg::Incoming(shaken)),
            TorrentMsg::Content { file, range, reply } => self.on_content(file, range, reply),
            TorrentMsg::View(reply) => self.on_view(reply),
            TorrentMsg::Wake(wake) => self.on_wake(wake).await?,
            TorrentMsg::Close { removed } => self.on_close(removed),
            #[cfg(test)]
            TorrentMsg::Panic(whom) => self.on_panic(whom),
        }
        Ok(())
    }

    async fn on_wake(&mut self, wake: Wake) -> Result<(), ActorProcessingErr> {
        match wake {
            Wake::Idle => self.on_idle(),
            Wake::Goal => self.check_goals(),
            Wake::Member => self.start_member().await?,
            Wake::Tracker => self.start_tracker().await?,
            Wake::Farewell => {
                self.tracker = None;
                self.end_if_over();
            }
        }
        Ok(())
    }

    async fn start_member(&mut self) -> Result<(), ActorProcessingErr> {
        let content = match &self.meta {
            Meta::Magnet(_) => None,
            Meta::Metainfo(metainfo) => Some(MemberContent {
                info: Arc::new(metainfo.info.clone()),
                checkpoint: self.checkpoint.clone(),
                recheck: self.recheck,
            }),
        };
        let args = Box::new(MemberArgs {
            torrent: self.myself.clone(),
            node: Arc::clone(&self.node),
            identity: self.identity,
            settings: self.member_settings(),
            tally: Arc::clone(&self.tally),
            content,
            is_private: self.record.is_private,
            live: self.env.count("member"),
        });
        let (actor, _) =
            Actor::spawn_linked(None, MemberActor, args, self.myself.get_cell()).await?;
        self.supervisor.started(actor.get_id(), Child::Member, Policy::PERMANENT);
        self.member = Some(actor);
        self.name_peers();
        Ok(())
    }

    /// Peers that a magnet link names.
    fn name_peers(&mut self) {
        let Meta::Magnet(magnet) = &self.meta else { return };
        let addresses = magnet.peers.iter().filter_map(|peer| match peer {
            PeerAddress::Ip(address) => Some(*address),
            // Names would be looked up for whoever made the link.
            PeerAddress::Name(..) => None,
        });
        let addresses: Vec<_> = addresses.collect();
        if !addresses.is_empty() {
            self.tell_member(MemberMsg::Addresses { addresses, named: false });
        }
    }

    async fn start_tracker(&mut self) -> Result<(), ActorProcessingErr> {
        let tiers = self.tracker_tiers();
        if tiers.is_empty() || self.tracker.is_some() {
            return Ok(());
        }
        let args = TrackerArgs {
            torrent: self.myself.clone(),
            node: Arc::clone(&self.node),
            identity: self.identity,
            tiers,
            figures: self.figures(),
            live: self.env.count("tracker"),
        };
        let (actor, _) =
            Actor::spawn_linked(None, TrackerActor, args, self.myself.get_cell()).await?;
        self.supervisor.started(actor.get_id(), Child::Tracker, Policy::PERMANENT);
        self.tracker = Some(actor);
        Ok(())
    }

    fn tracker_tiers(&self) -> Vec<Vec<String>> {
        let mut tiers = match &self.meta {
            Meta::Metainfo(metainfo) => metainfo.trackers.clone(),
            // A link has no tiers: each tracker is one of its own, as in other clients.
            Meta::Magnet(magnet) => magnet.trackers.iter().map(|url| vec![url.clone()]).collect(),
        };
        tiers.extend(self.record.settings.trackers.iter().map(|url| vec![url.clone()]));
        tiers
    }

    fn member_settings(&self) -> MemberSettings {
        let (own, engine) = (&self.record.settings, &self.node.settings().engine);
        let preallocate = engine.disk.preallocate == Preallocate::Full;
        MemberSettings {
            download_dir: self.node.download_dir(own),
            preallocate: own.preallocate.unwrap_or(preallocate),
            sequential: own.sequential,
            priorities: self.priorities(),
            connections_max: match own.connections_max {
                0 => engine.network.max_connections_per_torrent,
                own => own,
            },
            down: Arc::clone(&self.down),
            up: Arc::clone(&self.up),
        }
    }

    /// A user's priorities, or those of a magnet link's selection (BEP 53).
    fn priorities(&self) -> Vec<FilePriority> {
        self.record.settings.priorities.clone()
    }

    async fn on_member(&mut self, event: MemberEvent) -> Result<(), ActorProcessingErr> {
        match event {
            MemberEvent::Metadata(info) => self.on_metadata(&info).await,
            MemberEvent::Checking { checked, total } => {
                self.checked = Some((checked, total));
                self.set_state(TorrentState::Checking);
            }
            MemberEvent::Ready(progress) => self.on_ready(progress).await?,
            MemberEvent::Piece(progress) => self.on_piece(progress),
            MemberEvent::Changed(progress) => {
                self.progress = progress;
                self.settle();
            }
            MemberEvent::Anomaly(message) => self.publish(EventKind::Anomaly { message }),
            MemberEvent::Failed(error) => self.on_failed(&error),
            MemberEvent::Checkpoint(checkpoint) => self.save(Some(checkpoint)).await,
            MemberEvent::Peers { connected, pending } => {
                self.peers = (connected, pending);
                self.arm_idle();
            }
            MemberEvent::Closed(checkpoint) => {
                self.save(checkpoint).await;
                self.member = None;
                self.end_if_over();
            }
        }
        Ok(())
    }

    /// The info dictionary came from a peer: from now on the torrent is made from a metainfo.
    async fn on_metadata(&mut self, info: &Info) {
        let Meta::Magnet(magnet) = &self.meta else { return };
        let bytes = crate::metainfo::wrap(info, &magnet.trackers, &magnet.web_seeds);
        let metainfo = match Metainfo::parse(&bytes) {
            Ok(metainfo) => metainfo,
            Err(error) => {
                warn!(%error, "metadata from a peer cannot be kept");
                return;
            }
        };
        let record = &mut self.record;
        record.name = info.name().to_owned();
        record.is_private = info.is_private();
        record.total_bytes = info.total_length();
        record.v2 = info.v2();
        let selected = crate::metainfo::selection(magnet, info);
        if record.settings.priorities.is_empty() && !selected.is_empty() {
            record.settings.priorities = selected;
            let settings = Box::new(self.member_settings());
            self.tell_member(MemberMsg::Settings(settings));
        }
        self.meta = Meta::Metainfo(Box::new(metainfo));
        let changes = vec![
            Change::SetSource(self.record.id, TorrentSource::Metainfo(bytes)),
            Change::update(self.record.clone()),
        ];
        self.write(changes).await;
        let name = self.record.name.clone();
        let total_bytes = self.record.total_bytes;
        self.publish(EventKind::Metadata { name, total_bytes });
        self.set_state(TorrentState::Checking);
    }

    async fn on_ready(&mut self, progress: Progress) -> Result<(), ActorProcessingErr> {
        self.checked = None;
        self.progress = progress;
        if std::mem::take(&mut self.recheck) {
            self.publish(EventKind::Verified { have_pieces: progress.have_pieces });
        }
        self.settle();
        // Not before: a seed must not be announced as a peer that lacks everything.
        if self.tracker.is_none() && !self.closing {
            self.start_tracker().await?;
        } else if self.progress.missing == 0 {
            self.tell_tracker(TrackerMsg::Reannounce);
        }
        Ok(())
    }

    fn on_piece(&mut self, progress: Progress) {
        self.progress = progress;
        let now = self.env.now();
        let due = self.told_progress_at.is_none_or(|at| now.since(at) >= PROGRESS_EVERY);
        if due || progress.missing == 0 {
            self.told_progress_at = Some(now);
            let Progress { have_bytes, wanted_bytes, .. } = progress;
            self.publish(EventKind::Progress { have_bytes, wanted_bytes });
        }
        if progress.missing == 0 {
            self.settle();
        }
    }

    /// What the torrent is doing follows from what it has.
    fn settle(&mut self) {
        self.record.have_bytes = self.progress.have_bytes;
        self.record.wanted_bytes = self.progress.wanted_bytes;
        let now = self.env.now();
        if self.progress.missing > 0 {
            self.end_seeding(now);
            self.set_state(TorrentState::Downloading);
            return;
        }
        self.seed_since.get_or_insert(now);
        let downloaded_now = self.state == TorrentState::Downloading;
        let completed_now = self.record.completed_ms.is_none();
        if completed_now {
            self.record.completed_ms = Some(self.env.unix_ms());
        }
        // The session is told with it: the record says whose turn is over.
        self.set_state(TorrentState::Seeding);
        if completed_now {
            self.publish(EventKind::Completed);
            info!(info_hash = %self.identity.info_hash, "complete");
        }
        if downloaded_now {
            self.tell_tracker(TrackerMsg::Completed);
        }
        self.check_goals();
    }

    fn end_seeding(&mut self, now: Time) {
        if let Some(since) = self.seed_since.take() {
            self.record.seeded_s += now.since(since).as_secs();
        }
    }

    /// Ends the torrent when it has been seeded enough.
    fn check_goals(&mut self) {
        self.goal = None;
        if self.state != TorrentState::Seeding || self.closing {
            return;
        }
        let goals = self.goals();
        if goals == SeedGoals::default() {
            return;
        }
        let totals = self.tally.totals();
        let now = self.env.now();
        let so_far = self.seed_since.map_or(Duration::ZERO, |since| now.since(since));
        let seeded = Seeded {
            uploaded: totals.up,
            downloaded: totals.down,
            length: self.record.wanted_bytes,
            time: Duration::from_secs(self.record.seeded_s) + so_far,
        };
        if goals.are_reached(&seeded) {
            self.set_state(TorrentState::Finished);
            return;
        }
        let left = goals.time_left(&seeded).unwrap_or(GOAL_EVERY);
        let wake = TorrentMsg::Wake(Wake::Goal);
        self.goal = Some(self.env.send_after(left.min(GOAL_EVERY), &self.myself, wake));
    }

    fn goals(&self) -> SeedGoals {
        crate::queue::goals(&self.record.settings, &self.node.settings().engine.seeding)
    }

    fn on_failed(&mut self, error: &StorageError) {
        if self.closing || self.state == TorrentState::Error {
            return;
        }
        let message = error.to_string();
        warn!(info_hash = %self.identity.info_hash, %error, "the torrent stops");
        self.record.error = Some(message.clone());
        self.publish(EventKind::Error { message });
        self.set_state(TorrentState::Error);
    }

    fn set_state(&mut self, state: TorrentState) {
        if std::mem::replace(&mut self.state, state) != state {
            self.publish(EventKind::State { state });
        }
        self.tell_session();
    }

    fn tell_session(&self) {
        let news =
            TorrentNews::Changed { record: Box::new(self.record.clone()), state: self.state };
        let _ = self.session.cast(SessionMsg::Torrent { id: self.record.id, news });
    }

    fn publish(&mut self, kind: EventKind) {
        self.seq += 1;
        self.node.publish(self.record.id, self.seq, kind);
    }

    fn on_tracker(&mut self, news: TrackerNews) {
        match news {
            TrackerNews::Peers(addresses) => {
                self.tell_member(MemberMsg::Addresses { addresses, named: false });
            }
            TrackerNews::ExternalIp(ip) => {
                let port = self.node.listen_port().unwrap_or(0);
                self.tell_member(MemberMsg::Ours(SocketAddr::new(ip, port)));
            }
            TrackerNews::Trouble(message) => self.publish(EventKind::Anomaly { message }),
            TrackerNews::NextAnnounce(at) => self.next_announce = at,
            TrackerNews::Over => {
                self.tracker = None;
                self.end_if_over();
            }
        }
    }

    fn figures(&self) -> Figures {
        let totals = self.tally.totals();
        let left = match &self.meta {
            // Unknown; anything but zero, or the tracker takes us for a seed.
            Meta::Magnet(_) => u64::from(bittorrent::BLOCK_LEN),
            Meta::Metainfo(_) => {
                self.progress.wanted_bytes.saturating_sub(self.progress.have_bytes)
            }
        };
        let checking = matches!(self.state, TorrentState::Checking);
        let left = if checking { self.record.total_bytes.max(1) } else { left };
        Figures { downloaded: totals.down, uploaded: totals.up, left }
    }

    async fn on_set(&mut self, settings: TorrentSettings) {
        let now = self.env.now();
        let rates = &self.node.settings().engine.rates;
        let rate = |own: u64, default| if own == 0 { bytes_per_s(default) } else { own };
        self.down.set(rate(settings.down_bytes_per_s, rates.torrent_down), now);
        self.up.set(rate(settings.up_bytes_per_s, rates.torrent_up), now);
        self.record.settings = settings;
        let settings = Box::new(self.member_settings());
        self.tell_member(MemberMsg::Settings(settings));
        self.write(vec![Change::update(self.record.clone())]).await;
        self.tell_session();
        self.check_goals();
    }

    fn on_close(&mut self, removed: bool) {
        if std::mem::replace(&mut self.closing, true) {
            return;
        }
        self.tell_tracker(TrackerMsg::Stop);
        self.tell_member(MemberMsg::Close { removed });
        let wake = TorrentMsg::Wake(Wake::Farewell);
        self.goal = Some(self.env.send_after(FAREWELL, &self.myself, wake));
        self.end_if_over();
    }

    /// Tells the session that all is over: the member has written what it had, and the trackers know or
    /// have had their time.
    fn end_if_over(&mut self) {
        if self.closing && self.member.is_none() && self.tracker.is_none() {
            self.tell_closed();
        }
    }

    /// The last word to the session, which then stops us.
    fn tell_closed(&mut self) {
        let now = self.env.now();
        self.end_seeding(now);
        let news = TorrentNews::Closed {
            record: Box::new(self.record.clone()),
            next_announce: self.next_announce,
            seq: self.seq,
        };
        let _ = self.session.cast(SessionMsg::Torrent { id: self.record.id, news });
    }

    /// Keeps what changed.
    async fn save(&mut self, checkpoint: Option<Checkpoint>) {
        let totals = self.tally.totals();
        self.record.downloaded_bytes = totals.down;
        self.record.uploaded_bytes = totals.up;
        let mut changes = vec![Change::update(self.record.clone())];
        if let Some(Checkpoint { bytes, .. }) = checkpoint {
            self.checkpoint = Some(bytes.clone());
            changes.push(Change::SetCheckpoint(self.record.id, bytes));
        }
        self.write(changes).await;
    }

    async fn write(&self, changes: Vec<Change>) {
        if let Err(error) = self.node.store.write(changes).await {
            warn!(info_hash = %self.identity.info_hash, %error, "not kept");
        }
    }

    fn arm_idle(&mut self) {
        let (connected, pending) = self.peers;
        if connected > 0 || pending && self.idle.is_some() {
            self.idle = None;
        }
        if self.idle.is_none() && connected == 0 {
            let wake = TorrentMsg::Wake(Wake::Idle);
            self.idle = Some(self.env.send_after(IDLE, &self.myself, wake));
        }
    }

    /// Nothing happened for a while: asks to be put to rest.
    fn on_idle(&mut self) {
        self.idle = None;
        let settled = matches!(self.state, TorrentState::Seeding | TorrentState::Downloading);
        let (connected, pending) = self.peers;
        if connected > 0 {
            return;
        }
        if !settled || pending || self.goal.is_some() {
            return self.arm_idle();
        }
        let news = TorrentNews::Idle;
        let _ = self.session.cast(SessionMsg::Torrent { id: self.record.id, news });
        self.arm_idle();
    }

    fn on_child_ended(&mut self, id: ractor::ActorId, failure: Option<String>) {
        let now = self.env.now();
        let ended = self.supervisor.ended(id, failure.is_some(), now, &mut self.rng);
        let Some((child, verdict)) = ended else { return };
        if self.closing {
            match child {
                Child::Member => self.member = None,
                Child::Tracker => self.tracker = None,
            }
            return self.end_if_over();
        }
        let failure = failure.unwrap_or_else(|| "it ended".to_owned());
        warn!(info_hash = %self.identity.info_hash, ?child, failure, "an actor failed");
        let (wake, slot) = match child {
            Child::Member => {
                self.member = None;
                self.peers = (0, true);
                (Wake::Member, 0)
            }
            Child::Tracker => {
                self.tracker = None;
                (Wake::Tracker, 1)
            }
        };
        match verdict {
            Verdict::RestartAfter(delay) => {
                let timer = self.env.send_after(delay, &self.myself, TorrentMsg::Wake(wake));
                if let Some(slot) = self.restart.get_mut(slot) {
                    *slot = Some(timer);
                }
            }
            Verdict::Forget | Verdict::GiveUp => {
                let message = format!("it failed too often: {failure}; start it again to retry");
                self.record.error = Some(message.clone());
                self.publish(EventKind::Error { message });
                self.set_state(TorrentState::Error);
            }
        }
    }

    fn tell_member(&self, message: MemberMsg) {
        if let Some(member) = &self.member {
            // One that has died is started again.
            let _ = member.cast(message);
        }
    }

    fn tell_tracker(&self, message: TrackerMsg) {
        if let Some(tracker) = &self.tracker {
            let _ = tracker.cast(message);
        }
    }

    #[cfg(test)]
    fn on_panic(&self, whom: Victim) {
        match whom {
            Victim::Torrent => panic!("as the test wants it"),
            Victim::Tracker => self.tell_tracker(TrackerMsg::Panic),
            Victim::Member(whom) => self.tell_member(MemberMsg::Panic(whom)),
        }
    }

    fn not_now(&self) -> EngineError {
        let id: TorrentId = self.record.id;
        EngineError::new(ErrorCode::Conflict, format!("torrent {id} is not ready; try again soon"))
    }
}

impl std::fmt::Debug for Torrent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Torrent").field("id", &self.record.id).finish_non_exhaustive()
    }
}
