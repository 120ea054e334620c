//! Sends what [`Members`] says over lanes, and keeps a lane to everybody.
//!
//! Owned by whoever starts it; it ends with its task. A new lane is told all that is known, all lanes are told what is
//! news. Of two nodes the one whose name comes first dials ([`lane::dials`]); a seed is dialled in any case, while it
//! has not left. A lane that has no room is passed over; each second one of them is told all again, in turn.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use control::{Epoch, Holder, NodeName};
use env::{NodeEnv, Task};
use tokio::sync::{mpsc, watch};
use tracing::{debug, info};

use super::{Figures, Members, Place, Record, Stay};
use crate::lane::frame::{of_body, to_body};
use crate::lane::{
    self, Delivery, Directory, Exposed, Exposure, Key, Lane, LaneError, Lanes, Transport,
};

/// The number of the service of membership at each node.
pub const MEMBERSHIP: Key = Key::Service(1);
/// How often a node looks at its own figures, and tells one other all that it knows.
pub const FIGURES_EVERY: Duration = Duration::from_secs(1);
/// What waits to be taken in; more is refused, and told again with the next change.
const WAITING_MAX: usize = 256;

/// A node to begin with. Its name must be known: the certificate is compared with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed {
    /// Its name.
    pub node: NodeName,
    /// Where it is dialled.
    pub control: SocketAddr,
}

/// What membership starts with.
#[derive(Debug)]
pub struct Start {
    /// This node and its life.
    pub holder: Holder,
    /// Where it is dialled.
    pub place: Place,
    /// Nodes to begin with.
    pub seeds: Vec<Seed>,
}

/// What the owner says, to be changed as it likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Own {
    /// Whether this node stays.
    pub stay: Stay,
    /// How it does.
    pub figures: Figures,
}

/// A node of the cluster as this one sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// What it said last.
    pub record: Record,
    /// Whether there is a lane to this life of it.
    pub is_reachable: bool,
}

/// A running membership. Dropping it ends it, and the lanes that it keeps.
#[derive(Debug)]
pub struct Gossip {
    own: watch::Sender<Own>,
    view: watch::Receiver<Vec<Member>>,
    _task: Task<()>,
    _exposure: Exposure,
}

impl Gossip {
    /// Starts it over these lanes. `directory` is that of the lanes' node.
    #[must_use]
    pub fn start(
        env: &NodeEnv,
        directory: &Directory,
        lanes: Lanes,
        transport: Arc<dyn Transport>,
        start: Start,
    ) -> Self {
        let (inbox, told) = mpsc::channel(WAITING_MAX);
        let exposure = directory.expose(MEMBERSHIP, Arc::new(Inbox(inbox)));
        let stay = start.place.stay;
        let (own, says) = watch::channel(Own { stay, figures: Figures::default() });
        let (show, view) = watch::channel(Vec::new());
        let actor = Actor {
            env: env.clone(),
            members: Members::new(start.holder, start.place),
            seeds: start.seeds,
            lanes,
            transport,
            kept: BTreeMap::new(),
            greeted: BTreeSet::new(),
            rounds: 0,
            show,
        };
        let task = env.spawn("membership", actor.run(told, says));
        Self { own, view, _task: task, _exposure: exposure }
    }

    /// Says something new of this node; figures go out at the next [`FIGURES_EVERY`], the rest at once.
    pub fn say(&self, change: impl FnOnce(&mut Own)) {
        self.own.send_modify(change);
    }

    /// The other nodes, by name, as they are known; changes are told.
    #[must_use]
    pub fn view(&self) -> watch::Receiver<Vec<Member>> {
        self.view.clone()
    }
}

#[derive(Debug)]
struct Inbox(mpsc::Sender<Delivery>);

impl Exposed for Inbox {
    fn epoch(&self) -> Epoch {
        Epoch(0)
    }

    fn deliver(&self, delivery: Delivery) {
        if let Err(error) = self.0.try_send(delivery) {
            error.into_inner().refuse(LaneError::Busy);
        }
    }
}

struct Actor {
    env: NodeEnv,
    members: Members,
    seeds: Vec<Seed>,
    lanes: Lanes,
    transport: Arc<dyn Transport>,
    /// Who is dialled by us, where.
    kept: BTreeMap<NodeName, (SocketAddr, Task<()>)>,
    /// The lanes that were there when we last looked.
    greeted: BTreeSet<u64>,
    /// How often all was told to one lane.
    rounds: usize,
    show: watch::Sender<Vec<Member>>,
}

impl Actor {
    async fn run(mut self, mut told: mpsc::Receiver<Delivery>, mut says: watch::Receiver<Own>) {
        let mut changes = self.lanes.changes();
        let mut look = self.env.sleep(FIGURES_EVERY);
        self.settle();
        loop {
            tokio::select! {
                biased;
                Some(delivery) = told.recv() => self.on_told(delivery),
                () = changes.changed() => self.on_lanes(),
                Ok(()) = says.changed() => self.on_stay(says.borrow_and_update().stay),
                () = &mut look => {
                    self.on_figures(says.borrow().figures);
                    self.go_round();
                    look = self.env.sleep(FIGURES_EVERY);
                }
                else => return,
            }
        }
    }

    fn on_told(&mut self, delivery: Delivery) {
        let from = Arc::clone(&delivery.from);
        let Ok(records) = of_body::<Vec<Record>>(&delivery.body) else {
            debug!(%from, "what it tells of members is malformed");
            return delivery.refuse(LaneError::Malformed);
        };
        let news = self.members.learn(records);
        for record in &news.onward {
            info!(node = %record.holder.node, stay = ?record.place.stay, "member");
        }
        if !news.onward.is_empty() {
            self.tell_all(&news.onward, Some(&from));
            self.settle();
        }
        if news.learned > 0 {
            self.show();
        }
    }

    fn on_lanes(&mut self) {
        let lanes = self.lanes.numbered();
        let all = self.members.all();
        for (_, lane) in lanes.iter().filter(|(number, _)| !self.greeted.contains(number)) {
            tell(lane, &all);
        }
        self.greeted = lanes.iter().map(|(number, _)| *number).collect();
        self.show();
    }

    /// Tells all to one after another: what a lane lost when it ended, or had no room for, arrives in the end.
    fn go_round(&mut self) {
        let lanes = self.lanes.all();
        if let Some(lane) = self.rounds.checked_rem(lanes.len()).and_then(|nth| lanes.get(nth)) {
            tell(lane, &self.members.all());
        }
        self.rounds = self.rounds.wrapping_add(1);
    }

    fn on_stay(&mut self, stay: Stay) {
        if stay != self.members.own().place.stay {
            let own = self.members.set_stay(stay);
            self.tell_all(&[own], None);
        }
    }

    fn on_figures(&mut self, figures: Figures) {
        if let Some(own) = self.members.set_figures(figures) {
            self.tell_all(&[own], None);
        }
    }

    fn tell_all(&self, records: &[Record], but: Option<&NodeName>) {
        for lane in self.lanes.all().iter().filter(|lane| Some(lane.peer()) != but) {
            tell(lane, records);
        }
    }

    /// Dials whom we should dial, where they are, and nobody else.
    fn settle(&mut self) {
        let own = &self.members.own().holder.node;
        let mut wanted: BTreeMap<NodeName, SocketAddr> = BTreeMap::new();
        for Seed { node, control } in self.seeds.iter().filter(|seed| seed.node != *own) {
            wanted.insert(node.clone(), *control);
        }
        for record in self.members.others() {
            let node = &record.holder.node;
            if record.place.stay == Stay::Left {
                wanted.remove(node);
            } else if lane::dials(own, node) {
                wanted.insert(node.clone(), record.place.control);
            }
        }
        self.kept.retain(|node, (at, _)| wanted.get(node) == Some(at));
        for (node, at) in wanted {
            if !self.kept.contains_key(&node) {
                let task = self.lanes.keep(Arc::clone(&self.transport), node.clone(), at);
                self.kept.insert(node, (at, task));
            }
        }
    }

    fn show(&self) {
        let member = |record: &Record| {
            let lane = self.lanes.to(&record.holder.node);
            let life = lane.map(|lane| lane.hello().incarnation);
            let is_reachable = life == Some(record.holder.incarnation);
            Member { record: record.clone(), is_reachable }
        };
        let view: Vec<_> = self.members.others().map(member).collect();
        self.show.send_if_modified(|shown| {
            let is_new = *shown != view;
            *shown = view;
            is_new
        });
    }
}

fn tell(lane: &Lane, records: &[Record]) {
    let sent = to_body(&records).and_then(|body| lane.try_cast(MEMBERSHIP, Epoch(0), &body));
    if let Err(error) = sent {
        debug!(node = %lane.peer(), %error, "not told of members");
    }
}
