//! Lets a node's [`Keeper`] live: in a store, over lanes, by the node's clock.
//!
//! One task, started by the node and ended with its [`Steward`]. It owns the machine; whoever works for the cluster's
//! torrents reads the [`Holding`] that it shows. Each life has lanes, a directory and a membership of its own: they are
//! dropped when the life is over, so that nobody hears this node in the name of a life that has ended. Questions to
//! the store are tasks that tell the answer; they are as many as the machine asks at once, and end with the life.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bittorrent::Time;
use control::{Epoch, Holder, Incarnation, NodeName, TorrentId};
use env::{NodeEnv, Task};
use rand::rngs::SmallRng;
use serde::{Deserialize, Serialize};
use store::{
    Assignment, Begin, NodeInfo, OwnershipStore, PAGE_LEN_MAX, Renewal, StoreError, Verdict,
};
use tokio::sync::{mpsc, watch};
use tracing::{debug, info, warn};

use crate::keeper::{Act, Ask, Keeper, Told};
use crate::lane::frame::{of_body, to_body};
use crate::lane::{
    Changes, Delivery, Directory, Exposed, Exposure, Hello, Key, LaneError, Lanes, LocalNode,
    MINOR, Transport,
};
use crate::membership::Place;
use crate::membership::gossip::{Gossip, Seed, Start};
use crate::ownership::{Answer, Lease};

/// The number of the steward's service at each node.
pub const STEWARD: Key = Key::Service(2);
/// An answer of the store that takes longer is none.
const STORE_TIME: Duration = Duration::from_secs(4);
/// What waits to be taken in; more is refused.
const WAITING_MAX: usize = 1024;

/// What a node lives on.
#[derive(Debug, Clone)]
pub struct Ground {
    /// Its name.
    pub node: NodeName,
    /// What it tells of itself.
    pub info: NodeInfo,
    /// The store by which the cluster agrees.
    pub store: Arc<dyn OwnershipStore>,
    /// How it speaks to others.
    pub transport: Arc<dyn Transport>,
    /// Where it is dialled.
    pub place: Place,
    /// Nodes to begin with.
    pub seeds: Vec<Seed>,
}

/// What a node owns, as it believes. What counts is what sinks accept: each effect carries the epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holding {
    /// Its life, if it has one.
    pub holder: Option<Holder>,
    /// Its torrents, and in which epochs.
    pub owned: BTreeMap<TorrentId, Epoch>,
    /// Of these, which are to be flushed and then said to be released.
    pub releasing: BTreeSet<TorrentId>,
    /// It has given all away.
    pub is_drained: bool,
    /// Until when effects may go out; to be compared with the clock before each, for the node may have slept.
    pub safe_until: Time,
}

/// A node's part in the cluster. Dropping it ends it as a crash would; see [`Steward::leave`].
#[derive(Debug)]
pub struct Steward {
    shows: watch::Receiver<Holding>,
    notes: mpsc::Sender<Note>,
    env: NodeEnv,
    store: Arc<dyn OwnershipStore>,
    _task: Task<()>,
}

/// What one node tells another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Word {
    Suspect(Holder),
    Withdraw(Holder),
    /// This torrent was given to the life that hears it.
    Adopt(TorrentId),
}

/// What wakes the task.
#[derive(Debug)]
enum Note {
    Told(Incarnation, Told),
    Said(Delivery),
    Drain,
    Released(TorrentId),
}

struct Actor {
    env: NodeEnv,
    ground: Ground,
    keeper: Keeper,
    chance: SmallRng,
    notes: mpsc::Sender<Note>,
    show: watch::Sender<Holding>,
    asking: Vec<Task<()>>,
    life: Option<Life>,
}

/// What one life speaks and listens by.
struct Life {
    lanes: Lanes,
    changes: Changes,
    /// The lanes that the machine knows of, by their numbers.
    known: BTreeMap<u64, Holder>,
    _serving: Task<()>,
    _gossip: Gossip,
    _exposure: Exposure,
}

impl Steward {
    /// Takes a node into the cluster.
    #[must_use]
    pub fn start(env: &NodeEnv, ground: Ground) -> Self {
        let (notes, inbox) = mpsc::channel(WAITING_MAX);
        let (show, shows) = watch::channel(Holding::default());
        let store = Arc::clone(&ground.store);
        let actor = Actor {
            env: env.clone(),
            keeper: Keeper::new(ground.node.clone(), env.now()),
            ground,
            chance: env.rng("steward"),
            notes: notes.clone(),
            show,
            asking: Vec::new(),
            life: None,
        };
        let task = env.spawn("steward", actor.run(inbox));
        Self { shows, notes, env: env.clone(), store, _task: task }
    }

    /// What the node owns; changes are told.
    #[must_use]
    pub fn holding(&self) -> watch::Receiver<Holding> {
        self.shows.clone()
    }

    /// Begins to give away what the node owns; [`Holding::releasing`] says what is to be flushed, and
    /// [`Holding::is_drained`] when all is gone.
    pub async fn drain(&self) {
        // The task lives as long as this.
        let _ = self.notes.send(Note::Drain).await;
    }

    /// A torrent of [`Holding::releasing`] was flushed: another node may go on with it.
    pub async fn released(&self, torrent: TorrentId) {
        let _ = self.notes.send(Note::Released(torrent)).await;
    }

    /// Ends the node's part in order: its life is over at once, so that others need not find out.
    ///
    /// # Errors
    ///
    /// The store cannot be told; then the others find out.
    pub async fn leave(self) -> Result<(), StoreError> {
        let Self { shows, env, store, _task, .. } = self;
        drop(_task);
        let Some(holder) = shows.borrow().holder.clone() else { return Ok(()) };
        let told = store.depose(&holder, Verdict::Unreachable);
        let late = || Err(StoreError::Unavailable("it has not answered in time".to_owned()));
        env.timeout(STORE_TIME, told).await.unwrap_or_else(late).map(drop)
    }
}

impl Actor {
    async fn run(mut self, mut inbox: mpsc::Receiver<Note>) {
        loop {
            let mut acts = Vec::new();
            self.keeper.handle_timeout(self.env.now(), &mut acts);
            self.see_lanes(&mut acts);
            self.perform(acts);
            self.tell();
            let due = self.env.sleep_until(self.keeper.poll_timeout());
            tokio::select! {
                biased;
                note = inbox.recv() => {
                    // The sender is ours, so there is one.
                    if let Some(note) = note {
                        self.take_in(note);
                    }
                }
                () = lanes_change(self.life.as_mut()) => {}
                () = due => {}
            }
        }
    }

    fn take_in(&mut self, note: Note) {
        let (now, mut acts) = (self.env.now(), Vec::new());
        match note {
            Note::Told(life, told) => {
                self.asking.retain(|task| !task.is_finished());
                self.keeper.told(now, life, told, &mut self.chance, &mut acts);
            }
            Note::Said(delivery) => self.hear(now, &delivery, &mut acts),
            Note::Drain => self.keeper.drain(&mut acts),
            Note::Released(torrent) => {
                self.show.send_modify(|shown| {
                    shown.releasing.remove(&torrent);
                });
                self.keeper.released(torrent, &mut acts);
            }
        }
        self.perform(acts);
    }

    /// A word of another node, in the name of the life to which there is a lane.
    fn hear(&mut self, now: Time, said: &Delivery, acts: &mut Vec<Act>) {
        let Some(life) = &self.life else { return };
        let Some(from) = life.known.values().find(|holder| holder.node == *said.from) else {
            return;
        };
        match of_body(&said.body) {
            Ok(Word::Suspect(suspect)) => self.keeper.reported(now, &from.clone(), suspect, acts),
            Ok(Word::Withdraw(suspect)) => self.keeper.withdrawn(from, &suspect),
            Ok(Word::Adopt(torrent)) => {
                debug!(node = %from.node, %torrent, "given");
                self.keeper.adopt(acts);
            }
            Err(error) => debug!(node = %said.from, %error, "a word that is none"),
        }
    }

    /// Tells the machine of lanes that came and went.
    fn see_lanes(&mut self, acts: &mut Vec<Act>) {
        let Some(life) = &mut self.life else { return };
        let now = self.env.now();
        let lanes: BTreeMap<u64, Holder> = life
            .lanes
            .numbered()
            .into_iter()
            .map(|(number, lane)| {
                let Hello { node, incarnation, .. } = lane.hello();
                (number, Holder { node: node.clone(), incarnation: *incarnation })
            })
            .collect();
        let known = std::mem::replace(&mut life.known, lanes.clone());
        for (number, holder) in &known {
            // One that another took the place of is no loss.
            if !lanes.contains_key(number) && !lanes.values().any(|held| held == holder) {
                self.keeper.lane_down(now, holder, acts);
            }
        }
        for (number, holder) in lanes {
            if !known.contains_key(&number) {
                self.keeper.lane_up(now, holder, acts);
            }
        }
    }

    fn perform(&mut self, acts: Vec<Act>) {
        for act in acts {
            match act {
                Act::Ask(life, ask) => self.ask(life, ask),
                Act::Suspect(suspect) => {
                    info!(node = %suspect.node, "cannot be reached");
                    self.say(None, &Word::Suspect(suspect));
                }
                Act::Withdraw(suspect) => self.say(None, &Word::Withdraw(suspect)),
                Act::Live(holder) => self.live(holder),
                Act::Serve(torrent, epoch) => {
                    info!(%torrent, %epoch, "owned");
                    self.show.send_modify(|shown| {
                        shown.owned.insert(torrent, epoch);
                    });
                }
                Act::Drop(torrent) => {
                    info!(%torrent, "owned no more");
                    self.show.send_modify(|shown| {
                        shown.owned.remove(&torrent);
                        shown.releasing.remove(&torrent);
                    });
                }
                Act::Release(torrent, _) => {
                    self.show.send_modify(|shown| {
                        shown.releasing.insert(torrent);
                    });
                }
                Act::Adopt(heir, torrent) => self.say(Some(&heir.node), &Word::Adopt(torrent)),
                Act::Drained => {
                    info!("all is given away");
                    self.show.send_modify(|shown| shown.is_drained = true);
                }
                Act::Freeze => {
                    warn!("the store does not renew this node's lease: nothing goes out")
                }
                Act::Thaw => info!("the lease goes on"),
                Act::End => {
                    warn!("this life is over: others own what it owned");
                    self.life = None;
                    self.asking.clear();
                    self.show.send_modify(|shown| shown.is_drained = false);
                }
            }
        }
    }

    /// Begins to speak and to listen as this life.
    fn live(&mut self, holder: Holder) {
        info!(node = %holder.node, incarnation = holder.incarnation.0, "a life begins");
        let Ground { transport, place, seeds, .. } = &self.ground;
        let directory = Directory::default();
        let exposure = directory.expose(STEWARD, Arc::new(Inbox(self.notes.clone())));
        let (node, incarnation) = (holder.node.clone(), holder.incarnation);
        let hello = Hello { node, incarnation, minor: MINOR, features: 0 };
        let local = LocalNode::new(self.env.clone(), hello, directory.clone());
        let lanes = Lanes::new(self.env.clone(), local);
        let start = Start { holder, place: *place, seeds: seeds.clone() };
        self.life = Some(Life {
            changes: lanes.changes(),
            _serving: lanes.serve(Arc::clone(transport)),
            _gossip: Gossip::start(
                &self.env,
                &directory,
                lanes.clone(),
                Arc::clone(transport),
                start,
            ),
            lanes,
            known: BTreeMap::new(),
            _exposure: exposure,
        });
    }

    /// Tells a node, or all, to whom there is a lane now; who does not hear it finds out otherwise.
    fn say(&self, to: Option<&NodeName>, word: &Word) {
        let Some(Life { lanes, .. }) = &self.life else { return };
        let Ok(body) = to_body(word) else { return };
        let lanes = to.map_or_else(|| lanes.all(), |node| lanes.to(node).into_iter().collect());
        for lane in lanes {
            if let Err(error) = lane.try_cast(STEWARD, Epoch(0), &body) {
                debug!(node = %lane.peer(), %error, "not told");
            }
        }
    }

    fn ask(&mut self, life: Incarnation, ask: Ask) {
        let (env, store, notes) =
            (self.env.clone(), Arc::clone(&self.ground.store), self.notes.clone());
        let holder = Holder { node: self.ground.node.clone(), incarnation: life };
        let info = self.ground.info.clone();
        let work = async move {
            let answer = env.timeout(STORE_TIME, answer(&*store, &holder, &info, &ask)).await;
            let told = answer.unwrap_or_else(|| ask.unanswered());
            // Whoever asked is gone.
            let _ = notes.send(Note::Told(life, told)).await;
        };
        self.asking.push(self.env.spawn("store-question", work));
    }

    /// Shows whose life it is and until when it may act; what it owns was shown when that changed.
    fn tell(&self) {
        let (holder, safe_until) = (self.keeper.holder(), self.keeper.safe_until());
        self.show.send_if_modified(|shown| {
            let is_news = shown.holder.as_ref() != holder || shown.safe_until != safe_until;
            if is_news {
                (shown.holder, shown.safe_until) = (holder.cloned(), safe_until);
            }
            is_news
        });
    }
}

async fn lanes_change(life: Option<&mut Life>) {
    match life {
        Some(life) => life.changes.changed().await,
        None => std::future::pending().await,
    }
}

#[derive(Debug)]
struct Inbox(mpsc::Sender<Note>);

impl Exposed for Inbox {
    fn epoch(&self) -> Epoch {
        Epoch(0)
    }

    fn deliver(&self, delivery: Delivery) {
        if let Err(error) = self.0.try_send(Note::Said(delivery))
            && let Note::Said(delivery) = error.into_inner()
        {
            delivery.refuse(LaneError::Busy);
        }
    }
}

/// Asks the store what the machine asks.
async fn answer(store: &dyn OwnershipStore, me: &Holder, info: &NodeInfo, ask: &Ask) -> Told {
    let failed = |error: StoreError| {
        debug!(%error, "the store has no answer");
        ask.unanswered()
    };
    match ask {
        Ask::Begin => match store.begin(&me.node, info, Lease::LENGTH).await {
            Ok(Begin::Begun { incarnation, now_ms }) => Told::Begun(Some((incarnation, now_ms))),
            Ok(Begin::Occupied { lease_until_ms }) => {
                warn!(node = %me.node, lease_until_ms, "another process lives under this name");
                Told::Begun(None)
            }
            Err(error) => failed(error),
        },
        Ask::Renew => match store.renew(me, Lease::LENGTH).await {
            Ok(Renewal::Renewed { now_ms }) => Told::Renewed(Answer::Renewed, now_ms),
            Ok(Renewal::Over) => Told::Renewed(Answer::Refused, 0),
            Err(error) => failed(error),
        },
        Ask::Nodes => store.nodes().await.map_or_else(failed, |nodes| Told::Nodes(Some(nodes))),
        Ask::Depose(holder, verdict) => {
            let deposed = store.depose(holder, *verdict).await;
            if deposed == Ok(true) {
                warn!(node = %holder.node, ?verdict, "declared dead");
            }
            deposed.map_or_else(failed, |done| Told::Deposed(Some(done)))
        }
        Ask::Owned { node, after } => {
            let page = store.owned(node.as_ref(), *after, PAGE_LEN_MAX).await;
            page.map_or_else(failed, |page| Told::Owned(Some(page)))
        }
        Ask::Drain => match store.drain(me).await {
            Ok(goes_on) => Told::Draining(Some(goes_on)),
            Err(error) => failed(error),
        },
        Ask::Give { torrent, seen, to } => match store.assign(*torrent, *seen, to.as_ref()).await {
            Ok(Assignment::Assigned(epoch)) => {
                Told::Given(*torrent, Some(control::TorrentRow { epoch, owner: to.clone() }))
            }
            Ok(Assignment::Lost(row)) => Told::Given(*torrent, Some(row)),
            Err(error) => failed(error),
        },
        Ask::Claim { torrent, seen } => match store.assign(*torrent, *seen, Some(me)).await {
            Ok(Assignment::Assigned(epoch)) => {
                let owner = Some(me.clone());
                Told::Claimed(*torrent, Some(control::TorrentRow { epoch, owner }))
            }
            Ok(Assignment::Lost(row)) => Told::Claimed(*torrent, Some(row)),
            Err(error) => failed(error),
        },
    }
}
