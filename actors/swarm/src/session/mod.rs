//! The session actor: all torrents of a node.
//!
//! The root of the engine's tree. It keeps a compact record of every torrent and an actor only for those
//! that have something to do: others passivate, and any message, incoming peer or announce that is due
//! brings them back. It decides which torrents run (the queue), supervises torrents and the listener,
//! and answers commands. It never waits for the store or another actor inside a message: tasks do, and
//! tell it the outcome.

mod entry;
mod listener;
mod messages;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bittorrent::Time;
use bittorrent::goals::{Queued, Wish};
use control::{
    Command, EngineError, ErrorCode, EventKind, NodeSnapshot, Reply, TorrentId, TorrentState,
};
use env::supervision::{Policy, Supervisor, Verdict};
use env::{NodeEnv, Task, Timer};
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use rand::rngs::SmallRng;
use store::{Change, Desired, StoreError};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use crate::bugs::{self, Bug};
use crate::node::Node;
use crate::queue;
use crate::torrent::{TorrentActor, TorrentArgs, TorrentMsg};

pub(crate) use entry::Listed;
use entry::{Entry, Life, Then};
use listener::{ListenerActor, ListenerArgs};
pub(crate) use messages::{Answer, SessionMsg, TorrentNews, Work};

/// Torrents restart after 1, 2, 4 … 60 s, at most five times in ten minutes.
const TORRENT_POLICY: Policy = Policy::PERMANENT;
/// Changes of many torrents are looked at together: after this time,
const SCHEDULE_AFTER: Duration = Duration::from_millis(5);
/// and so much more for each torrent, for a look takes time for each. With 10,000 torrents a node that
/// changes all the time spends a twentieth of a core on it.
const SCHEDULE_MORE: Duration = Duration::from_micros(20);
/// Torrents that are brought to life at once by the queue; the next follow when these are there.
const STARTING_MAX: usize = 16;
/// Messages that wait for a torrent that is on its way.
const PENDING_MAX: usize = 256;
/// Addresses that a user named and that wait for their torrent to run.
const NAMED_PEERS_MAX: usize = 256;
/// A listener whose address is taken is started again after this time.
const LISTEN_AGAIN: Duration = Duration::from_secs(5);
/// What is kept of a torrent is read again after this time when the store fails.
const STORE_RETRY: Duration = Duration::from_secs(5);
/// A passive torrent that no tracker expects looks for peers again after this time.
const LOOK_AGAIN: Duration = Duration::from_secs(30 * 60);

/// The actor.
#[derive(Debug)]
pub(crate) struct SessionActor;

/// What it is born with.
#[derive(Debug)]
pub(crate) struct SessionArgs {
    /// The node.
    pub(crate) node: Arc<Node>,
    /// Where peers reach us.
    pub(crate) listen: Vec<SocketAddr>,
}

/// Who a child is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Child {
    Listener(usize),
    Torrent(TorrentId),
}

/// Its state.
pub(crate) struct Session {
    myself: ActorRef<SessionMsg>,
    node: Arc<Node>,
    env: NodeEnv,
    torrents: BTreeMap<TorrentId, Entry>,
    /// Ids that are being added and are not in the store yet.
    adding: BTreeSet<TorrentId>,
    supervisor: Supervisor<Child>,
    rng: SmallRng,
    listen: Vec<SocketAddr>,
    listening: BTreeMap<usize, SocketAddr>,
    tasks: Vec<Task<()>>,
    schedule: Option<Timer>,
    wake: Option<(Time, Timer)>,
    restarts: Vec<Timer>,
    starting: usize,
    shutdown: Option<oneshot::Sender<()>>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("torrents", &self.torrents.len()).finish_non_exhaustive()
    }
}

impl Actor for SessionActor {
    type Msg = SessionMsg;
    type State = Box<Session>;
    type Arguments = SessionArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<SessionMsg>,
        args: SessionArgs,
    ) -> Result<Box<Session>, ActorProcessingErr> {
        let mut session = Box::new(Session::new(myself, args));
        for record in work::load(&*session.node.store).await? {
            session.insert(Entry::new(record));
        }
        for index in 0..session.listen.len() {
            session.start_listener(index).await?;
        }
        session.plan();
        Ok(session)
    }

    async fn handle(
        &self,
        _myself: ActorRef<SessionMsg>,
        message: SessionMsg,
        state: &mut Box<Session>,
    ) -> Result<(), ActorProcessingErr> {
        state.on_message(message).await
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<SessionMsg>,
        event: SupervisionEvent,
        state: &mut Box<Session>,
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

impl Session {
    fn new(myself: ActorRef<SessionMsg>, args: SessionArgs) -> Self {
        let SessionArgs { node, listen } = args;
        let env = node.env().clone();
        Self {
            myself,
            torrents: BTreeMap::new(),
            adding: BTreeSet::new(),
            supervisor: Supervisor::default(),
            rng: env.rng("session"),
            listen,
            listening: BTreeMap::new(),
            tasks: Vec::new(),
            schedule: None,
            wake: None,
            restarts: Vec::new(),
            starting: 0,
            shutdown: None,
            node,
            env,
        }
    }

    async fn on_message(&mut self, message: SessionMsg) -> Result<(), ActorProcessingErr> {
        match message {
            SessionMsg::Command { command, reply } => self.on_command(command, reply),
            SessionMsg::List(reply) => _ = reply.send(self.list()),
            SessionMsg::One { id, reply } => _ = reply.send(self.one(id)),
            SessionMsg::Node(reply) => _ = reply.send(self.show()),
            SessionMsg::Route { id, message } => self.route(id, *message),
            SessionMsg::Incoming { id, shaken } => {
                self.route(id, TorrentMsg::Incoming(shaken));
            }
            SessionMsg::Torrent { id, news } => self.on_torrent(id, news),
            SessionMsg::Listening { index, at } => {
                info!(address = %at, "listening for peers");
                self.listening.insert(index, at);
            }
            SessionMsg::Worked(work) => self.on_worked(work).await?,
            SessionMsg::Schedule => self.reschedule(),
            SessionMsg::Wake => self.on_wake(),
            SessionMsg::RestartListener(index) => self.restart_listener(index).await,
            SessionMsg::RestartTorrent(id) => self.start(id, false),
            SessionMsg::Shutdown(reply) => self.on_shutdown(reply),
        }
        Ok(())
    }

    fn insert(&mut self, entry: Entry) {
        let id = entry.record.id;
        for hash in entry.handshake_hashes() {
            self.node.directory.insert(hash, id);
        }
        self.torrents.insert(id, entry);
    }

    fn on_command(&mut self, command: Command, reply: Answer) {
        if self.shutdown.is_some() {
            let error = EngineError::new(ErrorCode::ShuttingDown, "the node is going down");
            let _ = reply.send(Err(error));
            return;
        }
        match command {
            Command::Add(add) => {
                let node = Arc::clone(&self.node);
                self.work(async move { work::prepare_add(&node, add, reply).await });
            }
            Command::Remove(remove) => self.on_remove(remove.id, remove.with_data, reply),
            Command::Start(id) => self.on_desired(id, Desired::Running, reply),
            Command::Stop(id) => self.on_desired(id, Desired::Stopped, reply),
            Command::Verify(id) => self.on_verify(id, reply),
            Command::PauseVerify { id, paused } => {
                self.tell(id, TorrentMsg::PauseVerify(paused), reply);
            }
            Command::Reannounce(id) => self.tell(id, TorrentMsg::Reannounce, reply),
            Command::AddPeers { id, peers } => self.on_add_peers(id, peers, reply),
            Command::Set { id, settings } => self.on_set(id, *settings, reply),
            Command::SetPriorities { id, files } => {
                let Some(entry) = self.torrents.get(&id) else { return no_torrent(id, reply) };
                let settings = queue::prioritized(entry.record.settings.clone(), &files);
                self.on_set(id, settings, reply);
            }
        }
    }

    /// Tells a torrent something and answers that it was done.
    fn tell(&mut self, id: TorrentId, message: TorrentMsg, reply: Answer) {
        if !self.torrents.contains_key(&id) {
            return no_torrent(id, reply);
        }
        self.route(id, message);
        let _ = reply.send(Ok(Reply::Done));
    }

    /// Hands a message to a torrent, which is brought to life for it if it may run.
    fn route(&mut self, id: TorrentId, message: TorrentMsg) {
        let Some(entry) = self.torrents.get_mut(&id) else { return };
        match &mut entry.life {
            Life::Active { actor } => _ = actor.cast(message),
            Life::Starting { pending } | Life::Closing { pending, .. } => {
                if pending.len() < PENDING_MAX {
                    pending.push(message);
                }
            }
            Life::Passive { .. } if entry.may_run => {
                entry.life = Life::Passive { wake_at: None };
                self.start(id, false);
                if let Some(Life::Starting { pending }) =
                    self.torrents.get_mut(&id).map(|entry| &mut entry.life)
                {
                    pending.push(message);
                }
            }
            // It is stopped, or waits for its turn: the message is dropped, and its answer with it.
            Life::Passive { .. } => {}
        }
    }

    fn on_set(&mut self, id: TorrentId, settings: control::TorrentSettings, reply: Answer) {
        let Some(entry) = self.torrents.get_mut(&id) else { return no_torrent(id, reply) };
        if let Err(error) = work::check_settings(&settings) {
            let _ = reply.send(Err(error));
            return;
        }
        entry.record.settings = settings.clone();
        if matches!(entry.life, Life::Passive { .. }) {
            let changes = vec![Change::update(entry.record.clone())];
            self.store(changes, reply);
        } else {
            self.route(id, TorrentMsg::Set(Box::new(settings)));
            let _ = reply.send(Ok(Reply::Done));
        }
        self.plan();
    }

    fn on_desired(&mut self, id: TorrentId, desired: Desired, reply: Answer) {
        let Some(entry) = self.torrents.get_mut(&id) else { return no_torrent(id, reply) };
        entry.record.desired = desired;
        if desired == Desired::Running {
            entry.record.error = None;
            entry.forgiven = matches!(entry.life, Life::Closing { .. });
        }
        let changes = vec![Change::update(entry.record.clone())];
        self.store(changes, reply);
        if desired == Desired::Stopped {
            self.close(id, Then::Rest(None));
        }
        self.plan();
    }

    fn on_verify(&mut self, id: TorrentId, reply: Answer) {
        let Some(entry) = self.torrents.get_mut(&id) else { return no_torrent(id, reply) };
        entry.record.error = None;
        entry.recheck = true;
        let is_passive = matches!(entry.life, Life::Passive { .. });
        let _ = reply.send(Ok(Reply::Done));
        if is_passive {
            // A stopped torrent is checked too, and stops again when that is done.
            self.start(id, true);
        } else {
            self.close(id, Then::Recheck);
        }
    }

    fn on_remove(&mut self, id: TorrentId, with_data: bool, reply: Answer) {
        let Some(entry) = self.torrents.get_mut(&id) else { return no_torrent(id, reply) };
        for hash in entry.handshake_hashes() {
            self.node.directory.remove(hash);
        }
        self.close(id, Then::Remove { with_data, reply: Some(reply) });
    }

    /// Ends a torrent's actor, if it has one, and does what comes then.
    fn close(&mut self, id: TorrentId, then: Then) {
        let Some(entry) = self.torrents.get_mut(&id) else { return };
        match std::mem::replace(&mut entry.life, Life::Passive { wake_at: None }) {
            Life::Active { actor } => {
                let removed = matches!(then, Then::Remove { .. });
                let _ = actor.cast(TorrentMsg::Close { removed });
                entry.life = Life::Closing { actor, then, pending: Vec::new() };
            }
            Life::Starting { pending } => {
                entry.life = Life::Starting { pending };
                entry.after_start = Some(then);
            }
            Life::Closing { actor, then: before, pending } => {
                let then = if then.outranks(&before) { then } else { before };
                entry.life = Life::Closing { actor, then, pending };
            }
            Life::Passive { .. } => self.rest(id, then),
        }
    }

    /// A torrent has no actor now: does what was to be done then.
    fn rest(&mut self, id: TorrentId, then: Then) {
        match then {
            Then::Rest(wake_at) => {
                if let Some(entry) = self.torrents.get_mut(&id) {
                    entry.life = Life::Passive { wake_at };
                }
                self.arm_wake();
                self.plan();
            }
            Then::Recheck => self.start(id, true),
            Then::Remove { with_data, reply } => {
                let Some(entry) = self.torrents.remove(&id) else { return };
                let node = Arc::clone(&self.node);
                let seq = entry.seq + 1;
                self.work(
                    async move { work::remove(&node, entry.record, with_data, seq, reply).await },
                );
                self.plan();
            }
        }
        self.end_if_over();
    }

    /// Brings a torrent to life: reads what is kept of it, then starts its actor.
    fn start(&mut self, id: TorrentId, even_if_stopped: bool) {
        let Some(entry) = self.torrents.get_mut(&id) else { return };
        let passive = matches!(entry.life, Life::Passive { .. });
        if !passive || self.shutdown.is_some() || !(entry.may_run || even_if_stopped) {
            return;
        }
        let peers = std::mem::take(&mut entry.peers);
        let peers = Some(peers).filter(|peers| !peers.is_empty()).map(TorrentMsg::AddPeers);
        entry.life = Life::Starting { pending: peers.into_iter().collect() };
        self.starting += 1;
        self.load(id, Duration::ZERO);
    }

    /// Reads what is kept of a torrent, after a wait.
    fn load(&mut self, id: TorrentId, wait: Duration) {
        let (store, env) = (Arc::clone(&self.node.store), self.env.clone());
        self.work(async move {
            if !wait.is_zero() {
                env.sleep(wait).await;
            }
            let source = store.source(id).await;
            let checkpoint = store.checkpoint(id).await;
            Some(Work::Loaded { id, source, checkpoint })
        });
    }

    async fn on_loaded(
        &mut self,
        id: TorrentId,
        loaded: Result<(store::TorrentSource, Option<bytes::Bytes>), StoreError>,
    ) -> Result<(), ActorProcessingErr> {
        if let Err(error @ StoreError::Unavailable(_)) = &loaded
            && let Some(entry) = self.torrents.get(&id)
            && matches!(entry.life, Life::Starting { .. })
            && entry.after_start.is_none()
        {
            // Later it may work: that is no error of the torrent, and nobody should have to start it again.
            warn!(info_hash = %id, %error, "the torrent waits for the store");
            self.load(id, STORE_RETRY);
            return Ok(());
        }
        self.starting = self.starting.saturating_sub(1);
        self.plan();
        let (myself, node) = (self.myself.clone(), Arc::clone(&self.node));
        let Some(entry) = self.torrents.get_mut(&id) else { return Ok(()) };
        let Life::Starting { pending } =
            std::mem::replace(&mut entry.life, Life::Passive { wake_at: None })
        else {
            return Ok(());
        };
        if let Some(then) = entry.after_start.take() {
            self.rest(id, then);
            return Ok(());
        }
        let (source, checkpoint) = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                self.fail(id, &error.to_string());
                return Ok(());
            }
        };
        let args = Box::new(TorrentArgs {
            session: myself.clone(),
            node,
            record: entry.record.clone(),
            source,
            checkpoint,
            recheck: std::mem::take(&mut entry.recheck),
            seq: entry.seq,
            live: self.env.count("torrent"),
        });
        match Actor::spawn_linked(None, TorrentActor, args, myself.get_cell()).await {
            Ok((actor, _)) => {
                self.supervisor.started(actor.get_id(), Child::Torrent(id), TORRENT_POLICY);
                pending.into_iter().for_each(|message| _ = actor.cast(message));
                if let Some(entry) = self.torrents.get_mut(&id) {
                    entry.life = Life::Active { actor };
                }
            }
            Err(error) => self.fail(id, &error.to_string()),
        }
        Ok(())
    }

    /// A torrent cannot go on.
    fn fail(&mut self, id: TorrentId, why: &str) {
        let Some(entry) = self.torrents.get_mut(&id) else { return };
        let message = format!("{why}; start it again to retry");
        warn!(info_hash = %id, why, "the torrent cannot run");
        entry.record.error = Some(message.clone());
        entry.seq += 1;
        self.node.publish(id, entry.seq, EventKind::Error { message });
        entry.seq += 1;
        self.node.publish(id, entry.seq, EventKind::State { state: TorrentState::Error });
        let changes = vec![Change::update(entry.record.clone())];
        self.store(changes, None);
        self.plan();
    }

    fn on_torrent(&mut self, id: TorrentId, news: TorrentNews) {
        let Some(entry) = self.torrents.get_mut(&id) else { return };
        match news {
            TorrentNews::Changed { record, state } => {
                entry.adopt(*record);
                entry.state = Some(state);
                let over = matches!(state, TorrentState::Finished | TorrentState::Error);
                let checked_only =
                    entry.record.desired == Desired::Stopped && state != TorrentState::Checking;
                if over || checked_only {
                    self.close(id, Then::Rest(None));
                }
                self.plan();
            }
            TorrentNews::Idle => {
                // It looks for peers again when it announces next.
                self.close(id, Then::Rest(Some(Time::MAX)));
            }
            TorrentNews::Closed { record, next_announce, seq } => {
                entry.adopt(*record);
                entry.seq = seq;
                entry.state = None;
                if std::mem::take(&mut entry.forgiven) {
                    entry.record.error = None;
                }
                let life = std::mem::replace(&mut entry.life, Life::Passive { wake_at: None });
                let (actor, then, pending) = match life {
                    Life::Closing { actor, then, pending } => (actor, then, pending),
                    Life::Active { actor } => (actor, Then::Rest(None), Vec::new()),
                    other @ (Life::Passive { .. } | Life::Starting { .. }) => {
                        entry.life = other;
                        return;
                    }
                };
                self.supervisor.forget(actor.get_id());
                let leaks = bugs::has(Bug::LeaksAnActor) && matches!(then, Then::Remove { .. });
                if !leaks {
                    actor.stop(None);
                }
                let now = self.env.now();
                let then = match then {
                    Then::Rest(Some(_)) => {
                        Then::Rest(Some(next_announce.unwrap_or(now + LOOK_AGAIN)))
                    }
                    other => other,
                };
                self.rest(id, then);
                pending.into_iter().for_each(|message| self.route(id, message));
            }
        }
    }

    /// Looks soon at who may run.
    fn plan(&mut self) {
        if self.schedule.is_none() && self.shutdown.is_none() {
            let look = SessionMsg::Schedule;
            let count = u32::try_from(self.torrents.len()).unwrap_or(u32::MAX);
            let after = SCHEDULE_AFTER + SCHEDULE_MORE.saturating_mul(count);
            self.schedule = Some(self.env.send_after(after, &self.myself, look));
        }
    }

    fn reschedule(&mut self) {
        self.schedule = None;
        let seeding = &self.node.settings().engine.seeding;
        let queued = self.torrents.iter().map(|(&id, entry)| Queued {
            id,
            position: entry.record.settings.queue_position,
            wish: queue::wish(&entry.record, seeding),
            runs: entry.may_run,
        });
        let queued: Vec<_> = queued.collect();
        let running = queue::running(&queued, &self.node.settings().engine.queue);
        let (mut stop, mut start) = (Vec::new(), Vec::new());
        // In the same order as above: nothing is looked up.
        for (one, entry) in queued.iter().zip(self.torrents.values_mut()) {
            entry.may_run = running.contains(&one.id);
            match (&entry.life, entry.may_run) {
                (Life::Active { .. } | Life::Starting { .. }, false)
                    if one.wish != Wish::Nothing =>
                {
                    stop.push(one.id);
                }
                (Life::Passive { wake_at: None }, true) => start.push(one.id),
                _ => {}
            }
        }
        stop.into_iter().for_each(|id| self.close(id, Then::Rest(None)));
        for id in start {
            if self.starting >= STARTING_MAX {
                break;
            }
            self.start(id, false);
        }
    }

    /// Wakes the passive torrents whose moment has come.
    fn on_wake(&mut self) {
        self.wake = None;
        let now = self.env.now();
        for entry in self.torrents.values_mut() {
            if let Life::Passive { wake_at } = &mut entry.life
                && wake_at.is_some_and(|at| at <= now)
            {
                *wake_at = None;
            }
        }
        self.arm_wake();
        self.plan();
    }

    fn arm_wake(&mut self) {
        let passive = self.torrents.values().filter_map(|entry| match entry.life {
            Life::Passive { wake_at } => wake_at,
            _ => None,
        });
        let Some(at) = passive.min() else { return };
        if self.wake.as_ref().is_none_or(|(armed, _)| at < *armed) {
            let delay = at.since(self.env.now());
            let timer = self.env.send_after(delay, &self.myself, SessionMsg::Wake);
            self.wake = Some((at, timer));
        }
    }

    async fn start_listener(&mut self, index: usize) -> Result<(), ActorProcessingErr> {
        let Some(&at) = self.listen.get(index) else { return Ok(()) };
        let args = ListenerArgs {
            session: self.myself.clone(),
            node: Arc::clone(&self.node),
            index,
            at: self.listening.get(&index).copied().unwrap_or(at),
            _live: self.env.count("listener"),
        };
        let cell = self.myself.get_cell();
        let (actor, _) = Actor::spawn_linked(None, ListenerActor, args, cell).await?;
        self.supervisor.started(actor.get_id(), Child::Listener(index), Policy::PERMANENT);
        Ok(())
    }

    /// Starts a listener again; one whose address is taken meanwhile is tried again later.
    async fn restart_listener(&mut self, index: usize) {
        if let Err(error) = self.start_listener(index).await {
            error!(%error, "no peer can reach this node");
            let again = SessionMsg::RestartListener(index);
            self.restarts.push(self.env.send_after(LISTEN_AGAIN, &self.myself, again));
        }
    }

    fn on_child_ended(&mut self, id: ActorId, failure: Option<String>) {
        let now = self.env.now();
        let ended = self.supervisor.ended(id, failure.is_some(), now, &mut self.rng);
        let Some((child, verdict)) = ended else { return };
        let failure = failure.unwrap_or_else(|| "it ended".to_owned());
        error!(?child, failure, "an actor failed");
        let restart = match child {
            Child::Listener(index) => SessionMsg::RestartListener(index),
            Child::Torrent(torrent) => {
                if let Some(entry) = self.torrents.get_mut(&torrent) {
                    // What it told of itself last is no longer so.
                    entry.state = None;
                    let life = std::mem::replace(
                        &mut entry.life,
                        Life::Passive { wake_at: Some(Time::MAX) },
                    );
                    if let Life::Closing { then, .. } = life {
                        return self.rest(torrent, then);
                    }
                }
                SessionMsg::RestartTorrent(torrent)
            }
        };
        match (verdict, child) {
            (Verdict::RestartAfter(delay), _) => {
                self.restarts.retain(|timer| !timer.is_finished());
                self.restarts.push(self.env.send_after(delay, &self.myself, restart));
            }
            (_, Child::Torrent(torrent)) => {
                self.fail(torrent, &format!("it failed too often: {failure}"));
            }
            (_, Child::Listener(_)) => error!("no peer can reach this node any more"),
        }
    }

    /// Does something that takes a while beside the session, which hears of its outcome.
    fn work(&mut self, work: impl Future<Output = Option<Work>> + Send + 'static) {
        let myself = self.myself.clone();
        self.tasks.retain(|task| !task.is_finished());
        self.tasks.push(self.env.spawn("session work", async move {
            if let Some(outcome) = work.await {
                let _ = myself.cast(SessionMsg::Worked(Box::new(outcome)));
            }
        }));
    }

    fn store(&mut self, changes: Vec<Change>, reply: impl Into<Option<Answer>>) {
        let (store, reply) = (Arc::clone(&self.node.store), reply.into());
        self.work(async move {
            let result = store.write(changes).await;
            if let Err(error) = &result {
                warn!(%error, "a change was not kept");
            }
            if let Some(reply) = reply {
                let _ = reply.send(result.map(|()| Reply::Done).map_err(work::store_error));
            }
            None
        });
    }

    async fn on_worked(&mut self, work: Box<Work>) -> Result<(), ActorProcessingErr> {
        match *work {
            Work::Loaded { id, source, checkpoint } => {
                let loaded = source.and_then(|source| Ok((source, checkpoint?)));
                self.on_loaded(id, loaded).await?;
            }
            Work::Prepared { record, source, peers, reply } => {
                self.on_prepared(*record, source, peers, reply);
            }
            Work::Added { record, peers, result, reply } => {
                self.on_added(*record, peers, result, reply);
            }
        }
        Ok(())
    }

    fn on_prepared(
        &mut self,
        record: store::TorrentRecord,
        source: store::TorrentSource,
        peers: Vec<SocketAddr>,
        reply: Answer,
    ) {
        let id = record.id;
        if self.torrents.contains_key(&id) || !self.adding.insert(id) {
            let why = format!("torrent {id} is there already");
            let _ = reply.send(Err(EngineError::new(ErrorCode::Conflict, why)));
            return;
        }
        let store = Arc::clone(&self.node.store);
        self.work(async move {
            let result = store.write(vec![Change::add(record.clone(), source)]).await;
            Some(Work::Added { record: Box::new(record), peers, result, reply })
        });
    }

    fn on_added(
        &mut self,
        record: store::TorrentRecord,
        peers: Vec<SocketAddr>,
        result: Result<(), StoreError>,
        reply: Answer,
    ) {
        let id = record.id;
        self.adding.remove(&id);
        if let Err(error) = result {
            let _ = reply.send(Err(work::store_error(error)));
            return;
        }
        let name = record.name.clone();
        let mut entry = Entry::new(record);
        entry.seq = 1;
        entry.peers = peers;
        self.insert(entry);
        self.node.publish(id, 1, EventKind::Added { name });
        let _ = reply.send(Ok(Reply::Added(id)));
        self.add_peers(id);
        self.plan();
    }

    fn on_add_peers(&mut self, id: TorrentId, peers: Vec<SocketAddr>, reply: Answer) {
        let Some(entry) = self.torrents.get_mut(&id) else { return no_torrent(id, reply) };
        let room = NAMED_PEERS_MAX.saturating_sub(entry.peers.len());
        entry.peers.extend(peers.into_iter().take(room));
        let _ = reply.send(Ok(Reply::Done));
        self.add_peers(id);
    }

    /// Gives a torrent the addresses that a user named; until it may run they wait.
    fn add_peers(&mut self, id: TorrentId) {
        if self.torrents.get(&id).is_none_or(|entry| entry.peers.is_empty()) {
            return;
        }
        // It may have been started just now.
        self.reschedule();
        let Some(entry) = self.torrents.get_mut(&id) else { return };
        if matches!(entry.life, Life::Passive { .. }) && !entry.may_run {
            return;
        }
        let peers = std::mem::take(&mut entry.peers);
        self.route(id, TorrentMsg::AddPeers(peers));
    }

    fn list(&self) -> Vec<Listed> {
        let seeding = &self.node.settings().engine.seeding;
        let mut all: Vec<_> = self.torrents.values().map(|entry| entry.listed(seeding)).collect();
        all.sort_by_key(|listed| (listed.snapshot.added_ms, listed.snapshot.id));
        all
    }

    fn one(&self, id: TorrentId) -> Option<(Listed, store::TorrentRecord)> {
        let entry = self.torrents.get(&id)?;
        Some((entry.listed(&self.node.settings().engine.seeding), entry.record.clone()))
    }

    fn show(&self) -> NodeSnapshot {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let active = self.torrents.values();
        let active = active.filter(|entry| !matches!(entry.life, Life::Passive { .. })).count();
        NodeSnapshot {
            listening: self.listening.values().copied().collect(),
            torrents: count(self.torrents.len()),
            active: count(active),
            peers: count(self.node.connections.taken()),
            unwritten_bytes: self.node.budget.taken(),
        }
    }

    /// Ends all torrents in order, then says so.
    fn on_shutdown(&mut self, reply: oneshot::Sender<()>) {
        self.shutdown = Some(reply);
        self.schedule = None;
        self.wake = None;
        let ids: Vec<_> = self.torrents.keys().copied().collect();
        ids.into_iter().for_each(|id| self.close(id, Then::Rest(None)));
        self.end_if_over();
    }

    fn end_if_over(&mut self) {
        if self.shutdown.is_none() {
            return;
        }
        let over = self.torrents.values().all(|entry| matches!(entry.life, Life::Passive { .. }));
        if over && let Some(reply) = self.shutdown.take() {
            let _ = reply.send(());
            self.myself.stop(None);
        }
    }
}

fn no_torrent(id: TorrentId, reply: Answer) {
    let error = EngineError::new(ErrorCode::NotFound, format!("no torrent {id}"));
    let _ = reply.send(Err(error));
}
