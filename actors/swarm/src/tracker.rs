//! The tracker actor: announces one torrent.
//!
//! Owned by the torrent, which restarts it. When, to whom and with which event is decided by
//! [`bittorrent::tracker::Announcer`]; each announce is a task, over HTTP or UDP, of which only so many of
//! a node's run at once. When it is told to stop it tells the trackers that know us, and then that it is
//! over.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use bittorrent::Time;
use bittorrent::tracker::udp::{Answer, Exchange, Family, Request, Step};
use bittorrent::tracker::url::Scheme;
use bittorrent::tracker::{
    Action, AnnounceRequest, AnnounceResponse, Announcer, Failure, Settings, Status, Totals,
    TrackerKey, TrackerUrl, http, tiers,
};
use control::{TrackerSnapshot, TrackerStatus};
use env::live::Live;
use env::{NodeEnv, Task, Timer};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use rand::Rng;
use tokio::sync::oneshot;
use tracing::debug;

use crate::fetch::{Credentials, Limits};
use crate::node::Node;
use crate::peer::Identity;
use crate::torrent::TorrentMsg;

/// The longest datagram of a tracker.
const DATAGRAM_MAX: usize = 64 * 1024;

/// What a tracker actor can be told.
#[derive(Debug)]
pub(crate) enum TrackerMsg {
    /// Look at what is due.
    Wake,
    /// What is to be announced at the moment that was due.
    Due(Figures),
    /// An announce has ended.
    Ended {
        /// Of which tracker.
        key: TrackerKey,
        /// The answer.
        result: Result<Box<AnnounceResponse>, Failure>,
    },
    /// All that is wanted is there now.
    Completed,
    /// A user wants an announce soon.
    Reannounce,
    /// Leave the swarm.
    Stop,
    /// Shows the trackers.
    View(oneshot::Sender<Vec<TrackerSnapshot>>),
}

/// What a tracker actor tells its torrent.
#[derive(Debug)]
pub(crate) enum TrackerNews {
    /// Addresses of peers.
    Peers(Vec<SocketAddr>),
    /// Where a tracker sees us.
    ExternalIp(IpAddr),
    /// A tracker fails or warns.
    Trouble(String),
    /// When a tracker expects us.
    NextAnnounce(Option<Time>),
    /// Those that know us were told that we leave.
    Over,
}

/// What is announced, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Figures {
    /// Taken from peers, ever.
    pub(crate) downloaded: u64,
    /// Sent to peers, ever.
    pub(crate) uploaded: u64,
    /// Missing.
    pub(crate) left: u64,
}

/// What a tracker actor is born with.
#[derive(Debug)]
pub(crate) struct TrackerArgs {
    /// Its owner.
    pub(crate) torrent: ActorRef<TorrentMsg>,
    /// The node.
    pub(crate) node: Arc<Node>,
    /// The torrent, and our name in it.
    pub(crate) identity: Identity,
    /// Addresses by tier.
    pub(crate) tiers: Vec<Vec<String>>,
    /// What was counted before.
    pub(crate) figures: Figures,
    /// Counts it.
    pub(crate) live: Live,
}

/// The actor.
#[derive(Debug)]
pub(crate) struct TrackerActor;

/// Its state.
#[derive(Debug)]
pub(crate) struct TrackerState {
    myself: ActorRef<TrackerMsg>,
    torrent: ActorRef<TorrentMsg>,
    node: Arc<Node>,
    env: NodeEnv,
    announcer: Announcer,
    announces: BTreeMap<TrackerKey, Task<()>>,
    asking: Option<Task<()>>,
    timer: Option<(Time, Timer)>,
    stopping: bool,
    _live: Live,
}

impl Actor for TrackerActor {
    type Msg = TrackerMsg;
    type State = Box<TrackerState>;
    type Arguments = TrackerArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<TrackerMsg>,
        args: TrackerArgs,
    ) -> Result<Box<TrackerState>, ActorProcessingErr> {
        let mut state = Box::new(TrackerState::new(myself, args));
        state.look();
        Ok(state)
    }

    async fn handle(
        &self,
        _myself: ActorRef<TrackerMsg>,
        message: TrackerMsg,
        state: &mut Box<TrackerState>,
    ) -> Result<(), ActorProcessingErr> {
        state.on_message(message);
        Ok(())
    }
}

impl TrackerState {
    fn new(myself: ActorRef<TrackerMsg>, args: TrackerArgs) -> Self {
        let TrackerArgs { torrent, node, identity, tiers, figures, live } = args;
        let env = node.env().clone();
        let identity = bittorrent::tracker::announce::Identity {
            info_hash: identity.info_hash,
            peer_id: identity.peer_id,
            port: node.listen_port().unwrap_or(0),
            key: env.secrets().random(),
            ip: None,
            ipv6: None,
        };
        let spacing = node.settings().tracker.announce_min_interval;
        let settings = Settings { spacing, ..Settings::default() };
        let rng = env.rng("announcer");
        let mut announcer = Announcer::new(identity, settings, tiers::read_tiers(&tiers), rng);
        announcer.start(env.now(), totals_of(figures));
        Self {
            myself,
            torrent,
            node,
            env,
            announcer,
            announces: BTreeMap::new(),
            asking: None,
            timer: None,
            stopping: false,
            _live: live,
        }
    }

    fn on_message(&mut self, message: TrackerMsg) {
        match message {
            TrackerMsg::Wake => self.timer = None,
            TrackerMsg::Due(figures) => self.on_due(figures),
            TrackerMsg::Ended { key, result } => self.on_ended(key, result),
            TrackerMsg::Completed => self.announcer.completed(),
            TrackerMsg::Reannounce => self.announcer.reannounce(),
            TrackerMsg::Stop => {
                self.stopping = true;
                self.announcer.stop();
            }
            TrackerMsg::View(reply) => _ = reply.send(self.view()),
        }
        self.look();
    }

    /// Has the figures asked for if something is due, else waits until it is.
    fn look(&mut self) {
        if self.stopping && self.announcer.is_over() {
            return self.tell(TrackerNews::Over);
        }
        let (now, due) = (self.env.now(), self.announcer.poll_timeout());
        if due > now {
            return self.wake_at(due, now);
        }
        if self.asking.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let (torrent, myself) = (self.torrent.clone(), self.myself.clone());
        self.asking = Some(self.env.spawn("figures", async move {
            let (reply, answer) = oneshot::channel();
            let asked = torrent.cast(TorrentMsg::Figures(reply));
            if let (Ok(()), Ok(figures)) = (asked, answer.await) {
                let _ = myself.cast(TrackerMsg::Due(figures));
            }
        }));
    }

    fn wake_at(&mut self, due: Time, now: Time) {
        if due == Time::MAX || self.timer.as_ref().is_some_and(|(at, _)| *at <= due) {
            return;
        }
        let timer = self.env.send_after(due.since(now), &self.myself, TrackerMsg::Wake);
        self.timer = Some((due, timer));
        self.tell(TrackerNews::NextAnnounce(Some(due)));
    }

    fn on_due(&mut self, figures: Figures) {
        self.asking = None;
        let now = self.env.now();
        for action in self.announcer.handle_timeout(now, totals_of(figures)) {
            let Action::Announce { key, tracker, request } = action;
            let (node, myself) = (Arc::clone(&self.node), self.myself.clone());
            debug!(%tracker, event = ?request.event, "announce");
            let task = self.env.spawn("announce", async move {
                let result = announce(&node, &tracker, request).await.map(Box::new);
                let _ = myself.cast(TrackerMsg::Ended { key, result });
            });
            self.announces.insert(key, task);
        }
    }

    fn on_ended(&mut self, key: TrackerKey, result: Result<Box<AnnounceResponse>, Failure>) {
        self.announces.remove(&key);
        let now = self.env.now();
        match result {
            Ok(response) => {
                self.announcer.on_response(now, key, &response);
                if let Some(ip) = response.external_ip {
                    self.tell(TrackerNews::ExternalIp(ip));
                }
                if let Some(warning) = response.warning {
                    self.tell(TrackerNews::Trouble(format!("a tracker warns: {warning}")));
                }
                self.tell(TrackerNews::Peers(response.peers));
            }
            Err(failure) => {
                self.announcer.on_failure(now, key, &failure);
                let message = format!("a tracker fails: {}", failure.message());
                self.tell(TrackerNews::Trouble(message));
            }
        }
    }

    fn tell(&self, news: TrackerNews) {
        // An owner that has ended ends us.
        let _ = self.torrent.cast(TorrentMsg::Tracker(news));
    }

    fn view(&self) -> Vec<TrackerSnapshot> {
        let now = self.env.now();
        let shown = self.announcer.snapshot().into_iter().map(|tracker| TrackerSnapshot {
            url: tracker.url,
            tier: tracker.tier,
            status: match tracker.status {
                Status::Idle => TrackerStatus::Idle,
                Status::Announcing => TrackerStatus::Announcing,
                Status::Working => TrackerStatus::Working,
                Status::Failed => TrackerStatus::Failed,
            },
            message: tracker.message,
            seeds: tracker.seeds,
            leeches: tracker.leeches,
            next_announce_s: tracker.next_announce.map(|at| at.since(now).as_secs()),
        });
        shown.collect()
    }
}

const fn totals_of(figures: Figures) -> Totals {
    let Figures { downloaded, uploaded, left } = figures;
    Totals { uploaded, downloaded, left }
}

/// Announces to one tracker, as soon as it is this announce's turn.
async fn announce(
    node: &Node,
    tracker: &TrackerUrl,
    request: AnnounceRequest,
) -> Result<AnnounceResponse, Failure> {
    // The semaphore is never closed.
    let _turn = node.announces.acquire().await.ok();
    match tracker.scheme() {
        Scheme::Http | Scheme::Https => announce_http(node, tracker, &request).await,
        Scheme::Udp => announce_udp(node, tracker, request).await,
    }
}

async fn announce_http(
    node: &Node,
    tracker: &TrackerUrl,
    request: &AnnounceRequest,
) -> Result<AnnounceResponse, Failure> {
    let body_max = node.settings().limits.tracker_response_size.as_usize();
    let limits = Limits {
        body_max,
        timeout: node.settings().tracker.http_timeout,
        credentials: Credentials::Basic,
        ..Limits::TRACKER
    };
    let scheme = tracker.scheme().as_str();
    let user = tracker.userinfo().map(|user| format!("{user}@")).unwrap_or_default();
    let target = http::announce_target(tracker, request);
    let url = format!("{scheme}://{user}{}{target}", tracker.authority());
    let body = node.fetcher.get(&url, limits).await;
    let body = body.map_err(|error| Failure::new(&error.to_string()))?;
    // Trackers explain themselves in the body, whatever the status.
    http::parse_announce(&body.bytes, body_max).map_err(|error| match body.status {
        200..=299 => Failure::from(&error),
        status => Failure::new(&format!("the tracker answered with status {status}")),
    })
}

async fn announce_udp(
    node: &Node,
    tracker: &TrackerUrl,
    request: AnnounceRequest,
) -> Result<AnnounceResponse, Failure> {
    let env = node.env();
    let failed = |error: std::io::Error| Failure::new(&error.to_string());
    let addresses = env.net().resolve(tracker.host(), tracker.port()).await.map_err(failed)?;
    let mut refused = Failure::new("the tracker's name has no address");
    let ours = node.settings().engine.network.listen_ip;
    let mut to = None;
    for address in addresses {
        let reachable = ours.is_unspecified() || ours.is_ipv4() == address.is_ipv4();
        match node.policy.judge_fetch(address.ip()) {
            Ok(_) if reachable => {
                to = Some(address);
                break;
            }
            Ok(_) => refused = Failure::new("the tracker has no address of our kind"),
            Err(error) => refused = Failure::new(&error.to_string()),
        }
    }
    let to = to.ok_or(refused)?;
    let from = match (ours.is_ipv4() == to.is_ipv4(), to.is_ipv4()) {
        (true, _) => ours,
        (false, true) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        (false, false) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = env.net().datagrams(SocketAddr::new(from, 0)).await.map_err(failed)?;
    let request = Request::Announce { request: Box::new(request), tracker: tracker.clone() };
    let mut exchange = Exchange::new(request, Family::of(to.ip()), None, env.rng("udp tracker"));
    let mut buf = vec![0; DATAGRAM_MAX];
    let mut step = exchange.start(env.now());
    loop {
        match step {
            Step::Done(Answer::Announce(response)) => return Ok(response),
            Step::Done(Answer::Scrape(_)) => {
                return Err(Failure::new("an answer to something else"));
            }
            Step::Failed(error) => return Err(Failure::from(&error)),
            // A datagram may be lost: the exchange asks again.
            Step::Send(packet) => _ = socket.try_send(&packet, to),
            Step::Wait => {}
        }
        let wait = exchange.poll_timeout().since(env.now());
        step = match env.timeout(wait, socket.recv(&mut buf)).await {
            Some(Ok((len, from))) if from == to => {
                exchange.handle_datagram(env.now(), buf.get(..len).unwrap_or_default())
            }
            Some(Ok(_)) => Step::Wait,
            // Nobody listens there, perhaps not yet.
            Some(Err(error)) => return Err(failed(error)),
            None => exchange.handle_timeout(env.now()),
        };
    }
}
