//! All lanes of a node: which leads where, who dials, and which of two to the same node holds.
//!
//! [`Lanes`] is the table that others look lanes up in. [`Lanes::keep`] dials one node for as long as its task
//! lives, again and again by [`Redial`]; [`Lanes::serve`] takes in who dials us. A node has one lane: a new one of
//! the same or a later life ends the one before at once, so that nobody waits for the idle timeout of a node that
//! has come back; one of an earlier life is sent away.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Poll;

use control::NodeName;
use env::{NodeEnv, Task};
use rand::rngs::SmallRng;
use tokio::sync::{Notify, oneshot};
use tracing::{debug, info};

use super::pump::Running;
use super::transport::{Incoming, Transport};
use super::{Lane, LocalNode, Redial};

/// The most lanes, and lanes in the making, that others dialled.
pub const LANES_MAX: usize = 1024;

/// The lanes of a node. Clones are the same table.
#[derive(Debug, Clone)]
pub struct Lanes {
    env: NodeEnv,
    local: LocalNode,
    table: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    lanes: BTreeMap<NodeName, Entry>,
    changes: u64,
    /// Who is told of changes, in the order in which they asked: a `watch` would wake them in an order by chance,
    /// which no simulation could replay.
    told: Vec<Weak<Notify>>,
}

/// Tells one who asked of changes of the table.
#[derive(Debug)]
pub struct Changes {
    notify: Arc<Notify>,
}

impl Changes {
    /// Waits for a change since this was asked last; several are told as one.
    pub async fn changed(&mut self) {
        self.notify.notified().await;
    }
}

impl Table {
    fn changed(&mut self) {
        self.changes += 1;
        self.told.retain(|told| {
            let told = told.upgrade();
            told.inspect(|told| told.notify_one()).is_some()
        });
    }
}

#[derive(Debug)]
struct Entry {
    number: u64,
    lane: Lane,
    /// Dropped when another lane takes this one's place.
    _holds: oneshot::Sender<()>,
}

impl Lanes {
    /// A table without lanes.
    #[must_use]
    pub fn new(env: NodeEnv, local: LocalNode) -> Self {
        Self { env, local, table: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lane to a node, if there is one now.
    #[must_use]
    pub fn to(&self, node: &NodeName) -> Option<Lane> {
        self.lock().lanes.get(node).map(|entry| entry.lane.clone())
    }

    /// All lanes of now, by the names of their nodes.
    #[must_use]
    pub fn all(&self) -> Vec<Lane> {
        self.lock().lanes.values().map(|entry| entry.lane.clone()).collect()
    }

    /// As [`Lanes::all`], each with a number that no other lane of this table has or had.
    #[must_use]
    pub fn numbered(&self) -> Vec<(u64, Lane)> {
        self.lock().lanes.values().map(|entry| (entry.number, entry.lane.clone())).collect()
    }

    /// Tells of every change from now on.
    #[must_use]
    pub fn changes(&self) -> Changes {
        let notify = Arc::<Notify>::default();
        self.lock().told.push(Arc::downgrade(&notify));
        Changes { notify }
    }

    /// How many changes there were.
    #[must_use]
    pub fn change_count(&self) -> u64 {
        self.lock().changes
    }

    /// Keeps a lane to a node: dials it whenever there is none, in whichever way the one before came about. Ends with
    /// its task, and the lane that it dialled with it. One node of a pair is enough, see [`super::dials`]; where both
    /// dial at once, both lanes may fall, and chance decides who is the first to dial again.
    pub fn keep(&self, transport: Arc<dyn Transport>, node: NodeName, at: SocketAddr) -> Task<()> {
        let (lanes, mut rng) = (self.clone(), self.env.rng("redial"));
        self.env.spawn("lane-keeper", async move {
            let mut redial = Redial::default();
            let mut changes = lanes.changes();
            loop {
                while lanes.to(&node).is_some() {
                    changes.changed().await;
                }
                lanes.dial_once(&*transport, &node, at, &mut redial).await;
                lanes.rest(&mut redial, &mut rng).await;
            }
        })
    }

    async fn dial_once(
        &self,
        transport: &dyn Transport,
        node: &NodeName,
        at: SocketAddr,
        redial: &mut Redial,
    ) {
        match self.local.dial(transport, node, at).await {
            Ok((lane, running)) => {
                redial.reached();
                self.hold(lane, running).await;
            }
            Err(error) => debug!(%node, %error, "no lane"),
        }
    }

    async fn rest(&self, redial: &mut Redial, rng: &mut SmallRng) {
        self.env.sleep(redial.wait(rng)).await;
    }

    /// Takes in those that dial us, at most [`LANES_MAX`] at once. Ends with its task, and all these lanes with it.
    pub fn serve(&self, transport: Arc<dyn Transport>) -> Task<()> {
        let lanes = self.clone();
        self.env.spawn("lane-acceptor", async move {
            let mut served: Vec<Task<()>> = Vec::new();
            while let Some(incoming) = transport.accept().await {
                served.retain(|task| !task.is_finished());
                if served.len() < LANES_MAX {
                    let lanes = lanes.clone();
                    let env = lanes.env.clone();
                    served.push(env.spawn("lane-served", lanes.answer(incoming)));
                }
            }
        })
    }

    async fn answer(self, incoming: Incoming) {
        match self.local.accept(incoming).await {
            Ok((lane, running)) => self.hold(lane, running).await,
            Err(error) => debug!(%error, "no lane"),
        }
    }

    /// Keeps a lane in the table until it ends or another takes its place.
    async fn hold(&self, lane: Lane, running: Running) {
        let node = lane.peer().clone();
        let Some((number, replaced)) = self.enter(lane) else {
            debug!(%node, "a lane of a life that is over");
            return;
        };
        // Taken out however this ends: also when the task that holds it is dropped.
        let _entered = Entered { lanes: self, node: &node, number };
        info!(%node, "lane");
        let (mut running, mut replaced) = (running, replaced);
        let end = poll_fn(|cx| {
            if let Poll::Ready(end) = Pin::new(&mut running).poll(cx) {
                return Poll::Ready(Some(end));
            }
            Pin::new(&mut replaced).poll(cx).map(|_| None)
        })
        .await;
        match end {
            Some(end) => info!(%node, %end, "lane ended"),
            None => info!(%node, "another lane takes its place"),
        }
    }

    fn enter(&self, lane: Lane) -> Option<(u64, oneshot::Receiver<()>)> {
        let (holds, replaced) = oneshot::channel();
        let mut table = self.lock();
        let node = lane.peer().clone();
        let life = |lane: &Lane| lane.hello().incarnation;
        if table.lanes.get(&node).is_some_and(|before| life(&before.lane) > life(&lane)) {
            return None;
        }
        table.next += 1;
        let number = table.next;
        let before = table.lanes.insert(node, Entry { number, lane, _holds: holds });
        table.changed();
        drop(table);
        drop(before);
        Some((number, replaced))
    }
}

/// A lane's place in the table.
struct Entered<'a> {
    lanes: &'a Lanes,
    node: &'a NodeName,
    number: u64,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let mut table = self.lanes.lock();
        let stands = table.lanes.get(self.node).map(|entry| entry.number);
        if stands == Some(self.number) {
            let removed = table.lanes.remove(self.node);
            table.changed();
            drop(table);
            drop(removed);
        }
    }
}
